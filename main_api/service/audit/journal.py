"""Writes the audit log of one process: a chain of its own, in segments, several records at a time.

Records are gathered in a batch. Whoever wants his record on the disk has the batch written, and
with it what others have put there meanwhile: of any number who wait, one syncs for all. What need
not be durable is written a moment later, by a thread that does nothing else; where there is none,
at once (on Lambda nothing runs between requests).

Where a write fails, nobody knows what of it is on the disk, and a failed fsync is never tried
again: the chain ends there. The next record begins another one, which mentions how far this one had
come, and says first how many records were lost in between.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from main_api.domain.audit import chain, names, records, segments
from main_api.domain.audit.chain import Chain
from main_api.domain.audit.names import SegmentName
from main_api.domain.audit.records import Record
from main_api.domain.audit.segments import Head
from main_api.service.audit.ports import AuditSegments, OpenSegment
from strongroom import limits, logs
from strongroom.clock import Clock, rfc3339
from strongroom.errors import InternalError, StrongroomError, UnavailableError
from strongroom.keyring import Keys

GAP: Final = "audit.gap"
"""The act of the record that says how many are missing."""

Line = bytes | Callable[[], bytes]
"""A record's line, or what makes it when it is written."""

_BATCH_BYTES: Final = limits.AUDIT_BLOCK_BYTES_MAX // 4
_USUAL_BYTES: Final = 512
_log = logs.logger()


@dataclass(frozen=True, slots=True)
class Bounds:
    """When another segment is begun."""

    segment_bytes: int = limits.AUDIT_SEGMENT_BYTES_MAX
    segment_s: float = limits.AUDIT_SEGMENT_SECONDS_MAX


@dataclass(frozen=True, slots=True)
class JournalState:
    """How the audit log of this process is.

    Attributes:
        is_up: Whether the last write has succeeded.
        since: RFC 3339: when that began, as far as this process knows.
        reason: Why the last one has failed, for anybody to see; empty where it has not.
        written: How many records this process has written.
        lost: How many of what it should have recorded it has not.
    """

    is_up: bool
    since: str
    reason: str
    written: int
    lost: int


@dataclass(eq=False)
class _Batch:
    """Records that are written together; `failure` is empty once they are."""

    lines: list[Line] = field(default_factory=list)
    size_bytes: int = 0
    durable: int = 0
    is_pending: bool = True
    failure: str = "it was not written"


@dataclass
class _Gap:
    """What was not written since the log went down: lost, or refused together with its act."""

    since_ms: int
    reason: str
    lost: int = 0
    refused: int = 0


@dataclass
class _Writing:
    """A chain that is being written; `settled` is its last head that is surely on the disk."""

    chain: Chain
    segment: OpenSegment
    size_bytes: int
    begun_s: float
    mentioned_s: float
    settled: Head


class Journal:
    """Takes lines of records. Safe under threads."""

    def __init__(
        self, stored: AuditSegments, keys: Keys, clock: Clock, bounds: Bounds | None = None
    ) -> None:
        """Write nothing yet: the chain begins with the first record."""
        self._stored = stored
        self._keys = keys
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._lock = threading.Lock()  # of the batch and the counts
        self._file = threading.Lock()  # of everything else
        self._batch = _Batch()
        self._writing: _Writing | None = None
        self._former: Head | None = None
        self._gap: _Gap | None = None
        self._retry_s = 0.0
        self._since = rfc3339(clock.wall_ms())
        self._written = self._lost = 0
        self.is_flushed_by_others = False
        """Whether somebody calls `flush` again and again."""

    def state(self) -> JournalState:
        """Return how it is."""
        with self._lock:
            gap = self._gap
            reason = "" if gap is None else gap.reason
            return JournalState(gap is None, self._since, reason, self._written, self._lost)

    def write(self, line: Line, *, is_durable: bool) -> None:
        """Take a record; with `is_durable` it survives a power cut when this returns.

        Raises:
            UnavailableError: A durable one cannot be written. Another one that cannot is counted.
        """
        with self._lock:
            batch = self._batch
            batch.lines.append(line)
            batch.size_bytes += len(line) + 1 if isinstance(line, bytes) else _USUAL_BYTES
            batch.durable += is_durable
            is_large = batch.size_bytes >= _BATCH_BYTES
        if is_durable or is_large or not self.is_flushed_by_others:
            self._commit(batch)
        if is_durable and batch.failure:
            raise UnavailableError(
                f"the audit log cannot be written, so this is not done: {batch.failure}",
                retry_after_s=1,
            )

    def flush(self) -> None:
        """Write what waits; where the log is down, see whether it can be written again."""
        with self._lock:
            batch = self._batch
            is_needed = bool(batch.lines) or self._gap is not None
        if is_needed:
            self._commit(batch)

    def close(self) -> None:
        """Write what waits, and end the chain."""
        self.flush()
        with self._file:
            writing, self._writing = self._writing, None
            if writing is None:
                return
            try:
                end = writing.chain.end(self._clock.wall_ms())
                writing.segment.append(end, is_durable=True)
            except UnavailableError as error:
                _log.error("audit-unavailable", code=error.code, reason=error.detail)
            finally:
                writing.segment.close()

    def mark_removal(self, before_ms: int) -> None:
        """Put on record, durably, that what was written before an instant is removed.

        Raises:
            UnavailableError: It cannot be written.
        """
        self.flush()
        with self._file:
            if self._writing is None:
                raise UnavailableError("the audit log cannot be written", retry_after_s=1)
            try:
                block = self._writing.chain.removal(before_ms, self._clock.wall_ms())
                self._append(self._writing, block, is_durable=True)
            except StrongroomError as error:
                self._fail(error, _Batch())
                raise

    def _commit(self, batch: _Batch) -> None:
        with self._file:
            if not batch.is_pending:
                return
            with self._lock:
                self._batch = _Batch()
                batch.is_pending = False
            if self._clock.boot_s() < self._retry_s:
                self._count_failed(batch)
                return
            try:
                self._put(batch)
            except StrongroomError as error:
                self._fail(error, batch)
            except Exception:  # noqa: BLE001 - what was not written must not pass for written
                _log.exception("audit-failed")
                self._fail(InternalError("a defect; the log of the process has more"), batch)
            else:
                self._succeed(batch)

    def _put(self, batch: _Batch) -> None:
        """Write a batch as blocks; raises StrongroomError where the disk or the keyring refuses."""
        made = [line if isinstance(line, bytes) else line() for line in batch.lines]
        pieces = list(_pieces([*self._gap_lines(), *made]))
        for number, lines in enumerate(pieces, start=1):
            at_ms = self._clock.wall_ms()
            writing = self._writing
            if writing is None or self._is_full(writing, lines):
                self._begin(lines, at_ms)
            else:
                block = writing.chain.records(lines, at_ms)
                is_last = number == len(pieces)
                self._append(writing, block, is_durable=bool(batch.durable) and is_last)

    def _append(self, writing: _Writing, block: bytes, *, is_durable: bool) -> None:
        writing.segment.append(block, is_durable=is_durable)
        writing.size_bytes += len(block)
        if is_durable:
            writing.settled = writing.chain.head

    def _is_full(self, writing: _Writing, lines: list[bytes]) -> bool:
        is_old = self._clock.boot_s() - writing.begun_s >= self._bounds.segment_s
        size_bytes = writing.size_bytes + chain.records_bytes(lines)
        return is_old or size_bytes > self._bounds.segment_bytes

    def _begin(self, lines: list[bytes], at_ms: int) -> None:
        """Begin a segment, or a chain, with some records in it."""
        former, now_s = self._writing, self._clock.boot_s()
        if former is None:
            mine = Chain(chain.active_key(self._keys), names.new_chain(at_ms))
        else:
            mine = former.chain
            # What the next segment is chained to must not be lost where that one is kept.
            self._append(former, b"", is_durable=True)
        name, data = mine.begin(at_ms)
        mentioned_s = (
            former.mentioned_s if former is not None else -limits.AUDIT_SEGMENT_SECONDS_MAX
        )
        if now_s - mentioned_s >= limits.AUDIT_MENTIONED_EVERY_SECONDS:
            mentioned_s = now_s
            heads = self._others(mine.head.chain)
            data += mine.mentions(heads, at_ms) if heads else b""
        data += mine.records(lines, at_ms)
        segment = self._stored.create(str(name), data)
        self._writing = _Writing(mine, segment, len(data), now_s, mentioned_s, mine.head)
        self._former = None
        if former is not None:
            former.segment.close()

    def _others(self, own: str) -> list[Head]:
        """Return how far other chains have come; what cannot be read of them is left out."""
        found = [parsed for parsed in map(names.parse, self._stored.names()) if parsed is not None]
        heads = {} if self._former is None else {self._former.chain: self._former}
        for name in names.to_be_mentioned(found, own):
            # After a failed fsync the page cache shows more than is on the disk.
            if name.chain not in heads:
                head = self._head(name)
                if head is not None:
                    heads[name.chain] = head
        return list(heads.values())

    def _head(self, name: SegmentName) -> Head | None:
        try:
            segment = segments.parse(self._stored.settled(str(name)) or b"")
        except StrongroomError as error:
            _log.warning("audit-segment-unreadable", file_id=str(name), reason=error.detail)
            return None
        head = segments.last_head(segment)
        return head if head is not None and head.block else None

    # -- when it goes wrong, and when it is well again ---------------------------------------------

    def _fail(self, error: StrongroomError, batch: _Batch) -> None:
        """End the chain where it stood."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.segment.close()
            self._former = writing.settled if writing.settled.block else None
        self._retry_s = self._clock.boot_s() + limits.AUDIT_RETRIED_EVERY_SECONDS
        with self._lock:
            is_new = self._gap is None
            now_ms = self._clock.wall_ms()
            if self._gap is None:
                self._since = rfc3339(now_ms)
                self._gap = _Gap(now_ms, error.detail)
            self._gap.reason = error.detail
        self._count_failed(batch)
        if is_new:
            _log.error("audit-unavailable", code=error.code, reason=error.detail)

    def _count_failed(self, batch: _Batch) -> None:
        with self._lock:
            gap = self._gap
            if gap is not None:
                lost = len(batch.lines) - batch.durable
                batch.failure = gap.reason
                gap.refused += batch.durable
                gap.lost += lost
                self._lost += lost

    def _succeed(self, batch: _Batch) -> None:
        batch.failure = ""
        with self._lock:
            self._written += len(batch.lines)
            gap, self._gap = self._gap, None
            if gap is not None:
                self._since = rfc3339(self._clock.wall_ms())
        if gap is not None:
            _log.info("audit-available-again", count=gap.lost)

    def _gap_lines(self) -> list[bytes]:
        gap = self._gap
        if gap is None:
            return []
        record = Record(
            at=rfc3339(gap.since_ms),
            act=GAP,
            outcome="unavailable",
            face="main",
            detail={"lost": gap.lost, "refused": gap.refused, "reason": gap.reason},
            until=rfc3339(self._clock.wall_ms()),
        )
        return [records.encode(record)]


def _pieces(lines: list[bytes]) -> Iterator[list[bytes]]:
    """Yield lines by as many as fit into a block."""
    piece: list[bytes] = []
    size_bytes = 0
    for line in lines:
        if piece and size_bytes + len(line) > _BATCH_BYTES:
            yield piece
            piece, size_bytes = [], 0
        piece.append(line)
        size_bytes += len(line) + 1
    if piece:
        yield piece
