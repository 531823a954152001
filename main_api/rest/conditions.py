"""Conditional requests, RFC 9110 section 13: `If-Match` and `If-None-Match` over our versions."""

import re
from typing import Final

from strongroom.entity import UNCONDITIONAL, Condition
from strongroom.errors import InvalidArgumentError

_ETAG: Final = re.compile(r'\s*"([1-9][0-9]{0,15})"\s*')


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def for_write(if_match: str | None, if_none_match: str | None) -> Condition:
    """Return what the headers of a write demand.

    Raises:
        InvalidArgumentError: Not one entity tag of ours, or both headers at once.
    """
    if if_match is not None and if_none_match is not None:
        raise InvalidArgumentError("send If-Match or If-None-Match, not both")
    if if_match is not None:
        if if_match.strip() == "*":
            return Condition(if_present=True)
        return Condition(if_version=_version("If-Match", if_match))
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise InvalidArgumentError("If-None-Match of a write is *")
        return Condition(if_absent=True)
    return UNCONDITIONAL


def known_versions(if_none_match: str | None) -> frozenset[int]:
    """Return the versions that a reader has; what cannot be one of ours is passed over."""
    tags = [] if if_none_match is None else if_none_match.split(",")
    matches = [_ETAG.fullmatch(tag.strip().removeprefix("W/")) for tag in tags]
    return frozenset(int(match[1]) for match in matches if match is not None)


def _version(header: str, value: str) -> int:
    match = _ETAG.fullmatch(value)
    if match is None:
        raise InvalidArgumentError(f'{header} is * or one entity tag such as "3"')
    return int(match[1])
