"""A worker's circuit: whether it is asked, or left alone after it was lost.

    closed --a call is lost--> open --the pause ends--> half open --the probe is answered--> closed
                                ^                           |
                                +-- it is not: the pause doubles

Nothing but a loss opens it: a worker that refuses has answered, and soon. While it is open nobody's
request is spent on finding out whether the worker is back; a probe is.
"""

from dataclasses import dataclass, replace

from strongroom import limits


@dataclass(frozen=True, slots=True)
class Circuit:
    """The state; without arguments, closed.

    Attributes:
        pause_s: How long it is left alone; 0 where it is closed.
        probe_at_s: When a probe is due.
        is_probed: Half open: a probe is under way.
    """

    pause_s: float = 0.0
    probe_at_s: float = 0.0
    is_probed: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether the worker is asked."""
        return self.pause_s == 0.0

    def lost(self, now_s: float) -> "Circuit":
        """Return what a lost call makes of it; of one that is open already, nothing."""
        if not self.is_closed:
            return self
        pause_s = limits.CIRCUIT_PAUSE_FIRST_SECONDS
        return Circuit(pause_s, now_s + pause_s)

    def is_due(self, now_s: float) -> bool:
        """Tell whether it is time for a probe."""
        return not self.is_closed and not self.is_probed and now_s >= self.probe_at_s

    def probed(self) -> "Circuit":
        """Return it half open."""
        return replace(self, is_probed=True)

    def probe_failed(self, now_s: float) -> "Circuit":
        """Return it open for longer."""
        pause_s = min(2 * self.pause_s, limits.CIRCUIT_PAUSE_LONGEST_SECONDS)
        return Circuit(pause_s, now_s + pause_s)


CLOSED = Circuit()
