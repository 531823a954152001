"""Room for large messages: counted in bytes, exactly."""

import pytest

from main_api.service.requests.room import Room
from strongroom import limits
from strongroom.errors import RateLimitedError

LARGE = limits.SMALL_BYTES_MAX + 1


def test_there_is_room_up_to_the_last_byte_and_no_further() -> None:
    """A process holds more than it may, or refuses while it has room."""
    room = Room(2 * LARGE)
    room.take(LARGE)
    second = room.take(LARGE)
    with pytest.raises(RateLimitedError) as refused:
        room.take(LARGE)
    assert refused.value.retry_after_s == 1
    second()
    room.take(LARGE)


def test_what_is_given_back_twice_counts_once() -> None:
    """Room grows with every call that ends in two ways at once."""
    room = Room(LARGE)
    give_back = room.take(LARGE)
    give_back()
    give_back()
    room.take(LARGE)
    with pytest.raises(RateLimitedError):
        room.take(LARGE)


def test_small_messages_take_no_room() -> None:
    """A few large messages stop everybody."""
    room = Room(LARGE)
    room.take(LARGE)
    for _ in range(100):
        room.take(limits.SMALL_BYTES_MAX)
