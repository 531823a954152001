"""Placement as benchmarks/scale simulates it."""

import pytest

from benchmarks.scale import fleet
from benchmarks.scale.fleet import Draws


def _first(count: int, keys: int) -> tuple[list[str], list[str]]:
    drawn = Draws(1).keys(keys)
    return drawn, fleet.first_in_rank(fleet.workers(count), drawn)


def test_placement_is_even() -> None:
    """Some workers get more keys than others, and the page says that none does."""
    _, first = _first(20, 10_000)
    found = fleet.balance(20, first, Draws(1))
    assert 0.3 < found.deviation < 2.0
    assert 1.0 < found.fullest < 1.05


def test_an_uneven_placement_would_show() -> None:
    """The measure is blind to what it measures."""
    _, first = _first(20, 10_000)
    crooked = [first[0] if number % 10 == 0 else one for number, one in enumerate(first)]
    assert fleet.balance(20, crooked, Draws(1)).deviation > 10


def test_only_keys_of_the_dead_move() -> None:
    """The death of some workers makes the caches of all others cold."""
    keys, first = _first(20, 2_000)
    found = fleet.moved(20, 0.25, keys, first)
    dead = {worker.worker_id for worker in fleet.workers(20)[:5]}
    assert found.share == sum(one in dead for one in first) / 2_000
    assert found.needlessly == 0
    elsewhere = [fleet.workers(20)[-1].worker_id] * len(keys)
    assert fleet.moved(20, 0.25, keys, elsewhere).needlessly > 0.5


def test_a_hot_key_is_spread() -> None:
    """One key drowns its worker."""
    found = fleet.one_hot_key(100, per_worker=4, share=0.25, draws=Draws(1))
    # 100 calls for it, and a few others; 16 calls are free.
    assert 25 <= found.alone <= 27
    assert found.bounded == 16 / 4
    assert 7 <= found.serving <= 12
    assert 0.18 < found.passed_over < 0.25


def test_a_key_that_is_not_hot_stays() -> None:
    """A cache is split up for no reason."""
    found = fleet.one_hot_key(10, per_worker=4, share=0.1, draws=Draws(1))
    assert (found.serving, found.passed_over) == (1, 0)
    assert found.alone == found.bounded


def test_zipf_calls_end_and_begin() -> None:
    """Calls that have ended are counted as under way, and everything is passed over."""
    found = fleet.zipfian(100, per_worker=4, keys=500, draws=Draws(1))
    hottest = 400 / sum(fleet.zipf(500))
    # The busiest worker has the hottest key, and some of the others.
    assert hottest / 4 * 0.8 < found.alone < hottest / 4 * 1.6
    assert found.bounded == 16 / 4
    assert 3 <= found.serving <= 12
    assert 0.05 < found.passed_over < 0.3


@pytest.mark.parametrize(
    "draw", [lambda d: d.keys(5), lambda d: d.choices([1, 2], 20)], ids=["keys", "choices"]
)
def test_a_seed_repeats(draw: object) -> None:
    """Nobody can tell a change of the code from chance."""
    assert callable(draw)
    assert draw(Draws(7)) == draw(Draws(7))
    assert draw(Draws(7)) != draw(Draws(8))
