"""The operations on entities, under the keys of one session."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import msgspec

from processing_fn.domain.entity import Change, Outcome, State, expires_at
from processing_fn.service import deadline
from processing_fn.service.bindings import Binding, Bindings
from processing_fn.service.coherence import Coherence
from processing_fn.service.expressions import Expression
from processing_fn.service.inspection import Inspector
from processing_fn.service.pacing import Pacer
from processing_fn.service.patching import Patch
from processing_fn.service.ports import Configurations, EntityCache, EntityStorage, Overlap, Place
from processing_fn.service.reading import Reader
from processing_fn.service.requests import Delete, PatchRequest, Put, Snapshot, TransformRequest
from processing_fn.service.rewrapping import Rewrapper
from processing_fn.service.scanning import Lens, Page, Query, Scanner, selection, trial
from processing_fn.service.session import Session
from processing_fn.service.upkeep import Upkeep
from processing_fn.service.validation import CompiledTemplate, bounded, compile_template
from processing_fn.service.writing import Committer, Demand
from strongroom import enrichment, ids, limits
from strongroom.clock import Clock, rfc3339
from strongroom.configuration import Database, Template
from strongroom.enrichment import Creation
from strongroom.errors import (
    NotFoundError,
    SchemaViolationError,
    StrongroomError,
    TooLargeError,
)

T = TypeVar("T")


class Engine:
    """The operations on one entity and on many. Safe under threads.

    Attributes:
        inspector: Looks at every file.
        rewrapper: Puts every file under the active key.
        upkeep: What nobody asks for.
    """

    def __init__(
        self,
        session: Session,
        storage: EntityStorage,
        configurations: Configurations,
        cache: EntityCache,
        *,
        clock: Clock,
        overlap: Overlap,
        pacer: Pacer,
        coherence: Coherence,
    ) -> None:
        """Take what the composition root has made."""
        self._session = session
        self._cache = cache
        self._storage = storage
        self._clock = clock
        self._bindings = Bindings(configurations, overlap)
        session.data_keys.when_destroyed(cache.clear)
        self._reader = Reader(session, storage, cache, clock, coherence.bound_s)
        self._scanner = Scanner(session, storage, self._reader, clock, is_remote=overlap.is_remote)
        self._committer = Committer(session, storage, self._reader, clock, coherence.commits)
        self.inspector = Inspector(
            session, storage, self._bindings, self._reader, clock, is_remote=overlap.is_remote
        )
        self.rewrapper = Rewrapper(session, storage, self._committer, pacer, clock)
        self.upkeep = Upkeep(session, storage, self._bindings, self._committer, clock)

    def get(self, binding: Binding, entity_key: str) -> Snapshot:
        """Read an entity.

        Raises:
            NotFoundError: It is not there.
            IntegrityError: Its files do not verify.
            StaleBindingError: The disk binds the database otherwise.
            UnavailableError: No lease, no key, no lock or no disk.
        """
        self._session.lease.require()
        self._bindings.require(binding)
        found = self._snapshot(binding, entity_key)
        # Keys and memory may have outlived the lease while the disk was asked.
        self._session.lease.require()
        if isinstance(found, NotFoundError):
            raise found
        return found

    def get_many(
        self, binding: Binding, entity_keys: Sequence[str]
    ) -> list[Snapshot | StrongroomError]:
        """Read several entities; each has its own answer, in order.

        Raises:
            NotFoundError, StaleBindingError: There is no such database.
            TooLargeError: Together they are larger than a message may be.
            UnavailableError: There is no lease, or it has ended meanwhile.
        """
        self._session.lease.require()
        self._bindings.require(binding)
        answers: list[Snapshot | StrongroomError] = []
        left = limits.MESSAGE_BYTES_MAX
        for key in entity_keys:
            deadline.require()
            answer = _attempt(partial(self._snapshot, binding, key))
            left -= len(answer.document) if isinstance(answer, Snapshot) else 0
            if left < 0:
                raise TooLargeError("the entities together are too large; ask for fewer at once")
            answers.append(answer)
        # What was read while the lease ran is not answered after its end.
        self._session.lease.require()
        return answers

    def page(self, binding: Binding, query: Query) -> Page:
        """Read a page of a database.

        Raises:
            InvalidArgumentError: A bad cursor, limit or expression.
            StrongroomError: As `get`; a file that does not verify is counted, not raised.
        """
        return self._page(binding, query, selection(query))

    def try_template(self, binding: Binding, schema: bytes, query: Query) -> Page:
        """Return a page of the entities that a template would refuse, each with its refusal.

        Args:
            binding: The database.
            schema: A JSON Schema that was admitted.
            query: Which page; without filter and selection.

        Raises:
            IntegrityError: The schema cannot be compiled here.
            StrongroomError: As `page`.
        """
        template = Template(
            schema_id=binding.schema_id,
            schema_version=0,
            created_at="",
            updated_at="",
            schema=msgspec.Raw(schema),
        )
        # A cursor belongs to one template.
        scope = f"{query.scope}/trial/{hashlib.sha256(schema).hexdigest()}"
        lens = trial(compile_template(template))
        return self._page(binding, replace(query, scope=scope), lens, limits.TRIAL_BYTES_MAX)

    def put(self, binding: Binding, put: Put) -> Outcome:
        """Create or replace an entity.

        Raises:
            SchemaViolationError, InvalidDocumentError, TooLargeError, InvalidArgumentError: The
                request is refused; nothing was written.
            NotFoundError: There is no such database.
            StaleBindingError: The disk binds the database otherwise.
            StrongroomError: As `Committer.commit`.
        """
        (outcome,) = self.put_many(binding, [put])
        if isinstance(outcome, StrongroomError):
            raise outcome
        return outcome

    def put_many(self, binding: Binding, puts: Sequence[Put]) -> list[Outcome | StrongroomError]:
        """Create or replace several entities: all are validated before any is written.

        Raises:
            As `put`, where a refusal of one is the refusal of all. A failure after that is the
            answer of its item alone.
        """
        try:
            database, compiled = self._admit(binding, puts)
        except (SchemaViolationError, TooLargeError) as refusal:
            # The template may have changed since this very request was accepted.
            return self._replayed(binding, puts, refusal)
        return [_attempt(partial(self._put, database, compiled, put)) for put in puts]

    def delete(self, binding: Binding, delete: Delete) -> Outcome:
        """Delete an entity; its version goes on counting.

        Raises:
            NotFoundError: It is not there, or there is no such database.
            StrongroomError: As `Committer.commit`.
        """
        (outcome,) = self.delete_many(binding, [delete])
        if isinstance(outcome, StrongroomError):
            raise outcome
        return outcome

    def delete_many(
        self, binding: Binding, deletes: Sequence[Delete]
    ) -> list[Outcome | StrongroomError]:
        """Delete several entities; what can be checked is, before any is deleted.

        Raises:
            As `delete`, where a refusal of one is the refusal of all. A failure after that is the
            answer of its item alone, and so is that an entity is not there.
        """
        self._session.lease.require()
        database, compiled = self._bindings.read_with_template(binding)
        demands = [
            Demand(
                ids.entity_key(one.entity_key),
                one.condition,
                one.request_id,
                (b"delete",),
                validate_only=one.validate_only,
            )
            for one in deletes
        ]
        commit = self._committer.commit
        return [_attempt(partial(commit, database, compiled, one, _gone)) for one in demands]

    def patch(self, binding: Binding, request: PatchRequest) -> Outcome:
        """Change a part of an entity; it keeps its expiry.

        Raises:
            NotFoundError: It is not there, or there is no such database.
            ConflictError: A `test` operation fails.
            PatchFailedError: A path leads nowhere.
            SchemaViolationError, InvalidDocumentError, InvalidArgumentError, TooLargeError: Patch
                or result are refused.
            StrongroomError: As `Committer.commit`.
        """
        self._session.lease.require()
        patch = Patch(request.kind, request.patch)
        content = (b"patch", request.kind.value.encode(), request.patch)
        return self._rewrite(binding, request, content, patch.apply)

    def transform(self, binding: Binding, entity_key: str, expression: str) -> Snapshot:
        """Return what a JMESPath expression makes of an entity; nothing is written.

        Raises:
            InvalidArgumentError: Not an expression, or not one for this entity.
            StrongroomError: As `get`.
        """
        compiled = Expression(expression)
        found = self.get(binding, entity_key)
        transformed = Snapshot(found.metadata, compiled.apply(found.document))
        self._session.lease.require()
        return transformed

    def store_transformed(self, binding: Binding, request: TransformRequest) -> Outcome:
        """Replace an entity by what a JMESPath expression makes of it; it keeps its expiry.

        Raises:
            InvalidArgumentError: Not an expression, or not one for this entity.
            StrongroomError: As `patch`.
        """
        self._session.lease.require()
        compiled = Expression(request.expression)
        content = (b"transform", request.expression.encode())
        return self._rewrite(binding, request, content, compiled.apply)

    def validate(self, binding: Binding, puts: Sequence[Put]) -> list[StrongroomError | None]:
        """Return for each put what would refuse it; nothing is written.

        Where the reasons are too many for one answer, those that come later are the first of each.
        """
        self._session.lease.require()
        _, compiled = self._bindings.read_with_template(binding)
        return bounded(_attempt(partial(self._check, compiled, put)) for put in puts)

    def forget(self) -> None:
        """Overwrite the keys and drop the documents; the engine serves nothing after that."""
        self._session.forget()
        self._scanner.close()
        self.inspector.close()
        self.rewrapper.close()
        self._cache.clear()

    def _snapshot(self, binding: Binding, entity_key: str) -> Snapshot | NotFoundError:
        """Read an entity; the lease and the binding were asked for, and the lease will be again."""
        ids.entity_key(entity_key)
        file_id = self._session.file_id(binding.database, binding.incarnation, entity_key)
        found = self._reader.read(Place(binding.database, binding.incarnation, file_id), entity_key)
        if found is None:
            return NotFoundError("no such entity")
        return Snapshot(found.metadata, found.document)

    def _page(
        self, binding: Binding, query: Query, lens: Lens, bytes_max: int = limits.PAGE_BYTES_MAX
    ) -> Page:
        self._session.lease.require()
        page = self._scanner.page(self._bindings.require(binding), query, lens, bytes_max)
        self._session.lease.require()
        return page

    def _admit(self, binding: Binding, puts: Sequence[Put]) -> tuple[Database, CompiledTemplate]:
        """Check everything that can be checked before a lock is taken."""
        self._session.lease.require()
        database, compiled = self._bindings.read_with_template(binding)
        for put in puts:
            try:
                self._check(compiled, put)
            except StrongroomError as error:
                # With several entities in one request, the client wants to know which.
                error.entity_key = put.entity_key if len(puts) > 1 else None
                raise
        return database, compiled

    def _check(self, compiled: CompiledTemplate, put: Put) -> None:
        ids.entity_key(put.entity_key)
        # What the server adds later, under the lock, has the same form as what it adds here.
        now = rfc3339(self._clock.wall_ms())
        creation = enrichment.some_creation(put.entity_key, now)
        compiled.check(compiled.completed(put.document, creation))

    def _replayed(
        self, binding: Binding, puts: Sequence[Put], refusal: StrongroomError
    ) -> list[Outcome | StrongroomError]:
        """Return the first answers to a request that was applied before.

        Whoever applied it may have died midway: what it had not come to is refused now.

        Raises:
            StrongroomError: The refusal, of a new request.
        """
        database = self._bindings.read(binding)
        outcomes: list[Outcome | StrongroomError] = []
        for put in puts:
            outcome = self._committer.replayed(database, _demand(put))
            # The first one is written first.
            if outcome is None and not outcomes:
                raise refusal
            outcomes.append(outcome or refusal)
        return outcomes

    def _creation(self, database: Database, key: str, seen: State | None, now_ms: int) -> Creation:
        created_at = seen.header.created_at if seen else rfc3339(now_ms)
        file_id = self._session.file_id(database.name, database.incarnation, key)
        return Creation(key, created_at, self._session.creation_seed(file_id, created_at))

    def _put(self, database: Database, compiled: CompiledTemplate, put: Put) -> Outcome:
        lifetime_s = put.ttl_seconds if put.ttl_seconds is not None else database.ttl_seconds

        def replaced(seen: State | None, now_ms: int) -> Change:
            creation = self._creation(database, put.entity_key, seen, now_ms)
            document = compiled.completed(put.document, creation)
            return Change(document, expires_at(lifetime_s, now_ms))

        return self._committer.commit(database, compiled, _demand(put), replaced)

    def _rewrite(
        self,
        binding: Binding,
        request: PatchRequest | TransformRequest,
        content: tuple[bytes, ...],
        rewrite: Callable[[bytes], bytes],
    ) -> Outcome:
        database, compiled = self._bindings.read_with_template(binding)
        key = ids.entity_key(request.entity_key)

        def rewritten(seen: State | None, now_ms: int) -> Change:
            if seen is None or seen.body.document is None:
                raise NotFoundError("no such entity")
            creation = self._creation(database, key, seen, now_ms)
            document = compiled.completed(rewrite(seen.body.document), creation)
            compiled.check(document)
            return Change(document, seen.header.expires_at)

        demand = Demand(
            key,
            request.condition,
            request.request_id,
            content,
            validate_only=request.validate_only,
        )
        return self._committer.commit(database, compiled, demand, rewritten)


def _demand(put: Put) -> Demand:
    content = (b"put", put.document, str(put.ttl_seconds or 0).encode())
    return Demand(
        put.entity_key, put.condition, put.request_id, content, validate_only=put.validate_only
    )


def _gone(seen: State | None, _: int) -> Change:
    if seen is None:
        raise NotFoundError("no such entity")
    return Change(document=None, expires_at=None)


def _attempt(work: Callable[[], T]) -> T | StrongroomError:
    try:
        return work()
    except StrongroomError as error:
        return error
