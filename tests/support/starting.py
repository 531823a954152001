"""A Main Worker that is started as a process of its own, to see how that ends."""

import json
import os
import socket
import subprocess
import sys
import uuid

from strongroom.process import PARENT_VARIABLE
from tests.support.faulty_kms import Fault, FaultyDeployment, FaultyKms
from tests.support.forge import Forged, Order, forge

SECONDS = 60.0


class Starting:
    """One more Main Worker over the same directory, with a way to KMS of its own."""

    def __init__(
        self,
        deployment: FaultyDeployment,
        face: str,
        fault: Fault | None = None,
        *,
        is_forged: bool = True,
        **others: str,
    ) -> None:
        """Start it; `others` replaces variables of its environment.

        It is forked from the forge, or it starts by itself, as a shell would have it.
        """
        self.kms = FaultyKms(deployment.kms.target, deployment.kms.key_arn)
        self.kms.fail(fault)
        self.ready_file = deployment.shared_dir.parent / f"{face}-{uuid.uuid4()}.ready"
        self._errors = self.ready_file.with_suffix(".errors")
        environment = deployment.child_environment(face) | {
            "AWS_ENDPOINT_URL_KMS": self.kms.endpoint,
            "STRONGROOM_HTTP_LISTEN": "127.0.0.1:0",
            "STRONGROOM_GRPC_LISTEN": "127.0.0.1:0",
            "STRONGROOM_SUBSCRIPTION_LISTEN": "127.0.0.1:0",
            PARENT_VARIABLE: str(forge().pid if is_forged else os.getpid()),
            "STRONGROOM_READY_FILE": str(self.ready_file),
            **others,
        }
        module = {"rest": "main_api.rest", "grpc": "main_api.rpc"}[face]
        start = self._forged if is_forged else self._by_itself
        self.process = start(module, environment)

    def _forged(self, module: str, environment: dict[str, str]) -> Forged:
        return forge().start(
            Order(
                module=f"{module}.__main__",
                environment=environment,
                output=os.devnull,
                errors=str(self._errors),
            )
        )

    def _by_itself(self, module: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self._errors.open("wb") as errors:
            return subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", module],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def ended(self) -> tuple[int, str]:
        """Return its exit code and what it has said."""
        try:
            code = self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.kms.stop()
        return code, self._errors.read_text()

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
