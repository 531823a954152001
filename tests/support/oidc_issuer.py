"""An OpenID Connect issuer, a process of its own: `python -m tests.support.oidc_issuer [CERT KEY]`.

It serves its discovery document and its keys on a free port of the loopback, over TLS where it is
given a certificate and a key. A test tells it on standard input what to do, a JSON object a line,
and gets a JSON value a line back; the first line that comes is its `iss`.

    {"do": "add-key", "kid": K, "algorithm": A}            make a key and publish it
    {"do": "drop-key", "kid": K}                           publish it no more
    {"do": "sign", "claims": {}, "header": {}, "kid": K}   -> a token, by that key; without one by
                                                           the newest that is published
    {"do": "answer", "what": "keys" | "discovery", "how": H, ...}    how to answer from now on
    {"do": "asked"}                                  -> how often each was asked, by its path

How: `rightly`; `status` (with `status`); `redirect` (to `to`); `text` (`text`); `hang`, for as long
as it lives; `drip`, a byte at a time, of head or body (`part`); `endless`; `cut`, shorter than it
says; `compressed`; `hang-up`.
"""

import gzip
import json
import ssl
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.support.foreign_issuers import SigningKey, signing_key

_DISCOVERY: Final = "/tenant/.well-known/openid-configuration"
_KEYS: Final = "/tenant/keys"
_PATHS: Final = {"discovery": _DISCOVERY, "keys": _KEYS}
_DRIP_S: Final = 0.2
_RIGHTLY: Final[dict[str, Any]] = {"how": "rightly"}


class Issuer:
    """What is published, what was asked, and how to answer."""

    def __init__(self, origin: str) -> None:
        """Start without a key."""
        self.issuer = f"{origin}/tenant"
        self.keys: dict[str, SigningKey] = {}
        self.published: dict[str, SigningKey] = {}
        self.answers = dict.fromkeys(_PATHS.values(), _RIGHTLY)
        self.asked: Counter[str] = Counter()
        self.never = threading.Event()

    def body(self, path: str) -> bytes:
        """Return what lies at a path."""
        if path == _DISCOVERY:
            jwks_uri = self.issuer.removesuffix("/tenant") + _KEYS
            return json.dumps({"issuer": self.issuer, "jwks_uri": jwks_uri}).encode()
        return json.dumps({"keys": [key.jwk for key in self.published.values()]}).encode()

    def obey(self, order: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        """Do what a test says."""
        match order["do"]:
            case "add-key":
                key = signing_key(order["kid"], order["algorithm"])
                self.keys[key.kid] = self.published[key.kid] = key
            case "drop-key":
                del self.published[order["kid"]]
            case "sign":
                key = self.keys[order.get("kid") or list(self.published)[-1]]
                return key.sign(order["claims"], **order.get("header", {}))
            case "answer":
                self.answers[_PATHS[order["what"]]] = order
            case "asked":
                return dict(self.asked)
        return None


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        """Answer as a test has said."""
        self.issuer.asked[self.path] += 1
        order = self.issuer.answers.get(self.path, {"how": "status", "status": 404})
        body = self.issuer.body(self.path)
        match order["how"]:
            case "hang":
                self.issuer.never.wait()
            case "hang-up":
                self.close_connection = True
            case "drip":
                self._drip(b"HTTP/1.1 200 OK\r\nX: ", body, order["part"])
            case "endless":
                self._endless()
            case how:
                self._at_once(how, order, body)

    def _at_once(self, how: str, order: dict[str, Any], body: bytes) -> None:
        match how:
            case "rightly":
                self._send(200, body)
            case "status":
                self._send(order["status"], body)
            case "redirect":
                self._send(302, b"", Location=order["to"])
            case "text":
                self._send(200, order["text"].encode())
            case "compressed":
                self._send(200, gzip.compress(body), **{"Content-Encoding": "gzip"})
            case "cut":
                self._send(200, body[:-10], **{"Content-Length": str(len(body))})

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, head: bytes, body: bytes, part: str) -> None:
        if part == "head":
            body = b""
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            head = b""
        for number in [*head, *body, *b"x" * 10_000]:
            self.wfile.write(bytes([number]))
            self.wfile.flush()
            self.issuer.never.wait(_DRIP_S)

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b'{"keys": [' + b" " * 65_536)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the base has it
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:  # noqa: ANN401 - as the base has it
        """Say nothing of who has hung up."""


def main() -> None:
    """Serve until standard input ends."""
    certificate = sys.argv[1:]
    server = _Server(("127.0.0.1", 0), _Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if certificate else "http"
    issuer = _Handler.issuer = Issuer(f"{scheme}://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps(issuer.issuer) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(issuer.obey(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
