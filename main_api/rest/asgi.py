"""ASGI in front of the WSGI adapter: bodies are read, and answers sent, without a thread.

A WSGI server lends a thread to a request before its body has come, so that a few clients that send
slowly hold all of them (16 unfinished uploads were seen to stop `/healthz`). Here the event loop
reads the body, within bounds in bytes and in time, and a thread serves what has come whole. The
loop also hands the answer over, piece by piece, as fast as the client takes it: 100 MiB that nobody
read were seen to lie in memory under granian's own interface (RSGI), 5 MiB under this one.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from main_api.rest.wsgi import Answered, Arrived, WsgiAdapter
from main_api.service.requests import patience
from main_api.service.requests.patience import Patience
from main_api.service.requests.room import Room
from strongroom import limits, logs
from strongroom.errors import (
    InvalidArgumentError,
    RateLimitedError,
    StrongroomError,
    TimedOutError,
    TooLargeError,
)
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics
from strongroom.request_threads import RequestThreads

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_PIECE_BYTES: Final = 32 * 1024
_WATCHED_AFTER_S: Final = 0.05
"""Most requests are over by then, and need no task that watches their connection."""
_READING: Final = frozenset({"GET", "POST"})
_SLASH: Final = re.compile(rb"%(2[fF])")
_log = logs.logger()
_REFUSED_BYTES_READ_MAX: Final = 4 * limits.MESSAGE_BYTES_MAX


class _AmbiguousError(InvalidArgumentError):
    """Two readers may read it in two ways; nothing more is read on its connection."""


class AsgiAdapter:
    """Serves a WSGI adapter to granian."""

    def __init__(
        self, adapter: WsgiAdapter, require_client: Callable[[dict[str, str], str], object]
    ) -> None:
        """Take the adapter that makes events of requests.

        Args:
            adapter: Serves a request that has come whole.
            require_client: Raises for headers that prove nothing, or of a client over a limit; the
                address is given, too. Strangers get no room for large bodies.
        """
        self._adapter = adapter
        self._require_client = require_client
        self._pool = RequestThreads(limits.MAIN_THREADS, "rest")
        self._room = Room()
        self._requests = 0

    def give(self, metrics: Metrics) -> None:
        """Let metrics have how many requests there are."""
        metrics.read(catalogue.IN_FLIGHT, lambda: self._requests)
        metrics.read(catalogue.WAITING, lambda: self._pool.waiting)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._requests += 1
        try:
            with ExitStack() as room:
                answered, reads_on = await self._answer(scope, receive, room)
                await _send(send, answered)
        except Exception:
            # granian answers 500; what it logs must not have the error's text.
            _log.exception("request-failed")
            raise
        finally:
            self._requests -= 1
        if reads_on:
            await _discard(receive)

    async def _answer(
        self, scope: Scope, receive: Receive, room: ExitStack
    ) -> tuple[Answered, bool]:
        """Return the answer, and whether the rest of the request is to be read after it.

        `room` gives back what it takes when the answer has been sent.
        """
        headers = _headers(scope)
        try:
            if self._requests > limits.MAIN_CONCURRENT_REQUESTS_MAX:
                raise RateLimitedError("too many requests at once", retry_after_s=1)
            _require_readable(scope)
            body = await self._body(scope, headers, receive, room)
        except StrongroomError as error:
            refusal = self._adapter.refuse(error, headers)
            if isinstance(error, _AmbiguousError):
                refusal.headers.append(("Connection", "close"))
            # A client that is still sending would not see why, with its connection broken.
            return refusal, not isinstance(error, TimedOutError)
        arrived = Arrived(
            method=scope["method"],
            path=_path(scope["raw_path"]),
            query=scope["query_string"].decode("latin-1"),
            peer=scope["client"][0],
            headers=headers,
            body=body,
        )
        answered = await self._served(arrived, receive)
        room.close()
        try:
            room.callback(self._room.take(len(answered.body)))
        except RateLimitedError as error:
            # What was written has to be said; answers to writes are small.
            if scope["method"] in _READING:
                return self._adapter.refuse(error, headers), False
        return answered, False

    async def _served(self, arrived: Arrived, receive: Receive) -> Answered:
        """Serve on a thread; what takes a while is given up when the client goes meanwhile."""
        waiting = Patience()
        watching: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        watch = loop.call_later(
            _WATCHED_AFTER_S, lambda: watching.append(loop.create_task(_watch(receive, waiting)))
        )
        try:
            answered = await self._pool.run(self._serve, arrived, waiting)
        finally:
            watch.cancel()
            for task in watching:
                task.cancel()
        return answered

    def _serve(self, arrived: Arrived, waiting: Patience) -> Answered:
        with patience.serving(waiting):
            return self._adapter.answer(arrived)

    async def _body(
        self, scope: Scope, headers: dict[str, str], receive: Receive, room: ExitStack
    ) -> bytes:
        """Read the body; for one that is large or turns out so, take room first."""
        length = _declared_length(headers)
        if length == 0:
            return b""
        if length is not None and length > limits.SMALL_BYTES_MAX:
            await self._take_room(length, scope, headers, room)
        chunks: list[bytes] = []
        size_bytes = 0
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                async for chunk in _chunks(receive):
                    size_bytes += len(chunk)
                    if length is None and size_bytes > limits.SMALL_BYTES_MAX:
                        length = limits.MESSAGE_BYTES_MAX
                        await self._take_room(length, scope, headers, room)
                    if size_bytes > limits.MESSAGE_BYTES_MAX:
                        raise _too_large()
                    chunks.append(chunk)
        except TimeoutError as error:
            raise TimedOutError(
                f"the body did not come within {limits.BODY_SECONDS:.0f} s"
            ) from error
        return b"".join(chunks)

    async def _take_room(
        self, size_bytes: int, scope: Scope, headers: dict[str, str], room: ExitStack
    ) -> None:
        await self._pool.run(self._require_client, headers, scope["client"][0])
        if size_bytes > limits.MESSAGE_BYTES_MAX:
            raise _too_large()
        room.callback(self._room.take(size_bytes))


def _declared_length(headers: dict[str, str]) -> int | None:
    """Return the length of the body, None where only its end will tell."""
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    # The server has refused what is no number (RFC 9112 section 6.3).
    return int(length) if length.isdecimal() else None


def _too_large() -> TooLargeError:
    return TooLargeError(f"a request has at most {limits.MESSAGE_BYTES_MAX} bytes")


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the body.

    Raises:
        InvalidArgumentError: The connection ended before it did.
    """
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidArgumentError("the body was cut short")
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _discard(receive: Receive) -> None:
    """Read on for a while and keep nothing."""
    left_bytes = _REFUSED_BYTES_READ_MAX
    try:
        async with asyncio.timeout(limits.BODY_SECONDS):
            async for chunk in _chunks(receive):
                left_bytes -= len(chunk)
                if left_bytes < 0:
                    return
    except (TimeoutError, InvalidArgumentError):
        return


async def _watch(receive: Receive, waiting: Patience) -> None:
    """Give a request up when its connection ends."""
    while (await receive())["type"] != "http.disconnect":
        pass
    waiting.give_up()


async def _send(send: Send, answered: Answered) -> None:
    """Hand the answer over, as fast as the client takes it.

    A client that takes nothing for `limits.BODY_SECONDS` is left with a broken connection.
    """
    status, named, data = answered
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in named]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if len(data) <= _PIECE_BYTES:
        # granian takes what is whole at once, whether or not the client reads it.
        await send({"type": "http.response.body", "body": data, "more_body": False})
        return
    last = (len(data) - 1) // _PIECE_BYTES
    for number in range(last + 1):
        piece = data[number * _PIECE_BYTES : (number + 1) * _PIECE_BYTES]
        body = {"type": "http.response.body", "body": piece, "more_body": number < last}
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                await send(body)
        except TimeoutError:
            return


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if "_" in name:
            # In an environ it would be the same as the name with hyphens.
            continue
        # RFC 9110 section 5.2: repeated fields are one list.
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _require_readable(scope: Scope) -> None:
    """Refuse what two readers may read in two ways.

    Raises:
        InvalidArgumentError: The value of a header is not ASCII (RFC 9110 section 5.5).
        _AmbiguousError: There are several hosts (RFC 9112 section 3.2), or a transfer coding that
            nobody takes away (section 6.1). Of a length beside one the server has seen to it.
    """
    if not all(value.isascii() for name, value in scope["headers"] if b"_" not in name):
        raise InvalidArgumentError("the value of a header is not ASCII text")
    names = [name for name, _ in scope["headers"]]
    if names.count(b"host") > 1:
        raise _AmbiguousError("there are several Host headers")
    codings = [value for name, value in scope["headers"] if name == b"transfer-encoding"]
    if codings and [one.strip().lower() for one in codings] != [b"chunked"]:
        raise _AmbiguousError("the only transfer coding here is chunked")


def _path(raw: bytes) -> str:
    """Return a decoded path (PEP 3333), in which a slash that was encoded separates nothing.

    A proxy that lets `/keys/...` through to few must not be passed by `/keys%2F...`.
    """
    return unquote_to_bytes(_SLASH.sub(rb"%25\1", raw)).decode("latin-1")
