"""How many attempts may follow on failed ones: a share of the requests, and a few each second.

When workers are slow for the load that is on them, a second attempt for each request makes the load
twice what it was, and so the slowness last. A death is another matter: a few requests meet it, and
then nobody asks that worker any more.
"""

import threading
from typing import Final

from main_api.domain import buckets
from main_api.domain.buckets import Policy
from strongroom import limits
from strongroom.clock import Clock
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics

_POLICY: Final = Policy("retries", limits.RETRIES_PER_SECOND, limits.RETRIES_AT_ONCE_MAX)
_EARNED_S: Final = limits.RETRIES_PER_REQUEST / limits.RETRIES_PER_SECOND


class RetryBudget:
    """A bucket of attempts. Safe under threads."""

    def __init__(self, clock: Clock, metrics: Metrics | None = None) -> None:
        """Start full."""
        retries = (metrics or Metrics()).counters(catalogue.DISPATCH_RETRIES)
        self._made, self._denied = retries.of("made"), retries.of("denied")
        self._clock = clock
        self._lock = threading.Lock()
        self._full_at_s = buckets.UNUSED

    def earn(self) -> None:
        """Add what a request brings."""
        with self._lock:
            # Below the present a bucket is full, and cannot become fuller.
            self._full_at_s -= _EARNED_S

    def spend(self) -> bool:
        """Take one; tell whether there was one."""
        now_s = self._clock.boot_s()
        with self._lock:
            if not buckets.standing(_POLICY, self._full_at_s, now_s).available:
                self._denied.add()
                return False
            self._full_at_s = buckets.charged(_POLICY, self._full_at_s, now_s, 1)
            self._made.add()
            return True
