"""How busy a worker is, which decides where requests go."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.occupancy import Occupancy
from tests.support.clocks import ManualClock


def test_the_mean_is_weighted_by_time() -> None:
    """A worker with one long call looks as idle as one without any, or as busy as one with many."""
    clock = ManualClock()
    occupancy = Occupancy(clock)
    occupancy.begin()
    clock.advance(3)
    occupancy.begin()
    clock.advance(1)
    occupancy.end()
    occupancy.end()
    clock.advance(1)
    assert occupancy.mean() == pytest.approx((3 * 1 + 1 * 2 + 1 * 0) / 5)


def test_each_mean_begins_anew_and_knows_what_goes_on() -> None:
    """A worker that was busy an hour ago is passed over now, or one that hangs looks idle."""
    clock = ManualClock()
    occupancy = Occupancy(clock)
    occupancy.begin()
    clock.advance(10)
    assert occupancy.mean() == pytest.approx(1)
    clock.advance(10)
    assert occupancy.mean() == pytest.approx(1)
    occupancy.end()
    clock.advance(10)
    assert occupancy.mean() == pytest.approx(0)


def test_asked_twice_at_once_it_tells_what_is_under_way() -> None:
    """A worker that is asked twice in one instant ends by a division by zero."""
    occupancy = Occupancy(ManualClock())
    occupancy.begin()
    occupancy.mean()
    assert occupancy.mean() == 1


def test_threads_lose_no_call() -> None:
    """Under load the count drifts, and a worker is passed over for ever, or never."""
    occupancy = Occupancy(ManualClock())

    def calls(_: int) -> None:
        for _ in range(500):
            occupancy.begin()
            occupancy.end()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(calls, range(8)))
    assert occupancy.under_way == 0
