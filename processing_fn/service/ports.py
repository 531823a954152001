"""What the engine needs of the world."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from processing_fn.domain.coherence import Witness
from strongroom import blob, limits
from strongroom.configuration import Database, Template
from strongroom.entity import Metadata
from strongroom.keyring import Key

A = TypeVar("A")
B = TypeVar("B")


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where an entity lies: its database, that one's incarnation, and its 32-byte file-id."""

    database: str
    incarnation: str
    file_id: bytes


class Overlap(Protocol):
    """Does two independent things on the disk, at once where that is worth it.

    Attributes:
        is_remote: Whether it is, because every call is a round trip.
    """

    is_remote: bool

    def both(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        """Return both results; raises what either raises, after both have ended."""
        ...


@dataclass(frozen=True, slots=True)
class Shard:
    """What lies in one directory of entities.

    Attributes:
        file_ids: Entities that have a blob, a sidecar or both, ascending.
        temporaries: Names of temporary files that no writer can be using any more.
        strangers: Names that are none of ours.
    """

    file_ids: tuple[bytes, ...]
    temporaries: tuple[str, ...]
    strangers: tuple[str, ...]


class Transaction(Protocol):
    """One entity, held under its exclusive lock."""

    def current(self) -> blob.Parsed | None:
        """Return what lies there.

        Raises:
            IntegrityError: Its sidecar is ahead of it, or it cannot be read as a blob.
            UnavailableError: The disk refuses.
        """
        ...

    def commit(self, raw: bytes, guard: Callable[[], None]) -> bytes:
        """Put a blob in the place of what `current` returned; return its sidecar's bytes.

        `guard` is called at the last moment before the commit point and may raise.

        Raises:
            UnavailableError: Nothing was changed.
            OutcomeUnknownError: The commit point may have been passed.
        """
        ...

    def stored_sidecar(self) -> bytes | None:
        """Return the sidecar that `current` found beside its blob."""
        ...

    def renew_sidecar(self, sidecar: bytes) -> None:
        """Make what `current` returned durable, then put its sidecar beside it.

        Raises:
            UnavailableError: The sidecar is as it was.
        """
        ...

    def remove(self) -> None:
        """Remove both files of what `current` returned: no version is left that counts on.

        Raises:
            UnavailableError: They may be there still.
        """
        ...


class EntityStorage(Protocol):
    """Entity files on the shared directory."""

    def is_current(self, place: Place, witness: Witness) -> bool:
        """Tell whether the sidecar on the disk still is the one that this stands for, to the byte.

        Raises:
            UnavailableError: The disk refuses.
        """
        ...

    def load(
        self, place: Place, authenticate: Callable[[blob.Parsed], blob.Body]
    ) -> tuple[blob.Parsed, blob.Body, bytes] | None:
        """Return (blob, its body, its sidecar's bytes), or None where nothing lies.

        A sidecar that does not belong to its blob is renewed first, under the lock and after
        `authenticate` has opened the blob, so that no two readers see versions in different orders.

        Raises:
            IntegrityError: A file does not verify, or the sidecar is ahead of its blob.
            UnavailableError: The disk refuses, or the lock cannot be had in time.
        """
        ...

    def peek(self, place: Place) -> tuple[bytes | None, bytes | None]:
        """Return (blob, sidecar) as they lie there, without a lock and unjudged.

        Raises:
            UnavailableError: The disk refuses.
        """
        ...

    def file_ids(self, database: str, after: bytes) -> Iterator[bytes]:
        """Return the file-ids of a database in ascending order, those after a given one.

        What is written or removed meanwhile may be in or not.

        Raises:
            UnavailableError: The disk refuses.
        """
        ...

    def databases(self) -> list[str]:
        """Return the names below files/, in order. Raises UnavailableError."""
        ...

    def strangers(self, database: str) -> list[str]:
        """Return the names in a database's directory that are no shards; raises as `databases`."""
        ...

    def shard(self, database: str, shard: int) -> Shard:
        """Return what lies in a shard. Raises UnavailableError."""
        ...

    def sweep(self, database: str, shard: int) -> None:
        """Remove temporary files that a crash has left. Raises UnavailableError."""
        ...

    def sweep_configuration(self) -> None:
        """The same where templates, databases and control records lie."""
        ...

    def headers(
        self, database: str, shard: int, after: bytes
    ) -> Iterator[tuple[bytes, blob.Header | None]]:
        """Return (file-id, header) of the blobs of a shard, ascending, those after a file-id.

        None stands for a header that cannot be read. Nothing is authenticated. What is written or
        removed meanwhile may be in or not.

        Raises:
            UnavailableError: The disk refuses.
        """
        ...

    def sidecars(self, database: str, shard: int) -> Iterator[tuple[bytes, bytes | None]]:
        """Return (file-id, sidecar) of a shard, None for a sidecar that cannot be read.

        Raises:
            UnavailableError: The disk refuses.
        """
        ...

    def exclusive(
        self, place: Place, wait_s: float = limits.LOCK_WAIT_SECONDS
    ) -> AbstractContextManager[Transaction]:
        """Hold the entity's lock.

        Raises:
            BusyError: It cannot be had in that time.
            UnavailableError: The disk refuses.
        """
        ...


class Configurations(Protocol):
    """Templates and database configuration, as the disk has them now.

    Every method raises IntegrityError for a file that somebody without the key has changed, and
    UnavailableError when the disk refuses.
    """

    def database(self, name: str) -> Database | None:
        """Return a database's configuration, None where there is none."""
        ...

    def database_record(self, name: str) -> Database | None:
        """As `database`, but a deleted one too."""
        ...

    def template(self, schema_id: str) -> Template | None:
        """Return a template, None where there is none; the same object while it is current."""
        ...


class CachedEntity(msgspec.Struct, gc=False, eq=False):
    """A decrypted entity in memory.

    Attributes:
        entity_key: The client's key.
        database_name: Its database.
        incarnation: That one's incarnation.
        metadata: Version, schema id, last update and so on.
        document: Decrypted JSON text.
        expiry_ms: When the entity expires, milliseconds since 1970, None for never.
        witness: Stands for the sidecar that vouches for it.
        current_at_s: On CLOCK_BOOTTIME, an instant at which it is known to have been current; the
            one member that changes, without a lock: readers that race lose a step of it.
    """

    entity_key: str
    database_name: str
    incarnation: str
    metadata: Metadata
    document: bytes
    expiry_ms: int | None
    witness: Witness
    current_at_s: float = 0.0

    def size_bytes(self) -> int:
        """Return what the entry occupies, the objects around the bytes included."""
        return len(self.document) + len(self.entity_key) + _OVERHEAD_BYTES


_OVERHEAD_BYTES = 1_000
"""Entry, metadata, strings and the links of the cache: measured with tracemalloc, rounded up."""


class EntityCache(Protocol):
    """Decrypted entities by file-id; bounded in bytes and in time."""

    def get(self, file_id: bytes) -> CachedEntity | None:
        """Return an entry; it is up to the caller to ask whether it is current."""
        ...

    def put(self, file_id: bytes, entity: CachedEntity) -> None:
        """Keep an entry; the least recently used ones make room."""
        ...

    def drop(self, file_id: bytes) -> None:
        """Forget an entry."""
        ...

    def count(self, event: str) -> None:
        """Count one of what `EVENTS` of the cache names."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """What Subscribe answers, the keys already opened.

    Attributes:
        deployment: The deployment's id.
        token: Proves the subscription to Register, Renew and Leave.
        lease_s: How long the worker may serve from the moment that the request was *sent*.
        keys: The keys of this worker.
        wall_ms: The Main Worker's wall clock.
    """

    deployment: str
    token: str
    lease_s: float
    keys: tuple[Key, ...]
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Renewal:
    """What Register and Renew answer; fields as in `Subscription`.

    Attributes:
        main_addresses: Where gRPC Main Workers are reached that are in service.
    """

    token: str
    lease_s: float
    wall_ms: int
    main_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vended:
    """Keys as FetchKeys brought them, and the generation of the keyring that they are of."""

    keys: tuple[Key, ...]
    generation: int


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker tells of itself.

    Attributes:
        load: Calls under way, on the average since the report before.
        cache_entries: How many documents its cache has.
        cache_bytes: Their size.
        version: Of its software.
        is_draining: It finishes what it has begun, and is to be asked for nothing more.
    """

    load: float = 0.0
    cache_entries: int = 0
    cache_bytes: int = 0
    version: str = ""
    is_draining: bool = False


NO_REPORT = WorkerReport()


class KeyringWatch(Protocol):
    """An event stream of the Main Worker."""

    def __iter__(self) -> Iterator[int]:
        """Yield the keyring's generation, at once and after every change.

        Raises:
            UnauthenticatedError, UnavailableError: As the methods of `MainWorker`.
        """
        ...

    def cancel(self) -> None:
        """End the stream, from any thread."""
        ...


class MainWorker(Protocol):
    """The subscription API of the Main Worker.

    Every method raises UnauthenticatedError where the worker is refused (a new subscription is
    needed) and UnavailableError where nobody answers (the same call may work later).
    """

    def subscribe(self) -> Subscription:
        """Make a key pair, prove the worker's identity and get its keys."""
        ...

    def register(self, token: str, address: str, report: WorkerReport = NO_REPORT) -> Renewal:
        """Be listed as available."""
        ...

    def renew(
        self,
        token: str,
        key_id: str,
        generation: int,
        written_bytes: int = 0,
        report: WorkerReport = NO_REPORT,
    ) -> Renewal:
        """Extend the lease.

        Args:
            token: The subscription's newest one.
            key_id: Confirms the one data key that is written under; empty for none.
            generation: Confirms whose keys this worker has, and no others; 0 for none.
            written_bytes: Committed under `key_id` since the last renewal that was answered.
            report: What the worker tells of itself.
        """
        ...

    def watch(self, token: str) -> KeyringWatch:
        """Be told of changes of the keyring."""
        ...

    def fetch_keys(self, token: str) -> Vended:
        """Get the keys as they are now."""
        ...

    def leave(self, token: str) -> None:
        """Be listed no longer."""
        ...
