"""Looks at every file below files/ and tells which are not as they should be.

It goes through the databases in order and through each of them shard by shard, a bounded piece per
call.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from processing_fn.service.bindings import Bindings
from processing_fn.service.judging import Judge
from processing_fn.service.pool import ReadingPool
from processing_fn.service.ports import EntityStorage, Place, Shard
from processing_fn.service.reading import Reader
from processing_fn.service.session import Session
from strongroom import ids, limits
from strongroom.clock import Clock
from strongroom.configuration import Database
from strongroom.errors import IntegrityError, InvalidArgumentError, UnavailableError
from strongroom.finding import Condition, Finding

_SHARDS: Final = 256
_CHUNK: Final = 8
_LAST_OF_A_SHARD: Final = b"\xff" * 31
_END: Final = b"\xff" + _LAST_OF_A_SHARD
_EMPTY: Final = Shard((), (), ())
_TOLD_BY_NAME_MAX: Final = limits.FINDINGS_PER_PAGE // 4
"""How much of what does not belong into a directory is told one by one: a report is a message."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one call has found.

    Attributes:
        findings: Files that are not as they should be.
        cursor: Where the next call begins; empty for the end.
        examined: How many entities were looked at.
        done: How many shards of all databases lie behind it.
        total: How many there are.
    """

    findings: tuple[Finding, ...]
    cursor: str
    examined: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class _Step:
    findings: list[Finding]
    position: "_Position"
    examined: int = 0


@dataclass(frozen=True, slots=True, order=True)
class _Position:
    """How far an inspection has come: everything up to this file-id of this database."""

    database: str = ""
    file_id: bytes = b""

    def cursor(self) -> str:
        return f"{self.database}/{self.file_id.hex()}"


class Inspector:
    """Inspects the files of all databases. Safe under threads."""

    def __init__(
        self,
        session: Session,
        storage: EntityStorage,
        bindings: Bindings,
        reader: Reader,
        clock: Clock,
        *,
        is_remote: bool,
    ) -> None:
        """Take the parts; `is_remote` is whether every read of a file is a round trip."""
        self._session = session
        self._storage = storage
        self._bindings = bindings
        self._reader = reader
        self._clock = clock
        self._pool = ReadingPool("inspect", is_remote=is_remote)

    def inspect(self, cursor: str, *, repair: bool) -> Report:
        """Inspect for about a second.

        Args:
            cursor: Where the call before has ended; empty to begin.
            repair: Renew sidecars, and remove what a crash or a deletion has left.

        Raises:
            InvalidArgumentError: Not a cursor.
            UnavailableError: No lease, or a directory cannot be listed.
        """
        report = self._inspected(cursor, repair=repair)
        # Without keys nothing can be said of a file; another worker does it.
        self._session.lease.require()
        return report

    def close(self) -> None:
        """Let the threads go."""
        self._pool.close()

    def _inspected(self, cursor: str, *, repair: bool) -> Report:
        self._session.lease.require()
        start = _position(cursor)
        names = self._storage.databases()
        findings: list[Finding] = []
        examined = 0
        ends_at_s = self._clock.boot_s() + limits.SCAN_SECONDS
        total = _SHARDS * len(names)
        for step in self._steps(names, start, repair=repair):
            findings += step.findings
            examined += step.examined
            if self._clock.boot_s() >= ends_at_s or len(findings) >= limits.FINDINGS_PER_PAGE:
                done = _SHARDS * sum(name < step.position.database for name in names)
                done += step.position.file_id[0] if step.position.file_id else 0
                return Report(tuple(findings), step.position.cursor(), examined, done, total)
        return Report(tuple(findings), "", examined, total, total)

    def _steps(self, names: list[str], start: _Position | None, *, repair: bool) -> Iterator[_Step]:
        """Yield what is found, each time at a position beyond `start` and the one before."""
        databases = [name for name in names if _is_database(name)]
        if start is None:
            start = _Position()
            odd = [_orphan(n, "no database has such a name") for n in names if n not in databases]
            yield _Step(_bounded(odd, "files"), start)
        for name in databases:
            if name > start.database:
                yield _Step(self._odd(name), _Position(name))
            if name >= start.database:
                after = start.file_id if name == start.database else b""
                yield from self._shards(name, after, repair=repair)

    def _odd(self, name: str) -> list[Finding]:
        # A record that does not verify or cannot be read is told of elsewhere.
        with suppress(IntegrityError, UnavailableError):
            if self._bindings.record(name) is None:
                # It may be anything, a link to another directory too, and is not looked through.
                return [_orphan(name, "no database has such a name")]
        odd = [_stranger(f"{name}/", stray) for stray in self._storage.strangers(name)]
        return _bounded(odd, f"files/{name}")

    def _shards(self, name: str, after: bytes, *, repair: bool) -> Iterator[_Step]:
        if after == _END:
            return
        try:
            judge = self._judge(name, repair=repair)
        except UnavailableError:
            unread = "the configuration of its database cannot be read"
            yield _Step(
                [Finding(f"files/{name}", Condition.UNJUDGED, unread)], _Position(name, _END)
            )
            return
        for number in range(_first_shard(after), _SHARDS):
            yield from self._shard(judge, number, after, repair=repair)
            yield _Step([], _Position(name, bytes([number]) + _LAST_OF_A_SHARD))

    def _shard(self, judge: Judge, number: int, after: bytes, *, repair: bool) -> Iterator[_Step]:
        name, begun = judge.name, _Position(judge.name, bytes([number]))
        shard = self._listed(judge, number)
        if isinstance(shard, Finding):
            yield _Step([shard], _Position(name, bytes([number]) + _LAST_OF_A_SHARD))
            return
        # Within a shard where a call ended, these were told already.
        if not after or after[0] < number:
            yield _Step(self._left_behind(name, number, shard, repair=repair), begun)
        todo = [file_id for file_id in shard.file_ids if file_id > after]
        for begin in range(0, len(todo), _CHUNK):
            chunk = todo[begin : begin + _CHUNK]
            yield _Step(self._judged(judge, chunk), _Position(name, chunk[-1]), len(chunk))

    def _listed(self, judge: Judge, number: int) -> Shard | Finding:
        """List a shard; what is no directory in its place lists as an empty one."""
        path = f"files/{judge.name}/{number:02x}"
        try:
            shard = self._storage.shard(judge.name, number)
        except IntegrityError as error:
            return Finding(path, Condition.DAMAGED, error.detail)
        if shard == _EMPTY and judge.database is not None:
            try:
                self._storage.peek(Place(judge.name, "", bytes([number]) + _LAST_OF_A_SHARD))
            except UnavailableError:
                return Finding(path, Condition.UNJUDGED, "it cannot be read as a directory")
        return shard

    def _judged(self, judge: Judge, chunk: list[bytes]) -> list[Finding]:
        found = [one for one in self._pool.map(judge.judge, chunk) if one is not None]
        # What was looked at without a lease is not judged: another worker does it.
        self._session.lease.require()
        return found

    def _left_behind(self, name: str, number: int, shard: Shard, *, repair: bool) -> list[Finding]:
        place = f"{name}/{number:02x}/"
        staying = set(shard.temporaries)
        if repair and staying:
            staying = self._swept(name, number)
        left = [
            Finding(
                _shown(f"files/{place}{stray}"),
                Condition.STALE,
                "a crash has left it",
                stray not in staying,
            )
            for stray in shard.temporaries
        ]
        odd = [_stranger(place, stray) for stray in shard.strangers]
        return _bounded([*left, *odd], f"files/{name}/{number:02x}")

    def _swept(self, name: str, number: int) -> set[str]:
        """Sweep a shard's temporary files; return those that are there still."""
        # A directory of such a name ends the sweep.
        with suppress(IntegrityError):
            self._storage.sweep(name, number)
        return set(self._storage.shard(name, number).temporaries)

    def _judge(self, name: str, *, repair: bool) -> Judge:
        def record() -> Database | None:
            try:
                return self._bindings.record(name)
            except IntegrityError:
                # The Main Worker reports the configuration itself.
                return None

        return Judge(self._session, self._storage, self._reader, name, record(), record, repair)


def _first_shard(after: bytes) -> int:
    if not after:
        return 0
    return after[0] + 1 if after[1:] == _LAST_OF_A_SHARD else after[0]


def _bounded(findings: list[Finding], directory: str) -> list[Finding]:
    """Return the findings in one directory, what is too much of them as a number."""
    more = findings[_TOLD_BY_NAME_MAX:]
    if not more:
        return findings
    reason = f"{len(more)} more in it are not as they should be"
    rest = Finding(directory, more[-1].condition, reason, all(one.repaired for one in more))
    return [*findings[:_TOLD_BY_NAME_MAX], rest]


def _stranger(directory: str, name: str) -> Finding:
    return _orphan(f"{directory}{name}", "it is none of our files")


def _orphan(path: str, reason: str) -> Finding:
    return Finding(_shown(f"files/{path}"), Condition.ORPHANED, reason)


def _shown(path: str) -> str:
    # A name that is no text, or one that would move a terminal's cursor, is shown escaped.
    return ascii(path)[1:-1]


def _is_database(name: str) -> bool:
    try:
        return bool(ids.database_name(name))
    except InvalidArgumentError:
        return False


def _position(cursor: str) -> _Position | None:
    """Return where a call begins, None for the very beginning."""
    if not cursor:
        return None
    name, _, text = cursor.partition("/")
    try:
        position = _Position(name, bytes.fromhex(text))
    except ValueError as error:
        raise InvalidArgumentError("the cursor is not one of an inspection") from error
    begins = not name and not text
    well_formed = _is_database(name) and len(position.file_id) in {0, 1, 32}
    if position.cursor() != cursor or not (begins or well_formed):
        raise InvalidArgumentError("the cursor is not one of an inspection")
    return position
