"""Claims in a grant's key prefix: a token opens what is its bearer's, and never more."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain import grants
from main_api.domain.grants import Action, Grant

CHATS = Grant(database="chatdb", actions=frozenset({Action.READ}), key_prefix="users/{sub}/")


def _opens(claims: dict[str, str], key: str, grant: Grant = CHATS) -> bool:
    return grants.allowed(grants.resolved([grant], claims), "chatdb", key, Action.READ)


def test_a_user_has_what_is_the_users() -> None:
    """A chat front end cannot hand a token to a user without handing everybody's chats."""
    assert _opens({"sub": "al"}, "users/al/1")
    for other in ("users/alice/1", "users/bob/1", "users/al", "users/Al/1", "users/{sub}/1", "x"):
        assert not _opens({"sub": "al"}, other)


def test_without_the_claim_there_is_no_grant() -> None:
    """The text of the template itself is taken for a prefix; or everything is opened."""
    for claims in ({}, {"sub": ""}, {"other": "al"}):
        assert grants.resolved([CHATS], claims) == ()
    assert not _opens({}, "users/{sub}/1")
    assert not _opens({}, "users//1")


@pytest.mark.parametrize(
    "claim",
    ["/", "a/b", "a/../b", "../bob", "al/", "\0", "a\nb", "\x7f", "\x85", "\ud800", "x" * 513],
)
def test_a_claim_that_is_no_part_of_a_key_opens_nothing(claim: str) -> None:
    """Whoever chooses a name chooses whose entities to read."""
    assert grants.resolved([CHATS], {"sub": claim}) == ()


def test_names_are_compared_byte_for_byte() -> None:
    """Two users whose names look alike share their entities."""
    composed, decomposed = "\u00e9", "e\u0301"
    assert _opens({"sub": composed}, f"users/{composed}/1")
    assert not _opens({"sub": composed}, f"users/{decomposed}/1")
    assert not _opens({"sub": "\u0130"}, "users/i\u0307/1")
    assert _opens({"sub": ".."}, "users/../1")
    assert not _opens({"sub": ".."}, "users/bob/1")


def test_what_a_claim_says_is_not_read_as_a_template() -> None:
    """A user calls itself by another claim's name."""
    assert not _opens({"sub": "{org}", "org": "acme"}, "users/acme/1")
    assert _opens({"sub": "{org}", "org": "acme"}, "users/{org}/1")


def test_several_claims_stand_side_by_side() -> None:
    """Only the first one is filled in."""
    grant = msgspec.structs.replace(CHATS, key_prefix="{org}/x{https:id.sub}/")
    assert _opens({"org": "acme", "https:id.sub": "7"}, "acme/x7/1", grant)
    assert not _opens({"org": "acme"}, "acme/x{https:id.sub}/1", grant)


def test_a_grant_without_a_claim_stays_as_it_is() -> None:
    """Every grant of a client depends on its token's claims."""
    plain = msgspec.structs.replace(CHATS, key_prefix="users/al")
    assert grants.resolved([plain], {}) == (plain,)


@pytest.mark.parametrize(
    "prefix", ["{sub}", "{", "}", "a{b", "{a}{b}/", "{{a}/", "{}/", "{a b}/", "{sub}x/", "{sub} /"]
)
def test_a_template_that_would_mean_too_much_is_refused(prefix: str) -> None:
    """`users/{sub}` opens for `al` what is `alice`'s; nobody sees that in the grant."""
    text = msgspec.json.encode({"database": "*", "actions": ["read"], "key_prefix": prefix})
    with pytest.raises(msgspec.ValidationError, match=re.escape("users/{sub}/")):
        msgspec.json.decode(text, type=Grant)


@pytest.mark.parametrize("name", ["{", "}", "a{b", "{}", "{{x}}", "{sub", "users/{"])
def test_a_name_with_braces_is_a_name(name: str) -> None:
    """Somebody whose name has a brace in it gets an internal error for every request."""
    assert _opens({"sub": name}, f"users/{name}/1") is ("/" not in name)
    assert not _opens({"sub": name}, "users/x/1")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_name_opens_what_is_another_ones(mine: str, others: str, rest: str) -> None:
    """Some name out of all of Unicode is a prefix of another one."""
    if _opens({"sub": mine}, f"users/{others}/{rest}") and "/" not in others:
        assert mine == others
