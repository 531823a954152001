"""How the segments of the audit log are named, and which of them may still change.

    <chain, 28 hex digits>-<number, 6 digits>-<begun, 12 hex digits of milliseconds>.audit

A chain's id begins with the millisecond of its own beginning, so that names sort by it.
"""

import re
import secrets
from collections.abc import Iterable
from typing import Final, NamedTuple

from strongroom import limits

_NAME: Final = re.compile(r"([0-9a-f]{28})-([0-9]{6})-([0-9a-f]{12})\.audit")
_RANDOM_BYTES: Final = 8
SEGMENTS_PER_CHAIN_MAX: Final = 999_999
_CHANGING_MS: Final = (
    limits.AUDIT_SEGMENT_SECONDS_MAX + limits.AUDIT_SEGMENT_SLACK_SECONDS
) * 1_000


class SegmentName(NamedTuple):
    """The name of a segment: its chain, its number in it, when it was begun (ms)."""

    chain: str
    number: int
    begun_ms: int

    def __str__(self) -> str:
        """Return the file's name."""
        return f"{self.chain}-{self.number:06d}-{self.begun_ms:012x}.audit"


def parse(text: str) -> SegmentName | None:
    """Return the name that a file's name is, None where it is none of ours."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    return SegmentName(match[1], int(match[2]), int(match[3], 16))


def new_chain(begun_ms: int) -> str:
    """Return the id of a new chain, which no other has."""
    return f"{begun_ms:012x}{secrets.token_hex(_RANDOM_BYTES)}"


def by_chain(names: Iterable[SegmentName]) -> dict[str, list[SegmentName]]:
    """Return the segments of each chain in their order, chains by their age."""
    chains: dict[str, list[SegmentName]] = {}
    for name in sorted(names):
        chains.setdefault(name.chain, []).append(name)
    return chains


def is_frozen(name: SegmentName, now_ms: int) -> bool:
    """Tell whether nobody appends to a segment any more.

    Whoever writes begins another one after `limits.AUDIT_SEGMENT_SECONDS_MAX`; the rest is for
    clocks that differ.
    """
    return name.begun_ms + _CHANGING_MS < now_ms


def by_their_ends(names: Iterable[SegmentName], now_ms: int) -> list[tuple[int, SegmentName]]:
    """Return the segments with the instant after which nothing was written to each, latest first.

    A segment ends where the next one of its chain begins.
    """
    found: list[tuple[int, SegmentName]] = []
    for segments in by_chain(names).values():
        begun = [name.begun_ms for name in segments[1:]]
        last_ms = min(now_ms, segments[-1].begun_ms + _CHANGING_MS)
        found += zip([*begun, last_ms], segments, strict=True)
    return sorted(found, reverse=True)


def to_be_mentioned(names: Iterable[SegmentName], own: str) -> list[SegmentName]:
    """Return the last segments of those chains whose heads a chain has to mention.

    Whoever begins a segment mentions how far the others have come. So of those whose last segment
    was frozen when another one was begun, the final head is known by now. The second newest segment
    counts for that, because who has begun the newest one may have died of it.

    Args:
        names: All segments that there are.
        own: The chain that is to mention them.
    """
    chains = by_chain(names)
    chains.pop(own, None)
    begun = sorted(name.begun_ms for segments in chains.values() for name in segments)
    since_ms = begun[-2] if len(begun) > 1 else 0
    last = (segments[-1] for segments in chains.values())
    open_ones = [name for name in last if not is_frozen(name, since_ms)]
    open_ones.sort(key=lambda name: name.begun_ms)
    return open_ones[-limits.AUDIT_HEADS_MENTIONED_MAX :]
