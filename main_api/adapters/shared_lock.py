"""Locks that all Main Workers of one shared directory share."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strongroom import durable, filelock, limits
from strongroom.clock import Clock
from strongroom.errors import BusyError, UnavailableError


class SharedLock:
    """One lock, between threads and between processes."""

    def __init__(self, filesystem: durable.Filesystem, path: Path, clock: Clock) -> None:
        """Take the lock file; nothing is opened yet."""
        self._filesystem = filesystem
        self._path = path
        self._clock = clock

    @contextmanager
    def exclusive(self, wait_s: float = limits.LOCK_WAIT_SECONDS) -> Iterator[None]:
        """Hold it; it is not reentrant.

        Every holder opens the file anew, so that two threads exclude each other too.

        Raises:
            BusyError: Others hold it for longer than that.
            UnavailableError: The disk refuses.
        """
        until_s = self._clock.boot_s() + wait_s
        try:
            descriptor = filelock.open_file(self._filesystem, self._path)
        except OSError as error:
            raise _refused() from error
        try:
            self._wait(descriptor, until_s)
            yield
        finally:
            # Closing gives the lock back.
            with suppress(OSError):
                self._filesystem.close(descriptor)

    def _wait(self, descriptor: int, until_s: float) -> None:
        try:
            had = filelock.acquire(self._filesystem, self._clock, descriptor, 0, until_s)
        except OSError as error:
            raise _refused() from error
        if not had:
            raise BusyError("another Main Worker is at the same work", retry_after_s=1)


def _refused() -> UnavailableError:
    return UnavailableError("the storage does not answer", retry_after_s=1)
