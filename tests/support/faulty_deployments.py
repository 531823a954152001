"""Deployments that fail as they are told to, over HTTP and over gRPC, real down to the sockets.

They know one database, of which every entity is `1` in version 7, and whoever asks is let in. What
is done about each request but those for tokens stands in a script, the last line again and again.
"""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import grpc

from strongroom.errors import (
    PreconditionFailedError,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.identity import Identity
from strongroom.rpc import status
from strongroom_pb.v1 import auth_pb2, common_pb2
from strongroom_pb.v1 import entity_pb2 as pb

VERSION = 7
_END_S = 20.0


class Fault(Enum):
    """What a deployment does about a request."""

    NONE = auto()
    BUSY = auto()
    """503, `Retry-After: 1`."""

    UNAUTHENTICATED = auto()
    PRECONDITION = auto()
    CUT = auto()
    """The connection ends after the request was read."""

    SILENCE = auto()
    """Nothing, until the deployment ends."""

    DRIP = auto()
    """Over HTTP: a header field, a byte now and then, for 0.8 s; then silence."""

    DRIP_BODY = auto()
    ENDLESS = auto()
    """Over HTTP: a body without end."""

    NONSENSE = auto()
    """An answer of somebody else."""


_ERRORS: dict[Fault, tuple[int, StrongroomError]] = {
    Fault.BUSY: (503, UnavailableError("no room", retry_after_s=1)),
    Fault.UNAUTHENTICATED: (401, UnauthenticatedError("not any more")),
    Fault.PRECONDITION: (412, PreconditionFailedError("no", current_version=VERSION)),
}


@dataclass
class Script:
    """What to do, and what was asked for.

    Attributes:
        faults: One for each request.
        asked: Of each request the token and the idempotency key.
        connections: Where requests came from.
        tokens: How many tokens were asked for.
        endless_bytes: How much was taken of a body without end.
        token_s: For how many seconds tokens are good.
        token_takes_s: How long it takes to make one.
    """

    faults: Sequence[Fault]
    asked: list[tuple[str, str]] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)
    tokens: int = 0
    endless_bytes: int = 0
    token_s: int = 600
    token_takes_s: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def token(self) -> str:
        """Make a token."""
        self.ended.wait(self.token_takes_s)
        with self._lock:
            self.tokens += 1
            return f"token-{self.tokens}"

    def next(self, token: str, idempotency_key: str, connection: object) -> Fault:
        """Return what to do about a request."""
        with self._lock:
            self.asked.append((token.removeprefix("Bearer "), idempotency_key))
            self.connections.add(connection)
            return self.faults[min(len(self.asked), len(self.faults)) - 1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def do_GET(self) -> None:
        """Answer an entity."""
        self._entity(b"")

    def do_PUT(self) -> None:
        """Answer that an entity is written."""
        self._entity(self.rfile.read(int(self.headers["Content-Length"])))

    def do_POST(self) -> None:
        """Answer a token."""
        self.rfile.read(int(self.headers["Content-Length"]))
        told = {"access_token": self.script.token(), "expires_in": self.script.token_s}
        self._send(200, "application/json", json.dumps(told).encode())

    def _entity(self, body: bytes) -> None:
        headers = self.headers
        key = headers.get("Idempotency-Key", "")
        fault = self.script.next(headers["Authorization"], key, self.client_address)
        match fault:
            case Fault.NONE if body:
                name = next(iter(json.loads(body)))
                written = {"version": VERSION, "created": False, "created_at": "", "updated_at": ""}
                self._send(200, "application/json", json.dumps({name: written}).encode())
            case Fault.NONE:
                (name,) = parse_qs(urlsplit(self.path).query)["key"]
                line = json.dumps({"key": name, "version": VERSION, "entity": 1}).encode()
                self._send(200, "application/x-ndjson", line + b"\n")
            case Fault.CUT:
                self.close_connection = True
            case Fault.SILENCE:
                self.script.ended.wait(_END_S)
                self.close_connection = True
            case Fault.DRIP:
                self._drip(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            case Fault.DRIP_BODY:
                self._drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            case Fault.ENDLESS:
                self._endless()
            case Fault.NONSENSE:
                self._send(200, "text/html", b"<html>")
            case _:
                self._refuse(fault)

    def _refuse(self, fault: Fault) -> None:
        code, error = _ERRORS[fault]
        problem = {
            "type": f"urn:strongroom:problem:{error.code}",
            "detail": error.detail,
            "current_version": error.current_version,
        }
        self._send(code, "application/problem+json", json.dumps(problem).encode())

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, head: bytes) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.write(head)
            for _ in range(8):
                self.script.ended.wait(0.1)
                self.wfile.write(b"x")
            self.script.ended.wait(_END_S)

    def _endless(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not self.script.ended.is_set():
                self.wfile.write(b"x" * 65_536)
                self.script.endless_bytes += 65_536

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the base has it
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:  # noqa: ANN401 - as the base has it
        """Say nothing of clients that hang up."""


@contextmanager
def over_http(script: Script, identity: Identity | None = None) -> Iterator[str]:
    """Serve over HTTP, with an identity over TLS; the value is where."""
    handler = type("Handler", (_Handler,), {"script": script})
    with _Server(("127.0.0.1", 0), handler) as server:
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity.certificate_file, identity.key_file)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield f"http{'s' if identity else ''}://127.0.0.1:{server.server_port}"
        finally:
            script.ended.set()
            server.shutdown()
            serving.join()


class _Service(grpc.GenericRpcHandler):
    """Answers the methods that the tests call, of bytes."""

    def __init__(self, script: Script, cut: "Relay") -> None:
        """Take what to do."""
        self._script = script
        self._relay = cut

    def service(self, details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401 - as the base has it
        """Return the handler of a method."""
        name = details.method.rpartition("/")[2]
        return grpc.unary_unary_rpc_method_handler(
            self._token if name == "IssueToken" else lambda raw, ctx: self._entity(name, raw, ctx)
        )

    def _token(self, _: bytes, __: grpc.ServicerContext) -> bytes:
        token = self._script.token()
        answer = auth_pb2.IssueTokenResponse(access_token=token, expires_in=self._script.token_s)
        return answer.SerializeToString()

    def _entity(self, name: str, raw: bytes, context: grpc.ServicerContext) -> bytes:
        told = dict(context.invocation_metadata())
        key = pb.PutEntityRequest.FromString(raw).request_id if name == "PutEntity" else ""
        fault = self._script.next(str(told["authorization"]), key, context.peer())
        metadata = common_pb2.EntityMetadata(version=VERSION)
        if fault in _ERRORS:
            status.abort(context, _ERRORS[fault][1])
        match fault:
            case Fault.NONE if name == "PutEntity":
                return pb.PutEntityResponse(key="k", metadata=metadata).SerializeToString()
            case Fault.NONE:
                name = pb.GetEntityRequest.FromString(raw).key
                return pb.Entity(key=name, document=b"1", metadata=metadata).SerializeToString()
            case Fault.NONSENSE:
                return b"<html>"
            case Fault.CUT:
                self._relay.cut()
            case _:
                self._script.ended.wait(_END_S)
        return b""


@contextmanager
def over_grpc(script: Script, identity: Identity) -> Iterator[str]:
    """Serve over gRPC; the value is where."""
    server = grpc.server(ThreadPoolExecutor(16))
    with Relay() as relay:
        server.add_generic_rpc_handlers((_Service(script, relay),))
        credentials = grpc.ssl_server_credentials(
            [(identity.key_file.read_bytes(), identity.certificate_file.read_bytes())]
        )
        relay.port_behind = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield f"grpc://127.0.0.1:{relay.port}"
        finally:
            script.ended.set()
            server.stop(0).wait()


class Relay:
    """Passes bytes on between clients and a server, and cuts all connections when it is told to."""

    port_behind = 0

    def __init__(self) -> None:
        """Listen on a free port."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(_END_S)
        for end in self._ends:
            end.close()

    def cut(self) -> None:
        """End all connections."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port_behind))
            self._ends += [client, server]
            self._start(self._pass_on, client, server)
            self._start(self._pass_on, server, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def _start(self, target: Any, *arguments: object) -> None:  # noqa: ANN401 - a function
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()
