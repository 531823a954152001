"""Engines over a real directory, without any process or network around them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from processing_fn.cache.document_cache import DocumentCache
from processing_fn.service.bindings import Binding
from processing_fn.service.coherence import Coherence, Unsent
from processing_fn.service.engine import Engine
from processing_fn.service.pacing import Pacer
from processing_fn.service.patching import PatchKind
from processing_fn.service.ports import Overlap
from processing_fn.service.requests import Delete, PatchRequest, Put
from processing_fn.service.session import Lease, Session, open_session
from processing_fn.storage.entity_files import EntityFiles
from processing_fn.storage.locks import EntityLocks
from processing_fn.storage.overlap import InTurn
from strongroom import configuration, durable, keyring
from strongroom.clock import Clock, rfc3339
from strongroom.configuration import Database, Retired, Template
from strongroom.configuration_files import ConfigurationFiles
from strongroom.entity import UNCONDITIONAL, Condition
from strongroom.keyring import WORKER_PURPOSES, Keyring, KeySet, Purpose
from strongroom.layout import Layout
from tests.support.clocks import ManualClock

AT = "2026-01-01T00:00:00.000Z"
SCHEMA = b'{"type": "object", "properties": {"n": {"type": "number"}}}'
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Parts:
    """What a worker's storage is made by."""

    files: type[EntityFiles] = EntityFiles
    locks: type[EntityLocks] = EntityLocks
    cache: type[DocumentCache] = DocumentCache


PLAIN = Parts()


@dataclass
class Rig:
    """One shared directory and what several workers over it have in common."""

    root: Path
    clock: Clock = field(default_factory=ManualClock)
    keys: Keyring = field(default_factory=lambda: keyring.new("test-deployment", AT))
    broken: list[str] = field(default_factory=list)
    locks: list[EntityLocks] = field(default_factory=list)
    filesystem: durable.Filesystem = field(default_factory=durable.LocalFilesystem)
    is_network: bool = True
    parts: Parts = PLAIN

    def __post_init__(self) -> None:
        """Bind a database to a template."""
        self.put_template(SCHEMA)
        self.binding = self.put_database("people", "00" * 16)

    @property
    def layout(self) -> Layout:
        """The paths."""
        return Layout(self.root)

    def put_template(self, schema: bytes, version: int = 1) -> None:
        """Write the template `person.v1`, as the Main Worker would."""
        template = Template(
            schema_id="person.v1",
            schema_version=version,
            created_at=AT,
            updated_at=AT,
            schema=msgspec.Raw(schema),
        )
        self._write(self.layout.template("person.v1"), configuration.encode(template, self._macs()))

    def put_database(
        self,
        name: str,
        incarnation: str,
        ttl_seconds: int | None = None,
        floor: int = 0,
        *,
        retired: tuple[str, ...] = (),
        deleted: bool = False,
    ) -> Binding:
        """Write a database bound to `person.v1`, as the Main Worker would."""
        now = rfc3339(self.clock.wall_ms())
        database = Database(
            name=name,
            incarnation=incarnation,
            schema_id="person.v1",
            created_at=now,
            ttl_seconds=ttl_seconds,
            version_floor=floor,
            deleted_at=now if deleted else None,
            retired=tuple(Retired(one, now) for one in retired),
        )
        self._write(self.layout.database(name), configuration.encode(database, self._macs()))
        return Binding(name, incarnation, "person.v1")

    def worker(
        self,
        worker_id: str = "worker-1",
        *,
        filesystem: durable.Filesystem | None = None,
        cache_bytes: int = MEBIBYTE,
        cache_ttl_s: float = 300.0,
        overlap: Overlap | None = None,
        pacer: Pacer | None = None,
        session: Session | None = None,
        bound_s: float = 0.0,
    ) -> "Worker":
        """Return a worker with a cache and locks of its own; with keys of its own, or a session."""
        both = overlap or InTurn()
        disk = filesystem or self.filesystem
        if session is None:
            lease = Lease(self.clock, self.clock.boot_s() + 1_000_000)
            keys = self.keys.of(WORKER_PURPOSES)
            session = open_session(self.keys.deployment, worker_id, lease, keys)
        cache = self.parts.cache(self.clock, cache_bytes, cache_ttl_s)
        locks = self.parts.locks(disk, self.layout, self.clock)
        self.locks.append(locks)
        storage = self.parts.files(
            disk,
            self.layout,
            locks,
            clock=self.clock,
            overlap=both,
            out_of_service=lambda: self.broken.append(worker_id),
            is_network=self.is_network,
        )
        configurations = ConfigurationFiles(disk, self.layout, session.configuration_keys)
        unsent = Unsent()
        engine = Engine(
            session,
            storage,
            configurations,
            cache,
            clock=self.clock,
            overlap=both,
            pacer=pacer or Pacer(self.clock),
            coherence=Coherence(unsent, bound_s),
        )
        return Worker(self, engine, cache, session.lease, session, unsent, storage)

    def close(self) -> None:
        """Do what the end of the workers' processes would do: close their lock files."""
        while self.locks:
            self.locks.pop().close()

    def _macs(self) -> KeySet:
        return KeySet(self.keys.of(frozenset({Purpose.CONFIGURATION})))

    def _write(self, path: Path, raw: bytes) -> None:
        durable.replace_file(self.filesystem, path, raw)


@dataclass
class Worker:
    """An engine with the parts that a test wants to look at."""

    rig: Rig
    engine: Engine
    cache: DocumentCache
    lease: Lease
    session: Session
    unsent: Unsent
    storage: EntityFiles

    @property
    def file_id(self) -> Callable[[str, str, str], bytes]:
        """How files are named."""
        return self.session.file_id

    def put(
        self,
        key: str,
        document: bytes,
        condition: Condition = UNCONDITIONAL,
        request_id: str = "",
    ) -> int:
        """Put and return the version."""
        put = Put(key, document, condition, request_id)
        return self.engine.put(self.rig.binding, put).metadata.version

    def delete(self, key: str, condition: Condition = UNCONDITIONAL, request_id: str = "") -> int:
        """Delete and return the version of the tombstone."""
        delete = Delete(key, condition, request_id)
        return self.engine.delete(self.rig.binding, delete).metadata.version

    def patch(
        self,
        key: str,
        kind: PatchKind,
        patch: bytes,
        condition: Condition = UNCONDITIONAL,
        request_id: str = "",
    ) -> int:
        """Patch and return the version."""
        request = PatchRequest(key, kind, patch, condition, request_id)
        return self.engine.patch(self.rig.binding, request).metadata.version

    def get(self, key: str) -> tuple[int, bytes]:
        """Return (version, document)."""
        snapshot = self.engine.get(self.rig.binding, key)
        return snapshot.metadata.version, snapshot.document

    def files(self, key: str) -> tuple[Path, Path]:
        """Return the paths of an entity's blob and sidecar."""
        binding = self.rig.binding
        file_id = self.file_id(binding.database, binding.incarnation, key)
        shard = Path(self.rig.layout.shard(binding.database, file_id))
        return shard / f"{file_id.hex()}.json.enc", shard / f"{file_id.hex()}.meta.json"

    def counters(self) -> dict[str, int]:
        """Return the cache's counters."""
        return self.cache.statistics()
