"""granian's own interface (RSGI) in front of the WSGI adapter: bodies are read without a thread.

A WSGI server lends a thread to a request before its body has come, so that a few clients that send
slowly hold all of them (16 unfinished uploads were seen to stop `/healthz`). Here the event loop
reads the body, within a bound in bytes and in time, and a thread serves what has come whole. With
uvloop that was measured at 15,700 requests/s with 16 connections, where WSGI had 13,700.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import unquote_to_bytes

from main_api.rest.wsgi import Environ, WsgiAdapter
from strongroom import limits
from strongroom.errors import (
    InvalidArgumentError,
    StrongroomError,
    TimedOutError,
    UnavailableError,
)

_SMALL_BYTES: Final = 64 * 1024


class Scope(Protocol):
    """What granian tells of a request."""

    method: str
    path: str
    query_string: str
    client: str
    headers: Any


class HttpProtocol(Protocol):
    """The request's body, and the way to answer."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""
        ...


@dataclass
class _Answer:
    status: int = 500
    headers: list[tuple[str, str]] = field(default_factory=list)

    def start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status = int(status.partition(" ")[0])
        self.headers = [(name.lower(), value) for name, value in headers]


class RsgiAdapter:
    """Serves a WSGI adapter to granian."""

    def __init__(self, adapter: WsgiAdapter) -> None:
        """Take the adapter that makes events of requests."""
        self._adapter = adapter
        self._pool = ThreadPoolExecutor(limits.MAIN_THREADS, thread_name_prefix="rest")
        self._large_bodies = asyncio.Semaphore(limits.LARGE_BODIES_MAX)

    async def __rsgi__(self, scope: Scope, protocol: HttpProtocol) -> None:
        """Answer one request."""
        headers = _headers(scope)
        answer = _Answer()
        try:
            _require_readable(scope, headers)
            body = await self._body(headers, protocol)
        except StrongroomError as error:
            data = self._adapter.refuse(error, headers, answer.start)
        else:
            environ = _environ(scope, headers, body)
            loop = asyncio.get_running_loop()
            data = await loop.run_in_executor(self._pool, self._serve, environ, answer)
        protocol.response_bytes(answer.status, answer.headers, data)

    def _serve(self, environ: Environ, answer: _Answer) -> bytes:
        return b"".join(self._adapter(environ, answer.start))

    async def _body(self, headers: dict[str, str], protocol: HttpProtocol) -> bytes:
        length = headers.get("content-length", "0")
        if length == "0" and "transfer-encoding" not in headers:
            return b""
        if length.isdecimal() and 0 < int(length) <= _SMALL_BYTES:
            body = await _read(protocol, limits.BODY_SECONDS)
            if len(body) != int(length):
                raise InvalidArgumentError("the body was cut short")
            return body
        # Large ones, and those of unknown size, are let in a few at a time: they take memory.
        try:
            await asyncio.wait_for(self._large_bodies.acquire(), limits.BODY_SECONDS)
        except TimeoutError as error:
            raise UnavailableError("too many large requests at once", retry_after_s=1) from error
        try:
            body = await _read(protocol, limits.BODY_SECONDS)
        finally:
            self._large_bodies.release()
        if length.isdecimal() and 0 < int(length) != len(body) <= limits.MESSAGE_BYTES_MAX:
            raise InvalidArgumentError("the body was cut short")
        return body


async def _read(protocol: HttpProtocol, timeout_s: float) -> bytes:
    """Read a body, one byte past the bound at most: the application refuses what is larger."""
    chunks: list[bytes] = []
    left = limits.MESSAGE_BYTES_MAX + 1

    async def collect() -> None:
        nonlocal left
        async for chunk in protocol:
            chunks.append(chunk[:left])
            left -= len(chunks[-1])
            if left <= 0:
                return

    try:
        await asyncio.wait_for(collect(), timeout_s)
    except TimeoutError as error:
        raise TimedOutError(f"the body did not come within {timeout_s:.0f} s") from error
    return b"".join(chunks)


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope.headers.items():
        if "_" in name:
            # In an environ it would be the same as the name with hyphens.
            continue
        # RFC 9110 section 5.2: repeated fields are one list.
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _require_readable(scope: Scope, headers: dict[str, str]) -> None:
    """Refuse what granian leaves out: a header whose value is not ASCII.

    Raises:
        InvalidArgumentError: There is one; to pass over a condition or an idempotency key would be
            to do something else than was asked for.
    """
    if any("_" not in name and name not in headers for name in scope.headers.keys()):  # noqa: SIM118
        raise InvalidArgumentError("the value of a header is not ASCII text")


def _environ(scope: Scope, headers: dict[str, str], body: bytes) -> Environ:
    """Return the environ of a request (PEP 3333)."""
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": unquote_to_bytes(scope.path).decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "CONTENT_TYPE": headers.get("content-type", ""),
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in headers.items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ
