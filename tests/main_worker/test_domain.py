"""The pure rules: grants, placement, the registry of workers."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain import grants, placement, registry
from main_api.domain.grants import ALL_ACTIONS, Action, Grant
from tests.support.main_fakes import a_worker
from tests.support.mains import grant

READ, WRITE, DELETE, ADMIN = Action.READ, Action.WRITE, Action.DELETE, Action.ADMIN

# -- grants ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_grant", "database", "key", "action", "allowed"),
    [
        (grant("chatdb", READ), "chatdb", "k", READ, True),
        (grant("chatdb", READ), "chatdb", "k", WRITE, False),
        (grant("chatdb", READ), "chatdb2", "k", READ, False),
        (grant("chatdb", READ), "chatd", "k", READ, False),
        (grant("chatdb", READ), "Chatdb", "k", READ, False),
        (grant("chatdb", READ), "", "k", READ, False),
        (grant("chat*", READ), "chatdb", "k", READ, True),
        (grant("chat*", READ), "chat", "k", READ, True),
        (grant("chat*", READ), "cha", "k", READ, False),
        (grant("chat*", READ), "xchat", "k", READ, False),
        (grant("*", READ), "anything", "k", READ, True),
        (grant("c*t", READ), "chat", "k", READ, False),
        (grant("chatdb", ADMIN), "chatdb", "k", READ, False),
        (grant("chatdb", WRITE), "chatdb", "k", READ, False),
        (grant("chatdb", WRITE), "chatdb", "k", DELETE, False),
        (grant("chatdb"), "chatdb", "k", READ, False),
        (grant("chatdb", READ, key_prefix="user/1/"), "chatdb", "user/1/a", READ, True),
        (grant("chatdb", READ, key_prefix="user/1/"), "chatdb", "user/1/", READ, True),
        (grant("chatdb", READ, key_prefix="user/1/"), "chatdb", "user/1", READ, False),
        (grant("chatdb", READ, key_prefix="user/1/"), "chatdb", "user/11", READ, False),
        (grant("chatdb", READ, key_prefix="user/1/"), "chatdb", "x/user/1/", READ, False),
        (grant("chatdb", READ, key_prefix="*"), "chatdb", "anything", READ, False),
    ],
)
def test_a_grant_allows_what_it_names_and_nothing_else(
    given_grant: Grant, database: str, key: str, action: Action, *, allowed: bool
) -> None:
    """A client reads or writes what nobody has granted to it."""
    assert given_grant.allows(database, key, action) is allowed


def test_grants_do_not_combine_into_a_third_one() -> None:
    """A client with two narrow grants gets the database of one with the action of the other."""
    both = (grant("one", READ, key_prefix="a"), grant("two", WRITE, key_prefix="b"))
    assert grants.allowed(both, "one", "a", READ)
    assert grants.allowed(both, "two", "b", WRITE)
    for database, key, action in [("one", "a", WRITE), ("two", "b", READ), ("one", "b", READ)]:
        assert not grants.allowed(both, database, key, action)
    assert not grants.allowed((), "one", "a", READ)


def test_the_actions_of_grants() -> None:
    """A token is offered actions that no grant has."""
    assert grants.actions_of(()) == frozenset()
    assert grants.actions_of((grant("a", READ), grant("b", READ, DELETE))) == {READ, DELETE}
    assert frozenset({"read", "write", "delete", "admin"}) == ALL_ACTIONS


def test_the_prefixes_of_grants_are_those_of_one_database_and_action() -> None:
    """A listing shows keys of another grant, or nothing though everything is granted."""
    some = (
        grant("chatdb", READ, key_prefix="b/"),
        grant("chat*", READ, WRITE, key_prefix="a/"),
        grant("chatdb", WRITE),
        grant("other", READ),
    )
    assert grants.key_prefixes(some, "chatdb", READ) == ("a/", "b/")
    assert grants.key_prefixes(some, "chatdb", WRITE) == ("",)
    assert grants.key_prefixes(some, "chatdb", DELETE) == ()
    assert grants.key_prefixes(some, "nosuchdb", READ) == ()


# -- placement -------------------------------------------------------------------------------------

WORKERS = [a_worker(f"worker-{n}") for n in range(5)]
KEYS = [f"key-{n}" for n in range(2_000)]


def first(count: int, key: str) -> str:
    """Return the worker that is asked first, of so many."""
    return placement.rank(WORKERS[:count], "chatdb", key)[0].worker_id


@given(st.permutations(WORKERS), st.text(min_size=1, max_size=20))
def test_every_main_worker_ranks_alike(shuffled: list[registry.WorkerRecord], key: str) -> None:
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


# -- registry --------------------------------------------------------------------------------------


def test_a_worker_is_live_until_its_lease_ends() -> None:
    """Requests go to a worker that has dropped its keys."""
    now = 1_000_000
    records = [a_worker(f"w-{ms}", lease_until_ms=now + ms) for ms in (1, -1, 0, 6_000)]
    assert [w.worker_id for w in registry.live(records, (), now)] == ["w-1", "w-6000"]


def test_a_revoked_worker_is_not_live() -> None:
    """Requests go to a worker that an administrator has put out of service."""
    assert list(registry.live(WORKERS, {WORKERS[0].worker_id, "other"}, 0)) == WORKERS[1:]


@given(st.permutations(WORKERS))
def test_live_workers_come_in_a_stable_order(shuffled: list[registry.WorkerRecord]) -> None:
    """A list of workers jumps about from one request to the next."""
    assert list(registry.live(shuffled, (), 0)) == WORKERS
