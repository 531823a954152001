"""The commit of design.md section 3, for every kind of write."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from processing_fn.domain import entity
from processing_fn.domain.entity import Change, Outcome, Request, State, Write, Writer
from processing_fn.service import deadline
from processing_fn.service.coherence import Commit, Commits
from processing_fn.service.ports import EntityStorage, Place, Transaction
from processing_fn.service.reading import Reader, RetiredError
from processing_fn.service.session import Session
from processing_fn.service.validation import CompiledTemplate
from strongroom import blob, limits
from strongroom.clock import Clock
from strongroom.configuration import Database
from strongroom.entity import UNCONDITIONAL, Condition

Decide = Callable[[State | None, int], Change]
"""Makes a change of (what clients see now, the instant in milliseconds); may refuse by raising."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A write as a client asked for it.

    Attributes:
        entity_key: Which entity.
        condition: What has to hold.
        request_id: Tells a repetition from a new write; empty for none.
        content: What tells this request from another one under the same id.
        validate_only: Whether to answer as it would be answered, and write nothing.
    """

    entity_key: str
    condition: Condition
    request_id: str
    content: tuple[bytes, ...]
    validate_only: bool = False


class Committer:
    """Commits changes, one entity at a time. Safe under threads."""

    def __init__(
        self,
        session: Session,
        storage: EntityStorage,
        reader: Reader,
        clock: Clock,
        commits: Commits,
    ) -> None:
        """Take the parts; `commits` is told of each."""
        self._session = session
        self._storage = storage
        self._reader = reader
        self._clock = clock
        self._commits = commits

    def commit(
        self, database: Database, compiled: CompiledTemplate, demand: Demand, decide: Decide
    ) -> Outcome:
        """Lock, read, look the request id up, check, decide, encrypt, commit, cache.

        Raises:
            PreconditionFailedError, IdempotencyMismatchError: As the request demands.
            IntegrityError: What lies there does not verify.
            UnavailableError: Nothing was written.
            OutcomeUnknownError: It may or may not have been written.
            StrongroomError: What `decide` raises; nothing was written.
        """
        file_id = self._session.file_id(database.name, database.incarnation, demand.entity_key)
        place = Place(database.name, database.incarnation, file_id)
        request = self._request(file_id, demand)
        with self._storage.exclusive(place) as transaction:
            now_ms = self._clock.wall_ms()
            current = self._state(transaction, place, demand.entity_key)
            repeated = entity.replay(current, request, now_ms)
            if repeated is not None:
                return repeated
            entity.check(current, request, now_ms)
            change = decide(entity.visible(current, now_ms), now_ms)
            version = compiled.template.schema_version
            with self._session.data_keys.writing() as key_id:
                writer = self._writer(key_id, database, database.schema_id, version, now_ms)
                write = entity.plan(current, request, change, writer)
                if not demand.validate_only:
                    self._write(transaction, place, write)
        return write.outcome

    def replayed(self, database: Database, demand: Demand) -> Outcome | None:
        """Return the first answer to a request that was applied before, None for a new one.

        Raises:
            IdempotencyMismatchError, IntegrityError, UnavailableError: As `commit`.
        """
        file_id = self._session.file_id(database.name, database.incarnation, demand.entity_key)
        place = Place(database.name, database.incarnation, file_id)
        found = self._storage.load(
            place, lambda parsed: self._reader.open(parsed, place, demand.entity_key)
        )
        if found is None:
            return None
        parsed, body, _ = found
        current = State(parsed.header, body, {})
        return entity.replay(current, self._request(file_id, demand), self._clock.wall_ms())

    def purge(self, database: Database, place: Place) -> None:
        """Put a tombstone in the place of an entity whose time is over; else do nothing.

        Raises:
            As `commit`.
        """
        with self._storage.exclusive(place) as transaction:
            now_ms = self._clock.wall_ms()
            current = self._state(transaction, place, None)
            if current is None or current.header.deleted or current.is_there(now_ms):
                return
            schema = (current.header.schema_id, current.header.schema_version)
            request = Request(current.body.entity_key, UNCONDITIONAL, None, b"")
            change = Change(document=None, expires_at=None)
            with self._session.data_keys.writing() as key_id:
                writer = self._writer(key_id, database, *schema, now_ms)
                self._write(transaction, place, entity.plan(current, request, change, writer))

    def rewrap(self, place: Place, wait_s: float = limits.LOCK_WAIT_SECONDS) -> bool:
        """Encrypt a file anew under the active key; tell whether it was under another.

        Version, times and content stay as they are: nobody who reads the entity sees a change. It
        may lie anywhere, in a deleted database too: its file-id is proven, its place is not asked.

        Raises:
            BusyError: Others hold its lock for longer than `wait_s`.
            As `commit`.
        """
        with self._storage.exclusive(place, wait_s) as transaction:
            parsed = transaction.current()
            with self._session.data_keys.writing() as key_id:
                if parsed is None or parsed.header.key_id == key_id:
                    return False
                body = self._session.decrypt(parsed, place.file_id)
                header = msgspec.structs.replace(parsed.header, key_id=key_id, iv=blob.fresh_iv())
                sidecar = self._encrypt(transaction, place, header, body, parsed.extra())
                self._reader.refresh(place, header, body, sidecar)
        return True

    def remove_retired(self, database: Database, place: Place) -> bool:
        """Remove the files of an entity of a deleted incarnation; tell whether they were of one.

        Raises:
            As `commit`.
        """
        with self._storage.exclusive(place) as transaction:
            parsed = transaction.current()
            if parsed is None:
                return False
            try:
                self._reader.open(parsed, place, None, database.retired)
            except RetiredError:
                self._guard()
                transaction.remove()
                return True
        return False

    def _writer(
        self, key_id: str, database: Database, schema_id: str, schema_version: int, now_ms: int
    ) -> Writer:
        return Writer(
            writer_id=self._session.worker_id,
            key_id=key_id,
            schema_id=schema_id,
            schema_version=schema_version,
            version_floor=database.version_floor,
            now_ms=now_ms,
        )

    def _write(self, transaction: Transaction, place: Place, write: Write) -> None:
        # Of the time before: whoever wrote after us, with a lock that we had lost, came later.
        began_s = self._clock.boot_s()
        sidecar = self._encrypt(transaction, place, write.header, write.body, write.header_extra)
        self._reader.keep(place, write.header, write.body, sidecar, began_s)
        self._commits.note(Commit(place.file_id, write.header.version))

    def _encrypt(
        self,
        transaction: Transaction,
        place: Place,
        header: blob.Header,
        body: blob.Body,
        header_extra: dict[str, Any],
    ) -> bytes:
        """Commit a blob; return its sidecar."""
        raw = self._session.encrypt(header, body, place.file_id, header_extra)
        sidecar = transaction.commit(raw, self._guard)
        self._session.written.add(header.key_id, len(raw))
        return sidecar

    def _guard(self) -> None:
        """Refuse at the last moment before the commit point.

        Raises:
            UnavailableError: The lease has ended, or nobody waits for the answer any more; whoever
                asked may have been told so by now, and may have asked another worker.
        """
        self._session.lease.require()
        deadline.require()

    def _state(
        self, transaction: Transaction, place: Place, entity_key: str | None
    ) -> State | None:
        parsed = transaction.current()
        if parsed is None:
            return None
        body = self._reader.open(parsed, place, entity_key)
        return State(parsed.header, body, parsed.extra())

    def _request(self, file_id: bytes, demand: Demand) -> Request:
        session = self._session
        hashed = session.request_hash(file_id, demand.request_id) if demand.request_id else None
        digest = session.request_digest(_condition_bytes(demand.condition), *demand.content)
        return Request(demand.entity_key, demand.condition, hashed, digest)


def _condition_bytes(condition: Condition) -> bytes:
    """Return a condition as it goes into a stored digest: this form must not change."""
    version = "" if condition.if_version is None else str(condition.if_version)
    known = f"{version},{condition.if_absent:d},{condition.if_present:d}"
    lists = (condition.if_one_of, condition.if_none_of)
    return (f"{known},{lists}" if any(lists) else known).encode()
