"""Looks at every file below files/ and tells which are not as they should be.

It goes through the databases in order and through each of them shard by shard, a bounded piece per
call.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from processing_fn.service.bindings import Bindings
from processing_fn.service.judging import Judge
from processing_fn.service.ports import EntityStorage, Shard
from processing_fn.service.reading import Reader
from processing_fn.service.session import Session
from strongroom import ids, limits
from strongroom.clock import Clock
from strongroom.configuration import Database
from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom.finding import Condition, Finding

_SHARDS: Final = 256
_CHUNK: Final = 8
_LAST_OF_A_SHARD: Final = b"\xff" * 31


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
    ) -> None:
        """Take the parts."""
        self._session = session
        self._storage = storage
        self._bindings = bindings
        self._reader = reader
        self._clock = clock
        self._pool = ThreadPoolExecutor(limits.SCAN_THREADS, thread_name_prefix="inspect")

    def inspect(self, cursor: str, *, repair: bool) -> Report:
        """Inspect for about a second.

        Args:
            cursor: Where the call before has ended; empty to begin.
            repair: Renew sidecars, and remove what a crash or a deletion has left.

        Raises:
            InvalidArgumentError: Not a cursor.
            UnavailableError: No lease, or a directory cannot be listed.
        """
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

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _steps(self, names: list[str], start: _Position | None, *, repair: bool) -> Iterator[_Step]:
        databases = [name for name in names if _is_database(name)]
        if start is None:
            start = _Position()
            odd = [_orphan(n, "no database has such a name") for n in names if n not in databases]
            yield _Step(odd, start)
        for name in databases:
            if name > start.database:
                odd = [_stranger(f"{name}/", stray) for stray in self._storage.strangers(name)]
                yield _Step(odd, _Position(name))
            if name >= start.database:
                after = start.file_id if name == start.database else b""
                yield from self._shards(name, after, repair=repair)

    def _shards(self, name: str, after: bytes, *, repair: bool) -> Iterator[_Step]:
        judge = Judge(self._session, self._storage, self._reader, name, self._record(name), repair)
        for number in range(after[0] if after else 0, _SHARDS):
            shard = self._storage.shard(name, number)
            # Within a shard where a call ended, these were told already.
            if not after or after[0] < number:
                yield self._left_behind(name, number, shard, repair=repair)
            todo = [file_id for file_id in shard.file_ids if file_id > after]
            for begin in range(0, len(todo), _CHUNK):
                chunk = todo[begin : begin + _CHUNK]
                judged = self._pool.map(judge.judge, chunk)
                found = [one for one in judged if one is not None]
                yield _Step(found, _Position(name, chunk[-1]), len(chunk))
            yield _Step([], _Position(name, bytes([number]) + _LAST_OF_A_SHARD))

    def _left_behind(self, name: str, number: int, shard: Shard, *, repair: bool) -> _Step:
        place = f"{name}/{number:02x}/"
        if repair and shard.temporaries:
            self._storage.sweep(name, number)
        left = [
            Finding(f"files/{place}{stray}", Condition.STALE, "a crash has left it", repair)
            for stray in shard.temporaries
        ]
        odd = [_stranger(place, stray) for stray in shard.strangers]
        return _Step([*left, *odd], _Position(name, bytes([number])))

    def _record(self, name: str) -> Database | None:
        try:
            return self._bindings.record(name)
        except IntegrityError:
            # The Main Worker reports the configuration itself.
            return None


def _stranger(directory: str, name: str) -> Finding:
    return _orphan(f"{directory}{name}", "it is none of our files")


def _orphan(path: str, reason: str) -> Finding:
    # A name that is no text, or one that would move a terminal's cursor, is shown escaped.
    return Finding(ascii(f"files/{path}")[1:-1], Condition.ORPHANED, reason)


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
        file_id = bytes.fromhex(text)
    except ValueError as error:
        raise InvalidArgumentError("the cursor is not one of an inspection") from error
    if (name and not _is_database(name)) or len(file_id) not in {0, 1, 32}:
        raise InvalidArgumentError("the cursor is not one of an inspection")
    return _Position(name, file_id)
