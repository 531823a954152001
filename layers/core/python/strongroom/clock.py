"""Time: the one module that asks the operating system for it.

Wall time is for people and for expiry (design.md section 3, "Expiry"). Whatever measures a span,
a lease or a lock, uses CLOCK_BOOTTIME, which goes on while the machine sleeps and never steps.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Protocol


class Clock(Protocol):
    """What the system wants to know about time."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""
        ...

    def boot_s(self) -> float:
        """Seconds since the machine started, time asleep included."""
        ...


_clock_gettime: Final = time.clock_gettime
_BOOTTIME: Final = time.CLOCK_BOOTTIME


class SystemClock:
    """The machine's own clock."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1_000_000

    def boot_s(self) -> float:
        """Seconds since the machine started, time asleep included."""
        return _clock_gettime(_BOOTTIME)


def rfc3339(wall_ms: int) -> str:
    """Return an instant as RFC 3339 text in UTC with milliseconds, 24 characters wide."""
    return f"{_to_the_second(wall_ms // 1000)}.{wall_ms % 1000:03d}Z"


@lru_cache(64)
def _to_the_second(wall_s: int) -> str:
    """Return all but the milliseconds; most instants that are told are of the last seconds."""
    return f"{datetime.fromtimestamp(wall_s, UTC):%Y-%m-%dT%H:%M:%S}"


def from_rfc3339(text: str) -> int:
    """Return milliseconds since 1970 for the text that `rfc3339` makes.

    Raises:
        ValueError: It is not such a text.
    """
    return round(datetime.fromisoformat(text).timestamp() * 1000)
