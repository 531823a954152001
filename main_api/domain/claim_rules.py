"""Which claims of a foreign token give which grants.

A rule holds conditions on claims, all of which have to be met, and the grants that it then gives.
What a token comes to are the grants of every rule whose conditions it meets; without one it comes
to nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec

from main_api.domain import grants
from main_api.domain.grants import Action, Grant
from strongroom import limits
from strongroom.jsontext import JsonValue

# Strings that hold several values with spaces between them (RFC 6749 section 3.3, RFC 8693 4.2).
_SPACED: Final = frozenset({"scope", "scp"})
_POINTER: Final = "/"

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.CLAIM_TEXT_CHARS_MAX)]
_Whole = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
_Values = Annotated[
    tuple[_Text | _Whole | bool, ...],
    msgspec.Meta(min_length=1, max_length=limits.CONDITION_VALUES_MAX),
]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Grants, and who gets them.

    Attributes:
        claims: Conditions, each a claim and the values of which it has one: as the claim itself, or
            as an element where the claim is a list. A claim is told by its name; by a JSON Pointer
            (RFC 6901) where that begins with `/`: `/realm_access/roles`. Strings, whole numbers,
            `true` and `false` are compared, and nothing is taken for another type.
        grants: What is granted; a claim stands in a key prefix as in a client's grants.
    """

    claims: Annotated[dict[_Text, _Values], msgspec.Meta(max_length=limits.RULE_CONDITIONS_MAX)]
    grants: Annotated[tuple[Grant, ...], msgspec.Meta(min_length=1, max_length=limits.GRANTS_MAX)]

    def __post_init__(self) -> None:
        """Refuse a rule that makes an administrator of everybody.

        Raises:
            ValueError: It is one.
        """
        if not self.claims and Action.ADMIN in grants.actions_of(self.grants):
            raise ValueError("a rule that grants admin has a condition in claims")

    def is_met(self, claims: Mapping[str, JsonValue]) -> bool:
        """Tell whether a token's claims meet every condition."""
        return all(
            any(_is_same(wanted, given) for wanted in values for given in _values(claims, name))
            for name, values in self.claims.items()
        )


def granted(rules: Iterable[Rule], claims: Mapping[str, JsonValue]) -> tuple[Grant, ...]:
    """Return what the rules grant to a token, its claims in the place of their names.

    Only a claim that is a string stands in a key prefix: whoever is number 7 is not who is called
    "7", and a list is no one's name.
    """
    found = (grant for rule in rules if rule.is_met(claims) for grant in rule.grants)
    return tuple(dict.fromkeys(grants.resolved(found, strings(claims))))


def strings(claims: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return the claims that are strings, those aside that are too long for a key."""
    return {
        name: value
        for name, value in claims.items()
        if isinstance(value, str) and len(value) <= limits.ENTITY_KEY_BYTES_MAX
    }


def _values(claims: Mapping[str, JsonValue], name: str) -> list[JsonValue]:
    found = _pointed_at(claims, name) if name.startswith(_POINTER) else claims.get(name)
    if isinstance(found, str) and name in _SPACED:
        return list(found.split(" "))
    return found if isinstance(found, list) else [found]


def _pointed_at(claims: Mapping[str, JsonValue], pointer: str) -> JsonValue:
    """Return what a JSON Pointer leads to, through objects only; None for nothing."""
    found: Any = claims
    for token in pointer.split("/")[1:]:
        if not isinstance(found, Mapping):
            return None
        found = found.get(token.replace("~1", "/").replace("~0", "~"))
    return found


def _is_same(wanted: str | int | bool, given: JsonValue) -> bool:  # noqa: FBT001 - a JSON value
    # To Python True is 1.
    return type(wanted) is type(given) and wanted == given
