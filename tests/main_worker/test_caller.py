"""Who calls: no two callers are taken for one."""

import itertools

from main_api.domain.caller import Caller

NAMES = ("front", "front@1", "1", "", "a#b", "\ud800", "é", "e\u0301", "x" * 10_000)


def caller(client_id: str = "front", incarnation: str = "1", user: str | None = None) -> Caller:
    """Return a caller: a client, or a user of it."""
    return Caller(
        client_id=client_id,
        incarnation=incarnation,
        subject=client_id if user is None else user,
        claims={},
        grants=(),
        scope=frozenset(),
        is_user=user is not None,
    )


def test_no_two_callers_share_an_id() -> None:
    """A user takes another one's cursor, or gets the answer to another one's write."""
    callers = [
        caller(client, incarnation, user)
        for client, incarnation, user in itertools.product(
            ("front", "back"), ("1", "2"), (None, *NAMES)
        )
    ]
    assert len({one.unique_id for one in callers}) == len(callers)


def test_the_id_of_a_caller_is_short_whatever_a_user_is_called() -> None:
    """A long name makes every request of its user too large to be sent on."""
    assert len(caller(user="x" * 10_000).unique_id) < 200
