"""Whose lease may still run, by two clocks: a key is destroyed only when nobody's does."""

import msgspec
import pytest

from main_api.domain import registry
from main_api.domain.registry import WorkerRecord
from main_api.service.jobs.leases import Leases
from strongroom import limits
from tests.support.clocks import ManualClock
from tests.support.main_fakes import a_worker

LEASE_MS = limits.LEASE_SECONDS * 1000
PATIENCE_S = limits.LEASE_SECONDS + limits.CLOCK_SKEW_MS_MAX / 1000


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that only tests move."""
    return ManualClock()


def _record(clock: ManualClock, left_ms: int = LEASE_MS, generation: int = 1) -> WorkerRecord:
    return msgspec.structs.replace(
        a_worker("worker-1"), lease_until_ms=clock.wall_ms() + left_ms, generation=generation
    )


def test_a_worker_that_has_confirmed_is_not_waited_for(clock: ManualClock) -> None:
    """No key is ever destroyed while a worker serves."""
    leases = Leases(clock)
    assert leases.unsettled([_record(clock, generation=1)], 2) == ["worker-1"]
    assert leases.unsettled([_record(clock, generation=2)], 2) == []
    assert leases.unsettled([_record(clock, generation=3)], 2) == []


def test_a_lease_is_over_when_both_clocks_say_so(clock: ManualClock) -> None:
    """A key is destroyed under the hands of a worker whose own clock is a little behind."""
    leases, record = Leases(clock), _record(clock, left_ms=1_000)
    assert leases.unsettled([record], 2)
    clock.advance(1 + limits.CLOCK_SKEW_MS_MAX / 1000)
    assert leases.unsettled([record], 2), "it was not watched for as long as a lease may be"
    clock.advance(PATIENCE_S)
    assert leases.unsettled([record], 2) == []


def test_a_jump_of_the_wall_clock_ends_no_lease(clock: ManualClock) -> None:
    """The Main Worker's clock is set, and a key is destroyed that a worker writes under."""
    leases, record = Leases(clock), _record(clock)
    assert leases.unsettled([record], 2)
    clock.now_wall_ms += 3_600_000
    assert leases.unsettled([record], 2)
    clock.advance(PATIENCE_S - 1)
    assert leases.unsettled([record], 2)
    clock.advance(1)
    assert leases.unsettled([record], 2) == []


def test_a_renewal_is_seen(clock: ManualClock) -> None:
    """A worker that renews its lease, and confirms nothing, is forgotten after a while."""
    leases = Leases(clock)
    for _ in range(10):
        assert leases.unsettled([_record(clock)], 2) == ["worker-1"]
        clock.advance(2)


def test_who_has_left_may_finish_what_it_has_begun(clock: ManualClock) -> None:
    """A worker that is shut down commits its last write under a key that is destroyed by then."""
    leases, record = Leases(clock), _record(clock, left_ms=3_000)
    left = msgspec.structs.replace(record, has_left=True)
    assert not left.is_live(clock.wall_ms())
    assert leases.unsettled([left], 2) == ["worker-1"]


def test_an_earlier_subscription_of_the_same_worker_counts(clock: ManualClock) -> None:
    """A process that was replaced by one of the same name writes on, and nobody waits for it."""
    leases = Leases(clock)
    record = msgspec.structs.replace(
        _record(clock, generation=2), superseded_until_ms=clock.wall_ms() + 2_000
    )
    assert leases.unsettled([record], 2) == ["worker-1"]
    clock.advance(PATIENCE_S)
    assert leases.unsettled([record], 2) == []


def test_until_when_earlier_subscriptions_may_write(clock: ManualClock) -> None:
    """The lease of a former process is lost from sight when its successor registers or renews."""
    now_ms = clock.wall_ms()
    first = msgspec.structs.replace(_record(clock), subscription_id="1")
    until_ms = first.lease_until_ms
    assert registry.superseded_until_ms(None, "2", now_ms) == 0
    assert registry.superseded_until_ms(first, "1", now_ms) == 0
    assert registry.superseded_until_ms(first, "2", now_ms) == until_ms
    second = msgspec.structs.replace(
        first, subscription_id="2", lease_until_ms=1, superseded_until_ms=until_ms
    )
    for subscription in ("2", "3"):
        assert registry.superseded_until_ms(second, subscription, now_ms) == until_ms
    over_ms = until_ms + limits.CLOCK_SKEW_MS_MAX
    assert registry.superseded_until_ms(second, "2", over_ms) == 0


def test_a_damaged_record_is_waited_for_as_long_as_a_lease(clock: ManualClock) -> None:
    """A record that nobody can read holds every job up for ever, or none at all."""
    leases = Leases(clock)
    assert leases.unsettled([], 2, ["worker-1"]) == ["worker-1"]
    clock.advance(PATIENCE_S - 1)
    assert leases.unsettled([], 2, ["worker-1"]) == ["worker-1"]
    clock.advance(1)
    assert leases.unsettled([], 2, ["worker-1"]) == []
