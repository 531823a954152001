"""The threads that serve requests.

grpcio asks less of a pool than `ThreadPoolExecutor` gives: that some thread runs something, and
that somebody is told when it has. The rest, a future with a lock and a condition for each request,
was measured at an eighth of all that a worker does for a warm read.
"""

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from strongroom import limits, logs

_log = logs.logger()
_Told = Callable[[Any], object]


class Served:
    """A request that is served, or will be."""

    __slots__ = ("_is_done", "_told")

    def __init__(self) -> None:
        """Begin with nobody to tell."""
        self._told: deque[_Told] = deque()
        self._is_done = False

    def add_done_callback(self, told: _Told) -> None:
        """Have somebody told at its end; at once, where that has been."""
        self._told.append(told)
        if self._is_done:
            self.end()

    def end(self) -> None:
        """Tell everybody, each once: who is taken out here is taken out nowhere else."""
        self._is_done = True
        while self._told:
            try:
                told = self._told.pop()
            except IndexError:
                return
            told(self)


class CallThreads:
    """A number of threads, started at once, that end with the process."""

    def __init__(self, count: int = limits.WORKER_THREADS) -> None:
        """Start them."""
        self._queue: SimpleQueue[tuple[Served, Callable[..., object], tuple[object, ...]]]
        self._queue = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._serve, name=f"process-{number}", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return self._queue.qsize()

    def submit(self, work: Callable[..., object], /, *arguments: object) -> Served:
        """Have a thread do something."""
        served = Served()
        self._queue.put((served, work, arguments))
        return served

    def _serve(self) -> None:
        while True:
            served, work, arguments = self._queue.get()
            try:
                work(*arguments)
            except Exception:  # noqa: BLE001 - a thread outlives what it serves
                _log.exception("request-failed")
            finally:
                served.end()
                # What was served must not live on until the next request.
                del served, work, arguments
