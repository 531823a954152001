"""What a client's users may do lies within what the client may do, whatever they are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain import grants
from main_api.domain.grants import Action, Grant
from strongroom import limits
from strongroom.errors import InvalidArgumentError
from tests.support.mains import MainRig, grant

READ, WRITE, ADMIN = Action.READ, Action.WRITE, Action.ADMIN
CLIENT = "front"

WITHIN: dict[str, tuple[Grant, Grant]] = {
    "the same": (grant("chatdb", READ), grant("chatdb", READ)),
    "a prefix of keys": (grant("chatdb", READ), grant("chatdb", READ, key_prefix="users/{sub}/")),
    "a longer prefix": (
        grant("chatdb", READ, key_prefix="us"),
        grant("chatdb", READ, key_prefix="users/{sub}/"),
    ),
    "fewer databases": (grant("chat*", READ), grant("chatdb", READ)),
    "a narrower pattern": (grant("c*", READ), grant("chat*", READ)),
    "all databases": (grant("*", READ), grant("*", READ)),
    "fewer actions": (grant("chatdb", READ, WRITE), grant("chatdb", WRITE)),
    "no action": (grant("chatdb", READ), grant("other")),
    "the client's own id": (
        grant("chatdb", READ, key_prefix="{client_id}/x/"),
        grant("chatdb", READ, key_prefix="{client_id}/x/{sub}/"),
    ),
    "its id, spelt out": (
        grant("chatdb", READ, key_prefix="{sub}/"),
        grant("chatdb", READ, key_prefix="front/{sub}/"),
    ),
    "admin, where the client has it": (grant("chatdb", ADMIN), grant("chatdb", ADMIN)),
}
BEYOND: dict[str, tuple[Grant, Grant]] = {
    "another database": (grant("chatdb", READ), grant("otherdb", READ)),
    "more databases": (grant("chatdb", READ), grant("chatdb*", READ)),
    "a wider pattern": (grant("chat*", READ), grant("c*", READ)),
    "another action": (grant("chatdb", READ), grant("chatdb", READ, WRITE)),
    "admin": (grant("*", READ, WRITE, Action.DELETE), grant("chatdb", ADMIN)),
    "all keys": (grant("chatdb", READ, key_prefix="users/"), grant("chatdb", READ)),
    "a shorter prefix": (
        grant("chatdb", READ, key_prefix="users/"),
        grant("chatdb", READ, key_prefix="user"),
    ),
    "a claim before the prefix ends": (
        grant("chatdb", READ, key_prefix="users/a"),
        grant("chatdb", READ, key_prefix="users/{sub}/"),
    ),
    "a claim that is the client's own there": (
        grant("chatdb", READ, key_prefix="users/{sub}/"),
        grant("chatdb", READ, key_prefix="users/{sub}/"),
    ),
    "a claim that no client has": (
        grant("chatdb", READ, key_prefix="{org}/"),
        grant("chatdb", READ, key_prefix="{org}/"),
    ),
}


@pytest.mark.parametrize("case", WITHIN.values(), ids=WITHIN)
def test_what_the_client_may_do_its_users_may_be_given(case: tuple[Grant, Grant]) -> None:
    """A front end cannot be set up."""
    own, users = case
    assert grants.require_within([users], [own], CLIENT) == (users,)


@pytest.mark.parametrize("case", BEYOND.values(), ids=BEYOND)
def test_what_the_client_may_not_do_its_users_may_not_be_given(case: tuple[Grant, Grant]) -> None:
    """A client has a token issued with which it reads what it may not read itself."""
    own, users = case
    with pytest.raises(InvalidArgumentError, match=r"user_grants\[0\]"):
        grants.require_within([users], [own], CLIENT)


def test_the_actions_of_a_users_grant_may_come_of_several() -> None:
    """A front end with two grants cannot give its users both."""
    own = [grant("chatdb", READ), grant("chat*", WRITE, key_prefix="users/")]
    users = [grant("chatdb", READ, WRITE, key_prefix="users/{sub}/")]
    assert grants.require_within(users, own, CLIENT) == tuple(users)
    with pytest.raises(InvalidArgumentError, match=r"user_grants\[1\] allows to write"):
        grants.require_within([*users, grant("chatdb", READ, WRITE)], own, CLIENT)


SMALL = st.builds(
    Grant,
    database=st.sampled_from(["*", "a*", "ab*", "ab", "abc", "b"]),
    actions=st.frozensets(st.sampled_from([READ, WRITE])),
    key_prefix=st.sampled_from(
        ["", "u", "u/", "u/{sub}/", "{sub}/", "{sub}/{client_id}/", "{client_id}/", "u/a", "c/u/"]
    ),
)


@given(
    own=st.lists(SMALL, max_size=4),
    users=st.lists(SMALL, max_size=4),
    name=st.sampled_from(["u", "c", "a", "al", "é"]),
    database=st.sampled_from(["a", "ab", "abc", "abcd", "b"]),
    key=st.text(alphabet="u/cal", max_size=6),
)
def test_no_user_ever_has_more_than_the_client(
    own: list[Grant], users: list[Grant], name: str, database: str, key: str
) -> None:
    """Some grants, some name of a user and some key give a user what its client has not."""
    try:
        grants.require_within(users, own, "c")
    except InvalidArgumentError:
        return
    clients = grants.resolved(own, grants.client_claims("c"))
    its_users = grants.resolved(users, {"sub": name, "client_id": "c"})
    for action in (READ, WRITE):
        if grants.allowed(its_users, database, key, action):
            assert grants.allowed(clients, database, key, action)


def test_a_record_with_more_is_never_written() -> None:
    """A client is stored whose users have more than it has."""
    rig = MainRig()
    with pytest.raises(InvalidArgumentError):
        rig.provisioning.put_client("front", (grant("a", READ),), (grant("b", READ),))
    assert "front" not in rig.memory.clients
    rig.provisioning.put_client("front", (grant("a", READ),), (grant("a", READ),))
    with pytest.raises(InvalidArgumentError):
        rig.provisioning.put_client("front", (grant("b", READ),), (grant("a", READ),))
    assert rig.memory.clients["front"].grants == (grant("a", READ),)
    rig.provisioning.put_client("front", (grant("b", READ),))
    assert rig.memory.clients["front"].user_grants == ()


def test_a_client_has_a_bounded_number_of_grants() -> None:
    """A client's record takes a second to be read, at each of its logins."""
    rig, many = MainRig(), (grant("a", READ),) * (limits.GRANTS_MAX + 1)
    rig.provisioning.put_client("front", many[1:], many[1:])
    for own, users in ((many, ()), (many[1:], many)):
        with pytest.raises(InvalidArgumentError, match="at most"):
            rig.provisioning.put_client("front", own, users)
