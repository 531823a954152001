"""A Main Worker that is started as a process of its own, to see how that ends."""

import json
import os
import socket
import subprocess
import sys
import uuid

from tests.support.faulty_kms import Fault, FaultyDeployment, FaultyKms

SECONDS = 60.0


class Starting:
    """One more Main Worker over the same directory, with a way to KMS of its own."""

    def __init__(
        self, deployment: FaultyDeployment, face: str, fault: Fault | None = None, **others: str
    ) -> None:
        """Start it; `others` replaces variables of its environment."""
        self.kms = FaultyKms(deployment.kms.target, deployment.kms.key_arn)
        self.kms.fail(fault)
        self.ready_file = deployment.shared_dir.parent / f"{face}-{uuid.uuid4()}.ready"
        environment = deployment.child_environment(face) | {
            "AWS_ENDPOINT_URL_KMS": self.kms.endpoint,
            "STRONGROOM_HTTP_LISTEN": "127.0.0.1:0",
            "STRONGROOM_GRPC_LISTEN": "127.0.0.1:0",
            "STRONGROOM_SUBSCRIPTION_LISTEN": "127.0.0.1:0",
            "STRONGROOM_PARENT_PID": str(os.getpid()),
            "STRONGROOM_READY_FILE": str(self.ready_file),
            **others,
        }
        module = {"rest": "main_api.rest", "grpc": "main_api.rpc"}[face]
        self.process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", module],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self) -> tuple[int, str]:
        """Return its exit code and what it has said."""
        try:
            _, said = self.process.communicate(timeout=SECONDS)
        finally:
            self.process.kill()
            self.kms.stop()
        return self.process.returncode, said

    def serves(self) -> bool:
        """Tell whether it serves."""
        if not self.ready_file.exists():
            return False
        ports = json.loads(self.ready_file.read_text())
        try:
            socket.create_connection(("127.0.0.1", next(iter(ports.values()))), 1).close()
        except OSError:
            return False
        return True
