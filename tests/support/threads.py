"""Threads that begin together, and whose results are waited for; and none at all."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
WAIT_S = 60
_MORE_THAN_THERE_IS = 1 << 46


@contextmanager
def none_to_be_had() -> Iterator[None]:
    """Let the kernel refuse each new thread, as it does past a bound on processes or memory."""
    before = threading.stack_size(_MORE_THAN_THERE_IS)
    try:
        yield
    finally:
        threading.stack_size(before)


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make all calls at once, a thread for each, and return their results in order.

    Raises:
        BaseException: The first one that a call raised.
    """
    together = threading.Barrier(len(calls))
    results: dict[int, T] = {}
    failures: list[BaseException] = []

    def run(number: int, call: Callable[[], T]) -> None:
        try:
            together.wait(WAIT_S)
            results[number] = call()
        except BaseException as failure:  # noqa: BLE001 - it is raised again by who waits
            failures.append(failure)

    threads = [threading.Thread(target=run, args=entry) for entry in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(calls))]
