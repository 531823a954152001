"""Threads for what reads many entities at once; they end with the engine that they serve."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

from strongroom import limits
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


def _each(work: Callable[[A], B], items: Sequence[A]) -> list[B]:
    return [work(item) for item in items]
