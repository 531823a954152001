"""An entity's life: what is there, what a request may do to it, what a write makes of it."""

import sys
from dataclasses import dataclass
from typing import Any

from strongroom import blob, limits
from strongroom.clock import from_rfc3339, rfc3339
from strongroom.crypto import aead
from strongroom.entity import Condition, Metadata
from strongroom.errors import IdempotencyMismatchError, InternalError


@dataclass(frozen=True, slots=True)
class State:
    """What lies on the disk for an entity, tombstones and expired ones included."""

    header: blob.Header
    body: blob.Body
    header_extra: dict[str, Any]

    def is_there(self, now_ms: int) -> bool:
        """Tell whether clients see it."""
        return not self.header.deleted and not has_expired(self.header.expires_at, now_ms)


@dataclass(frozen=True, slots=True)
class Request:
    """What a write demands, its document aside.

    Attributes:
        entity_key: Which entity.
        condition: What has to hold.
        keyed_hash: 12 bytes of a keyed hash of the request id, or None without one.
        digest: 8 bytes of a keyed hash of the request itself.
    """

    entity_key: str
    condition: Condition
    keyed_hash: bytes | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """What a write makes of an entity.

    Attributes:
        document: The new JSON text, None to delete the entity.
        expires_at: RFC 3339, None for never.
    """

    document: bytes | None
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class Writer:
    """Under what a write is made: who, which key, which template, from which instant on."""

    writer_id: str
    key_id: str
    schema_id: str
    schema_version: int
    version_floor: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write answers."""

    metadata: Metadata
    created: bool


@dataclass(frozen=True, slots=True)
class Write:
    """A write that is to be committed."""

    header: blob.Header
    body: blob.Body
    header_extra: dict[str, Any]
    outcome: Outcome


def has_expired(expires_at: str | None, now_ms: int) -> bool:
    """Tell whether an entity's time is over."""
    return expires_at is not None and from_rfc3339(expires_at) <= now_ms


def metadata(header: blob.Header) -> Metadata:
    """Return the part of a header that clients see.

    Many of them lie in a cache: what two of their strings have in common is there once.
    """
    created_at, updated_at = header.created_at, header.updated_at
    # In order: by their names takes half again as long, and every read makes one.
    return Metadata(
        header.version,
        created_at,
        created_at if updated_at == created_at else updated_at,
        header.expires_at,
        sys.intern(header.schema_id),
        header.schema_version,
    )


def replay(current: State | None, request: Request, now_ms: int) -> Outcome | None:
    """Return the first answer to a request that was applied before, None for a new one.

    Raises:
        IdempotencyMismatchError: The id was used for another request.
    """
    if current is None or request.keyed_hash is None:
        return None
    record = blob.recorded(current.body.requests, request.keyed_hash, now_ms)
    if record is None:
        return None
    if record.digest != request.digest:
        raise IdempotencyMismatchError("this key was used before, for another request")
    return Outcome(_as_of(record, current.header), record.created)


def _as_of(record: blob.RequestRecord, header: blob.Header) -> Metadata:
    if record.version == header.version:
        return metadata(header)
    at = rfc3339(record.at_ms)
    return Metadata(
        version=record.version,
        created_at=at if record.created else header.created_at,
        updated_at=at,
        expires_at=None,
        schema_id=header.schema_id,
        schema_version=header.schema_version,
    )


def visible(current: State | None, now_ms: int) -> State | None:
    """Return what clients see of an entity."""
    return current if current is not None and current.is_there(now_ms) else None


def check(current: State | None, request: Request, now_ms: int) -> None:
    """Check a request's condition.

    Raises:
        PreconditionFailedError: It does not hold.
    """
    seen = visible(current, now_ms)
    request.condition.check(seen.header.version if seen else None)


def plan(current: State | None, request: Request, change: Change, writer: Writer) -> Write:
    """Return what a change writes over the current state.

    Raises:
        InternalError: The version cannot grow any more.
    """
    seen = visible(current, writer.now_ms)
    version = max(current.header.version if current else 0, writer.version_floor) + 1
    if version > limits.VERSION_MAX:
        raise InternalError("the entity's version cannot grow any more")
    now = rfc3339(writer.now_ms)
    header = blob.Header(
        format=blob.FORMAT_VERSION,
        alg=aead.ALGORITHM,
        key_id=writer.key_id,
        iv=blob.fresh_iv(),
        schema_id=writer.schema_id,
        schema_version=writer.schema_version,
        writer_id=writer.writer_id,
        version=version,
        created_at=seen.header.created_at if seen else now,
        updated_at=now,
        expires_at=change.expires_at,
        deleted=change.document is None,
    )
    body = blob.Body(
        entity_key=request.entity_key,
        document=change.document,
        requests=_remembered(current, request, version, writer.now_ms, created=seen is None),
        extra=current.body.extra if current else {},
    )
    extra = current.header_extra if current else {}
    return Write(header, body, extra, Outcome(metadata(header), created=seen is None))


def expires_at(ttl_seconds: int | None, now_ms: int) -> str | None:
    """Return when an entity with a lifetime ends."""
    return None if ttl_seconds is None else rfc3339(now_ms + ttl_seconds * 1000)


def _remembered(
    current: State | None, request: Request, version: int, now_ms: int, *, created: bool
) -> tuple[bytes, ...]:
    requests = current.body.requests if current else ()
    if request.keyed_hash is None:
        return requests
    record = blob.RequestRecord(request.keyed_hash, request.digest, version, now_ms, created)
    return blob.remember(requests, record, now_ms)
