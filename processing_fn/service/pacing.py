"""Background work gives way to clients: while there are any, it takes a fraction of a processor."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from strongroom.clock import Clock

_QUIET_S: Final = 0.1
_SHARE: Final = 0.2
"""Which part of a processor background work takes while clients are served."""


class Pacer:
    """Knows whether clients are being served. Safe under threads."""

    def __init__(
        self,
        clock: Clock,
        sleep: Callable[[float], object] = time.sleep,
        worked_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """Start in a quiet time."""
        self._clock = clock
        self._sleep = sleep
        self._worked_s = worked_s
        self._requests = 0
        self._seen = 0
        self._busy_until_s = 0.0

    def note(self) -> None:
        """Take note of a client's request."""
        # Two threads may count one for two: it is enough that the number changes.
        self._requests += 1

    def is_busy(self) -> bool:
        """Tell whether a client has asked for anything within the last tenth of a second."""
        now_s, requests = self._clock.boot_s(), self._requests
        if requests != self._seen:
            self._seen, self._busy_until_s = requests, now_s + _QUIET_S
        return now_s < self._busy_until_s

    @contextmanager
    def paced(self) -> Iterator[None]:
        """Do a piece of background work; while there are clients, sleep after it for their share.

        What counts is the processor's time of this thread: a wait for the disk holds nobody up.
        """
        began_s = self._worked_s()
        yield
        if self.is_busy():
            self._sleep((self._worked_s() - began_s) * (1 - _SHARE) / _SHARE)
