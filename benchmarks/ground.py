"""What the figures of one run share: a place for files, a deployment, and how long to measure."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tests.support.deployment import Deployment

_SLICE_S: Final = 0.5
_QUICK_SLICE_S: Final = 0.02
_Kept = TypeVar("_Kept")


@dataclass
class Ground:
    """Where figures are measured; used as a context, which ends what was started.

    Attributes:
        scratch: An empty directory on the disk that is measured.
        is_quick: Whether it is only seen that everything works: the least of everything.
    """

    scratch: Path
    is_quick: bool = False
    _stack: ExitStack = field(default_factory=ExitStack)
    _deployment: Deployment | None = None
    _kept: dict[str, Any] = field(default_factory=dict)
    _turn: ExitStack = field(default_factory=ExitStack)
    _now: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._turn)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def slice_s(self) -> float:
        """How long one side is measured before it is the other's turn."""
        return _QUICK_SLICE_S if self.is_quick else _SLICE_S

    def at_most(self, count: int, quick: int) -> int:
        """Return how many of something to make: `quick` of them where it is only tried."""
        return quick if self.is_quick else count

    def deployment(self) -> Deployment:
        """Return a deployment with one worker, started when it is asked for first."""
        if self._deployment is None:
            place = self.folder("deployment")
            self._deployment = Deployment(place, ("--workers", "1")).start()
            self._stack.callback(self._deployment.stop)
        return self._deployment

    def kept(self, name: str, context: AbstractContextManager[_Kept]) -> _Kept:
        """Return what several figures share: made when first asked for, ended with the run."""
        if name not in self._kept:
            self._kept[name] = self._stack.enter_context(context)
        found: _Kept = self._kept[name]
        return found

    def in_turn(self, name: str, context: AbstractContextManager[_Kept]) -> _Kept:
        """Return what figures in a row share; it ends before the next such thing is made."""
        if name not in self._now:
            self._now.clear()
            self._turn.close()
            self._now[name] = self._turn.enter_context(context)
        found: _Kept = self._now[name]
        return found

    def folder(self, name: str) -> Path:
        """Return an empty folder."""
        place = self.scratch / name
        taken = 1
        while place.exists():
            taken += 1
            place = self.scratch / f"{name}-{taken}"
        place.mkdir(parents=True)
        return place


@contextmanager
def apart(*servers: int) -> Iterator[None]:
    """Keep processes, with all of their threads, on one core and this one on another."""
    cores = sorted(os.sched_getaffinity(0))
    pin(0, {cores[-1]})
    for pid in servers:
        pin(pid, {cores[0]})
    try:
        yield
    finally:
        for pid in (0, *servers):
            pin(pid, set(cores))


def processor_s(pid: int) -> float:
    """Return the seconds that a process, with all of its threads, has had a processor."""
    # The number of the clock, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime((~pid << 3) | 2)


def pin(pid: int, cores: set[int]) -> None:
    """Keep a process, with all of the threads that it has, on some cores; 0 is this one."""
    tasks = Path(f"/proc/{pid or 'self'}/task")
    for task in tasks.iterdir():
        with suppress(ProcessLookupError):  # a thread that has ended meanwhile
            os.sched_setaffinity(int(task.name), cores)
