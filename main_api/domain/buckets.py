"""Token buckets as arithmetic: a policy, one number of state, and what follows of both.

A bucket holds at most `burst` units and gains `per_second` of them each second. Its state is the
instant at which it will be full again (the "theoretical arrival time" of ITU-T I.371's GCRA), in
seconds of a clock that only goes forward. So a bucket that was never used, one that is full again
and one that was forgotten are the same: any instant that has passed.

A bucket may be charged more than it holds. It is then in debt, and lets nothing pass until that is
paid: what a request costs in bytes shows only when it has been answered.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

UNUSED: Final = -math.inf
"""The state of a bucket that was never used."""

# Sums of floating point numbers must not make a client wait for the last millionth of a request.
_ROUNDING_UNITS: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Policy:
    """What a bucket allows.

    Attributes:
        name: Told to clients, in letters and hyphens.
        per_second: Units gained per second, more than 0.
        burst: Units that a full bucket holds, at least 1.
        unit: A quota unit of draft-ietf-httpapi-ratelimit-headers-11 section 3.1.2.
    """

    name: str
    per_second: float
    burst: int
    unit: str = "requests"

    @property
    def window_s(self) -> int:
        """Seconds in which an empty bucket fills, rounded up."""
        return max(1, math.ceil(self.burst / self.per_second))


class Standing(NamedTuple):
    """How a bucket stands at an instant.

    Attributes:
        policy: Its policy.
        available: Whole units that pass at once.
        wait_s: Seconds until one unit passes; 0 where one does now.
    """

    policy: Policy
    available: int
    wait_s: float

    @property
    def effective_window_s(self) -> int:
        """The parameter `t` of draft-ietf-httpapi-ratelimit-headers-11 section 4.1.2.

        Whoever spreads what is available over it keeps to the policy; where nothing is, one unit
        passes when it is over.
        """
        if self.available:
            return max(1, math.ceil(self.available / self.policy.per_second))
        return max(1, math.ceil(self.wait_s))


def standing(policy: Policy, full_at_s: float, now_s: float) -> Standing:
    """Return how a bucket stands."""
    level = policy.burst - max(0.0, full_at_s - now_s) * policy.per_second
    available = max(0, math.floor(level + _ROUNDING_UNITS))
    wait_s = 0.0 if available else (1 - level) / policy.per_second
    return Standing(policy, available, wait_s)


def charged(policy: Policy, full_at_s: float, now_s: float, units: int) -> float:
    """Return the state of a bucket that so many units were taken out of, into debt if need be."""
    return max(full_at_s, now_s) + units / policy.per_second
