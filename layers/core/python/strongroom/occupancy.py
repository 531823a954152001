"""How many calls are under way at a time: now, and on the average."""

import math
import threading

from strongroom.clock import Clock


class Occupancy:
    """Counts calls that begin and end, weighted by time. Safe under threads.

    Attributes:
        under_way: How many are under way now.
        changed_s: The boot time at which one has begun or ended last; long ago before the first.
    """

    def __init__(self, clock: Clock) -> None:
        """Start with none."""
        self._clock = clock
        self._lock = threading.Lock()
        self._since_s = self._summed_s = clock.boot_s()
        self._sum_s = 0.0
        self.under_way = 0
        self.changed_s = -math.inf

    def begin(self) -> None:
        """Count a call that begins."""
        with self._lock:
            self._sum()
            self.under_way += 1

    def end(self) -> None:
        """Count the end of one."""
        with self._lock:
            self._sum()
            self.under_way -= 1

    def mean(self) -> float:
        """Return how many were under way on the average since this was asked last."""
        with self._lock:
            now_s = self._clock.boot_s()
            self._sum_s += self.under_way * (now_s - self._summed_s)
            span_s, worked_s = now_s - self._since_s, self._sum_s
            self._since_s = self._summed_s = now_s
            self._sum_s = 0.0
            return worked_s / span_s if span_s > 0 else float(self.under_way)

    def _sum(self) -> None:
        now_s = self._clock.boot_s()
        self._sum_s += self.under_way * (now_s - self._summed_s)
        self._summed_s = self.changed_s = now_s
