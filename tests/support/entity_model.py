"""What a database of entities is: a dictionary, with versions, conditions and lifetimes.

`Model.apply` takes the requests that the engine takes and says what has to come of each; nothing
here has a cache, a file, a lock or a second worker.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from processing_fn.service.patching import PatchKind
from processing_fn.service.requests import Delete, PatchRequest, Put, TransformRequest
from strongroom import limits
from strongroom.clock import rfc3339
from strongroom.entity import Condition
from strongroom.errors import (
    ConflictError,
    IdempotencyMismatchError,
    InvalidDocumentError,
    NotFoundError,
    PatchFailedError,
    PreconditionFailedError,
    SchemaViolationError,
    StrongroomError,
)
from tests.support import rfc_patches
from tests.support.clocks import ManualClock
from tests.support.json_texts import Exact, exact
from tests.support.model_templates import NUMBER, ModelTemplate, NewUuid

Request: TypeAlias = Put | Delete | PatchRequest | TransformRequest

NOT_JSON: Final = frozenset({b"", b"{", b'{"n": 1, "n": 1}', b"[NaN]", b'"\\ud800"', b"\xff"})
"""Documents that nobody takes; every other one that the model is given is JSON."""

_DAY_MS: Final = 24 * 3600 * 1000


def _member(name: str) -> Callable[[Exact], Exact]:
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _no_null(make: Callable[[Exact], Exact]) -> Callable[[Exact], Exact]:
    """JMESPath has what is made of null be null."""
    return lambda value: None if value is None else make(value)


EXPRESSIONS: Final[dict[str, Callable[[Exact], Exact]]] = {
    "@": lambda value: value,
    "n": _member("n"),
    "[n, kind]": _no_null(lambda value: [_member("n")(value), _member("kind")(value)]),
    "{n: n, tags: tags}": _no_null(
        lambda value: {"n": _member("n")(value), "tags": _member("tags")(value)}
    ),
    "{n: n, kind: 'memo'}": _no_null(lambda value: {"n": _member("n")(value), "kind": "memo"}),
}
"""JMESPath expressions, and what each of them means in plain Python."""


class RefusedError(Exception):
    """What the model refuses; `kind` is the error that a client gets."""

    def __init__(
        self,
        kind: type[StrongroomError],
        current_version: int | None = None,
        entity_key: str | None = None,
    ) -> None:
        super().__init__(kind.__name__)
        self.kind = kind
        self.current_version = current_version
        self.entity_key = entity_key


@dataclass(frozen=True)
class Accepted:
    """What an accepted write answers; the times are None where nothing is promised of them."""

    version: int
    created: bool
    updated_at: str
    created_at: str | None
    expires_at: str | None
    schema_version: int | None


@dataclass
class Known:
    """A write that carried a request id."""

    request: Request
    version: int
    created: bool
    at_ms: int


@dataclass
class Entity:
    """One entity; `text` is None until somebody has read what the server made of it."""

    version: int
    value: Exact
    text: bytes | None
    deleted: bool
    created_at: str
    updated_at: str
    expiry_ms: int | None
    schema_version: int
    known: list[Known] = field(default_factory=list)

    @property
    def expires_at(self) -> str | None:
        """The expiry as clients see it."""
        return None if self.expiry_ms is None else rfc3339(self.expiry_ms)


class Model:
    """A database. Every method is told nothing but what a client or an operator does."""

    def __init__(self, clock: ManualClock) -> None:
        """Start empty."""
        self._clock = clock
        self._entities: dict[str, Entity] = {}
        self._uuids: dict[tuple[str, str], str] = {}
        self.template: ModelTemplate = NUMBER
        self.schema_version = 1
        self.ttl_seconds: int | None = None
        self.version_floor = 0

    def seen(self, key: str) -> Entity | None:
        """Return an entity as clients see it."""
        entity = self._entities.get(key)
        if entity is None or entity.deleted or self._expired(entity):
            return None
        return entity

    def visible(self) -> dict[str, Entity]:
        """Return all that clients see."""
        found = {key: self.seen(key) for key in self._entities}
        return {key: entity for key, entity in found.items() if entity is not None}

    def would_refuse(self, put: Put) -> type[StrongroomError] | None:
        """Return what refuses a put whatever is there."""
        try:
            self._completed(put.entity_key, _parsed(put.document), None)
        except RefusedError as refused:
            return refused.kind
        return None

    def apply(self, request: Request) -> Accepted:
        """Do what a request asks for.

        Raises:
            RefusedError: It is refused; nothing has changed.
        """
        if isinstance(request, Put):
            self._check_put(request)
        if isinstance(request, PatchRequest):
            _parsed(request.patch)
        entity = self._entities.get(request.entity_key)
        known = self._known(request)
        if known is not None:
            return _answer_again(known, entity)
        before = self.seen(request.entity_key)
        _check(request.condition, before.version if before else None)
        value = self._made(request, before)
        return self._write(request, before, value)

    def apply_many(self, puts: list[Put]) -> "list[Accepted | RefusedError]":
        """Do what a request for several entities asks for, and return the answer for each.

        Raises:
            RefusedError: All of it is refused; nothing has changed.
        """
        for put in puts:
            kind = self.would_refuse(put)
            if kind is not None:
                again = self._all_again(puts) if kind is SchemaViolationError else None
                if again is None:
                    key = put.entity_key if len(puts) > 1 else None
                    raise RefusedError(kind, entity_key=key)
                return again
        answers: list[Accepted | RefusedError] = []
        for put in puts:
            try:
                answers.append(self.apply(put))
            except RefusedError as refused:
                answers.append(refused)
        return answers

    def learn(self, key: str, document: bytes) -> None:
        """Take over what somebody has read: from here on every reader gets these very bytes."""
        entity = self._entities[key]
        if isinstance(entity.value, dict) and isinstance(entity.value.get("id"), NewUuid):
            self._uuids[key, entity.created_at] = exact(document)["id"]
        entity.text, entity.value = document, exact(document)

    def purge(self) -> None:
        """Put a tombstone in the place of everything whose time is over."""
        for entity in self._entities.values():
            if not entity.deleted and self._expired(entity):
                entity.version = max(entity.version, self.version_floor) + 1
                entity.deleted = True
                entity.expiry_ms = None

    def _check_put(self, put: Put) -> None:
        kind = self.would_refuse(put)
        # The template may have changed since this very request was accepted.
        if kind is InvalidDocumentError or (kind is not None and self._known(put) is None):
            raise RefusedError(kind)

    def _all_again(self, puts: list[Put]) -> list[Accepted | RefusedError] | None:
        """Return the first answers, None where one of the puts is new."""
        answers: list[Accepted | RefusedError] = []
        for put in puts:
            known = self._known(put)
            if known is None:
                return None
            answers.append(_answer_again(known, self._entities[put.entity_key]))
        return answers

    def _known(self, request: Request) -> Known | None:
        entity = self._entities.get(request.entity_key)
        if entity is None or not request.request_id:
            return None
        for known in entity.known[-limits.REQUEST_IDS_KEPT :]:
            fresh = self._clock.now_wall_ms - known.at_ms < _DAY_MS
            if fresh and known.request.request_id == request.request_id:
                if known.request != request:
                    raise RefusedError(IdempotencyMismatchError)
                return known
        return None

    def _made(self, request: Request, before: Entity | None) -> Exact:
        key = request.entity_key
        if isinstance(request, Put):
            return self._completed(key, _parsed(request.document), before)
        if before is None:
            raise RefusedError(NotFoundError)
        if isinstance(request, Delete):
            return None
        if isinstance(request, TransformRequest):
            return self._completed(key, EXPRESSIONS[request.expression](before.value), before)
        return self._completed(key, _patched(before.value, request), before)

    def _completed(self, key: str, document: Exact, before: Entity | None) -> Exact:
        value = copy.deepcopy(document)
        if self.template.complete is not None:
            created_at = before.created_at if before else rfc3339(self._clock.now_wall_ms)
            uuid = self._uuids.get((key, created_at)) or NewUuid(self._uuids.values())
            self.template.complete(value, key, created_at, uuid)
        if not self.template.admits(value):
            raise RefusedError(SchemaViolationError)
        return value

    def _write(self, request: Request, before: Entity | None, value: Exact) -> Accepted:
        now_ms = self._clock.now_wall_ms
        last = self._entities.get(request.entity_key)
        as_it_is = isinstance(request, Put) and self.template.complete is None
        entity = Entity(
            version=max(last.version if last else 0, self.version_floor) + 1,
            value=value,
            text=request.document if as_it_is and isinstance(request, Put) else None,
            deleted=isinstance(request, Delete),
            created_at=before.created_at if before else rfc3339(now_ms),
            updated_at=rfc3339(now_ms),
            expiry_ms=self._expiry_ms(request, before),
            schema_version=self.schema_version,
            known=last.known if last else [],
        )
        self._entities[request.entity_key] = entity
        known = Known(request, entity.version, before is None, now_ms)
        if request.request_id:
            entity.known.append(known)
        return _answer_again(known, entity)

    def _expiry_ms(self, request: Request, before: Entity | None) -> int | None:
        if isinstance(request, Put):
            ttl = request.ttl_seconds if request.ttl_seconds is not None else self.ttl_seconds
            return None if ttl is None else self._clock.now_wall_ms + ttl * 1000
        return None if isinstance(request, Delete) or before is None else before.expiry_ms

    def _expired(self, entity: Entity) -> bool:
        return entity.expiry_ms is not None and entity.expiry_ms <= self._clock.now_wall_ms


def _parsed(text: bytes) -> Exact:
    if text in NOT_JSON:
        raise RefusedError(InvalidDocumentError)
    return exact(text)


def _check(condition: Condition, version: int | None) -> None:
    if (
        (condition.if_absent and version is not None)
        or (condition.if_present and version is None)
        or (condition.if_version is not None and condition.if_version != version)
        or (condition.if_one_of and version not in condition.if_one_of)
        or version in condition.if_none_of
    ):
        raise RefusedError(PreconditionFailedError, current_version=version or 0)


def _patched(value: Exact, request: PatchRequest) -> Exact:
    patch: Any = exact(request.patch)
    if request.kind is PatchKind.MERGE:
        return rfc_patches.merged(value, patch)
    try:
        return rfc_patches.patched(value, patch)
    except rfc_patches.TestFailsError:
        raise RefusedError(ConflictError) from None
    except rfc_patches.NowhereError:
        raise RefusedError(PatchFailedError) from None


def _answer_again(known: Known, entity: Entity | None) -> Accepted:
    """Return the first answer; of one that was followed by others, what is still promised."""
    last = entity is not None and entity.version == known.version
    return Accepted(
        version=known.version,
        created=known.created,
        updated_at=rfc3339(known.at_ms),
        created_at=entity.created_at if entity is not None and last else None,
        expires_at=entity.expires_at if entity is not None and last else None,
        schema_version=entity.schema_version if entity is not None and last else None,
    )
