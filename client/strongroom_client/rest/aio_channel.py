"""HTTP on an event loop."""

import asyncio
import ssl
from collections.abc import AsyncIterable

import anyio
import httpcore

from strongroom_client.address import Address
from strongroom_client.core.steps import Broken
from strongroom_client.rest.channel import (
    ANSWER_BYTES_MAX,
    BROKEN,
    CONNECTIONS_MAX,
    IDLE_S,
    broken,
    content_of,
    fields,
    headers_of,
    timeouts,
    too_large,
    url_of,
)
from strongroom_client.rest.messages import HttpRequest, HttpResponse


class AsyncHttpChannel:
    """Carries requests to one address, over connections that it keeps; for one event loop.

    Where a task is cancelled while httpcore tidies up behind a response, the connection counts as
    in use for ever, and the client is of no use after a hundred of those: httpcore's shields are
    anyio's, which `Task.cancel` knows nothing of. So each exchange is a task of its own that nobody
    cancels; it ends with its scope, which heeds the shields.
    """

    def __init__(self, address: Address, context: ssl.SSLContext) -> None:
        """Take where to, and whom to trust over https. Nothing is connected yet."""
        self._address = address
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context, max_connections=CONNECTIONS_MAX, keepalive_expiry=IDLE_S
        )
        self._under_way: set[asyncio.Task[HttpResponse | Broken]] = set()

    async def exchange(self, request: HttpRequest, timeout_s: float) -> HttpResponse | Broken:
        """Send a request and return its response; raises as `HttpChannel.exchange`."""
        scope = anyio.CancelScope()
        exchanging = asyncio.create_task(self._exchange(request, timeout_s, scope))
        self._under_way.add(exchanging)
        exchanging.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(exchanging)
        except asyncio.CancelledError:
            scope.cancel()
            raise

    async def _exchange(
        self, request: HttpRequest, timeout_s: float, scope: anyio.CancelScope
    ) -> HttpResponse | Broken:
        scope.deadline = anyio.current_time() + timeout_s
        try:
            with scope:
                async with self._pool.stream(
                    request.method,
                    url_of(self._address, request),
                    headers=headers_of(request),
                    content=content_of(request),
                    extensions={"timeout": timeouts(timeout_s)},
                ) as response:
                    body = await _bounded(response.aiter_stream())
                    return HttpResponse(response.status, fields(response), body)
        except BROKEN as error:
            return broken(self._address, error)
        return broken(self._address, httpcore.ReadTimeout())

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


async def _bounded(chunks: AsyncIterable[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise too_large()
    return bytes(body)
