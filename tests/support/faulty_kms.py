"""A KMS that fails as it is told: an HTTP server in front of moto's; a deployment that uses it."""

import functools
import json
import os
import signal
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import grpc
import httpx

from cli.emulation.deployment import LocalDeployment, Options
from strongroom.identity import Identity
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2_grpc
from tests.support.deployment import Metadata
from tests.support.forge import forge

SECONDS = 30.0
_DIRECTLY = build_opener(ProxyHandler({}))


@dataclass(frozen=True)
class Fault:
    """What happens to requests: an error as KMS words it, silence, or nobody listening.

    `requests` is how many of them it happens to before KMS recovers; None for all.
    """

    code: str = ""
    status: int = 400
    is_silent: bool = False
    is_down: bool = False
    requests: int | None = None


DOWN = Fault(is_down=True)
SLOW = Fault(is_silent=True)
FAULTS = {
    "down": DOWN,
    "slow": SLOW,
    "throttling": Fault("ThrottlingException"),
    "denying": Fault("AccessDeniedException"),
    "disabled": Fault("DisabledException"),
    "pending deletion": Fault("KMSInvalidStateException"),
    "not found": Fault("NotFoundException"),
    "failing": Fault("KMSInternalException", 500),
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    kms: "FaultyKms"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has given up is no failure."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        """Pass on or fail."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kms = self.server.kms
        fault = kms.took(self.headers["X-Amz-Target"].rpartition(".")[2])
        if fault is None:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            request = Request(kms.target, body, headers)  # noqa: S310 - moto's
            with _DIRECTLY.open(request, timeout=SECONDS) as answer:
                self._answer(answer.status, answer.read())
        elif fault.is_silent:
            kms.stopped.wait(SECONDS)
        else:
            refusal = {"__type": fault.code, "message": f"{kms.key_arn} refused"}
            self._answer(fault.status, json.dumps(refusal).encode())

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Be quiet."""


class FaultyKms:
    """Passes requests on to a KMS, unless it is told to fail; counts them."""

    def __init__(self, target: str, key_arn: str = "") -> None:
        """Serve on the loopback; `key_arn` is what refusals name, as KMS does."""
        self.target = target
        self.key_arn = key_arn
        self.operations: list[str] = []
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._left: int | None = None
        self._port = 0
        self._serve()
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def fail(self, fault: Fault | None) -> None:
        """Fail in a way from now on; None for not at all."""
        was_down = self._fault is not None and self._fault.is_down
        with self._lock:
            self._fault, self._left = fault, None if fault is None else fault.requests
            self.operations.clear()
        is_down = fault is not None and fault.is_down
        if is_down and not was_down:
            self._close()
        elif was_down and not is_down:
            self._serve()

    def took(self, operation: str) -> Fault | None:
        """Count a request; return what is to happen to it."""
        with self._lock:
            self.operations.append(operation)
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    return None
            return self._fault

    def stop(self) -> None:
        """Stop serving."""
        self.stopped.set()
        if self._fault is None or not self._fault.is_down:
            self._close()

    def _serve(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.kms = self
        self._port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(SECONDS)


class FaultyDeployment(LocalDeployment):
    """What `strongroom up` runs, in this process, with a KMS whose faults a test decides on."""

    def __init__(self, root: Path, workers: int = 1, **environment: str) -> None:
        """Start nothing yet; `environment` is added to that of every process."""
        super().__init__(
            Options(root=root, http="127.0.0.1:0", grpc="127.0.0.1:0", workers=workers),
            forge().launch,
        )
        self._added = environment
        self._before = dict(os.environ)
        self._ports: dict[str, dict[str, int]] = {}
        self.faulty: FaultyKms | None = None

    @property
    def kms(self) -> FaultyKms:
        """The KMS in front of the emulation's."""
        if self.faulty is None:
            # As the emulation has told this process when it was started.
            found = os.environ
            self.faulty = FaultyKms(found["AWS_ENDPOINT_URL_KMS"], found["STRONGROOM_KMS_KEY_ARN"])
        return self.faulty

    def child_environment(self, name: str) -> dict[str, str]:
        """Return what a process was started with."""
        return dict(self._children[name].environment)

    def start_one_more(self, face: str, name: str) -> None:
        """Start a second process of a face of the Main Worker, on ports of its own."""
        modules = {"rest": "main_api.rest", "grpc": "main_api.rpc"}
        ports = ("HTTP_LISTEN", "GRPC_LISTEN", "SUBSCRIPTION_LISTEN")
        listen = {f"STRONGROOM_{port}": "127.0.0.1:0" for port in ports}
        child = self._add(name, modules[face], self.child_environment(face) | listen)
        self._ports[name] = child.wait_until_ready(SECONDS)
        if face == "rest":
            child.wait_until_connectable("127.0.0.1", self._ports[name]["port"], SECONDS)

    @functools.cached_property
    def trusted(self) -> ssl.SSLContext:
        """What trusts its own authority alone; reading all that there are takes 30 ms each time."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def http(self, name: str = "rest") -> httpx.Client:
        """Return an administrator's client of a REST process."""
        port = self._ports.get(name, {}).get("port")
        url = self.http_url if port is None else f"http://127.0.0.1:{port}"
        issued = httpx.post(
            f"{url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(self.credentials.client_id, self.credentials.client_secret),
            verify=self.trusted,
        )
        bearer = {"Authorization": f"Bearer {issued.json()['access_token']}"}
        return httpx.Client(base_url=url, headers=bearer, timeout=SECONDS, verify=self.trusted)

    def client_channel(self, name: str = "grpc") -> tuple[grpc.Channel, Metadata]:
        """Return a channel to a gRPC process, and the metadata that authorize an administrator."""
        port = self._ports.get(name, {}).get("client_port")
        address = self.grpc_address if port is None else f"127.0.0.1:{port}"
        roots = grpc.ssl_channel_credentials(root_certificates=self.ca_file.read_bytes())
        channel = grpc.secure_channel(address, roots)
        request = auth_pb2.IssueTokenRequest(
            client_id=self.credentials.client_id, client_secret=self.credentials.client_secret
        )
        issued = auth_pb2_grpc.AuthServiceStub(channel).IssueToken(request)
        return channel, (("authorization", f"Bearer {issued.access_token}"),)

    def entities(self, name: str = "grpc") -> tuple[entity_pb2_grpc.EntityServiceStub, Metadata]:
        """Return a stub of a gRPC process, and the same metadata."""
        channel, metadata = self.client_channel(name)
        return entity_pb2_grpc.EntityServiceStub(channel), metadata

    def kill(self, name: str) -> None:
        """Kill a process, for good."""
        os.kill(self._children[name].pid, signal.SIGKILL)
        self._children[name].wait()

    def restart(self, name: str) -> None:
        """Kill a process and wait until it serves again."""
        child = self._children[name]
        with suppress(ProcessLookupError):
            os.kill(child.pid, 9)
        child.wait()
        child.start()
        child.wait_until_ready(SECONDS)

    def log(self, name: str) -> str:
        """Return what a process has logged."""
        return self._children[name].log_file.read_text()

    def stop(self) -> None:
        """Stop everything, and give this process its environment back."""
        for name in self._ports:
            self._children[name].terminate()
            self._children[name].wait()
        super().stop()
        if self.faulty is not None:
            self.faulty.stop()
        os.environ.clear()
        os.environ.update(self._before)

    def _environment(self, identity: Identity) -> dict[str, str]:
        endpoint = {"AWS_ENDPOINT_URL_KMS": self.kms.endpoint}
        return {**super()._environment(identity), **endpoint, **self._added}
