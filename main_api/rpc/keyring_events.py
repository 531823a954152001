"""Tells everybody who holds an event stream that the keyring has changed, or that it is revoked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.workers.subscriptions import revoked
from strongroom import limits, logs
from strongroom.errors import StrongroomError

_log = logs.logger()


class KeyringEvents:
    """Follows the keyring's file and the revocations, on one event loop.

    Both may be changed by any Main Worker, so the disk is asked: two calls each time, however many
    workers hold a stream.
    """

    def __init__(self, live: LiveKeyring, revoked_workers: Callable[[], frozenset[str]]) -> None:
        """Take the keyring, and what tells who is revoked; nothing is read yet."""
        self._live = live
        self._revoked_workers = revoked_workers
        self._revoked: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Look at both four times a second, until cancelled.

        What cannot be read is logged once, and what is in use stays in use.
        """
        told = self._live.generation
        while True:
            before = self._revoked
            await asyncio.to_thread(self._look)
            # This process may have changed the keyring itself.
            if self._live.generation != told or self._revoked != before:
                told = self._live.generation
                self._changed.set()
                self._changed = asyncio.Event()
            await asyncio.sleep(limits.KEYRING_FOLLOWED_EVERY_SECONDS)

    async def generations(self, worker_id: str) -> AsyncIterator[int]:
        """Yield the generation at once, and then the newest one after every change.

        Raises:
            ForbiddenError: The worker is revoked.
        """
        told = -1
        while True:
            changed = self._changed
            if worker_id in self._revoked:
                raise revoked()
            if self._live.generation != told:
                told = self._live.generation
                yield told
            else:
                await changed.wait()

    async def until_revoked(self, worker_id: str) -> None:
        """Return when a worker is revoked."""
        while worker_id not in self._revoked:
            await self._changed.wait()

    def _look(self) -> None:
        with self._noting("keyring-unreadable"):
            self._live.follow()
        with self._noting("revocations-unreadable"):
            self._revoked = self._revoked_workers()

    @contextmanager
    def _noting(self, event: str) -> Iterator[None]:
        """Log trouble once, for as long as it stays the same."""
        trouble = ""
        try:
            yield
        except StrongroomError as error:
            trouble = error.detail
            if trouble != self._troubles.get(event):
                _log.error(event, code=error.code, reason=error.detail)
        self._troubles[event] = trouble
