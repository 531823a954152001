"""Time as text, and the machine's own clock."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.clock import SystemClock, from_rfc3339, rfc3339

YEAR_9999_MS = 253_402_300_799_999


@given(st.integers(0, YEAR_9999_MS))
def test_an_instant_survives_its_text(wall_ms: int) -> None:
    """An entity expires at another time than the one that was promised."""
    text = rfc3339(wall_ms)
    assert from_rfc3339(text) == wall_ms
    assert len(text) == 24
    assert text.endswith("Z")


@given(st.integers(0, YEAR_9999_MS), st.integers(0, YEAR_9999_MS))
def test_the_text_sorts_as_time_does(one: int, other: int) -> None:
    """A listing by time stamps is out of order."""
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (951_782_400_999, "2000-02-29T00:00:00.999Z"),
        (1_800_000_000_000, "2027-01-15T08:00:00.000Z"),
    ],
)
def test_the_text_is_utc_with_milliseconds(wall_ms: int, text: str) -> None:
    """Time stamps depend on the machine's time zone."""
    assert rfc3339(wall_ms) == text


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00.000Z", "2026-01-01T25:00Z"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    """A broken time stamp is taken for some time."""
    with pytest.raises(ValueError, match=r"."):
        from_rfc3339(text)


def test_the_machines_clock_is_in_milliseconds_since_1970() -> None:
    """Expiry is off by a factor of a thousand."""
    year = dt.datetime.fromtimestamp(SystemClock().wall_ms() / 1000, dt.UTC).year
    assert 2025 < year < 2100


def test_boot_time_does_not_go_back() -> None:
    """A lease or a lock's limit starts to run backwards."""
    clock = SystemClock()
    times = [clock.boot_s() for _ in range(1_000)]
    assert times == sorted(times)
