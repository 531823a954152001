"""Threads that serve requests, and how many requests wait for one.

`ThreadPoolExecutor` gives a future with a lock and a condition for each request, which nobody here
wants, and passes requests around among all of its threads. These threads

- are woken last in, first out: one request at a time is served by one thread, whose memory the
  processor has at hand. In turn among sixteen it took a worker a sixth longer;
- are woken one at a time: who is awake wakes the next one, where there is more to do. Many threads
  that want the one interpreter's lock were measured to cost a fifth of all that a worker does.
"""

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, TypeVarTuple

from strongroom import logs

_log = logs.logger()
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Told = Callable[[Any], object]


class Served:
    """A request that is served, or will be: as much of a future as grpcio asks for."""

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


class RequestThreads:
    """A number of threads, started at once, that end with the process. Safe under threads.

    There is no lock. What several threads use is a deque, a list and a flag, each changed by
    operations that the interpreter does at once, and in an order in which none oversees another.
    """

    def __init__(self, count: int, name: str) -> None:
        """Start them; each is called by the name and its number."""
        self._waiting: deque[tuple[Served, Callable[..., object], tuple[Any, ...]]] = deque()
        self._idle: list[threading.Lock] = []
        """Of each thread that sleeps, the lock that it waits for."""
        self._is_one_waking = False
        for number in range(count):
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return len(self._waiting)

    def submit(self, work: Callable[..., object], /, *arguments: object) -> Served:
        """Have a thread do something."""
        served = Served()
        self._waiting.append((served, work, arguments))
        # Who wakes looks at what waits after it has said that it is awake: it will see this.
        if not self._is_one_waking:
            self._wake()
        return served

    async def run(self, work: Callable[[*Ts], T], /, *arguments: *Ts) -> T:
        """Have a thread do something, and wait for what it returns or raises.

        What nobody waits for any more when its turn comes is not done.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self.submit(_answer, loop, answer, work, arguments)
        try:
            return await answer
        finally:
            # An error knows this frame, which would know the error: a circle, with all it serves.
            del answer, arguments

    def _wake(self) -> None:
        try:
            sleeping = self._idle.pop()
        except IndexError:
            return
        self._is_one_waking = True
        sleeping.release()

    def _serve(self) -> None:
        mine = threading.Lock()
        mine.acquire()
        while True:
            try:
                served, work, arguments = self._waiting.popleft()
            except IndexError:
                self._sleep(mine)
                continue
            if self._waiting and not self._is_one_waking:
                self._wake()
            try:
                work(*arguments)
            except BaseException:  # noqa: BLE001 - a thread outlives what it serves
                _log.exception("request-failed")
            finally:
                served.end()
                # What was served must not live on until the next request.
                del served, work, arguments

    def _sleep(self, mine: threading.Lock) -> None:
        """Sleep until there is something to do."""
        self._idle.append(mine)
        if self._waiting:
            # It came before this thread was among the idle ones, and has woken none.
            with suppress(ValueError):
                self._idle.remove(mine)
                return
            # Somebody has just taken it out, to wake it.
        mine.acquire()
        self._is_one_waking = False


def _answer(
    loop: asyncio.AbstractEventLoop,
    answer: "asyncio.Future[T]",
    work: Callable[..., T],
    arguments: tuple[Any, ...],
) -> None:
    if answer.cancelled():
        return
    told: tuple[Callable[[Any], None], Any]
    try:
        told = answer.set_result, work(*arguments)
    except BaseException as error:  # noqa: BLE001 - who waits for it raises it
        told = answer.set_exception, _raised_in_loop(error)
    # The loop is closed where the process ends.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_tell, answer, *told)
    # As in `run`: what an error was raised from must not know the error.
    del answer, work, arguments, told


def _tell(answer: "asyncio.Future[T]", tell: Callable[[Any], None], what: object) -> None:
    if not answer.cancelled():
        tell(what)


def _raised_in_loop(error: BaseException) -> BaseException:
    """Return what is raised in an event loop for what was raised on a thread."""
    if isinstance(error, concurrent.futures.CancelledError):
        # The thread has waited for the loop, where something was cancelled.
        return asyncio.CancelledError()
    if isinstance(error, StopIteration):
        # No future takes it: who waits would do so for ever.
        return RuntimeError("StopIteration")
    return error
