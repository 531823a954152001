"""A real deployment, started with `strongroom up` as a user would, and clients of it."""

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import grpc
import httpx

from strongroom_client import Client, ClientCredentials, Options
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2_grpc
from tests.support.forge import Forged, Order, forge

READY_S = 40.0
Metadata = tuple[tuple[str, str | bytes], ...]
# What plain HTTP is asked with: to read all authorities that there are takes 30 ms each time.
NOBODY_TRUSTED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CHAT: dict[str, Any] = {"chat": [{"type": "assistant", "text": "HERE TEXT"}]}


@dataclass
class Deployment:
    """One `strongroom up` process and what it says of itself.

    It is forked from a process that has imported everything (tests/support/forge.py). With
    `open_files` it is started by a shell, with that bound on open files, as a shell might; with
    `environment` it has further variables.

    Whoever only uses the database asks by `client`; what judges the faces themselves (bytes,
    statuses, headers, that no request fails) asks by `http`, `channel` or `grpc`, since a client
    that tries again by itself would hide a refusal.
    """

    directory: Path
    arguments: tuple[str, ...] = ()
    open_files: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | Forged | None = None

    @property
    def root(self) -> Path:
        """The directory given as --root."""
        return self.directory / "root"

    @property
    def ready_file(self) -> Path:
        """The file given as --ready-file."""
        return self.directory / "ready.json"

    @property
    def shared_dir(self) -> Path:
        """The shared directory."""
        return Path(self.facts["shared_dir"])

    def start(self) -> "Deployment":
        """Start it and wait until it serves."""
        addresses = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        files = ["--root", str(self.root), "--ready-file", str(self.ready_file)]
        self.process = self._started("up", *addresses, *files, *self.arguments)
        wait_until(lambda: self.ready_file.exists() or self.process_ended(), READY_S)
        assert self.ready_file.exists(), (self.directory / "up.out").read_text()
        self.reload()
        return self

    def _started(self, *arguments: str) -> subprocess.Popen[bytes] | Forged:
        environment = {**os.environ, **self.environment}
        out = self.directory / "up.out"
        if self.open_files is None:
            return forge().start(
                Order(
                    module="cli.main",
                    arguments=arguments,
                    environment=environment,
                    output=str(out),
                    errors=str(out),
                    new_session=True,
                )
            )
        shell = ["/bin/bash", "-c", 'ulimit -Sn "$0" && exec "$@"', str(self.open_files)]
        command = str(Path(sys.executable).parent / "strongroom")
        with out.open("ab") as file:
            return subprocess.Popen(  # noqa: S603 - the project's own command
                [*shell, command, *arguments],
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )

    def process_ended(self) -> bool:
        """Tell whether `up` has ended."""
        return self.process is not None and self.process.poll() is not None

    def reload(self) -> dict[str, Any]:
        """Read the ready file again."""
        self.facts = json.loads(self.ready_file.read_text())
        return self.facts

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        code = self.process.wait(READY_S)
        assert not [pid for pid in self.all_pids() if is_alive(pid)], "a process was left behind"
        return code

    def all_pids(self) -> list[int]:
        """Return the pids of every process, `up` first."""
        pids = self.facts["pids"]
        return [pids["up"], pids["rest"], pids["grpc"], *pids["workers"].values()]

    def credentials(self) -> tuple[str, str]:
        """Return the administrator's."""
        return self.facts["client_id"], self.facts["client_secret"]

    def token(self, who: tuple[str, str] | None = None) -> str:
        """Return a fresh access token of the administrator, or of who has an id and a secret."""
        answer = httpx.post(
            f"{self.facts['http_url']}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=who or self.credentials(),
            verify=self.trusted(),
        )
        assert answer.status_code == httpx.codes.OK, answer.text
        return str(answer.json()["access_token"])

    def client(
        self, transport: Literal["rest", "grpc"] = "rest", who: tuple[str, str] | None = None
    ) -> Client:
        """Return the client that users have, as the administrator or by an id and a secret."""
        over_grpc = f"grpc://{self.facts['grpc_address']}"
        url = self.facts["http_url"] if transport == "rest" else over_grpc
        options = Options(ca_file=self.facts["grpc_ca_file"])
        return Client(url, ClientCredentials(*(who or self.credentials())), options)

    def trusted(self) -> ssl.SSLContext:
        """Return what trusts its own authority alone; see NOBODY_TRUSTED."""
        return ssl.create_default_context(cafile=self.facts["grpc_ca_file"])

    def http(self) -> httpx.Client:
        """Return an authorized client of the REST face."""
        return httpx.Client(
            base_url=self.facts["http_url"],
            headers={"Authorization": f"Bearer {self.token()}"},
            timeout=30.0,
            verify=self.trusted(),
        )

    def channel(self) -> grpc.Channel:
        """Return a channel to the gRPC face."""
        roots = Path(self.facts["grpc_ca_file"]).read_bytes()
        return grpc.secure_channel(
            self.facts["grpc_address"], grpc.ssl_channel_credentials(root_certificates=roots)
        )

    def grpc(self) -> tuple[entity_pb2_grpc.EntityServiceStub, Metadata]:
        """Return a stub of the client API and the metadata that authorizes its calls."""
        channel = self.channel()
        client_id, client_secret = self.credentials()
        request = auth_pb2.IssueTokenRequest(client_id=client_id, client_secret=client_secret)
        issued = auth_pb2_grpc.AuthServiceStub(channel).IssueToken(request)
        metadata = (("authorization", f"Bearer {issued.access_token}"),)
        return entity_pb2_grpc.EntityServiceStub(channel), metadata

    def every_stored_byte(self) -> bytes:
        """Return all files of the shared directory and all logs, one after the other."""
        folders = (self.shared_dir, self.root / "run")
        files = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
        return b"\n".join(p.read_bytes() + str(p).encode() for p in files)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a condition; the answer is whether it came."""
    ends_at = time.monotonic() + timeout_s
    pause = threading.Event()
    while time.monotonic() < ends_at:
        if condition():
            return True
        pause.wait(0.02)
    return False


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def kill(pid: int) -> None:
    """End a process that the test has started, at once."""
    os.kill(pid, signal.SIGKILL)
