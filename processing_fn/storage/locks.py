"""One exclusive lock per entity, between threads and between processes.

Between processes it is an open file description lock on one byte of one of 256 lock files: the
file by the first byte of the file-id, the byte by the next ones. So there are no lock files to
sweep, and on EFS (at most 512 locks per file) 256 times that many entities can be locked at once.
A process keeps the lock files open: one call locks, one unlocks. An open file description does
not exclude itself, so a mutex per entity comes first.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from processing_fn.service import deadline
from processing_fn.service.keyed_mutex import KeyedMutex
from strongroom import durable, filelock, limits
from strongroom.clock import Clock
from strongroom.errors import BusyError
from strongroom.layout import Layout
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics


class EntityLocks:
    """The locks of one process over one shared directory."""

    def __init__(
        self,
        filesystem: durable.Filesystem,
        layout: Layout,
        clock: Clock,
        metrics: Metrics | None = None,
    ) -> None:
        """Open nothing yet."""
        waits = (metrics or Metrics()).histograms(catalogue.LOCK_WAIT_SECONDS)
        self._had, self._refused = waits.of("had"), waits.of("refused")
        self._filesystem = filesystem
        self._directory = layout.locks()
        self._clock = clock
        self._threads = KeyedMutex()
        self._opening = threading.Lock()
        self._files: dict[int, int] = {}

    @contextmanager
    def exclusive(
        self, file_id: bytes, wait_s: float = limits.LOCK_WAIT_SECONDS
    ) -> Iterator[float]:
        """Hold an entity's lock; the value is the boot time at which it was had.

        Raises:
            BusyError: Others hold it for longer than that, or too many wait already.
            UnavailableError: Whoever this is done for waits no longer.
            OSError: The filesystem refuses.
        """
        asked_s = self._clock.boot_s()
        had_s = None
        try:
            with self._threads.exclusive(file_id, wait_s, limits.LOCK_WAITERS_MAX):
                descriptor = self._file(file_id[0])
                offset = int.from_bytes(file_id[1:9], "big") >> 2
                self._acquire(descriptor, offset, asked_s + deadline.within(wait_s))
                had_s = self._clock.boot_s()
                self._had.observe(had_s - asked_s)
                try:
                    yield had_s
                finally:
                    self._unlock(file_id[0], descriptor, offset)
        finally:
            if had_s is None:
                self._refused.observe(self._clock.boot_s() - asked_s)

    def close(self) -> None:
        """Close the lock files, and so give back what is held."""
        with self._opening:
            while self._files:
                _, descriptor = self._files.popitem()
                with suppress(OSError):
                    self._filesystem.close(descriptor)

    def _acquire(self, descriptor: int, offset: int, until_s: float) -> None:
        if not filelock.acquire(
            self._filesystem,
            self._clock,
            descriptor,
            offset,
            until_s,
            still_wanted=deadline.require,
        ):
            raise BusyError("the entity is locked by another worker", retry_after_s=1)

    def _unlock(self, number: int, descriptor: int, offset: int) -> None:
        """Give a lock back; where that fails, by closing the file, which gives all of it back."""
        try:
            self._filesystem.unlock(descriptor, offset)
        except OSError:
            with self._opening:
                if self._files.get(number) == descriptor:
                    del self._files[number]
            with suppress(OSError):
                self._filesystem.close(descriptor)

    def _file(self, number: int) -> int:
        descriptor = self._files.get(number)
        if descriptor is None:
            with self._opening:
                descriptor = self._files.get(number)
                if descriptor is None:
                    path = self._directory / f"{number:02x}.lock"
                    descriptor = filelock.open_file(self._filesystem, path)
                    self._files[number] = descriptor
        return descriptor
