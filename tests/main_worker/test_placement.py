"""Which worker is asked: rendezvous hashing, and how much of a hot key one worker takes."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from main_api.domain import placement
from main_api.domain.registry import WorkerRecord
from strongroom import limits
from tests.support.main_fakes import a_worker

WORKERS = [a_worker(f"worker-{n}") for n in range(5)]
KEYS = [f"key-{n}" for n in range(2_000)]


def first(count: int, key: str) -> str:
    """Return the worker that is asked first, of so many."""
    return placement.rank(WORKERS[:count], "chatdb", key)[0].worker_id


@given(st.permutations(WORKERS), st.text(min_size=1, max_size=20))
def test_every_main_worker_ranks_alike(shuffled: list[WorkerRecord], key: str) -> None:
    """Two Main Workers ask different workers for one entity, and each cache is half as warm."""
    ranked = placement.rank(shuffled, "chatdb", key)
    assert ranked == placement.rank(WORKERS, "chatdb", key)
    assert sorted(ranked, key=lambda w: w.worker_id) == WORKERS


def test_the_ranking_does_not_change_with_an_update() -> None:
    """After an update every cache is cold at once."""
    ranked = placement.rank(WORKERS, "chatdb", "Chat_id")
    assert [worker.worker_id for worker in ranked] == [
        "worker-3",
        "worker-1",
        "worker-4",
        "worker-0",
        "worker-2",
    ]


def test_a_joining_worker_takes_its_share_and_moves_nothing_else() -> None:
    """A worker that joins makes the caches of all others cold."""
    moved = [key for key in KEYS if first(5, key) != first(4, key)]
    assert {first(5, key) for key in moved} == {"worker-4"}
    assert len(KEYS) / 5 * 0.8 < len(moved) < len(KEYS) / 5 * 1.2


def test_the_keys_of_a_leaving_worker_go_to_the_next_in_rank() -> None:
    """When a worker dies, keys move that it never had, or a failover warms the wrong cache."""
    for key in KEYS:
        ranked = placement.rank(WORKERS, "chatdb", key)
        for gone in WORKERS:
            left = [worker for worker in WORKERS if worker != gone]
            assert placement.rank(left, "chatdb", key) == [w for w in ranked if w != gone]


def test_keys_are_spread_evenly_over_workers_and_seconds() -> None:
    """One worker has most of the work, or gets all of it when another one dies."""
    for place in (0, 1):
        counts = Counter(placement.rank(WORKERS, "chatdb", key)[place].worker_id for key in KEYS)
        assert len(counts) == len(WORKERS)
        assert max(counts.values()) < 1.2 * len(KEYS) / len(WORKERS)
        assert min(counts.values()) > 0.8 * len(KEYS) / len(WORKERS)


def test_databases_are_spread_too() -> None:
    """The same popular key of all databases is served by one worker."""
    firsts = {placement.rank(WORKERS, f"db-{n}", "key")[0].worker_id for n in range(100)}
    assert len(firsts) == len(WORKERS)


def test_any_number_of_workers_is_ranked() -> None:
    """With one worker, or none, nothing is served."""
    assert placement.rank([], "chatdb", "k") == []
    assert placement.rank(WORKERS[:1], "chatdb", "k") == WORKERS[:1]


worker_ids = st.sets(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}", fullmatch=True), min_size=1)


@given(worker_ids, st.text("abc-", min_size=1), st.lists(st.text(max_size=20), max_size=50))
def test_whoever_joins_or_leaves_moves_no_key_between_others(
    ids: set[str], one: str, keys: list[str]
) -> None:
    """A worker that joins or leaves makes caches cold that have nothing to do with it."""
    with_it = [a_worker(each) for each in ids | {one}]
    without_it = [worker for worker in with_it if worker.worker_id != one]
    for key in keys:
        ranked = placement.rank(with_it, "chatdb", key)
        left = [worker for worker in ranked if worker.worker_id != one]
        assert placement.rank(without_it, "chatdb", key) == left


@given(worker_ids.filter(lambda ids: len(ids) <= 12), st.text("abc-", min_size=1, max_size=9))
@settings(max_examples=30)
def test_whoever_joins_or_leaves_moves_about_its_share_of_the_keys(ids: set[str], one: str) -> None:
    """With some names of workers one has most of the work, or a join makes most caches cold."""
    others = [a_worker(each) for each in ids - {one}] or [a_worker("another")]
    with_it = [*others, a_worker(one)]
    its_keys = sum(
        placement.rank(with_it, "chatdb", key)[0] != placement.rank(others, "chatdb", key)[0]
        for key in KEYS[:600]
    )
    share = 600 / len(with_it)
    # Six standard deviations of what chance would give it.
    assert abs(its_keys - share) < 6 * share**0.5


# -- bounded load ----------------------------------------------------------------------------------

FREE = limits.WORKER_CALLS_FREE


def chosen(loads: list[float]) -> list[str]:
    """Return the order in which workers are asked that have these loads, ranked as they come."""
    ranked = [a_worker(f"worker-{n}") for n in range(len(loads))]
    by_id = dict(zip((worker.worker_id for worker in ranked), loads, strict=True))
    return [worker.worker_id for worker in placement.bounded(ranked, lambda w: by_id[w.worker_id])]


def test_a_worker_with_room_is_asked_whatever_the_others_do() -> None:
    """While nobody is busy, keys go to workers whose cache has never seen them."""
    assert chosen([FREE - 1, 0, 0]) == ["worker-0", "worker-1", "worker-2"]


def test_under_an_even_load_keys_stay_where_they_are() -> None:
    """Under load every key is cached everywhere, and each cache is as cold as the others."""
    assert chosen([100, 90, 110])[0] == "worker-0"


def test_one_that_has_more_than_its_share_is_passed_over() -> None:
    """One hot key drowns its worker, and the other keys of that worker with it."""
    assert chosen([40, 2, 2]) == ["worker-1", "worker-0", "worker-2"]
    assert chosen([40, 41, 2]) == ["worker-2", "worker-0", "worker-1"]


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=20))
def test_whatever_the_loads_one_with_room_is_asked_first(loads: list[float]) -> None:
    """A request is sent to a worker that is over its share, or to none, or to one twice."""
    asked = chosen(loads)
    ranked = [f"worker-{n}" for n in range(len(loads))]
    assert sorted(asked) == sorted(ranked)
    assert asked[1:] == [one for one in ranked if one != asked[0]]
    share = limits.LOAD_FACTOR_MAX * (sum(loads) + 1) / len(loads)
    first_load = loads[ranked.index(asked[0])]
    assert len(loads) == 1 or first_load < max(share, FREE)
    for passed_over in ranked[: ranked.index(asked[0])]:
        assert loads[ranked.index(passed_over)] >= FREE


@given(st.integers(2, 10), st.integers(1, 400))
def test_a_single_hot_key_is_shared_out(workers: int, requests: int) -> None:
    """All clients want one entity at once, and one worker has all of them."""
    ranked = [a_worker(f"worker-{n}") for n in range(workers)]
    under_way: Counter[str] = Counter()
    for _ in range(requests):
        asked = placement.bounded(ranked, lambda w: float(under_way[w.worker_id]))[0]
        under_way[asked.worker_id] += 1
    share = limits.LOAD_FACTOR_MAX * requests / workers
    assert max(under_way.values()) <= max(share, FREE) + 1
