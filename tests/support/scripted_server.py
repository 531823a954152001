"""A server that answers what a test has written down, in order; the last answer again and again.

Where the status is 0 it hangs up without an answer. Whoever logs in is let in, where the script
does not say how that is answered.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

SECONDS = 30
LOGIN = "/oauth/token"
Scripted = tuple[int, str, bytes]


def problem(status: int, code: str, detail: str) -> Scripted:
    """Return what is answered that is no success (RFC 9457)."""
    told = {"type": f"urn:strongroom:problem:{code}", "detail": detail}
    return status, "application/problem+json", json.dumps(told).encode()


class _Handler(BaseHTTPRequestHandler):
    answers: list[Scripted]
    asked: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        """Answer whatever is asked."""
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        """Answer whatever is asked."""
        self._answer(b"")

    def _answer(self, asked: bytes) -> None:
        if self.path == LOGIN and b"access_token" not in self.answers[0][2]:
            self._send(200, "application/json", b'{"access_token": "t", "expires_in": 900}')
            return
        self.asked.append((self.path, asked))
        status, kind, body = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if status:
            self._send(status, kind, body)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the base has it
        """Say nothing."""


@contextmanager
def scripted(*answers: Scripted) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Serve; the value is where, and what is asked: paths and bodies."""
    asked: list[tuple[str, bytes]] = []
    handler = type("Handler", (_Handler,), {"answers": list(answers), "asked": asked})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            serving.join(SECONDS)
