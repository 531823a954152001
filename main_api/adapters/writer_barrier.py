"""Waiting until every writer that is under way has ended, the stopped ones too.

A writer holds one byte of one of 256 lock files from before it looks at its lease until after its
commit. Whoever has had each of these files whole for a moment, after the workers' leases allow no
commit under an old key any more, knows that there will be none.
"""

from contextlib import suppress
from typing import Final

from strongroom import durable, filelock
from strongroom.clock import Clock
from strongroom.diskerrors import translated
from strongroom.layout import Layout

_LOCK_FILES: Final = 256


class WriterBarrier:
    """Over the entities' lock files. It remembers how far it has come, until it was passed."""

    def __init__(self, filesystem: durable.Filesystem, layout: Layout, clock: Clock) -> None:
        """Take the directory."""
        self._filesystem = filesystem
        self._directory = layout.locks()
        self._clock = clock
        self._passed = 0

    def restart(self) -> None:
        """Begin anew: only those count that end from now on."""
        self._passed = 0

    def wait(self, wait_s: float) -> bool:
        """Wait for writers; False where one of them goes on for longer than that.

        Raises:
            UnavailableError: The disk refuses.
        """
        until_s = self._clock.boot_s() + wait_s
        try:
            while self._passed < _LOCK_FILES:
                if not self._had(self._passed, until_s):
                    return False
                self._passed += 1
        except OSError as error:
            raise translated(error) from error
        return True

    def _had(self, number: int, until_s: float) -> bool:
        path = self._directory / f"{number:02x}.lock"
        descriptor = filelock.open_file(self._filesystem, path)
        try:
            return filelock.acquire_file(self._filesystem, self._clock, descriptor, until_s)
        finally:
            # Closing gives the lock back.
            with suppress(OSError):
                self._filesystem.close(descriptor)
