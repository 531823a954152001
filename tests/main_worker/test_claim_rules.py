"""Which claims give which grants: never one more than an administrator has said."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain import claim_rules
from main_api.domain.claim_rules import Rule
from main_api.domain.grants import Action, Grant
from strongroom import jsontext
from tests.support.mains import grant

READ = grant("chatdb", Action.READ)
WRITE = grant("chatdb", Action.WRITE)
EVERYTHING = grant("*", Action.ADMIN)


def rule(claims: dict[str, Any], *granted: Grant) -> Rule:
    """Return a rule as it comes over the wire."""
    return decoded({"claims": claims, "grants": msgspec.to_builtins(granted or (READ,))})


def decoded(text: dict[str, Any]) -> Rule:
    """Return a rule as a request body has it."""
    return msgspec.json.decode(msgspec.json.encode(text), type=Rule)


def met(conditions: dict[str, Any], claims: dict[str, Any]) -> bool:
    """Tell whether a token's claims meet conditions, both as JSON has them."""
    given_claims = jsontext.parse(msgspec.json.encode(claims))
    return bool(claim_rules.granted([rule(conditions)], given_claims))


def test_a_claim_with_the_value_gives_the_grant() -> None:
    """Nobody gets in by the groups that an administrator has named."""
    for claims in ({"groups": ["staff", "chat"]}, {"groups": "chat"}, {"groups": ["ops"]}):
        assert met({"groups": ["chat", "ops"]}, claims)


@pytest.mark.parametrize(
    "groups",
    [
        "chatter",
        "cha",
        "Chat",
        "chat ",
        "staff chat",
        "chat,staff",
        [],
        ["staff"],
        [["chat"]],
        {"chat": True},
        [{"name": "chat"}],
        {"0": "chat"},
        None,
        True,
        0,
        "",
    ],
)
def test_nothing_else_is_taken_for_the_value(groups: Any) -> None:  # noqa: ANN401 - any JSON
    """Whoever may choose a group's name, or a claim's shape, chooses another group's grants."""
    assert not met({"groups": ["chat"]}, {"groups": groups})


def test_without_the_claim_there_is_nothing() -> None:
    """A token that says nothing of groups has everybody's."""
    assert not met({"groups": ["chat"]}, {"sub": "ada", "roles": ["chat"]})


@pytest.mark.parametrize(
    ("wanted", "given_value", "is_same"),
    [
        (True, True, True),
        (True, 1, False),
        (True, "true", False),
        (True, 1.0, False),
        (1, True, False),
        (1, 1, True),
        (1, "1", False),
        (1, 1.0, False),
        ("1", 1, False),
        (False, 0, False),
        (False, None, False),
        (False, False, True),
        (0, False, False),
        ("null", None, False),
        ("None", None, False),
    ],
)
def test_a_value_is_of_its_type(wanted: Any, given_value: Any, is_same: bool) -> None:  # noqa: ANN401, FBT001 - any JSON
    """`email_verified: "false"` counts as verified, or `1` as true."""
    assert met({"flag": [wanted]}, {"flag": given_value}) is is_same


def test_every_condition_has_to_be_met() -> None:
    """One claim out of two is enough."""
    both = {"groups": ["chat"], "azp": ["web", "phone"]}
    assert met(both, {"groups": ["chat"], "azp": "phone"})
    assert not met(both, {"groups": ["chat"], "azp": "desk"})
    assert not met(both, {"groups": ["chat"]})


def test_a_scope_is_several_values_in_one_text() -> None:
    """A scope of two words gives nothing; or a word within a word gives its grants."""
    assert met({"scope": ["chat"]}, {"scope": "openid chat"})
    assert met({"scp": ["chat"]}, {"scp": ["openid", "chat"]})
    assert not met({"scope": ["chat"]}, {"scope": "openid chat:read"})
    assert not met({"scope": ["chat"]}, {"scope": "openid\tchat"})
    assert not met({"name": ["chat"]}, {"name": "openid chat"})


def test_a_claim_within_claims_is_pointed_at() -> None:
    """Keycloak's roles cannot be named; or those of another application are taken for ours."""
    claims = {
        "realm_access": {"roles": ["chat"]},
        "resource_access": {"strongroom": {"roles": ["ops"]}, "a/b~c": {"roles": ["odd"]}},
        "realm_access/roles": ["flat"],
        "/realm_access/roles": ["slash"],
        "https://example.com/roles": ["namespaced"],
    }
    assert met({"/realm_access/roles": ["chat"]}, claims)
    assert met({"/resource_access/strongroom/roles": ["ops"]}, claims)
    assert met({"/resource_access/a~1b~0c/roles": ["odd"]}, claims)
    assert met({"https://example.com/roles": ["namespaced"]}, claims)
    assert met({"realm_access/roles": ["flat"]}, claims)
    assert met({"/~1realm_access~1roles": ["slash"]}, claims)
    for pointer in ("/realm_access", "/realm_access/roles/0", "/realm_access/x/y", "/", "/roles"):
        assert not met({pointer: ["chat"]}, claims)


def test_a_token_has_the_grants_of_all_its_rules_once() -> None:
    """Who is in two groups has only one's grants, or each grant many times over."""
    rules = [
        rule({"groups": ["a"]}, READ),
        rule({"groups": ["b"]}, READ, WRITE),
        rule({"groups": ["c"]}, EVERYTHING),
    ]
    assert claim_rules.granted(rules, {"groups": ["a", "b"]}) == (READ, WRITE)
    assert claim_rules.granted(rules, {"groups": ["d"]}) == ()


def test_a_rule_without_conditions_is_for_every_token() -> None:
    """A deployment that trusts all users of an issuer has to list them."""
    assert met({}, {})


def test_nobody_makes_an_administrator_of_everybody() -> None:
    """A rule that somebody left without a condition gives every user of an issuer everything."""
    with pytest.raises(msgspec.ValidationError, match="admin"):
        rule({}, READ, EVERYTHING)
    assert rule({"groups": ["ops"]}, EVERYTHING)


MINE = grant("chatdb", Action.READ, key_prefix="users/{sub}/")


@pytest.mark.parametrize(
    "sub",
    [7, 7.5, True, None, ["ada"], {"ada": 1}, "", "a/b", "a\nb", "x" * 513, Decimal(7)],
    ids=repr,
)
def test_only_a_name_stands_in_a_key_prefix(sub: Any) -> None:  # noqa: ANN401 - any JSON
    """A list, a number or a path in the place of a name opens what is somebody else's."""
    assert claim_rules.granted([rule({}, MINE)], {"sub": sub}) == ()


def test_claims_stand_in_a_key_prefix() -> None:
    """A user of an issuer has no place of her own."""
    (found,) = claim_rules.granted([rule({}, MINE)], {"sub": "auth0|7", "groups": ["x"]})
    assert found.key_prefix == "users/auth0|7/"


def test_a_claim_that_is_no_name_costs_only_its_own_grants() -> None:
    """One odd claim takes everything from a user."""
    rules = [rule({}, grant("chatdb", Action.READ, key_prefix="{team}/"), MINE)]
    (found,) = claim_rules.granted(rules, {"sub": "ada", "team": ["a", "b"]})
    assert found.key_prefix == "users/ada/"


@pytest.mark.parametrize(
    "body",
    [
        {"grants": [{"database": "*", "actions": ["read"]}]},
        {"claims": {}},
        {"claims": {}, "grants": []},
        {"claims": {"groups": []}, "grants": [{"database": "*", "actions": ["read"]}]},
        {"claims": {"groups": "chat"}, "grants": [{"database": "*", "actions": ["read"]}]},
        {"claims": {"groups": [None]}, "grants": [{"database": "*", "actions": ["read"]}]},
        {"claims": {"groups": [1.5]}, "grants": [{"database": "*", "actions": ["read"]}]},
        {"claims": {"groups": [["x"]]}, "grants": [{"database": "*", "actions": ["read"]}]},
        {"claims": {"groups": [""]}, "grants": [{"database": "*", "actions": ["read"]}]},
        {"claims": {"": ["x"]}, "grants": [{"database": "*", "actions": ["read"]}]},
        {"claims": {"x" * 513: ["x"]}, "grants": [{"database": "*", "actions": ["read"]}]},
        {"claims": {"g": ["x"] * 101}, "grants": [{"database": "*", "actions": ["read"]}]},
        {
            "claims": {str(i): ["x"] for i in range(11)},
            "grants": [{"database": "*", "actions": []}],
        },
        {"claims": {}, "grants": [{"database": "*", "actions": ["read"]}], "when": {}},
        {"claims": {}, "grants": [{"database": "*", "actions": ["read"], "key_prefix": "{sub}"}]},
    ],
)
def test_a_rule_that_says_something_else_is_refused(body: dict[str, Any]) -> None:
    """A rule with a slip in it is kept, and means more than its author thinks."""
    with pytest.raises(msgspec.ValidationError):
        decoded(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b", "1", "true"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=8,
)


@given(JSON)
def test_a_claim_of_any_shape_gives_what_it_says_and_nothing_more(
    value: Any,  # noqa: ANN401 - any JSON
) -> None:
    """Some token's claims make every request of its bearer fail, or open what none of them says."""
    held = value if isinstance(value, list) else [value]
    for wanted in ("a", "1", 1, True, False):
        says_it = any(type(one) is type(wanted) and one == wanted for one in held)
        assert met({"claim": [wanted]}, {"claim": value}) is says_it
        assert met({"/a/claim": [wanted]}, {"a": {"claim": value}}) is says_it
        assert met({"/claim/a": [wanted]}, {"claim": value}) is (
            isinstance(value, dict) and met({"a": [wanted]}, value)
        )
