"""Threads for what reads many entities at once; they end with the engine that they serve."""

import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from strongroom import limits, tracing
from strongroom.errors import UnavailableError

A = TypeVar("A")
B = TypeVar("B")


class Pool:
    """A few threads. Safe under threads."""

    def __init__(self, name: str) -> None:
        """Start none yet."""
        self._threads = ThreadPoolExecutor(limits.SCAN_THREADS, thread_name_prefix=name)

    def map(self, work: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """Yield the results in order; raises what `work` raises.

        Raises:
            UnavailableError: The pool was closed meanwhile: the worker has lost its lease.
        """
        # A slice for each thread: to hand over one item takes as long as to read it.
        size = max(1, -(-len(items) // limits.SCAN_THREADS))
        slices = [items[at : at + size] for at in range(0, len(items), size)]
        try:
            futures = [self._threads.submit(_each, work, one) for one in slices]
            for future in futures:
                yield from future.result()
        except (RuntimeError, CancelledError) as error:
            raise UnavailableError("this worker's lease has ended", retry_after_s=1) from error

    def close(self) -> None:
        """Let the threads go; what waits for its turn is given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class ReadingPool(Pool):
    """Threads for reads alone, which are used while reads wait. Safe under threads.

    What is in the kernel's memory is read by whoever asks: threads would only wait for each other,
    and for one interpreter's lock.
    """

    def __init__(self, name: str, *, is_remote: bool) -> None:
        """Start none yet; `is_remote` is whether every read is a round trip."""
        super().__init__(name)
        self._is_remote = is_remote
        self._disk_was_asked = False

    def map(self, work: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """As that of a pool."""
        if self._is_remote:
            yield from super().map(work, items)
        elif self._disk_was_asked:
            found = list(super().map(partial(_watched, work), items))
            self._disk_was_asked = any(asked for _, asked in found)
            yield from (one for one, _ in found)
        else:
            # As on a thread of its own: a page would have as many spans as it has entities.
            with tracing.unspanned():
                results, self._disk_was_asked = _watched(partial(_each, work), items)
            yield from results


def _each(work: Callable[[A], B], items: Sequence[A]) -> list[B]:
    return [work(item) for item in items]


def _watched(work: Callable[[A], B], given: A) -> tuple[B, bool]:
    """Return what `work` returns, and whether the disk itself was asked for it."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_inblock
    done = work(given)
    return done, resource.getrusage(resource.RUSAGE_THREAD).ru_inblock != before
