"""Fakes of the Main Worker's ports: in memory, as the docstrings of the ports have it.

The contract suites in tests/main_worker run on them and on the real things alike.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from main_api.domain.backups import BackupRecord
from main_api.domain.exports import ExportRecord
from main_api.domain.jobs import JobRecord
from main_api.domain.registry import MainRecord, Revocation, WorkerCredential, WorkerRecord
from main_api.domain.token_revocations import TokenRevocation
from main_api.domain.trusted_issuers import IssuerRecord
from main_api.service.ports import ClientRecord, Kind
from main_api.service.workers.ports import (
    EntityPage,
    Found,
    Inspected,
    PageRequest,
    Refused,
    RefusedPage,
    WriteItem,
    WriteKind,
    Written,
)
from strongroom import ids
from strongroom.clock import Clock, rfc3339
from strongroom.configuration import Database, Template
from strongroom.crypto import aead
from strongroom.entity import Metadata
from strongroom.errors import (
    IdempotencyMismatchError,
    IntegrityError,
    NotFoundError,
    SchemaViolationError,
    StrongroomError,
    Violation,
)
from strongroom.errors import UnavailableError as Down
from strongroom.finding import Condition as FileCondition
from strongroom.finding import Finding

R = TypeVar("R")
YEAR_2096_MS = 4_000_000_000_000


class FakeKeyProvider:
    """A `KeyProvider` over a master key in memory; `down` makes it refuse."""

    def __init__(self, recovery: str = "") -> None:
        """Make a master key."""
        self._master = aead.new_key()
        self.recovery = recovery
        self.down = False
        self.calls: list[str] = []

    def wrap(self, root: bytes, deployment: str) -> bytes:
        """Seal the root for a deployment."""
        self._called("wrap")
        iv = aead.new_iv()
        return iv + self._cipher(deployment).seal(iv, root, b"")

    def unwrap(self, message: bytes, deployment: str) -> bytes:
        """Open it; IntegrityError for another deployment's or a changed one."""
        self._called("unwrap")
        iv, sealed = message[: aead.IV_BYTES], message[aead.IV_BYTES :]
        return self._cipher(deployment).open(iv, sealed, b"")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise Down("the key provider does not answer")

    def _cipher(self, deployment: str) -> aead.Cipher:
        return aead.Cipher(self._master, b"tests/fake-key-provider", deployment.encode())


class MemoryKeyringStore:
    """A `KeyringStore`."""

    def __init__(self) -> None:
        """Start without a keyring."""
        self.raw: bytes | None = None
        self._lock = threading.Lock()

    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the lock."""
        return self._lock

    def read(self) -> bytes | None:
        """Return what was written."""
        return self.raw

    def make_durable(self) -> None:
        """There is no power to be cut."""

    def write(self, raw: bytes) -> None:
        """Keep it."""
        self.raw = raw


class MemoryRecords(Generic[R]):
    """`Records` of one kind; `on_read` may refuse that they are read."""

    def __init__(self, on_read: Callable[[], None] = lambda: None) -> None:
        """Start empty."""
        self.records: dict[str, R] = {}
        self._on_read = on_read

    def names(self) -> list[str]:
        """Return the names."""
        self._on_read()
        return sorted(self.records)

    def get(self, name: str) -> R | None:
        """Return a record."""
        self._on_read()
        return self.records.get(name)

    def put(self, name: str, record: R, *, is_durable: bool = True) -> None:
        """Keep a record."""
        del is_durable
        self.records[name] = record

    def remove(self, name: str) -> None:
        """Remove a record."""
        self.records.pop(name, None)


class MemoryBarrier:
    """A `Barrier`; `held` says how many more calls of `wait` meet a writer."""

    def __init__(self, held: int = 0) -> None:
        """Take the number."""
        self.held = held
        self.restarts = 0

    def restart(self) -> None:
        """Count it."""
        self.restarts += 1

    def wait(self, wait_s: float) -> bool:
        """Tell whether all have ended."""
        del wait_s
        self.held -= 1
        return self.held < 0


class MemoryControlStore:
    """A `ControlStore`; `reads` counts what was asked for, `down` makes it refuse."""

    def __init__(self) -> None:
        """Start empty."""
        self.databases: dict[str, Database] = {}
        self.templates: dict[str, Template] = {}
        self.clients: dict[str, ClientRecord] = {}
        self.registry: dict[str, WorkerRecord] = {}
        self.damaged_workers: set[str] = set()
        self.jobs: MemoryRecords[JobRecord] = MemoryRecords(self._check)
        self.backups: MemoryRecords[BackupRecord] = MemoryRecords(self._check)
        self.mains: MemoryRecords[MainRecord] = MemoryRecords(self._check)
        self.revocations: MemoryRecords[Revocation] = MemoryRecords(self._check)
        self.token_revocations: MemoryRecords[TokenRevocation] = MemoryRecords()
        self.exports: MemoryRecords[ExportRecord] = MemoryRecords(self._check)
        self.worker_credentials: MemoryRecords[WorkerCredential] = MemoryRecords(self._check)
        self.issuers: MemoryRecords[IssuerRecord] = MemoryRecords(self._check)
        self.findings: list[Finding] = []
        self.reads: Counter[str] = Counter()
        self.down = False
        self._lock = threading.Lock()

    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the lock."""
        return self._lock

    def names(self, kind: Kind) -> list[str]:
        """Return the names of one kind."""
        self._read("names")
        kinds: dict[Kind, Iterable[str]] = {
            Kind.TEMPLATE: self.templates,
            Kind.DATABASE: self.databases,
            Kind.CLIENT: self.clients,
        }
        return sorted(kinds[kind])

    def database(self, name: str) -> Database | None:
        """Return a database's configuration."""
        found = self.database_record(name)
        return None if found is None or found.deleted_at else found

    def database_record(self, name: str) -> Database | None:
        """Return a database's configuration, a deleted one's too."""
        self._read("database")
        return self.databases.get(name)

    def put_database(self, database: Database) -> None:
        """Keep a database's configuration."""
        self.databases[database.name] = database

    def template(self, schema_id: str) -> Template | None:
        """Return a template."""
        found = self.template_record(schema_id)
        return None if found is None or found.deleted_at else found

    def template_record(self, schema_id: str) -> Template | None:
        """Return a template, a deleted one too."""
        self._read("template")
        return self.templates.get(schema_id)

    def put_template(self, template: Template) -> None:
        """Keep a template."""
        self.templates[template.schema_id] = template

    def client(self, client_id: str) -> ClientRecord | None:
        """Return a client."""
        self._read("client")
        return self.clients.get(client_id)

    def put_client(self, client: ClientRecord) -> None:
        """Keep a client."""
        self.clients[client.client_id] = client

    def remove_client(self, client_id: str) -> None:
        """Remove a client."""
        self.clients.pop(client_id, None)

    def inspect(self, *, repair: bool) -> list[Finding]:
        """Nothing in memory is damaged."""
        del repair
        self._read("inspect")
        return list(self.findings)

    def workers(self) -> list[WorkerRecord]:
        """Return the registry."""
        self._read("workers")
        return list(self.registry.values())

    def every_worker(self) -> tuple[list[WorkerRecord], list[str]]:
        """Return the registry, and which of its records are said to be damaged."""
        damaged = [one for one in self.registry if one in self.damaged_workers]
        return [one for one in self.workers() if one.worker_id not in damaged], damaged

    def worker(self, worker_id: str) -> WorkerRecord | None:
        """Return a worker's record."""
        self._read("worker")
        if worker_id in self.damaged_workers:
            raise IntegrityError(f"the record of {worker_id} does not verify")
        return self.registry.get(worker_id)

    def put_worker(self, worker: WorkerRecord) -> None:
        """Keep a worker's record."""
        self.damaged_workers.discard(worker.worker_id)
        self.registry[worker.worker_id] = worker

    def remove_worker(self, worker_id: str) -> None:
        """Remove a worker's record."""
        self.registry.pop(worker_id, None)

    def _read(self, what: str) -> None:
        self.reads[what] += 1
        self._check()

    def _check(self) -> None:
        if self.down:
            raise Down("the storage does not answer", retry_after_s=1)


@dataclass(frozen=True)
class Call:
    """One call that a worker got."""

    worker_id: str
    method: str
    timeout_s: float


@dataclass
class _Stored:
    document: bytes
    metadata: Metadata


@dataclass
class _Failure:
    error: Exception
    applies_first: bool


@dataclass(frozen=True)
class Answered:
    """A `Pending` that is answered when it is waited for."""

    answer: Callable[[], list[Found | StrongroomError]]

    def result(self) -> list[Found | StrongroomError]:
        """Answer."""
        return self.answer()

    def cancel(self) -> None:
        """Nothing is under way."""


@dataclass
class MemoryWorkers:
    """A `WorkerClient`: workers over one store, as real ones are over one directory.

    They know no expressions, JSON patches and templates: what these would make of a document is
    the document itself.

    Attributes:
        clock: Dates what is written.
        calls: What was called, oldest first.
        pages: What pages were asked for, oldest first.
    """

    clock: Clock
    calls: list[Call] = field(default_factory=list)
    pages: list[PageRequest] = field(default_factory=list)
    _entities: dict[tuple[str, str], _Stored] = field(default_factory=dict)
    _versions: dict[tuple[str, str], int] = field(default_factory=dict)
    _applied: dict[tuple[str, str, str], tuple[object, Written]] = field(default_factory=dict)
    _failures: dict[str, _Failure] = field(default_factory=dict)
    _item_failures: dict[str, StrongroomError] = field(default_factory=dict)

    def fail(self, worker_id: str, error: Exception, *, applies_first: bool = False) -> None:
        """Let a worker fail from now on; `applies_first`: with the write already applied."""
        self._failures[worker_id] = _Failure(error, applies_first)

    def fail_item(self, key: str, error: StrongroomError) -> None:
        """Let every operation on one key fail, on every worker."""
        self._item_failures[key] = error

    def probe(self, worker: WorkerRecord, timeout_s: float) -> None:
        """Give a sign of life, unless the worker fails."""
        self._begin(worker, "probe", timeout_s)
        self._end(worker)

    def called(self) -> list[str]:
        """Return the ids of the workers that were called, oldest first."""
        return [call.worker_id for call in self.calls]

    def get(
        self, worker: WorkerRecord, database: Database, key: str, known: int, timeout_s: float
    ) -> Found:
        """Read an entity."""
        self._begin(worker, "get", timeout_s)
        self._end(worker)
        found = self._find(database, key)
        if found.metadata.version == known:
            return Found(key, b"", found.metadata, not_modified=True)
        return found

    def get_many(
        self, worker: WorkerRecord, database: Database, keys: Sequence[str], timeout_s: float
    ) -> "Answered":
        """Read several entities."""
        return Answered(lambda: self._found_many(worker, database, keys, timeout_s))

    def _found_many(
        self, worker: WorkerRecord, database: Database, keys: Sequence[str], timeout_s: float
    ) -> list[Found | StrongroomError]:
        self._begin(worker, "get_many", timeout_s)
        self._end(worker)
        answers: list[Found | StrongroomError] = []
        for key in keys:
            try:
                answers.append(self._find(database, key))
            except StrongroomError as error:
                answers.append(error)
        return answers

    def transform(
        self, worker: WorkerRecord, database: Database, key: str, expression: str, timeout_s: float
    ) -> Found:
        """Read an entity."""
        self._begin(worker, "transform", timeout_s)
        _as_on_the_wire(expression)
        self._end(worker)
        return self._find(database, key)

    def write(
        self, worker: WorkerRecord, database: Database, item: WriteItem, timeout_s: float
    ) -> Written:
        """Write an entity."""
        self._begin(worker, item.kind.value, timeout_s)
        written = self._apply(database, item)
        self._end(worker)
        return written

    def put_many(
        self, worker: WorkerRecord, database: Database, items: Sequence[WriteItem], timeout_s: float
    ) -> list[Written | StrongroomError]:
        """Put several entities."""
        return self._write_many("put_many", worker, database, items, timeout_s)

    def delete_many(
        self, worker: WorkerRecord, database: Database, items: Sequence[WriteItem], timeout_s: float
    ) -> list[Written | StrongroomError]:
        """Delete several entities."""
        return self._write_many("delete_many", worker, database, items, timeout_s)

    def _write_many(
        self,
        method: str,
        worker: WorkerRecord,
        database: Database,
        items: Sequence[WriteItem],
        timeout_s: float,
    ) -> list[Written | StrongroomError]:
        self._begin(worker, method, timeout_s)
        answers: list[Written | StrongroomError] = []
        for item in items:
            try:
                answers.append(self._apply(database, item))
            except StrongroomError as error:
                answers.append(error)
        self._end(worker)
        return answers

    def validate(
        self, worker: WorkerRecord, database: Database, items: Sequence[WriteItem], timeout_s: float
    ) -> list[StrongroomError | None]:
        """Return the failures that were set for the keys."""
        del database
        self._begin(worker, "validate", timeout_s)
        self._end(worker)
        return [self._item_failures.get(item.key) for item in items]

    def try_template(
        self,
        worker: WorkerRecord,
        database: Database,
        schema: bytes,
        request: PageRequest,
        timeout_s: float,
    ) -> RefusedPage:
        """Return a page of entities; every one is refused, at every keyword of the schema."""
        page = self.scan(worker, database, request, timeout_s)
        violations = [Violation("/a", keyword, "refused") for keyword in json.loads(schema)]
        refused = tuple(
            Refused(
                one.key, one.metadata.version, SchemaViolationError("no", violations=violations)
            )
            for one in page.entities
        )
        return RefusedPage(refused, page.cursor, page.examined, page.damaged)

    def inspect(
        self, worker: WorkerRecord, cursor: str, timeout_s: float, *, repair: bool
    ) -> Inspected:
        """Find one damaged file per call; the third call is the last."""
        self._begin(worker, "inspect", timeout_s)
        self._end(worker)
        done = len(cursor) + 1
        path = f"files/{done}{'-repaired' if repair else ''}"
        finding = Finding(path, FileCondition.DAMAGED, "reason", repair)
        return Inspected((finding,), "x" * done if done < 3 else "", 10, done, 3)

    def scan(
        self, worker: WorkerRecord, database: Database, request: PageRequest, timeout_s: float
    ) -> EntityPage:
        """Read a page, in the order of the keys; of filters and selections it knows none."""
        self._begin(worker, "scan", timeout_s)
        _as_on_the_wire(request.prefix, request.filter, request.select, request.cursor)
        self.pages.append(request)
        self._end(worker)
        keys = [
            key
            for name, key in sorted(self._entities)
            if name == database.name
            and key.startswith(request.prefix)
            and key.startswith(request.key_prefixes)
            and key > request.cursor
        ]
        wanted = keys[: request.limit]
        cursor = wanted[-1] if len(keys) > len(wanted) else ""
        found = tuple(self._find(database, key) for key in wanted)
        return EntityPage(found, cursor, len(wanted), 0)

    def _begin(self, worker: WorkerRecord, method: str, timeout_s: float) -> None:
        self.calls.append(Call(worker.worker_id, method, timeout_s))
        failure = self._failures.get(worker.worker_id)
        if failure is not None and not failure.applies_first:
            raise failure.error

    def _end(self, worker: WorkerRecord) -> None:
        failure = self._failures.get(worker.worker_id)
        if failure is not None:
            raise failure.error

    def _find(self, database: Database, key: str) -> Found:
        if key in self._item_failures:
            raise self._item_failures[key]
        stored = self._entities.get((database.name, key))
        if stored is None:
            raise NotFoundError("no such entity")
        return Found(key, stored.document, stored.metadata)

    def _apply(self, database: Database, item: WriteItem) -> Written:
        if item.key in self._item_failures:
            raise self._item_failures[item.key]
        digest = (item.kind, item.document, item.expression)
        remembered = self._applied.get((database.name, item.key, item.request_id))
        if remembered is not None and item.request_id:
            if remembered[0] != digest:
                raise IdempotencyMismatchError("this key was used before, for another request")
            return remembered[1]
        stored = self._entities.get((database.name, item.key))
        if stored is None and item.kind is not WriteKind.PUT:
            raise NotFoundError("no such entity")
        item.condition.check(stored.metadata.version if stored else None)
        written = Written(item.key, stored is None, self._metadata(database, item, stored))
        if item.validate_only:
            return written
        self._keep(database, item, written, stored)
        self._applied[(database.name, item.key, item.request_id)] = (digest, written)
        return written

    def _metadata(self, database: Database, item: WriteItem, stored: _Stored | None) -> Metadata:
        now_ms = self.clock.wall_ms()
        before = self._versions.get((database.name, item.key), database.version_floor)
        ttl_ms = None if item.ttl_seconds is None else item.ttl_seconds * 1000
        return Metadata(
            version=before + 1,
            created_at=stored.metadata.created_at if stored else rfc3339(now_ms),
            updated_at=rfc3339(now_ms),
            expires_at=None if ttl_ms is None else rfc3339(now_ms + ttl_ms),
            schema_id=database.schema_id,
            schema_version=1,
        )

    def _keep(
        self, database: Database, item: WriteItem, written: Written, stored: _Stored | None
    ) -> None:
        place = (database.name, item.key)
        self._versions[place] = written.metadata.version
        if item.kind is WriteKind.DELETE:
            del self._entities[place]
            return
        document = item.document
        if item.kind is not WriteKind.PUT and stored is not None:
            document = stored.document
        if item.kind is WriteKind.MERGE_PATCH and stored is not None:
            merged = _merged(json.loads(stored.document), json.loads(item.document))
            document = json.dumps(merged).encode()
        self._entities[place] = _Stored(document, written.metadata)


def _as_on_the_wire(*texts: str) -> None:
    """Fail as protobuf does for a text that is not Unicode."""
    for text in texts:
        text.encode()


def _merged(value: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON values
    """Apply a merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    members = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            members.pop(name, None)
        else:
            members[name] = _merged(members.get(name), change)
    return members


def a_worker(
    worker_id: str, *, lease_until_ms: int = YEAR_2096_MS, address: str = ""
) -> WorkerRecord:
    """Return a record of the registry."""
    return WorkerRecord(
        worker_id=worker_id,
        address=address or f"{worker_id}.test:1",
        subscription_id=ids.new_id(),
        registered_at="2026-01-01T00:00:00.000Z",
        lease_until_ms=lease_until_ms,
    )


def a_database(name: str = "chatdb") -> Database:
    """Return a database's configuration."""
    return Database(
        name=name,
        incarnation=ids.new_id(),
        schema_id="chat.v1",
        created_at="2026-01-01T00:00:00.000Z",
    )
