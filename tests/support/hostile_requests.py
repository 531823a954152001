"""Hostile HTTP requests, made from an OpenAPI document: every operation, every trick.

What is made here is bytes, because no library would send most of it.
"""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

BOMB: Final = gzip.compress(bytes(20 * 1024 * 1024))
TAKES_BODY: Final = {"put", "post", "patch"}
_LONG: Final = "x" * 8_000
WRONG_TYPES: Final = (
    *("text/plain", "application/xml", "multipart/form-data; boundary=x", "", ",", "*/*"),
    *(
        "application/json; charset=utf-16",
        "application/json, text/plain",
        "APPLICATION/JSONx",
        _LONG,
    ),
)


@dataclass(frozen=True)
class Hostile:
    """One request; `trick` says what is wrong with it."""

    trick: str
    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    more_headers: tuple[str, ...] = ()
    body: bytes = b""
    length: str | None = None

    def raw(self, token: str) -> bytes:
        """Return the bytes of the request, as whoever has that token sends it."""
        length = str(len(self.body)) if self.length is None else self.length
        named = {"Host": "strongroom", "Authorization": f"Bearer {token}", "Connection": "close"}
        named |= {"Content-Length": length} if length else {}
        named |= self.headers
        lines = [f"{name}: {value}" for name, value in named.items() if value is not None]
        target = self.path + (f"?{self.query}" if self.query else "")
        head = "\r\n".join([f"{self.method} {target} HTTP/1.1", *lines, *self.more_headers])
        return head.encode("latin-1") + b"\r\n\r\n" + self.body

    def __str__(self) -> str:
        """Say which it is."""
        return f"{self.trick}: {self.method} {self.path[:60]}"


def corpus(document: dict[str, Any]) -> Iterator[Hostile]:
    """Yield the requests."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            plain = Hostile("", method.upper(), _filled(path, operation))
            yield from _queries(plain, operation)
            yield from _paths(plain, path, operation)
            yield from _headers(plain)
            if method in TAKES_BODY:
                yield from _bodies(plain, operation)


def _filled(path: str, operation: dict[str, Any]) -> str:
    given = {one["name"]: one.get("example", "x") for one in operation.get("parameters", ())}
    return re.sub(r"\{(\w+)\}", lambda found: str(given[found[1]]), path)


def _queries(plain: Hostile, operation: dict[str, Any]) -> Iterator[Hostile]:
    queries = {
        "an unknown parameter": "surely-not=1",
        "a parameter without a name": "=1",
        "a broken percent encoding": "a=%zz",
        "a query that is not UTF-8": "%ff=%fe",
        "a thousand and one parameters": "&".join(f"p{n}=1" for n in range(1_001)),
        "a long parameter": f"a={_LONG}",
    }
    for one in operation.get("parameters", ()):
        if one["in"] != "query":
            continue
        name = one["name"]
        queries |= {
            f"{name} twice": f"{name}=1&{name}=2",
            f"{name} in capitals": f"{name.upper()}=1",
            f"{name} as a list": f"{name}[]=1",
            f"{name} negative": f"{name}=-1",
            f"{name} huge": f"{name}={'9' * 400}",
            f"{name} with a NUL": f"{name}=%00",
            f"{name} of another script": f"{name}=%D9%A1",
            f"{name} that is nothing": f"{name}=nothing%20of%20ours",
        }
    for trick, query in queries.items():
        yield replace(plain, trick=trick, query=query)


def _paths(plain: Hostile, path: str, operation: dict[str, Any]) -> Iterator[Hostile]:
    odd = ("..", "%2e%2e", "a%2fb", "%00", "%ff", "%c0%ae", "%E2%80%AE", "a;b", "a" * 65, "%252e")
    for name in re.findall(r"\{(\w+)\}", path):
        for segment in odd:
            filled = _filled(path.replace("{" + name + "}", segment), operation)
            yield replace(plain, trick=f"{name} {segment[:8]}", path=filled)
    yield replace(plain, trick="an encoded slash", path="/" + plain.path[1:].replace("/", "%2F"))
    yield replace(plain, trick="a double slash", path="/" + plain.path)
    yield replace(plain, trick="a slash behind", path=plain.path + "/")


def _headers(plain: Hostile) -> Iterator[Hostile]:
    values = {
        "Accept": ["text/html", ";;;", f"{_LONG}", "*/*;q=nonsense", ","],
        "Accept-Encoding": ["*;q=0", "gzip;q=9", f"{_LONG}"],
        "If-Match": ["3", '"3', "W/", '"3"' * 200],
        "If-None-Match": ["nonsense", '""' * 200],
        "Idempotency-Key": ["k" * 129, "\t"],
        "X-Request-ID": ["a b", "<script>", _LONG],
        "traceparent": ["00-0-0-0", _LONG],
        "Authorization": ["", "Bearer", "Bearer a.b.c", f"Bearer {_LONG}", "Negotiate x"],
        "X-Forwarded-For": ["1.2.3.4" * 500, "nonsense"],
        "Origin": ["null", _LONG],
        "Content-Range": ["bytes 0-1/2"],
        "X-HTTP-Method-Override": ["DELETE"],
        "Expect": ["100-continue", "the-impossible"],
        "Upgrade": ["websocket", "h2c"],
    }
    for name, all_values in values.items():
        for value in all_values:
            # A condition, or a method override, must not let anything else through.
            yield replace(
                plain, trick=f"{name}: {value[:20]}", query="surely-not=1", headers={name: value}
            )
    many = tuple(f"X-Many-{n}: {n}" for n in range(90))
    yield replace(plain, trick="many headers", query="surely-not=1", more_headers=many)


def _bodies(plain: Hostile, operation: dict[str, Any]) -> Iterator[Hostile]:
    types = [*operation.get("requestBody", {}).get("content", {"application/json": None})]
    own = types[0]
    for given in WRONG_TYPES:
        yield replace(
            plain, trick=f"of type {given}", headers={"Content-Type": given}, body=b"<a/>"
        )
    shapes = {
        "nothing": b"",
        "null": b"null",
        "a list": b"[]",
        "a string": b'"x"',
        "cut short": b'{"a": ',
        "deep": b"[" * 20_000,
        "repeated": b'{"a": 1, "a": 2}',
        "not UTF-8": b'{"a": "\xff"}',
        "a surrogate": b'{"a": "\\ud800"}',
        "huge numbers": b'{"a": ' + b"9" * 2_000 + b"}",
        "unknown members": json.dumps({"surely-not": 1, "nor": {"this": []}}).encode(),
        "control characters": b'{"\\u0000": 1}',
    }
    named = {"Content-Type": own}
    for trick, body in shapes.items():
        yield replace(plain, trick=trick, query="surely-not=1", headers=named, body=body)
        if operation.get("requestBody", {}).get("required"):
            yield replace(plain, trick=trick, headers=named, body=body)
    coded = {"br": b"x", "gzip": b"x", "gzip, gzip": b"x", "nonsense": b"x"}
    for coding, body in coded.items():
        headers = named | {"Content-Encoding": coding}
        yield replace(plain, trick=f"in {coding}", headers=headers, body=body)
    headers = named | {"Content-Encoding": "gzip"}
    yield replace(plain, trick="a bomb", headers=headers, body=BOMB)


def malformed() -> dict[str, bytes]:
    """Return what is no HTTP/1.1 at all; the server itself refuses it, or just closes."""
    line, host = b"GET /healthz HTTP/1.1\r\n", b"Host: a\r\n"
    put = b"PUT /entity/chatdb HTTP/1.1\r\n" + host
    return {
        "garbage": b"GARBAGE\r\n\r\n",
        "another version": b"GET /healthz HTTP/9.9\r\n\r\n",
        "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        "zeros": bytes(1_000),
        "10,000 headers": line + host + b"X: y\r\n" * 10_000 + b"\r\n",
        "one header of 1 MiB": line + host + b"X: " + b"y" * 1_048_576 + b"\r\n\r\n",
        "a target of 200 KB": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        "a negative length": put + b"Content-Length: -1\r\n\r\n",
        "a length that is no number": put + b"Content-Length: x\r\n\r\n{}",
        "two lengths": put + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        "a length and chunks": put
        + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunks of no length": put + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "a chunk of 2**64": put + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n{}",
        "another transfer coding": put + b"Transfer-Encoding: gzip\r\n\r\n{}",
        "a space before the colon": line + b"Host : a\r\n\r\n",
        "a folded header": line + host + b"X: a\r\n b\r\n\r\n",
        "a NUL in a header": line + host + b"X: a\x00b\r\n\r\n",
        "a bare carriage return": b"GET /healthz HTTP/1.1\rHost: a\r\r",
        "another host's target": b"GET http://evil.example/healthz HTTP/1.1\r\n" + host + b"\r\n",
        "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\n" + host + b"\r\n",
        "a method of 8 KB": b"A" * 8_192 + b" /healthz HTTP/1.1\r\n" + host + b"\r\n",
    }
