"""Clients of a running deployment that try what they may not, over both faces."""

import json
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import httpx

from strongroom.rpc import status
from strongroom_pb.v1 import admin_pb2_grpc, auth_pb2, auth_pb2_grpc, entity_pb2_grpc
from tests.support.deployment import Deployment, Metadata

SECONDS = 20.0
Grants = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Refusal:
    """How a call over gRPC was refused."""

    code: grpc.StatusCode
    detail: str
    reason: str
    current_version: int | None = None


class Intruder:
    """A client, with a token, over both faces."""

    def __init__(self, deployment: Deployment, client_id: str, secret: str) -> None:
        """Log in."""
        self.client_id, self.secret = client_id, secret
        self._channel = deployment.channel()
        self.entities = entity_pb2_grpc.EntityServiceStub(self._channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(self._channel)
        asked = auth_pb2.IssueTokenRequest(client_id=client_id, client_secret=secret)
        issued = auth_pb2_grpc.AuthServiceStub(self._channel).IssueToken(asked, timeout=SECONDS)
        self.token = issued.access_token
        self.metadata: Metadata = (("authorization", f"Bearer {self.token}"),)
        self.rest = httpx.Client(
            base_url=deployment.facts["http_url"],
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=SECONDS,
        )

    def call(self, method: Any, request: Any) -> Any:  # noqa: ANN401 - grpcio's stubs have no types
        """Call over gRPC; return the answer or how it was refused."""
        return refused_or_answer(lambda: method(request, metadata=self.metadata, timeout=SECONDS))

    def close(self) -> None:
        """Close both."""
        self._channel.close()
        self.rest.close()


def refused_or_answer(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as above
    """Return what a call over gRPC answers, or how it is refused."""
    try:
        return call()
    except grpc.RpcError as error:
        call_ended: Any = error
        named = status.from_rpc_error(error)
        text = call_ended.details() or ""
        return Refusal(call_ended.code(), text, named.code, named.current_version)


class Intruders:
    """Makes clients for one test, and removes them again."""

    def __init__(self, deployment: Deployment) -> None:
        """Log in as the administrator."""
        self._deployment = deployment
        self._made: list[Intruder] = []
        self.root = Intruder(deployment, *deployment.credentials())

    def __call__(self, *grants: dict[str, Any], client_id: str = "") -> Intruder:
        """Return a client with grants."""
        name = client_id or f"intruder-{secrets.token_hex(6)}"
        made = self.root.rest.put(f"/clients/{name}", json={"grants": list(grants)})
        assert made.status_code == httpx.codes.CREATED, made.text
        intruder = Intruder(self._deployment, name, made.json()["client_secret"])
        self._made.append(intruder)
        return intruder

    def put(self, database: str, documents: dict[str, Any]) -> None:
        """Write entities as the administrator."""
        answer = self.root.rest.put(f"/entity/{database}", json=documents)
        assert answer.is_success, answer.text

    def close(self) -> None:
        """Remove every client that was made."""
        for one in self._made:
            self.root.rest.delete(f"/clients/{one.client_id}")
            one.close()
        self.root.close()


@contextmanager
def intruders(deployment: Deployment) -> Iterator[Intruders]:
    """Return what makes clients."""
    making = Intruders(deployment)
    try:
        yield making
    finally:
        making.close()


def grant(database: str, *actions: str, key_prefix: str = "") -> dict[str, Any]:
    """Return a grant as a request has it."""
    return {"database": database, "actions": list(actions), "key_prefix": key_prefix}


@dataclass(frozen=True)
class RawAnswer:
    """One answer as it came over the wire."""

    status: int
    head: bytes
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever the body says
        """Return the body's value."""
        return json.loads(self.body)


def raw_exchange(deployment: Deployment, request: bytes, *, ends_in_s: float = SECONDS) -> bytes:
    """Send bytes as they are, and return all that comes back until the server closes.

    A server that closes while it is being sent to leaves what had come by then.
    """
    host, port = deployment.facts["http_url"].removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), ends_in_s) as connection:
        try:
            connection.sendall(request)
            while chunk := connection.recv(65_536):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer


def answers_of(raw: bytes) -> list[RawAnswer]:
    """Return the answers in what came over one connection (each with a Content-Length)."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        fields = dict(
            line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line
        )
        length = int(fields.get(b"content-length", b"0"))
        found.append(RawAnswer(int(head.split(b" ", 2)[1]), head, rest[:length]))
        raw = rest[length:]
    return found
