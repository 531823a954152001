"""What administrators are shown of the audit log: records, how far it has come, what verifies it.

A page goes on where the one before has ended: its cursor says how far each chain was read that may
still grow. It is encrypted, and bound to whom it was given; so whoever has one has read the log
before, which is on record, and needs no record for every page.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from main_api.domain.audit import chain, names, records, segments
from main_api.domain.audit.chain import AuditKey
from main_api.domain.audit.names import SegmentName
from main_api.domain.audit.records import Record
from main_api.domain.audit.segments import Head, Kind
from main_api.domain.caller import Caller
from main_api.service.audit import entry as audit_entry
from main_api.service.audit.ports import AuditSegments
from main_api.service.callers.access import Access
from strongroom import limits
from strongroom.clock import Clock
from strongroom.crypto import aead
from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom.keyring import Keys

_CURSOR: Final = b"strongroom/audit-cursor/v1"


@dataclass(frozen=True, slots=True)
class Placed:
    """A record, and where it stands; `at_ms` is when its block was written."""

    chain: str
    segment: int
    block: int
    index: int
    at_ms: int
    record: Record

    @property
    def record_id(self) -> str:
        """What no other record has."""
        return f"{self.chain}/{self.block}/{self.index}"


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Records, the oldest first, and where the next page begins; there may always be one.

    Attributes:
        records: What was found.
        cursor: To go on with.
        damaged: How many blocks did not open; `strongroom audit verify` says more.
    """

    records: tuple[Placed, ...]
    cursor: str
    damaged: int


class _Place(NamedTuple):
    """How far a chain was read: in which segment, which block, how many of its records."""

    segment: int
    block: int
    records: int


_BEGINNING: Final = _Place(0, 0, 0)


class _Cursor(msgspec.Struct, frozen=True):
    """When a page was read, and how far the chains were that may have grown since."""

    at_ms: int
    read: dict[str, _Place]


class AuditReading:
    """Shows the audit log.

    Every method takes the action `admin` in a grant on every database, and raises ForbiddenError
    where it is missing; and UnavailableError for what the disk refuses.
    """

    def __init__(self, access: Access, stored: AuditSegments, keys: Keys, clock: Clock) -> None:
        """Take the parts."""
        self._access = access
        self._stored = stored
        self._keys = keys
        self._clock = clock

    def public_keys(self, caller: Caller) -> dict[str, bytes]:
        """Return the keys that verify the log, by id."""
        self._access.require_everywhere(caller)
        every = chain.every_key(self._keys)
        return {key_id: key.signing.public_key for key_id, key in every.items()}

    def heads(self, caller: Caller) -> list[Head]:
        """Return how far the chains have come that may still grow, or ended lately.

        They mention all others, so whoever keeps these can tell that nothing of the whole was cut.
        """
        self._access.require_everywhere(caller)
        found = self._names()
        heads = [self._head(name) for name in names.to_be_mentioned(found, own="")]
        return [head for head in heads if head.block]

    def page(self, caller: Caller, cursor: str = "", limit: int = limits.PAGE_SIZE) -> AuditPage:
        """Return the newest records, or what has come since a page.

        Args:
            caller: Who asks.
            cursor: The last page's; empty for the newest.
            limit: How many at the most.

        Raises:
            InvalidArgumentError: `limit` is not 1 to `limits.PAGE_SIZE_MAX`, or the cursor is not
                one of this.
        """
        self._access.require_everywhere(caller)
        if not 1 <= limit <= limits.PAGE_SIZE_MAX:
            raise InvalidArgumentError(f"limit is 1 to {limits.PAGE_SIZE_MAX}")
        now_ms = self._clock.wall_ms()
        before = self._opened(caller, cursor) if cursor else None
        gathering = _Gathering(self._stored, chain.every_key(self._keys), limit)
        found = self._names()
        if before is None:
            shown, read = gathering.newest(found, now_ms)
        else:
            audit_entry.unrecorded()
            shown, read = gathering.since(found, before)
        growing = {
            name.chain
            for _, name in names.by_their_ends(found, now_ms)
            if not names.is_frozen(name, now_ms)
        }
        kept = {one: place for one, place in read.items() if one in growing | gathering.left}
        return AuditPage(
            tuple(shown), self._sealed(caller, _Cursor(now_ms, kept)), gathering.damaged
        )

    def _names(self) -> list[SegmentName]:
        return [name for name in map(names.parse, self._stored.names()) if name is not None]

    def _head(self, name: SegmentName) -> Head:
        try:
            segment = segments.parse(self._stored.read(str(name)) or b"")
        except IntegrityError:
            return Head(name.chain, 0, 0, segments.NO_HEAD)
        return segments.last_head(segment) or Head(name.chain, 0, 0, segments.NO_HEAD)

    def _sealed(self, caller: Caller, cursor: _Cursor) -> str:
        iv = aead.new_iv()
        raw = iv + self._cipher(caller).seal(iv, msgspec.msgpack.encode(cursor), b"")
        return base64.urlsafe_b64encode(raw).decode()

    def _opened(self, caller: Caller, text: str) -> _Cursor:
        try:
            raw = base64.b64decode(text, altchars=b"-_", validate=True)
            iv, sealed = raw[: aead.IV_BYTES], raw[aead.IV_BYTES :]
            plain = self._cipher(caller).open(iv, sealed, b"")
            return msgspec.msgpack.decode(plain, type=_Cursor)
        except (binascii.Error, ValueError, IntegrityError) as error:
            raise InvalidArgumentError("the cursor is not one of the audit log") from error

    def _cipher(self, caller: Caller) -> aead.Cipher:
        material = chain.active_key(self._keys).material
        return aead.Cipher(material, _CURSOR, caller.unique_id.encode())


class _Gathering:
    """Gathers records from the segments of several chains.

    Attributes:
        damaged: How many blocks did not open.
        left: The chains of which there are records that were not shown.
    """

    def __init__(self, stored: AuditSegments, keys: Mapping[str, AuditKey], limit: int) -> None:
        self._stored = stored
        self._keys = keys
        self._limit = limit
        self.damaged = 0
        self.left: set[str] = set()

    def newest(
        self, found: list[SegmentName], now_ms: int
    ) -> tuple[list[Placed], dict[str, _Place]]:
        """Return the newest records, and where each chain ends."""
        placed: list[Placed] = []
        ends: dict[str, _Place] = {}
        for ended_ms, name in names.by_their_ends(found, now_ms)[: limits.AUDIT_SEGMENTS_READ_MAX]:
            if sum(one.at_ms >= ended_ms for one in placed) >= self._limit:
                break
            of_segment = list(self._records(name, _BEGINNING))
            placed += of_segment
            end = _after(of_segment[-1]) if of_segment else _Place(name.number, 0, 0)
            ends[name.chain] = max(end, ends.get(name.chain, _BEGINNING))
        placed.sort(key=_order)
        shown = self._fitting(reversed(placed))
        return shown[::-1], ends

    def since(
        self, found: list[SegmentName], cursor: _Cursor
    ) -> tuple[list[Placed], dict[str, _Place]]:
        """Return the oldest records that have come since, and how far each chain was read."""
        placed: list[Placed] = []
        read = dict(cursor.read)
        for one, files in names.by_chain(found).items():
            place = cursor.read.get(one)
            # One that is not there was frozen then, or has begun since.
            new = [name for name in files if not names.is_frozen(name, cursor.at_ms)]
            behind = self._of_chain(new if place is None else files, place or _BEGINNING)
            of_chain = list(islice(behind, self._limit))
            placed += of_chain
            if len(of_chain) == self._limit:
                self.left.add(one)
        placed.sort(key=_order)
        shown = self._fitting(placed)
        self.left |= {one.chain for one in placed[len(shown) :]}
        return shown, read | {one.chain: _after(one) for one in shown}

    def _fitting(self, placed: Iterable[Placed]) -> list[Placed]:
        """Return the first that fit into an answer."""
        shown: list[Placed] = []
        left_bytes = limits.PAGE_BYTES_MAX
        for one in islice(placed, self._limit):
            left_bytes -= len(records.encode(one.record)) + limits.ITEM_OVERHEAD_BYTES
            if left_bytes < 0:
                break
            shown.append(one)
        return shown

    def _of_chain(self, files: list[SegmentName], place: _Place) -> Iterator[Placed]:
        latest_ms = 0
        for name in files:
            if name.number >= place.segment:
                for one in self._records(name, place):
                    # A clock that was set back must not change the order within a chain.
                    latest_ms = max(latest_ms, one.at_ms)
                    yield replace(one, at_ms=latest_ms)

    def _records(self, name: SegmentName, place: _Place) -> Iterator[Placed]:
        """Yield the records of a segment that are behind a place."""
        try:
            segment = segments.parse(self._stored.read(str(name)) or b"")
            opener = chain.Opener(segment, self._keys)
        except IntegrityError:
            self.damaged += 1
            return
        for block in segment.blocks:
            if block.kind is not Kind.RECORDS or block.number < place.block:
                continue
            try:
                found = [records.decode(line) for line in opener.lines(block)]
            except IntegrityError:
                self.damaged += 1
                continue
            passed = place.records if block.number == place.block else 0
            for index, record in islice(enumerate(found), passed, None):
                yield Placed(name.chain, name.number, block.number, index, block.at_ms, record)


def _after(placed: Placed) -> _Place:
    return _Place(placed.segment, placed.block, placed.index + 1)


def _order(placed: Placed) -> tuple[int, str, int, int]:
    return placed.at_ms, placed.chain, placed.block, placed.index
