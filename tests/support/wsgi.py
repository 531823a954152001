"""Requests to the REST face in process: through its WSGI adapter, as granian makes them."""

import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from main_api.rest.application import StrongroomApp
from main_api.rest.wsgi import WsgiAdapter


@dataclass(frozen=True)
class Answer:
    """What the adapter answered; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever the body says
        """Return the body's value."""
        return json.loads(self.body)


class WsgiClient:
    """Sends requests to an application, with the headers given here on each."""

    def __init__(self, app: StrongroomApp, **headers: str) -> None:
        """Wrap the application."""
        self.adapter = WsgiAdapter(app)
        self._headers = headers

    def __call__(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a request; `target` is path and query as they stand in a request line."""
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        environ = an_environ(method, target, body, {**self._headers, **(headers or {})})
        chunks = self.adapter(environ, lambda status, named: begun.append((status, named)))
        ((status, named),) = begun
        names = [name.lower() for name, _ in named]
        assert len(names) == len(set(names)), f"a header is repeated: {names}"
        answer = Answer(int(status.split()[0]), {n.lower(): v for n, v in named}, b"".join(chunks))
        if method != "HEAD":
            assert answer.headers["content-length"] == str(len(answer.body))
        return answer


def an_environ(
    method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return the environ of a request (PEP 3333)."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        environ["CONTENT_TYPE" if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ
