"""Reads and writes of entities: the road of design.md section 3, "Read" and "Commit"."""

from collections.abc import Sequence
from dataclasses import dataclass

from processing_fn.domain import entity
from processing_fn.domain.entity import Outcome, Request, State, Writer
from processing_fn.service.keyed_mutex import KeyedMutex
from processing_fn.service.ports import (
    CachedEntity,
    Configurations,
    EntityCache,
    EntityStorage,
    Place,
    Transaction,
)
from processing_fn.service.session import Session
from processing_fn.service.validation import CompiledTemplate, compile_template
from strongroom import blob, ids, limits
from strongroom.clock import Clock, from_rfc3339
from strongroom.configuration import Database
from strongroom.entity import UNCONDITIONAL, Condition, Metadata
from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    StaleBindingError,
    StrongroomError,
    TooLargeError,
    UnavailableError,
)


@dataclass(frozen=True, slots=True)
class Binding:
    """A database as the Main Worker takes it to be."""

    database: str
    incarnation: str
    schema_id: str


@dataclass(frozen=True, slots=True)
class Put:
    """One entity to be created or replaced."""

    entity_key: str
    document: bytes
    condition: Condition = UNCONDITIONAL
    request_id: str = ""
    ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An entity as a read found it."""

    metadata: Metadata
    document: bytes


class Engine:
    """The operations on entities, under the keys of one session. Safe under threads."""

    def __init__(
        self,
        session: Session,
        storage: EntityStorage,
        configurations: Configurations,
        cache: EntityCache,
        clock: Clock,
    ) -> None:
        """Take what the composition root has made."""
        self._session = session
        self._storage = storage
        self._configurations = configurations
        self._cache = cache
        self._clock = clock
        self._flights = KeyedMutex()
        self._bindings: dict[str, Database] = {}
        self._compiled: dict[str, CompiledTemplate] = {}

    def get(self, binding: Binding, entity_key: str) -> Snapshot:
        """Read an entity.

        Raises:
            NotFoundError: It is not there.
            IntegrityError: Its files do not verify.
            StaleBindingError: The disk binds the database otherwise.
            UnavailableError: No lease, no key, no lock or no disk.
        """
        self._session.lease.require()
        self._require_binding(binding)
        ids.entity_key(entity_key)
        file_id = self._session.file_id(binding.database, binding.incarnation, entity_key)
        found = self._current(Place(binding.database, file_id), entity_key)
        # Keys and memory may have outlived the lease while the disk was asked.
        self._session.lease.require()
        if found is None or (
            found.expiry_ms is not None and found.expiry_ms <= self._clock.wall_ms()
        ):
            raise NotFoundError("no such entity")
        return Snapshot(found.metadata, found.document)

    def get_many(
        self, binding: Binding, entity_keys: Sequence[str]
    ) -> list[Snapshot | StrongroomError]:
        """Read several entities; each has its own answer, in order.

        Raises:
            TooLargeError: Together they are larger than a message may be.
        """
        answers: list[Snapshot | StrongroomError] = []
        left = limits.MESSAGE_BYTES_MAX
        for key in entity_keys:
            answer = self._attempt_get(binding, key)
            left -= len(answer.document) if isinstance(answer, Snapshot) else 0
            if left < 0:
                raise TooLargeError("the entities together are too large; ask for fewer at once")
            answers.append(answer)
        return answers

    def put(self, binding: Binding, put: Put) -> Outcome:
        """Create or replace an entity.

        Raises:
            SchemaViolationError, InvalidDocumentError, TooLargeError, InvalidArgumentError: The
                request is refused; nothing was written.
            PreconditionFailedError, IdempotencyMismatchError: As the request demands.
            NotFoundError: There is no such database.
            StaleBindingError: The disk binds the database otherwise.
            IntegrityError: What lies there does not verify.
            UnavailableError: Nothing was written.
            OutcomeUnknownError: It may or may not have been written.
        """
        database, template = self._admit(binding, [put])
        return self._commit(database, template, put)

    def put_many(self, binding: Binding, puts: Sequence[Put]) -> list[Outcome | StrongroomError]:
        """Create or replace several entities: all are validated before any is written.

        Raises:
            As `put`, where a refusal of one is the refusal of all. A failure after that is the
            answer of its item alone.
        """
        database, template = self._admit(binding, puts)
        return [self._attempt_put(database, template, put) for put in puts]

    def forget(self) -> None:
        """Drop keys' use and documents; the engine serves nothing after that."""
        self._session.lease.end()
        self._cache.clear()

    # -- reading ---------------------------------------------------------------------------------

    def _attempt_get(self, binding: Binding, entity_key: str) -> Snapshot | StrongroomError:
        try:
            return self.get(binding, entity_key)
        except StrongroomError as error:
            return error

    def _current(self, place: Place, entity_key: str) -> CachedEntity | None:
        entry = self._cached(place)
        if entry is not None:
            self._cache.count("hits")
            return entry
        with self._flights.exclusive(place.file_id, limits.LOCK_WAIT_SECONDS):
            # A flight of another reader has only filled the cache; the check is our own.
            entry = self._cached(place)
            if entry is not None:
                self._cache.count("joined")
                return entry
            self._cache.count("misses")
            return self._load(place, entity_key)

    def _cached(self, place: Place) -> CachedEntity | None:
        entry = self._cache.get(place.file_id)
        if entry is None:
            return None
        if self._storage.is_current(place, entry.sidecar):
            return entry
        self._cache.count("stale")
        self._cache.drop(place.file_id)
        return None

    def _load(self, place: Place, entity_key: str) -> CachedEntity | None:
        def authenticate(parsed: blob.Parsed) -> blob.Body:
            return self._open(parsed, place, entity_key)

        found = self._storage.load(place, authenticate)
        if found is None:
            return None
        parsed, body, sidecar = found
        return self._keep(place, parsed.header, body, sidecar)

    def _open(self, parsed: blob.Parsed, place: Place, entity_key: str) -> blob.Body:
        body = blob.decrypt(parsed, place.file_id, self._session.data_keys)
        if body.entity_key != entity_key:
            raise IntegrityError("the file holds another entity")
        return body

    def _keep(
        self, place: Place, header: blob.Header, body: blob.Body, sidecar: bytes
    ) -> CachedEntity | None:
        if body.document is None:
            return None
        expires_at = header.expires_at
        entry = CachedEntity(
            entity_key=body.entity_key,
            database_name=place.database,
            metadata=entity.metadata(header),
            document=body.document,
            expiry_ms=None if expires_at is None else from_rfc3339(expires_at),
            sidecar=sidecar,
        )
        self._cache.put(place.file_id, entry)
        return entry

    # -- writing ---------------------------------------------------------------------------------

    def _admit(self, binding: Binding, puts: Sequence[Put]) -> tuple[Database, CompiledTemplate]:
        """Check everything that can be checked before a lock is taken."""
        self._session.lease.require()
        database = self._read_binding(binding)
        compiled = self._template(database.schema_id)
        for put in puts:
            try:
                _check(compiled, put)
            except StrongroomError as error:
                # With several entities in one request, the client wants to know which.
                error.entity_key = put.entity_key if len(puts) > 1 else None
                raise
        return database, compiled

    def _attempt_put(
        self, database: Database, compiled: CompiledTemplate, put: Put
    ) -> Outcome | StrongroomError:
        try:
            return self._commit(database, compiled, put)
        except StrongroomError as error:
            return error

    def _commit(self, database: Database, compiled: CompiledTemplate, put: Put) -> Outcome:
        session = self._session
        file_id = session.file_id(database.name, database.incarnation, put.entity_key)
        place = Place(database.name, file_id)
        request = self._request(file_id, put, database)
        with self._storage.exclusive(place) as transaction:
            current = self._state(transaction, place, put.entity_key)
            repeated = entity.replay(current, request, self._clock.wall_ms())
            if repeated is not None:
                return repeated
            key_id, key = session.data_keys.active()
            writer = Writer(
                writer_id=session.worker_id,
                key_id=key_id,
                schema_id=database.schema_id,
                schema_version=compiled.template.schema_version,
                version_floor=database.version_floor,
                now_ms=self._clock.wall_ms(),
            )
            write = entity.plan_put(current, request, writer)
            raw = blob.encrypt(write.header, write.body, file_id, key, write.header_extra)
            sidecar = transaction.commit(raw, session.lease.require)
            self._keep(place, write.header, write.body, sidecar)
        return write.outcome

    def _state(self, transaction: Transaction, place: Place, entity_key: str) -> State | None:
        parsed = transaction.current()
        if parsed is None:
            return None
        return State(parsed.header, self._open(parsed, place, entity_key), parsed.extra())

    def _request(self, file_id: bytes, put: Put, database: Database) -> Request:
        session, condition = self._session, put.condition
        ttl_seconds = put.ttl_seconds if put.ttl_seconds is not None else database.ttl_seconds
        return Request(
            entity_key=put.entity_key,
            document=put.document,
            condition=condition,
            keyed_hash=(session.request_hash(file_id, put.request_id) if put.request_id else None),
            digest=session.request_digest(
                b"put", put.document, repr(condition).encode(), repr(put.ttl_seconds).encode()
            ),
            ttl_seconds=ttl_seconds,
        )

    # -- configuration ---------------------------------------------------------------------------

    def _require_binding(self, binding: Binding) -> None:
        """Check a binding against what the disk said last, and ask it anew where they differ."""
        known = self._bindings.get(binding.database)
        if known is None or not _agree(known, binding):
            self._read_binding(binding)

    def _read_binding(self, binding: Binding) -> Database:
        database = self._configurations.database(ids.database_name(binding.database))
        if database is None:
            raise NotFoundError(f"no such database: {binding.database}")
        if len(self._bindings) >= limits.DATABASES_REMEMBERED:
            self._bindings.clear()
        self._bindings[binding.database] = database
        if not _agree(database, binding):
            raise StaleBindingError("the database is bound otherwise on the disk")
        return database

    def _template(self, schema_id: str) -> CompiledTemplate:
        template = self._configurations.template(schema_id)
        if template is None:
            raise UnavailableError(f"the template {schema_id} is missing")
        compiled = self._compiled.get(schema_id)
        if compiled is None or compiled.template is not template:
            compiled = compile_template(template)
            if len(self._compiled) >= limits.TEMPLATES_COMPILED:
                self._compiled.clear()
            self._compiled[schema_id] = compiled
        return compiled


def _check(compiled: CompiledTemplate, put: Put) -> None:
    ids.entity_key(put.entity_key)
    if len(put.document) > limits.ENTITY_BYTES_MAX:
        raise TooLargeError(f"an entity has at most {limits.ENTITY_BYTES_MAX} bytes")
    compiled.check(put.document)


def _agree(database: Database, binding: Binding) -> bool:
    return database.incarnation == binding.incarnation and database.schema_id == binding.schema_id
