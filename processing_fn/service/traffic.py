"""The calls that a worker serves: how many at a time, and whether it takes more of them."""

import threading
from typing import Final

from strongroom import limits
from strongroom.clock import Clock
from strongroom.errors import UnavailableError
from strongroom.occupancy import Occupancy

_LOOK_S: Final = 0.01


class Traffic:
    """Counts calls; each is served within its context. Safe under threads.

    Raises:
        UnavailableError: It is closed: the worker is leaving service. Whoever hears this has an
            answer, and may ask another worker without any doubt.
    """

    def __init__(self, clock: Clock) -> None:
        """Start open, with no calls."""
        self._clock = clock
        self._calls = Occupancy(clock)
        self._is_closed = False
        self._pause = threading.Event()

    def __enter__(self) -> None:
        """Begin a call."""
        # Counted before it is asked: whoever closes sees this call, or this call sees that.
        self._calls.begin()
        if self._is_closed:
            self._calls.end()
            raise UnavailableError("this worker is leaving service", retry_after_s=1)

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._calls.end()

    def load(self) -> float:
        """Return how many calls were under way on the average since this was asked last."""
        return self._calls.mean()

    def under_way(self) -> int:
        """Return how many calls are under way."""
        return self._calls.under_way

    def is_quiet(self) -> bool:
        """Tell whether no call has begun or ended for a while."""
        return self._clock.boot_s() - self._calls.changed_s > limits.TRAFFIC_QUIET_SECONDS

    def close(self) -> None:
        """Take no further call."""
        self._is_closed = True

    def wait_for_the_last(self, patience_s: float) -> bool:
        """Wait until no call is under way; tell whether that came in time."""
        ends_at_s = self._clock.boot_s() + patience_s
        while self._calls.under_way:
            if self._clock.boot_s() >= ends_at_s:
                return False
            self._pause.wait(_LOOK_S)
        return True
