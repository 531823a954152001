"""A clock that stands still until a test moves it."""


class ManualClock:
    """A `strongroom.clock.Clock` under the test's control."""

    def __init__(self, wall_ms: int = 1_800_000_000_000, boot_s: float = 1_000.0) -> None:
        """Start at an instant."""
        self.now_wall_ms = wall_ms
        self.now_boot_s = boot_s

    def wall_ms(self) -> int:
        """Return the wall time that the test has set."""
        return self.now_wall_ms

    def boot_s(self) -> float:
        """Return the boot time that the test has set."""
        return self.now_boot_s

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        self.now_wall_ms += round(seconds * 1000)
        self.now_boot_s += seconds
