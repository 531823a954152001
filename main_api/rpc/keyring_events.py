"""Tells everybody who holds an event stream that the keyring has changed."""

import asyncio
from collections.abc import AsyncIterator

from main_api.service.live_keyring import LiveKeyring
from strongroom import limits, logs
from strongroom.errors import StrongroomError

_log = logs.logger()


class KeyringEvents:
    """Follows the keyring's file, on one event loop."""

    def __init__(self, live: LiveKeyring) -> None:
        """Take the keyring; nothing is read yet."""
        self._live = live
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Look at the file four times a second, until cancelled.

        What cannot be read is logged once, and what is in use stays in use.
        """
        trouble, told = "", self._live.generation
        while True:
            try:
                await asyncio.to_thread(self._live.follow)
                trouble = ""
            except StrongroomError as error:
                if error.detail != trouble:
                    _log.error("keyring-unreadable", code=error.code, reason=error.detail)
                trouble = error.detail
            # This process may have changed it itself.
            if self._live.generation != told:
                told = self._live.generation
                self._changed.set()
                self._changed = asyncio.Event()
            await asyncio.sleep(limits.KEYRING_FOLLOWED_EVERY_SECONDS)

    async def generations(self) -> AsyncIterator[int]:
        """Yield the generation at once, and then the newest one after every change."""
        told = -1
        while True:
            changed = self._changed
            if self._live.generation != told:
                told = self._live.generation
                yield told
            else:
                await changed.wait()
