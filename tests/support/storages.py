"""Entity storages without an engine: blobs made by hand, of one entity or of several."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from processing_fn.service.ports import EntityStorage, Overlap, Place
from processing_fn.storage.entity_files import EntityFiles
from processing_fn.storage.locks import EntityLocks
from processing_fn.storage.overlap import InTurn
from strongroom import blob
from strongroom.clock import Clock
from strongroom.crypto import aead
from strongroom.durable import Filesystem
from strongroom.layout import TEMPORARY_PREFIX, Layout, blob_name, sidecar_name
from tests.support.clocks import ManualClock
from tests.support.shared_directories import SharedDirectory

KEY: Final = aead.new_key()
AT: Final = "2026-01-01T00:00:00.000Z"


def place(number: int, database: str = "people") -> Place:
    """Return the place of an entity; the low byte of its number says which shard it is in."""
    return Place(database, "00" * 16, bytes([number & 0xFF]) + sha256(b"%d" % number).digest()[1:])


def sealed(at: Place, version: int, document: bytes) -> bytes:
    """Return the blob of a version, under an IV of its own."""
    header = blob.Header(
        format=blob.FORMAT_VERSION,
        alg=aead.ALGORITHM,
        key_id="0123456789abcdef",
        iv=blob.fresh_iv(),
        schema_id="person.v1",
        schema_version=1,
        writer_id="worker-1",
        version=version,
        created_at=AT,
        updated_at=AT,
    )
    return blob.encrypt(header, blob.Body("key", document), at.file_id, KEY)


def sidecar_of(raw: bytes) -> bytes:
    """Return the sidecar that belongs to a blob."""
    return blob.sidecar(blob.parse(raw))


def opener(at: Place) -> Callable[[blob.Parsed], blob.Body]:
    """Return what opens the blobs of an entity; raises IntegrityError."""
    cipher = blob.cipher(KEY, at.file_id)
    return lambda parsed: blob.decrypt_with(cipher, parsed, at.file_id)


def nothing() -> None:
    """Stand for a guard that lets every commit pass."""


def commit(storage: EntityStorage, at: Place, document: bytes) -> int:
    """Write the next version of an entity, as an engine does, and return it."""
    with storage.exclusive(at) as transaction:
        current = transaction.current()
        version = 1 if current is None else current.header.version + 1
        transaction.commit(sealed(at, version, document), nothing)
    return version


def state(storage: EntityStorage, at: Place) -> tuple[int, bytes] | None:
    """Return (version, document), None where nothing lies."""
    loaded = storage.load(at, opener(at))
    if loaded is None:
        return None
    parsed, body, _ = loaded
    assert body.document is not None
    return parsed.header.version, body.document


@dataclass
class StorageRig:
    """A shared directory, and what several processes over it have in common."""

    shared: SharedDirectory
    clock: ManualClock = field(default_factory=ManualClock)
    out_of_service: int = 0
    locks: list[EntityLocks] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        """The paths."""
        return Layout(self.shared.root)

    def storage(
        self,
        filesystem: Filesystem | None = None,
        *,
        clock: Clock | None = None,
        overlap: Overlap | None = None,
    ) -> EntityStorage:
        """Return a storage as a process of its own would have it."""
        disk = filesystem or self.shared.filesystem
        ticking = clock or self.clock
        locks = EntityLocks(disk, self.layout, ticking)
        self.locks.append(locks)
        return EntityFiles(
            disk,
            self.layout,
            locks,
            clock=ticking,
            overlap=overlap or InTurn(),
            out_of_service=self._leave,
        )

    def close(self) -> None:
        """Do what the end of the processes would do: close their lock files."""
        while self.locks:
            self.locks.pop().close()

    def shard(self, at: Place) -> Path:
        """Return the directory of an entity's files."""
        return Path(self.layout.shard(at.database, at.file_id))

    def files(self, at: Place) -> tuple[Path, Path]:
        """Return the paths of an entity's blob and sidecar."""
        return self.shard(at) / blob_name(at.file_id), self.shard(at) / sidecar_name(at.file_id)

    def contents(self, at: Place) -> tuple[bytes | None, bytes | None]:
        """Return what is in an entity's blob and sidecar."""
        blob_file, sidecar_file = self.files(at)
        return self.shared.read(blob_file), self.shared.read(sidecar_file)

    def temporaries(self, at: Place) -> list[str]:
        """Return the temporary files beside an entity's files."""
        names = self.shared.names(self.shard(at))
        return [name for name in names if name.startswith(TEMPORARY_PREFIX)]

    @contextmanager
    def unchanged(self, at: Place) -> Iterator[None]:
        """Check that blob and sidecar are as before at the end, and that nothing lies about."""
        before = self.contents(at)
        yield
        assert self.contents(at) == before
        assert self.temporaries(at) == []

    def _leave(self) -> None:
        self.out_of_service += 1
