"""Conditional requests, RFC 9110 section 13: `If-Match` and `If-None-Match`; `etag` over gRPC.

The entity tag of an entity is its version, `"3"`. Another tag is one that nothing here has: it is
compared like any other, and matches nothing.
"""

import re
from typing import Final

from strongroom import limits
from strongroom.entity import UNCONDITIONAL, Condition
from strongroom.errors import InvalidArgumentError

_TAG: Final = re.compile(r'[ \t,]*(W/)?"([\x21\x23-\x7e]*)"[ \t]*(?:,|$)')
_VERSION: Final = re.compile("[1-9][0-9]{0,15}")
_ANY: Final = "*"
_NEVER: Final = 0
"""A version that no entity has."""


def etag(text: str | int) -> str:
    """Return an entity tag, of a version or of another text without quotes."""
    return f'"{text}"'


def of_request(if_match: str | None, if_none_match: str | None) -> Condition:
    """Return what the header fields of a request demand of an entity (RFC 9110 section 13.2.2).

    Raises:
        InvalidArgumentError: One is not `*` or a list of entity tags.
    """
    if if_match is None and if_none_match is None:
        return UNCONDITIONAL
    wanted = _versions("If-Match", if_match, strong=True)
    unwanted = _versions("If-None-Match", if_none_match, strong=False)
    if wanted is not None and unwanted == ():
        # There has to be one, and none: with two fields a client can say so.
        return Condition(if_version=_NEVER)
    return Condition(
        if_version=wanted[0] if wanted is not None and len(wanted) == 1 else None,
        if_present=wanted == (),
        if_one_of=wanted if wanted is not None and len(wanted) > 1 else (),
        if_absent=unwanted == (),
        if_none_of=unwanted or (),
    )


def of_etag(etag: str) -> Condition:
    """Return what an `etag` demands (AIP-154), which is what `If-Match` does; empty for nothing.

    Raises:
        InvalidArgumentError: It is not `*` or a list of entity tags.
    """
    return of_request(etag or None, None)


def is_known(if_none_match: str | None, text: str | int) -> bool:
    """Tell whether a reader has what is tagged so; a field that cannot be read is passed over."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == _ANY:
        return True
    try:
        return str(text) in [tag for _, tag in _tags("If-None-Match", if_none_match)]
    except InvalidArgumentError:
        return False


def one_known(if_none_match: str | None) -> int:
    """Return the version that a reader has, 0 where that is none or there are several."""
    match = _TAG.fullmatch(if_none_match or "")
    return int(match[2]) if match is not None and _VERSION.fullmatch(match[2]) else 0


def _versions(name: str, value: str | None, *, strong: bool) -> tuple[int, ...] | None:
    """Return the versions that a field lists, none for `*`; None without the field.

    A list that has no version of ours is (0,), which matches nothing.
    """
    if value is None:
        return None
    if value.strip() == _ANY:
        return ()
    found = {
        int(text)
        for weak, text in _tags(name, value)
        if _VERSION.fullmatch(text) is not None and not (strong and weak)
    }
    return tuple(sorted(found)) or (_NEVER,)


def _tags(name: str, value: str) -> list[tuple[bool, str]]:
    """Return the entity tags of a list: whether each is weak, and its text.

    Raises:
        InvalidArgumentError: It is none, or too long.
    """
    found: list[tuple[bool, str]] = []
    place = 0
    while place < len(value) and len(found) <= limits.ENTITY_TAGS_MAX:
        match = _TAG.match(value, place)
        if match is None:
            found.clear()
            break
        found.append((match[1] is not None, match[2]))
        place = match.end()
    if not 0 < len(found) <= limits.ENTITY_TAGS_MAX:
        raise InvalidArgumentError(
            f'{name} is * or up to {limits.ENTITY_TAGS_MAX} entity tags such as "3"'
        )
    return found
