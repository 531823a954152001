"""Streams of answers: how many are held, and how one is sent no faster than it is read.

A page is made by a thread of the pool, for as long as that takes; while the client reads, nothing
but a coroutine is held. `write` returns when HTTP/2's flow control has let the page before through,
so of each stream one page is in memory, and one at the most is on its way.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from main_api.service.buckets import QuotaExceededError
from main_api.service.requests import patience
from main_api.service.requests.patience import Patience
from main_api.service.requests.quotas import Quotas
from strongroom import limits
from strongroom.errors import RateLimitedError
from strongroom.request_threads import RequestThreads

Context = Any


class Streams:
    """Counts the streams that are held; used from one event loop, and no other thread."""

    def __init__(self, held_max: int, held_max_each: int) -> None:
        """Start with none; take how many there may be in all, and of each client."""
        self._held_max = held_max
        self._held_max_each = held_max_each
        self._held: Counter[str] = Counter()

    def take(self, whose: str = "") -> Callable[[], None]:
        """Take a stream's place, and return what gives it back.

        Raises:
            RateLimitedError: There are too many.
        """
        if self._held.total() >= self._held_max or self._held[whose] >= self._held_max_each:
            raise RateLimitedError("too many streams at once", retry_after_s=1)
        self._held[whose] += 1
        taken = [whose]

        def give_back() -> None:
            if taken:
                self._held[whose] -= 1
                # Who has none is not remembered.
                self._held += Counter()
                taken.clear()

        return give_back


async def send(
    pages: Iterator[bytes], context: Context, pool: RequestThreads, quotas: Quotas, whose: str
) -> None:
    """Send page after page, no faster than they are read and than the client's quota allows.

    Raises:
        QuotaExceededError: The client would have to wait for longer than it is let wait.
    """
    while (page := await _made(pages, pool)) is not None:
        quotas.charge(whose, len(page))
        try:
            await context.write(page)
        except (grpc.aio.InternalError, grpc.aio.UsageError):
            # The call has ended, which grpcio's core knows before it cancels this coroutine.
            raise asyncio.CancelledError from None
        # Not kept while the next one is waited for.
        del page
        await _paced(quotas, whose)


async def _made(pages: Iterator[bytes], pool: RequestThreads) -> bytes | None:
    """Have the next page made, for as long as its client waits for it."""
    waiting = Patience()

    def make() -> bytes | None:
        with patience.serving(waiting):
            return next(pages, None)

    try:
        return await pool.run(make)
    except asyncio.CancelledError:
        waiting.give_up()
        raise


async def _paced(quotas: Quotas, whose: str) -> None:
    while True:
        try:
            quotas.require(whose)
        except QuotaExceededError as error:
            wait_s = error.retry_after_s or 1
            if wait_s > limits.STREAM_PAUSE_SECONDS_MAX:
                raise
            await asyncio.sleep(wait_s)
        else:
            return
