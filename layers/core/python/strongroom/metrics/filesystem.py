"""The filesystem port with a watch: what the shared directory takes, and what goes to and fro."""

import os
from time import perf_counter

from strongroom.durable import LocalFilesystem
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics


class MeasuredFilesystem(LocalFilesystem):
    """The operating system's own calls; those that move bytes or wait for the disk are counted.

    It extends rather than wraps: a warm read makes five calls, and three of them stay as they are.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Take where to count."""
        self._read_bytes = 0
        metrics.read(catalogue.READ_BYTES, lambda: self._read_bytes)
        self._written_bytes = metrics.counter(catalogue.WRITTEN_BYTES)
        self._fsync_seconds = metrics.histogram(catalogue.FSYNC_SECONDS)
        self._fsync_failures = metrics.counter(catalogue.FSYNC_FAILURES)

    def read(self, descriptor: int, size: int) -> bytes:
        """Read up to `size` bytes."""
        data = os.read(descriptor, size)
        # Without a lock, which would cost a warm read another percent: where two threads count one
        # for two, a rate does not show it.
        self._read_bytes += len(data)
        return data

    def write(self, descriptor: int, data: bytes) -> int:
        """Write."""
        written = os.write(descriptor, data)
        self._written_bytes.add(written)
        return written

    def fsync(self, descriptor: int) -> None:
        """Force to the disk."""
        began_s = perf_counter()
        try:
            super().fsync(descriptor)
        except OSError:
            self._fsync_failures.add()
            raise
        self._fsync_seconds.observe(perf_counter() - began_s)
