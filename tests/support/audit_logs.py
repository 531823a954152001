"""Audit logs that tests make, look at and tamper with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from main_api.adapters.audit_files import AuditFiles
from main_api.domain.audit import chain, names, records, segments, verification
from main_api.domain.audit.records import Record
from main_api.domain.audit.segments import Head, Kind, Segment
from main_api.domain.audit.verification import Verdict
from main_api.service.audit.journal import Bounds, Journal
from strongroom import keyring
from strongroom.clock import Clock, rfc3339
from strongroom.durable import Filesystem, LocalFilesystem
from strongroom.errors import UnavailableError
from strongroom.keyring import Keyring
from strongroom.layout import Layout
from tests.support.clocks import ManualClock

AT = "2026-01-01T00:00:00.000Z"
KEYS = keyring.new("test-deployment", AT)


@dataclass
class MemoryLog:
    """A `verification.Log` that is a dictionary, so that anything can be done to it."""

    files: dict[str, bytes] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return the names."""
        return list(self.files)

    def read(self, name: str) -> bytes | None:
        """Return a file."""
        return self.files.get(name)

    def with_file(self, name: str, raw: bytes) -> "MemoryLog":
        """Return the log with another content of one file."""
        return MemoryLog({**self.files, name: raw})

    def without(self, name: str) -> "MemoryLog":
        """Return the log without a file."""
        return MemoryLog({other: raw for other, raw in self.files.items() if other != name})


class MemorySegments(MemoryLog):
    """An `AuditSegments`; `down` makes it refuse, `lasts` after so many more writes."""

    down = False
    lasts = -1

    def settled(self, name: str) -> bytes | None:
        """Return a file."""
        return self.read(name)

    def create(self, name: str, data: bytes) -> "MemorySegment":
        """Keep a file."""
        made = MemorySegment(self, name)
        made.append(data, is_durable=True)
        return made

    def remove(self, name: str) -> None:
        """Remove a file."""
        del self.files[name]


@dataclass
class MemorySegment:
    """An `OpenSegment` of it."""

    log: MemorySegments
    name: str

    def append(self, data: bytes, *, is_durable: bool) -> None:
        """Keep some bytes."""
        del is_durable
        if self.log.down or self.log.lasts == 0:
            raise UnavailableError("the storage is full", retry_after_s=30)
        self.log.lasts -= 1
        self.log.files[self.name] = self.log.files.get(self.name, b"") + data

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class AuditRig:
    """The audit log of one directory, and processes that write it."""

    root: Path
    clock: Clock = field(default_factory=ManualClock)
    filesystem: Filesystem = field(default_factory=LocalFilesystem)
    keys: Keyring = KEYS

    def journal(
        self, bounds: Bounds | None = None, filesystem: Filesystem | None = None
    ) -> Journal:
        """Return what a process writes by."""
        return Journal(self.files(filesystem), self.keys, self.clock, bounds)

    def files(self, filesystem: Filesystem | None = None) -> AuditFiles:
        """Return the files."""
        return AuditFiles(filesystem or self.filesystem, Layout(self.root).audit())

    def copy(self) -> MemoryLog:
        """Return what lies there now."""
        files = self.files()
        return MemoryLog({name: files.read(name) or b"" for name in files.names()})

    def verify(self, kept: tuple[Head, ...] = ()) -> Verdict:
        """Verify what lies there, without any secret."""
        return verify(self.copy(), kept, self.keys)

    def acts(self) -> list[str]:
        """Return the acts that are on record, chain by chain."""
        return [record.act for record in read(self.copy(), self.keys)]


def public_keys(keys: Keyring = KEYS) -> dict[str, bytes]:
    """Return what an auditor is given."""
    return {name: key.signing.public_key for name, key in chain.every_key(keys).items()}


def verify(log: MemoryLog, kept: tuple[Head, ...] = (), keys: Keyring = KEYS) -> Verdict:
    """Verify a log."""
    return verification.verify(log, public_keys(keys), kept)


def alarms(log: MemoryLog, kept: tuple[Head, ...] = ()) -> list[str]:
    """Return the alarms of a verification."""
    return [finding.reason for finding in verify(log, kept).findings if finding.is_alarm]


def read(log: MemoryLog, keys: Keyring = KEYS) -> Iterator[Record]:
    """Yield the records of a log."""
    known = chain.every_key(keys)
    for name in sorted(filter(None, map(names.parse, log.names()))):
        segment = segments.parse(log.files[str(name)])
        opener = chain.Opener(segment, known) if segment.header else None
        for block in segment.blocks:
            if opener is not None and block.kind is Kind.RECORDS:
                yield from map(records.decode, opener.lines(block))


def line(act: str, **members: object) -> bytes:
    """Return a record's line."""
    return records.encode(Record(at=AT, act=act, outcome=records.OK, **members))  # type: ignore[arg-type]


def heads(verdict: Verdict) -> tuple[Head, ...]:
    """Return the heads that a verification prints."""
    return tuple(state.head for state in verdict.chains)


def each_segment(log: MemoryLog) -> list[tuple[str, Segment]]:
    """Return the segments, in their order."""
    return [(name, segments.parse(log.files[name])) for name in sorted(log.files)]


def at(clock: Clock) -> str:
    """Return the time."""
    return rfc3339(clock.wall_ms())


Change = Callable[[MemoryLog], MemoryLog]
