"""Both faces of a Main Worker, asked for the same and heard in the same words."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from main_api.rest import routes
from strongroom.rpc import status
from tests.support.mains import Built, MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain
from tests.support.wsgi import Answer, WsgiClient

Given = Mapping[str, Any]
_ID = re.compile(r"\b[0-9a-f]{16,}\b")
_SECRET = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")


@dataclass(frozen=True)
class Refused:
    """What a face refuses, and how it says so.

    Attributes:
        reason: The stable code: `type` of a problem, `reason` of an ErrorInfo.
        outer: Its HTTP status, or gRPC code; this is what differs.
    """

    reason: str
    detail: str
    outer: object = field(compare=False)
    violations: tuple[tuple[str, str, str], ...] = ()
    current_version: int | None = None
    entity_key: str | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True)
class Answered:
    """What a face answers."""

    value: Any


Outcome = Refused | Answered


@dataclass(frozen=True)
class HttpRequest:
    """What of a request over REST is not its path."""

    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """An operation, and how each face is asked for it.

    Attributes:
        rest: Method and path, as the route has them.
        rpc: Service and method, as the proto file has them.
        given: What is asked for, in words that both faces take.
        http: Makes a request of it.
        message: Makes a message of it.
        heard: Says an answer over REST in words that both faces have.
        read: Says a message in them.
        prepare: Puts things where they are asked for; what it returns is given too.
        variants: Further values to ask for, beside those that any operation is asked for.
    """

    rest: str
    rpc: str
    given: Given
    http: Callable[[Given], HttpRequest]
    message: Callable[[Given], Message]
    heard: Callable[[Answer], Any]
    read: Callable[[Any], Any]
    prepare: Callable[[MainRig], Given] = lambda _: {}
    variants: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return what names it in a report."""
        return f"{self.rest} = {self.rpc}"


class RestFace:
    """The REST face."""

    def __init__(self, rig: MainRig) -> None:
        """Serve it."""
        self._client = WsgiClient(routes.build(Built(rig.main())))

    def ask(self, operation: Operation, given: Given, authorization: str | None) -> Outcome:
        """Ask for an operation."""
        request = operation.http(given)
        method, _, path = operation.rest.partition(" ")
        quoted = {name: quote(str(value), safe="") for name, value in given.items()}
        target = path.format_map(quoted) + "?" + urlencode(request.query, doseq=True)
        headers = dict(request.headers)
        if authorization is not None:
            headers.setdefault("Authorization", authorization)
        body = request.body if isinstance(request.body, bytes) else json.dumps(request.body)
        sent = b"" if request.body is None else body if isinstance(body, bytes) else body.encode()
        answer = self._client(method, target, sent, headers)
        if answer.headers.get("content-type") == "application/problem+json":
            return _problem(answer)
        return Answered(_told(operation.heard(answer)))

    def close(self) -> None:
        """Nothing is held."""


class RpcFace:
    """The gRPC face."""

    def __init__(self, rig: MainRig, pki: Pki) -> None:
        """Serve it."""
        self._served = ServedMain(rig.main(), pki)
        self._channel = pki.client_channel(self._served.clients)

    def ask(self, operation: Operation, given: Given, authorization: str | None) -> Outcome:
        """Ask for an operation."""
        service, _, name = operation.rpc.partition(".")
        request = operation.message(given)
        file: Any = request.DESCRIPTOR.file
        method: MethodDescriptor = file.services_by_name[service].methods_by_name[name]
        answer = message_factory.GetMessageClass(method.output_type)
        call: Any = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        metadata = () if authorization is None else (("authorization", authorization),)
        try:
            found = call(request, metadata=metadata, timeout=SECONDS)
        except grpc.RpcError as error:
            return _status(error)
        return Answered(_told(operation.read(found)))

    def close(self) -> None:
        """Stop serving."""
        self._channel.close()
        self._served.stop()


def _problem(answer: Answer) -> Refused:
    problem = answer.json()
    retry = answer.headers.get("retry-after")
    refused = Refused(
        reason=problem["type"].rpartition(":")[2],
        detail=problem["detail"],
        outer=answer.status,
        violations=tuple(
            (one["pointer"], one["keyword"], one["detail"]) for one in problem.get("errors", ())
        ),
        current_version=problem.get("current_version"),
        entity_key=problem.get("key"),
        retry_after_s=None if retry is None else int(retry),
    )
    return replace(refused, detail=_told(refused.detail))


def _status(error: Any) -> Refused:  # noqa: ANN401 - a call and an error at once
    named = status.from_rpc_error(error)
    assert error.details() == named.detail
    return Refused(
        reason=named.code,
        detail=_told(named.detail),
        outer=error.code(),
        violations=tuple((v.pointer, v.keyword, v.detail) for v in named.violations),
        current_version=named.current_version,
        entity_key=named.entity_key,
        retry_after_s=named.retry_after_s,
    )


def _told(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """Return what is said, with what is random in it left out."""
    if isinstance(value, dict):
        return {_told(name): _told(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_told(member) for member in value]
    if isinstance(value, str):
        return _SECRET.sub("<secret>", _ID.sub("<id>", value))
    return value
