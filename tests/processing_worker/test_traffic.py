"""The calls that a worker serves, and how it comes to its last one."""

import threading

import pytest

from processing_fn.service.traffic import Traffic
from strongroom import limits
from strongroom.clock import SystemClock
from strongroom.errors import UnavailableError
from tests.support.clocks import ManualClock

PATIENCE_S = 30


def test_calls_are_counted_while_they_last() -> None:
    """A worker tells that it is idle while it drowns."""
    clock = ManualClock()
    traffic = Traffic(clock)
    with traffic:
        clock.advance(1)
        with traffic:
            clock.advance(1)
    clock.advance(2)
    assert traffic.load() == pytest.approx(3 / 4)


def test_after_the_close_a_call_is_refused_with_an_answer() -> None:
    """A worker that is leaving drops calls, and nobody knows what became of the writes."""
    traffic = Traffic(ManualClock())
    with traffic:
        traffic.close()
        with pytest.raises(UnavailableError) as refusal, traffic:
            pytest.fail("it was served")
    assert refusal.value.retry_after_s is not None
    assert traffic.wait_for_the_last(0), "what was refused is not waited for"


def test_what_was_begun_is_waited_for() -> None:
    """A worker that is leaving cuts off what it has begun."""
    traffic, begun, ended = Traffic(SystemClock()), threading.Event(), threading.Event()

    def serve() -> None:
        with traffic:
            begun.set()
            assert ended.wait(PATIENCE_S)

    serving = threading.Thread(target=serve)
    serving.start()
    assert begun.wait(PATIENCE_S)
    traffic.close()
    assert not traffic.wait_for_the_last(0.05)
    ended.set()
    assert traffic.wait_for_the_last(PATIENCE_S)
    serving.join(PATIENCE_S)


def test_a_failed_call_has_ended_too() -> None:
    """One failed call keeps a worker from ever leaving."""
    traffic = Traffic(SystemClock())
    with pytest.raises(ValueError, match="broken"), traffic:
        raise ValueError("broken")
    assert traffic.wait_for_the_last(0)


def test_it_is_quiet_after_a_while() -> None:
    """A worker that nobody asks takes its time to leave, or a busy one leaves unannounced."""
    clock = ManualClock()
    traffic = Traffic(clock)
    assert traffic.is_quiet()
    with traffic:
        pass
    assert not traffic.is_quiet()
    clock.advance(limits.TRAFFIC_QUIET_SECONDS + 0.1)
    assert traffic.is_quiet()
    traffic.load()
    assert traffic.is_quiet(), "a report is no traffic"
