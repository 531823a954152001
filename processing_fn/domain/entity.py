"""An entity's life: what is there, what a request may do to it, what a write makes of it."""

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
    """A write as the engine takes it.

    Attributes:
        entity_key: Which entity.
        document: Its new JSON text.
        condition: What has to hold.
        keyed_hash: 12 bytes of a keyed hash of the request id, or None without one.
        digest: 8 bytes of a keyed hash of the request itself.
        ttl_seconds: Lifetime, None for ever.
    """

    entity_key: str
    document: bytes
    condition: Condition
    keyed_hash: bytes | None
    digest: bytes
    ttl_seconds: int | None


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
    """What a put answers."""

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
    """Return the part of a header that clients see."""
    return Metadata(
        version=header.version,
        created_at=header.created_at,
        updated_at=header.updated_at,
        expires_at=header.expires_at,
        schema_id=header.schema_id,
        schema_version=header.schema_version,
    )


def replay(current: State | None, request: Request, now_ms: int) -> Outcome | None:
    """Return the first answer to a request that was applied before, None for a new one.

    Raises:
        IdempotencyMismatchError: The id was used for another request.
    """
    if current is None or request.keyed_hash is None:
        return None
    for record in blob.recent(current.body.requests, now_ms // 1000):
        if record.keyed_hash == request.keyed_hash:
            if record.digest != request.digest:
                raise IdempotencyMismatchError("this key was used before, for another request")
            return Outcome(_as_of(record, current.header), record.created)
    return None


def _as_of(record: blob.RequestRecord, header: blob.Header) -> Metadata:
    if record.version == header.version:
        return metadata(header)
    at = rfc3339(record.at_s * 1000)
    return Metadata(
        version=record.version,
        created_at=at if record.created else header.created_at,
        updated_at=at,
        expires_at=None,
        schema_id=header.schema_id,
        schema_version=header.schema_version,
    )


def plan_put(current: State | None, request: Request, writer: Writer) -> Write:
    """Return what a put writes over the current state.

    Raises:
        PreconditionFailedError: The request's condition does not hold.
        InternalError: The version cannot grow any more.
    """
    there = current is not None and current.is_there(writer.now_ms)
    request.condition.check(current.header.version if current is not None and there else None)
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
        created_at=current.header.created_at if current is not None and there else now,
        updated_at=now,
        expires_at=_expires_at(request.ttl_seconds, writer.now_ms),
    )
    requests = current.body.requests if current else ()
    if request.keyed_hash is not None:
        record = blob.RequestRecord(
            request.keyed_hash, request.digest, version, writer.now_ms // 1000, not there
        )
        requests = blob.remember(requests, record, writer.now_ms // 1000)
    body = blob.Body(
        entity_key=request.entity_key,
        document=request.document,
        requests=requests,
        extra=current.body.extra if current else {},
    )
    extra = current.header_extra if current else {}
    return Write(header, body, extra, Outcome(metadata(header), created=not there))


def _expires_at(ttl_seconds: int | None, now_ms: int) -> str | None:
    return None if ttl_seconds is None else rfc3339(now_ms + ttl_seconds * 1000)
