"""The arithmetic of token buckets, and how many of them are remembered."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain import buckets
from main_api.domain.buckets import UNUSED, Policy
from main_api.service.buckets import Buckets

START_S = 1_000.0
TOLERATED = Fraction(1, 1000)

policies = st.builds(
    Policy,
    name=st.just("requests"),
    per_second=st.floats(0.01, 1_000.0),
    burst=st.integers(1, 1_000),
)
pauses_s = st.one_of(st.just(0.0), st.floats(0.0, 50.0))


@given(policy=policies, pauses=st.lists(pauses_s, max_size=200))
def test_no_span_of_time_has_more_than_the_burst_and_what_was_gained(
    policy: Policy, pauses: list[float]
) -> None:
    """Whoever times its requests well gets more than the policy says."""
    now_s, state, passed_at = START_S, UNUSED, []
    for pause_s in pauses:
        now_s += pause_s
        if buckets.standing(policy, state, now_s).available:
            state = buckets.charged(policy, state, now_s, 1)
            passed_at.append(Fraction(now_s))
    rate = Fraction(policy.per_second)
    for first, begin_s in enumerate(passed_at):
        for last, end_s in enumerate(passed_at[first:], first):
            gained = (end_s - begin_s) * rate
            assert last - first + 1 <= policy.burst + gained + TOLERATED


@given(policy=policies, taken=st.integers(0, 1_000), pause_s=pauses_s)
def test_exactly_so_many_pass_as_are_available(policy: Policy, taken: int, pause_s: float) -> None:
    """A client that keeps to the numbers that it is told is refused, or could have had more."""
    state = buckets.charged(policy, UNUSED, START_S, min(taken, policy.burst))
    now_s = START_S + pause_s
    for _ in range(buckets.standing(policy, state, now_s).available):
        assert buckets.standing(policy, state, now_s).available
        state = buckets.charged(policy, state, now_s, 1)
    assert not buckets.standing(policy, state, now_s).available


@given(policy=policies, units=st.integers(1, 100_000))
def test_who_waits_as_long_as_told_passes_and_no_sooner(policy: Policy, units: int) -> None:
    """A client waits in vain, or longer than it would have to."""
    state = buckets.charged(policy, UNUSED, START_S, policy.burst + units - 1)
    told = buckets.standing(policy, state, START_S)
    assert not told.available
    assert told.effective_window_s >= told.wait_s
    assert told.effective_window_s < told.wait_s + 1 or told.effective_window_s == 1
    assert buckets.standing(policy, state, START_S + told.wait_s).available == 1
    assert not buckets.standing(policy, state, START_S + told.wait_s * 0.99 - 1e-6).available


@given(policy=policies, units=st.integers(0, 5_000))
def test_a_bucket_fills_up_to_its_burst_and_no_further(policy: Policy, units: int) -> None:
    """Who was away for long may send without end, or less than the burst."""
    state = buckets.charged(policy, UNUSED, START_S, units)
    later_s = START_S + (units + 1) / policy.per_second
    assert buckets.standing(policy, state, later_s) == buckets.standing(policy, UNUSED, START_S)
    assert buckets.standing(policy, state, later_s).available == policy.burst


@given(policy=policies, units=st.integers(0, 1_000))
def test_who_spreads_what_is_available_over_the_window_keeps_to_the_policy(
    policy: Policy, units: int
) -> None:
    """A client that divides the two numbers is told to send faster than it may."""
    told = buckets.standing(
        policy, buckets.charged(policy, UNUSED, START_S, min(units, policy.burst)), START_S
    )
    assert told.available / told.effective_window_s <= policy.per_second * (1 + 1e-9)


@pytest.mark.parametrize(
    ("per_second", "burst", "window_s"),
    [(10.0, 20, 2), (1.0, 60, 60), (1000.0, 1, 1), (0.1, 3, 30)],
)
def test_the_window_is_the_time_that_an_empty_bucket_fills_in(
    per_second: float, burst: int, window_s: int
) -> None:
    """The policy that clients are told is another one than they have."""
    assert Policy("requests", per_second, burst).window_s == window_s


def test_only_so_many_buckets_are_remembered() -> None:
    """The memory of a process grows with the number of those that it limits."""
    many: Buckets[int] = Buckets(Policy("requests", 1.0, 1), 10)
    for number in range(100):
        many.charge(number, 1, START_S)
    assert len(many) == 10
    # The last ones are remembered, the others are full again.
    assert [many.standing(number, START_S).available for number in (89, 90, 99)] == [1, 0, 0]


def test_looking_at_a_bucket_remembers_nothing() -> None:
    """Requests that fail nowhere push the failures of others out of memory."""
    many: Buckets[int] = Buckets(Policy("requests", 1.0, 1), 1)
    many.charge(1, 1, START_S)
    for number in range(10):
        many.standing(number, START_S)
    assert not many.standing(1, START_S).available
