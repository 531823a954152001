"""Conditional requests, RFC 9110 section 13: `If-Match` and `If-None-Match` over our versions.

An entity tag of ours is a version, `"3"`. Another one is a tag that nothing here has: it is
compared like any other, and matches nothing.
"""

import re
from typing import Final

from strongroom import limits
from strongroom.entity import Condition
from strongroom.errors import InvalidArgumentError

_TAG: Final = re.compile(r'[ \t,]*(W/)?"([\x21\x23-\x7e]*)"[ \t]*(?:,|$)')
_VERSION: Final = re.compile("[1-9][0-9]{0,15}")
_ANY: Final = "*"
_NEVER: Final = 0
"""A version that no entity has."""


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def of_request(if_match: str | None, if_none_match: str | None) -> Condition:
    """Return what the header fields of a request demand (RFC 9110 section 13.2.2).

    Raises:
        InvalidArgumentError: One is not `*` or a list of entity tags.
    """
    wanted = _versions("If-Match", if_match, strong=True)
    unwanted = _versions("If-None-Match", if_none_match, strong=False)
    if wanted is not None and unwanted == ():
        # There has to be one, and none: with two fields a client can say so.
        return Condition(if_version=_NEVER)
    return Condition(
        if_version=_only(wanted),
        if_present=wanted == (),
        if_one_of=wanted if wanted is not None and len(wanted) > 1 else (),
        if_absent=unwanted == (),
        if_none_of=unwanted or (),
    )


def is_known(if_none_match: str | None, version: int) -> bool:
    """Tell whether a reader has a version already; a field that cannot be read is passed over."""
    try:
        unwanted = _versions("If-None-Match", if_none_match, strong=False)
    except InvalidArgumentError:
        return False
    return unwanted is not None and (not unwanted or version in unwanted)


def one_known(if_none_match: str | None) -> int:
    """Return the version that a reader has, 0 where that is none or there are several."""
    match = _TAG.fullmatch(if_none_match or "")
    return int(match[2]) if match is not None and _VERSION.fullmatch(match[2]) else 0


def _only(wanted: tuple[int, ...] | None) -> int | None:
    return wanted[0] if wanted is not None and len(wanted) == 1 else None


def _versions(name: str, value: str | None, *, strong: bool) -> tuple[int, ...] | None:
    """Return the versions that a field lists, none for `*`; None without the field.

    A list that has no version of ours is (0,), which matches nothing.
    """
    if value is None:
        return None
    if value.strip() == _ANY:
        return ()
    found = set()
    place = 0
    tags = 0
    while place < len(value):
        match = _TAG.match(value, place)
        tags += 1
        if match is None or tags > limits.ENTITY_TAGS_MAX:
            raise InvalidArgumentError(
                f'{name} is * or up to {limits.ENTITY_TAGS_MAX} entity tags such as "3"'
            )
        place = match.end()
        is_ours = _VERSION.fullmatch(match[2]) is not None
        if is_ours and not (strong and match[1]):
            found.add(int(match[2]))
    if not tags:
        raise InvalidArgumentError(f'{name} is * or entity tags such as "3"')
    return tuple(sorted(found)) or (_NEVER,)
