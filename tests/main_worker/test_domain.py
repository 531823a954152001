"""The pure rules: grants, the registry of workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain import grants, registry
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


# -- registry --------------------------------------------------------------------------------------

WORKERS = [a_worker(f"worker-{n}") for n in range(5)]


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
