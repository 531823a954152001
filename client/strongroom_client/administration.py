"""What administrators read and are answered."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T_co]):
    """Some records in the order of their names; without `cursor` there are no more."""

    records: Sequence[T_co]
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A JSON Schema template.

    Attributes:
        schema_id: Its name.
        schema_version: +1 each time it is replaced.
        created_at: RFC 3339, UTC.
        updated_at: The same.
        text: The schema, JSON text; empty in a listing and in the answer to a put.
    """

    schema_id: str
    schema_version: int
    created_at: str
    updated_at: str
    text: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database: its template, and how many seconds its entities live (None: for ever)."""

    name: str
    schema_id: str
    created_at: str
    ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions (`read`, `write`, `delete`, `admin`) in a database, `*` for all, on some keys."""

    database: str
    actions: AbstractSet[str]
    key_prefix: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", frozenset(self.actions))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client of the deployment.

    Attributes:
        client_id: Its name.
        grants: What it may do.
        user_grants: What it may have tokens for its users for.
        created_at: RFC 3339, UTC.
        old_secret_until: Until when the secret before this one is taken too.
        client_secret: Only in the answer that made it, and not in `repr`.
    """

    client_id: str
    grants: tuple[Grant, ...] = ()
    user_grants: tuple[Grant, ...] = ()
    created_at: str
    old_secret_until: str | None = None
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A Processing Worker that is available; `state` is `live` or `draining`."""

    worker_id: str
    address: str
    registered_at: str
    lease_until: str
    state: str
    load: float
    cache_entries: int
    cache_bytes: int
    version: str = ""
    certificate_until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedWorker:
    """A worker that gets no keys and no requests."""

    worker_id: str
    revoked_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A data key; `state` is `active`, `decrypt-only` or `destroyed`.

    Attributes:
        key_id: Its name.
        state: What it is good for.
        created_at: RFC 3339, UTC.
        written_bytes: Of the active one: about how much was written under it.
    """

    key_id: str
    state: str
    created_at: str
    written_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FilesLeft:
    """What is still under older keys."""

    files: int = 0
    entities: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A rewrap, or a key's destruction; `state`: `running`, `done`, `failed`, `cancelled`."""

    job_id: str
    kind: str
    state: str
    phase: str
    created_at: str
    updated_at: str
    key_ids: tuple[str, ...] = ()
    done: int = 0
    total: int = 0
    rewrapped: int = 0
    left: FilesLeft = FilesLeft()
    unreadable: int = 0
    keyless: int = 0
    detail: str = ""
    backups: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
