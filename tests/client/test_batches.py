"""Many keys: in portions that a request takes, with one outcome for each key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom_client import errors
from strongroom_client.calls import DeleteEntities
from strongroom_client.core import batches
from strongroom_client.values import Entity
from tests.support.client_worlds import World

KEYS = [f"k{number:03}" for number in range(250)]


@given(st.lists(st.text(max_size=300), max_size=300))
def test_portions_are_the_keys(keys: list[str]) -> None:
    """A key is left out, asked for twice, or makes a request that no gateway takes."""
    portions = list(batches.portions(keys))
    assert [key for portion in portions for key in portion] == list(dict.fromkeys(keys))
    for portion in portions:
        assert 1 <= len(portion) <= 100
        escaped = sum(len(key.encode(errors="replace")) * 3 for key in portion)
        assert len(portion) == 1 or escaped < 3 * 6_000


def test_long_keys_make_short_portions() -> None:
    """Keys that are long once they are escaped make a URL that no gateway takes."""
    portions = list(batches.portions(f"{number}{'ü' * 150}" for number in range(20)))
    assert [len(portion) for portion in portions] == [6, 6, 6, 2]


def test_what_is_too_large_together_is_read_apart() -> None:
    """A read of many fails by how large they happen to be."""
    large = errors.TooLargeError("together")
    first, second, rest = (
        [Entity(key, 1, b"1") for key in KEYS[start:end]]
        for start, end in ((0, 25), (25, 50), (50, 100))
    )
    world = World([large, large, first, second, rest])
    found = world.run(batches.get_many(world.conversation(), "d", KEYS[:100], 60))
    assert list(found) == KEYS[:100]
    world = World([large])
    with pytest.raises(errors.TooLargeError):
        world.run(batches.get_many(world.conversation(), "d", KEYS[:100], 60))
    assert len(world.sent) < 10


def test_no_keys_are_no_request() -> None:
    """A read of nothing is refused."""
    world = World()
    assert world.run(batches.get_many(world.conversation(), "d", [], 60)) == {}
    assert world.run(batches.delete_many(world.conversation(), "d", [], "id", 60)) == {}
    assert world.sent == []


def test_every_portion_of_a_deletion_has_the_caller_s_key() -> None:
    """A program that repeats a deletion with its keys in another order is told that they are gone.

    And an idempotency key as long as may be makes the second portion fail.
    """
    world = World([dict.fromkeys(KEYS[:100], True), dict.fromkeys(KEYS[100:200], False), {}])
    deleted = world.run(batches.delete_many(world.conversation(), "d", KEYS, "mine", 60))
    assert (deleted[KEYS[0]], deleted[KEYS[150]]) == (True, False)
    calls = [one.call for one in world.sent]
    sent = [one.idempotency_key for one in calls if isinstance(one, DeleteEntities)]
    assert sent == ["mine", "mine", "mine"]


def test_a_deletion_that_fails_midway_tells_of_each() -> None:
    """After a failure nobody knows what was deleted."""
    refused = errors.ForbiddenError("no")
    world = World([dict.fromkeys(KEYS[:100], True), refused])
    with pytest.raises(errors.PartlyWrittenError) as failed:
        world.run(batches.delete_many(world.conversation(), "d", KEYS, "mine", 60))
    outcomes = failed.value.outcomes
    assert list(outcomes) == KEYS
    assert (outcomes[KEYS[0]], outcomes[KEYS[100]]) == (True, refused)
    assert isinstance(outcomes[KEYS[249]], errors.UnavailableError)
    world = World([refused])
    with pytest.raises(errors.ForbiddenError):
        world.run(batches.delete_many(world.conversation(), "d", KEYS, "mine", 60))
