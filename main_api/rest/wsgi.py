"""WSGI (PEP 3333) in front of the Chalice app: a request becomes an API Gateway proxy event (v1).

So the handlers that run here are the ones that Lambda runs. The body travels in base64, as API
Gateway sends it for binary media types `*/*`; in text mode it would mangle what is not UTF-8.
"""

import base64
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl

from main_api.rest.incoming import Event
from strongroom import limits
from strongroom.errors import InvalidArgumentError, StrongroomError

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
_READ_BYTES: Final = 256 * 1024
_PARAMETERS_MAX: Final = 1_000
_BROKEN_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")


class Arrived(NamedTuple):
    """A request that has come whole.

    Attributes:
        method: The HTTP method.
        path: Decoded, each byte as one character (PEP 3333).
        query: As it stands in the request line.
        peer: The address that it comes from.
        headers: The header fields, by names in lower case.
        body: What it carries.
    """

    method: str
    path: str
    query: str
    peer: str
    headers: dict[str, str]
    body: bytes


class Answered(NamedTuple):
    """What is answered to it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Application(Protocol):
    """What serves events."""

    @property
    def routes(self) -> dict[str, Any]:
        """What there is of each path."""
        ...

    def __call__(self, event: Event, context: Any) -> dict[str, Any]:  # noqa: ANN401 - Chalice's
        """Serve an event."""
        ...

    def refuse(self, error: StrongroomError, headers: dict[str, str]) -> dict[str, Any]:
        """Answer a request that never became one."""
        ...


class WsgiAdapter:
    """Serves an application object to a WSGI server."""

    def __init__(self, app: Application) -> None:
        """Compile the paths of the application's routes."""
        self._app = app
        self._patterns: dict[str, list[tuple[re.Pattern[str], str]]] = {}
        # What stands there as it is goes before what a parameter matches, as in API Gateway.
        for path in sorted(app.routes, key=lambda path: path.count("{")):
            parts = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
            self._patterns.setdefault(_first_of(path), []).append((re.compile(parts), path))

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request of a WSGI server."""
        answered = self.answer(_arrived(environ))
        status = HTTPStatus(answered.status)
        start_response(f"{status.value} {status.phrase}", answered.headers)
        return [answered.body]

    def answer(self, arrived: Arrived) -> Answered:
        """Answer one request."""
        try:
            event = self._event(arrived)
        except InvalidArgumentError as error:
            return self.refuse(error, arrived.headers)
        return _answered(self._app(event, None))

    def refuse(self, error: StrongroomError, headers: dict[str, str]) -> Answered:
        """Answer a request that never became an event."""
        return _answered(self._app.refuse(error, headers))

    def _event(self, arrived: Arrived) -> Event:
        path = arrived.path.encode("latin-1").decode("utf-8", "replace")
        resource, parameters = self._match(path)
        method = arrived.method
        query = _query(arrived.query)
        return {
            "resource": resource,
            "path": path,
            "httpMethod": method,
            "headers": arrived.headers,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": parameters,
            "stageVariables": None,
            "requestContext": {
                "resourcePath": resource,
                "httpMethod": method,
                "path": path,
                "identity": {"sourceIp": arrived.peer},
            },
            "body": base64.b64encode(arrived.body).decode(),
            "isBase64Encoded": True,
        }

    def _match(self, path: str) -> tuple[str, dict[str, str]]:
        for pattern, resource in self._patterns.get(_first_of(path), ()):
            match = pattern.fullmatch(path)
            if match is not None:
                return resource, match.groupdict()
        return path, {}


def _first_of(path: str) -> str:
    """Return the first segment of a path, in which no route has a parameter."""
    return path[1:].partition("/")[0]


def _answered(answer: dict[str, Any]) -> Answered:
    body = answer.get("body") or ""
    data = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    fields = answer.get("headers") or {}
    headers = [(name, str(value)) for name, value in fields.items()]
    if "Content-Length" not in fields:
        # It is there already where the content is left out.
        headers.append(("Content-Length", str(len(data))))
    return Answered(answer["statusCode"], headers, data)


def _arrived(environ: Environ) -> Arrived:
    return Arrived(
        method=environ["REQUEST_METHOD"],
        path=environ.get("PATH_INFO", "/"),
        query=environ.get("QUERY_STRING", ""),
        peer=environ.get("REMOTE_ADDR", ""),
        headers=_headers(environ),
        body=_body(environ),
    )


def _headers(environ: Environ) -> dict[str, str]:
    headers = {
        name[len("HTTP_") :].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    return headers


def _query(text: str) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    try:
        if _BROKEN_PERCENT.search(text):
            raise ValueError(text)
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS_MAX
        )
    except ValueError as error:
        raise InvalidArgumentError(
            f"the query is at most {_PARAMETERS_MAX} parameters of UTF-8, percent-encoded"
        ) from error
    for name, value in pairs:
        query.setdefault(name, []).append(value)
    return query


def _body(environ: Environ) -> bytes:
    """Read the body, one byte past the bound at most: the application refuses what is larger."""
    stream, left = environ["wsgi.input"], limits.MESSAGE_BYTES_MAX + 1
    chunks = []
    while left > 0 and (chunk := stream.read(min(left, _READ_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
