"""How long a request is worked for, and what happens to it when its client goes."""

import pytest

from main_api.service.requests import patience
from main_api.service.requests.patience import Patience
from main_api.service.workers.ports import GivenUpError
from strongroom import limits
from tests.support.clocks import ManualClock


def test_no_request_is_waited_for_longer_than_the_longest() -> None:
    """A client that says it waits for an hour holds a thread for an hour."""
    clock = ManualClock()
    assert Patience(clock=clock).left_s() == limits.REQUEST_SECONDS
    assert Patience(3_600, clock).left_s() == limits.REQUEST_SECONDS
    assert Patience(float("inf"), clock).left_s() == limits.REQUEST_SECONDS


def test_time_passes() -> None:
    """A request that has waited for its turn is served for as long as a new one."""
    clock = ManualClock()
    waiting = Patience(1.0, clock)
    clock.advance(0.4)
    assert waiting.left_s() == pytest.approx(0.6)
    clock.advance(10)
    assert waiting.left_s() == 0


def test_what_is_under_way_is_cancelled_when_it_is_given_up() -> None:
    """A client hangs up, and its query goes on to its end."""
    waiting, cancelled = Patience(), [""]
    with waiting.cancelling(lambda: cancelled.append("one")):
        with waiting.cancelling(lambda: cancelled.append("over")):
            pass
        waiting.give_up()
        waiting.give_up()
    assert cancelled == ["", "one"]


def test_what_is_begun_too_late_is_cancelled_at_once() -> None:
    """A client hangs up in the instant before a call, which then goes on to its end."""
    waiting, cancelled = Patience(), [""]
    waiting.give_up()
    with pytest.raises(GivenUpError):
        waiting.require()
    with pytest.raises(GivenUpError), waiting.cancelling(lambda: cancelled.append("one")):
        pytest.fail("it goes on")
    assert cancelled == ["", "one"]
    assert waiting.left_s() == 0


def test_a_thread_knows_the_request_that_it_serves_and_forgets_it() -> None:
    """One client's deadline cuts the next one's request short."""
    mine = Patience(0.0)
    with patience.serving(mine):
        assert patience.current() is mine
    assert patience.current() is not mine
    assert patience.current().left_s() > 0
