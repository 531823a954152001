"""What clients do with entities; both faces call this."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from main_api.domain.audit.acts import Kind
from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.domain.registry import WorkerRecord
from main_api.service.audit import entry as audit
from main_api.service.callers.access import Access
from main_api.service.ports import ControlStore
from main_api.service.requests.batches import Batches, Deleted
from main_api.service.requests.dispatch import Dispatcher
from main_api.service.workers.ports import (
    EntityPage,
    Found,
    PageRequest,
    WorkerClient,
    WriteItem,
    WriteKind,
    Written,
)
from strongroom import ids, limits
from strongroom.configuration import Database
from strongroom.entity import UNCONDITIONAL, Condition
from strongroom.errors import (
    InvalidArgumentError,
    NotFoundError,
    SchemaViolationError,
    StrongroomError,
)


class Entities:
    """Get and put, authorized and routed."""

    def __init__(
        self, access: Access, store: ControlStore, dispatcher: Dispatcher, workers: WorkerClient
    ) -> None:
        """Take the parts."""
        self._access = access
        self._store = store
        self._dispatcher = dispatcher
        self._workers = workers
        self._batches = Batches(dispatcher, workers)

    def get(self, caller: Caller, database_name: str, key: str, known: int = 0) -> Found:
        """Read an entity; its document is left out when its version is the `known` one.

        Raises:
            InvalidArgumentError, ForbiddenError, NotFoundError, IntegrityError, UnavailableError
        """
        _doing("get_entity", Kind.READ, database_name, [ids.entity_key(key)])
        database = self._authorized(caller, database_name, [key], Action.READ)
        return self._dispatcher.read(
            database_name,
            key,
            lambda worker, timeout_s: self._workers.get(worker, database, key, known, timeout_s),
        )

    def get_many(self, caller: Caller, database_name: str, keys: Sequence[str]) -> list[Found]:
        """Read several entities; those that are not there are left out.

        Raises:
            TooLargeError: The answer would be larger than a message may be; else as `get`.
        """
        wanted = _unique_keys(keys)
        _doing("batch_get_entities", Kind.READ, database_name, wanted)
        database = self._authorized(caller, database_name, wanted, Action.READ)
        return self._batches.get(database, wanted)

    def page(
        self,
        caller: Caller,
        database_name: str,
        *,
        prefix: str = "",
        filter_: str = "",
        select: str = "",
        limit: int = limits.PAGE_SIZE,
        cursor: str = "",
    ) -> EntityPage:
        """Read a page of the entities that the caller may read; arguments as in `PageRequest`.

        Raises:
            InvalidArgumentError, ForbiddenError, NotFoundError, UnavailableError
        """
        _doing("list_entities", Kind.READ, database_name)
        allowed = self._access.authorized_prefixes(caller, database_name, Action.READ)
        if not 1 <= limit <= limits.PAGE_SIZE_MAX:
            raise InvalidArgumentError(f"limit is 1 to {limits.PAGE_SIZE_MAX}")
        if len(cursor) > limits.CURSOR_CHARS_MAX:
            raise InvalidArgumentError("the cursor is not one of this query")
        _check_expressions(filter_, select)
        if prefix:
            ids.entity_key(prefix)
        database = self._database(database_name)
        request = PageRequest(prefix, allowed, filter_, select, limit, cursor, caller.unique_id)
        return self._dispatcher.read(
            database_name,
            "",
            lambda worker, timeout_s: self._workers.scan(worker, database, request, timeout_s),
        )

    def put(
        self,
        caller: Caller,
        database_name: str,
        documents: Mapping[str, bytes],
        *,
        condition: Condition = UNCONDITIONAL,
        idempotency_key: str = "",
        ttl_seconds: int | None = None,
        validate_only: bool = False,
    ) -> list[Written]:
        """Create or replace entities; all are validated before any is written.

        Args:
            caller: Who.
            database_name: Where.
            documents: JSON text by entity key.
            condition: What has to hold; for a single entity only.
            idempotency_key: The client's own; a repetition with it is applied once.
            ttl_seconds: Lifetime; None for the database's own.
            validate_only: Whether to answer as it would be answered, and write nothing.

        Raises:
            InvalidArgumentError, InvalidDocumentError, SchemaViolationError,
            ForbiddenError, NotFoundError, PreconditionFailedError, IdempotencyMismatchError,
            IntegrityError, UnavailableError: Nothing was written.
            PartlyWrittenError: Some may have been.
            OutcomeUnknownError: It may have been.
        """
        keys = _unique_keys(documents)
        name = "put_entity" if len(keys) == 1 else "batch_put_entities"
        _writing(name, database_name, keys, validate_only=validate_only)
        if condition != UNCONDITIONAL and len(keys) > 1:
            raise InvalidArgumentError("a condition is for a single entity")
        if ttl_seconds is not None and not 1 <= ttl_seconds <= limits.TTL_SECONDS_MAX:
            raise InvalidArgumentError(f"ttl_seconds is 1 to {limits.TTL_SECONDS_MAX}")
        database = self._authorized(caller, database_name, keys, Action.WRITE)
        request_id = _request_id(caller, idempotency_key)
        items = [
            WriteItem(
                WriteKind.PUT,
                key,
                documents[key],
                condition=condition,
                request_id=request_id,
                ttl_seconds=ttl_seconds,
                validate_only=validate_only,
            )
            for key in keys
        ]
        if len(items) == 1:
            return [self._write_one(database, items[0])]
        return self._batches.put(database, items)

    def patch(
        self,
        caller: Caller,
        database_name: str,
        key: str,
        kind: WriteKind,
        patch: bytes,
        *,
        condition: Condition = UNCONDITIONAL,
        idempotency_key: str = "",
        validate_only: bool = False,
    ) -> Written:
        """Change a part of an entity; arguments and errors as in `put`.

        A JSON patch takes the action `read` too: its `test` tells what is there. So does to be told
        where a template refuses what a merge patch makes: the places are of the whole document.

        Raises:
            NotFoundError: It is not there.
            ConflictError: A `test` operation fails.
            PatchFailedError: A path leads nowhere.
        """
        actions: tuple[Action, ...] = (Action.WRITE,)
        if kind is WriteKind.JSON_PATCH:
            actions = (Action.WRITE, Action.READ)
        item = WriteItem(kind, key, patch, condition=condition, validate_only=validate_only)
        _writing("patch_entity", database_name, [key], validate_only=validate_only)
        try:
            return self._write(caller, database_name, item, actions, idempotency_key)
        except SchemaViolationError as refusal:
            if self._access.may(caller, database_name, [key], Action.READ):
                raise
            raise SchemaViolationError("the patched document does not satisfy its template") from (
                refusal
            )

    def transform(self, caller: Caller, database_name: str, key: str, expression: str) -> Found:
        """Return what a JMESPath expression makes of an entity; errors as in `get`."""
        _doing("transform_entity", Kind.READ, database_name, [ids.entity_key(key)])
        _check_expressions(expression)
        database = self._authorized(caller, database_name, [key], Action.READ)
        return self._dispatcher.read(
            database_name,
            key,
            lambda worker, timeout_s: self._workers.transform(
                worker, database, key, expression, timeout_s
            ),
        )

    def store_transformed(
        self,
        caller: Caller,
        database_name: str,
        key: str,
        expression: str,
        *,
        condition: Condition = UNCONDITIONAL,
        idempotency_key: str = "",
        validate_only: bool = False,
    ) -> Written:
        """Replace an entity by what an expression makes of it; errors as in `put` and `get`."""
        _writing("store_transformed_entity", database_name, [key], validate_only=validate_only)
        _check_expressions(expression)
        item = WriteItem(
            WriteKind.STORE_TRANSFORMED,
            key,
            expression=expression,
            condition=condition,
            validate_only=validate_only,
        )
        actions = (Action.WRITE, Action.READ)
        return self._write(caller, database_name, item, actions, idempotency_key)

    def delete(
        self,
        caller: Caller,
        database_name: str,
        key: str,
        *,
        condition: Condition = UNCONDITIONAL,
        idempotency_key: str = "",
        validate_only: bool = False,
    ) -> Written:
        """Delete an entity; arguments and errors as in `put`.

        A condition, or to validate only, takes the action `read` or `write` too: the answer tells
        of an entity, and nothing was deleted.

        Raises:
            NotFoundError: It is not there.
        """
        _writing("delete_entity", database_name, [key], validate_only=validate_only)
        item = WriteItem(WriteKind.DELETE, key, condition=condition, validate_only=validate_only)
        if condition != UNCONDITIONAL or validate_only:
            self._authorize_to_ask(caller, database_name, [key])
        return self._write(caller, database_name, item, (Action.DELETE,), idempotency_key)

    def delete_many(
        self,
        caller: Caller,
        database_name: str,
        keys: Sequence[str],
        *,
        idempotency_key: str = "",
        validate_only: bool = False,
    ) -> list[Deleted]:
        """Delete several entities; one that is not there is told, and stops no other.

        To validate only takes the action `read` or `write` too, as in `delete`.

        Raises:
            InvalidArgumentError, ForbiddenError, NotFoundError, IdempotencyMismatchError,
            IntegrityError, UnavailableError: Nothing was deleted.
            PartlyWrittenError: Some may have been.
        """
        wanted = _unique_keys(keys)
        _writing("batch_delete_entities", database_name, wanted, validate_only=validate_only)
        if validate_only:
            self._authorize_to_ask(caller, database_name, wanted)
        database = self._authorized(caller, database_name, wanted, Action.DELETE)
        request_id = _request_id(caller, idempotency_key)
        items = [
            WriteItem(WriteKind.DELETE, key, request_id=request_id, validate_only=validate_only)
            for key in wanted
        ]
        return self._batches.delete(database, items)

    def validate(
        self, caller: Caller, database_name: str, documents: Mapping[str, bytes]
    ) -> dict[str, StrongroomError | None]:
        """Return for each document what would refuse a put of it; nothing is written.

        Raises:
            InvalidArgumentError, ForbiddenError, NotFoundError, UnavailableError
        """
        keys = _unique_keys(documents)
        _doing("validate_entities", Kind.READ, database_name, keys)
        database = self._authorized(caller, database_name, keys, Action.WRITE)
        items = [WriteItem(WriteKind.PUT, key, documents[key]) for key in keys]
        verdicts = self._dispatcher.read(
            database_name,
            keys[0],
            lambda worker, timeout_s: self._workers.validate(worker, database, items, timeout_s),
        )
        return dict(zip(keys, verdicts, strict=True))

    def _write(
        self,
        caller: Caller,
        database_name: str,
        item: WriteItem,
        actions: tuple[Action, ...],
        idempotency_key: str,
    ) -> Written:
        for action in actions:
            self._access.authorize(caller, database_name, [item.key], action)
        database = self._database(database_name)
        numbered = replace(item, request_id=_request_id(caller, idempotency_key))
        return self._write_one(database, numbered)

    def _write_one(self, database: Database, item: WriteItem) -> Written:
        def attempt(worker: WorkerRecord, timeout_s: float) -> Written:
            return self._workers.write(worker, database, item, timeout_s)

        if item.validate_only:
            return self._dispatcher.try_write(database.name, item.key, attempt)
        audit.before_write()
        return self._dispatcher.write(database.name, item.key, attempt)

    def _authorize_to_ask(self, caller: Caller, database_name: str, keys: list[str]) -> None:
        """Let pass who may know of the entities that are to be deleted, too."""
        self._access.authorize(caller, database_name, keys, Action.DELETE)
        if not self._access.may(caller, database_name, keys, Action.WRITE):
            self._access.authorize(caller, database_name, keys, Action.READ)

    def _authorized(
        self, caller: Caller, database_name: str, keys: list[str], action: Action
    ) -> Database:
        """Ask the grants before the disk: who may not see a database does not learn of it."""
        self._access.authorize(caller, database_name, keys, action)
        return self._database(database_name)

    def _database(self, database_name: str) -> Database:
        database = self._store.database(database_name)
        if database is None:
            raise NotFoundError(f"no such database: {database_name}")
        audit.bound_to(database)
        return database


def _doing(name: str, kind: Kind, database_name: str, keys: Sequence[str] = ()) -> None:
    """Say it before anybody asks whether it may be done; a name of another form is refused here."""
    audit.doing(name, kind, ids.database_name(database_name), keys)


def _writing(name: str, database_name: str, keys: Sequence[str], *, validate_only: bool) -> None:
    """As `_doing`, of what writes, unless it is to be tried only."""
    kind = Kind.READ if validate_only else Kind.WRITE
    _doing(name, kind, database_name, [ids.entity_key(key) for key in keys])
    if validate_only:
        audit.note(validate_only=True)


def _request_id(caller: Caller, idempotency_key: str) -> str:
    """Return the client's own id of a request, which no other client shares; or one of ours.

    With an id, a second attempt on another worker cannot apply a write twice.
    """
    if idempotency_key:
        return f"{caller.unique_id}/{ids.idempotency_key(idempotency_key)}"
    return f"/{ids.new_id()}"


def _check_expressions(*expressions: str) -> None:
    if any(len(expression) > limits.EXPRESSION_CHARS_MAX for expression in expressions):
        raise InvalidArgumentError(
            f"an expression has at most {limits.EXPRESSION_CHARS_MAX} characters"
        )


def _unique_keys(keys: Sequence[str] | Mapping[str, bytes]) -> list[str]:
    unique = list(dict.fromkeys(keys))
    if not 1 <= len(unique) <= limits.ENTITIES_PER_REQUEST_MAX:
        raise InvalidArgumentError(
            f"name 1 to {limits.ENTITIES_PER_REQUEST_MAX} entities in one request"
        )
    return [ids.entity_key(key) for key in unique]
