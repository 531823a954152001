"""A deployment's directory with entities in it, and backups of it, in one process."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli.backup.adapters.directory import DirectoryStore
from cli.backup.adapters.empty_directory import EmptySharedDirectory
from cli.backup.adapters.keys import KeyringKeys
from cli.backup.adapters.shared_directory import SharedDirectory
from cli.backup.domain.selection import Selection
from cli.backup.service import proving, reading, restoring, taking
from cli.backup.service.ports import Progress, Source, Store
from cli.backup.service.proving import Proof
from cli.backup.service.reading import Backup
from cli.backup.service.taking import Taken, Tally
from main_api.adapters.control_store import ControlFiles
from main_api.domain.backups import BackupRecord
from strongroom import durable, keyring
from strongroom.clock import SystemClock
from strongroom.crypto import aead
from strongroom.keyring import Keyring, Purpose
from strongroom.layout import Layout
from tests.support.engines import AT, Rig, Worker
from tests.support.filesystems import UnsyncedFilesystem

QUIET: Progress = lambda _done, _total: None  # noqa: E731 - a port that is one call


class DirectorysRegister:
    """The `Register` of a Main Worker over one directory: records are sealed as it seals them."""

    def __init__(self, root: Path, keys: Callable[[], Keyring]) -> None:
        """Take the directory, and what returns the keyring of the moment."""
        store = ControlFiles(durable.LocalFilesystem(), Layout(root), keys(), SystemClock())
        self._records = store.backups
        self._keys = keys

    def names(self) -> set[str]:
        """List them."""
        return set(self._records.names())

    def put(self, name: str) -> None:
        """Write one."""
        kept = [key.key_id for key in self._keys().of(frozenset({Purpose.DATA}))]
        record = BackupRecord(backup_id=name, recorded_at=AT, key_ids=tuple(kept))
        self._records.put(name, record)

    def remove(self, name: str) -> None:
        """Remove one."""
        self._records.remove(name)

    def key_ids(self, name: str) -> list[str]:
        """Return the data keys that one needs."""
        found = self._records.get(name)
        assert found is not None
        return list(found.key_ids)


@dataclass
class BackupRig:
    """A deployment with the database `people`, and a place for its backups.

    Attributes:
        directory: Where all of it lies.
        keys: The deployment's.
        clock: Moves on by itself, so that no two backups are of one second.
    """

    directory: Path
    keys: Keyring = field(default_factory=lambda: keyring.new("test-deployment", AT))

    def __post_init__(self) -> None:
        """Put the keyring's file there."""
        self.rig = Rig(
            self.directory / "shared",
            clock=SystemClock(),
            keys=self.keys,
            filesystem=UnsyncedFilesystem(),
        )
        self.worker: Worker = self.rig.worker()
        self._seconds = 0
        self.write_keyring(self.root)

    @property
    def root(self) -> Path:
        """The shared directory."""
        return self.rig.root

    @property
    def place(self) -> Path:
        """Where the backups lie."""
        return self.directory / "backups"

    @property
    def store(self) -> Store:
        """The store of that place."""
        return DirectoryStore(self.place, UnsyncedFilesystem())

    @property
    def opened(self) -> KeyringKeys:
        """The keys at hand."""
        return KeyringKeys(self.keys)

    @property
    def register(self) -> DirectorysRegister:
        """The deployment's record."""
        return DirectorysRegister(self.root, lambda: self.keys)

    def write_keyring(self, root: Path) -> None:
        """Write the keyring's file into a directory."""
        raw = keyring.encode(self.keys, aead.new_key(), b"wrapped")
        durable.replace_file(durable.LocalFilesystem(), Layout(root).keyring(), raw)

    def put(self, count: int, name: str = "key") -> dict[str, tuple[int, bytes]]:
        """Write entities; return what each is, with its version."""
        documents = {f"{name}-{n}": b'{"n": %d}' % n for n in range(count)}
        return {key: (self.worker.put(key, raw), raw) for key, raw in documents.items()}

    def take(
        self,
        store: Store | None = None,
        source: Source | None = None,
        progress: Callable[[Tally], Progress] = lambda _: QUIET,
        clock: SystemClock | None = None,
    ) -> Taken:
        """Take a backup."""
        self._seconds += 1
        clock = clock or LaterClock(self._seconds)
        whence, where = source or SharedDirectory(self.root), store or self.store
        return taking.take(whence, where, self.register, clock, progress)

    def find(self, backup_id: str | None = None) -> Backup:
        """Return a backup."""
        return reading.find(self.store, backup_id)

    def prove(
        self, backup_id: str | None = None, *, with_keys: bool = True, leaves_out: bool = False
    ) -> Proof:
        """Prove a backup."""
        keys = self.opened if with_keys else None
        return proving.prove(self.find(backup_id), keys, QUIET, leaves_out=leaves_out)

    def fresh(self, name: str = "fresh") -> Path:
        """Return an empty shared directory which has the keyring."""
        root = self.directory / name
        self.write_keyring(root)
        return root

    def restore(
        self, root: Path, backup_id: str | None = None, selection: Selection | None = None
    ) -> Rig:
        """Put a backup, or a part of it, back into a directory; return what can read it."""
        target = EmptySharedDirectory(root, UnsyncedFilesystem())
        restoring.restore(self.find(backup_id), self.opened, target, QUIET, selection)
        return self.reading(root)

    def reading(self, root: Path) -> Rig:
        """Return a rig over a directory, which has been written already."""
        kept = {one: one.read_bytes() for one in root.rglob("*.json") if one.parent.parent == root}
        made = Rig(root, clock=SystemClock(), keys=self.keys)
        for path, raw in kept.items():
            path.write_bytes(raw)
        return made

    def entities(self, rig: Rig, keys: list[str]) -> dict[str, tuple[int, bytes]]:
        """Return (version, document) of entities, read by a worker of its own."""
        worker = rig.worker()
        return {key: worker.get(key) for key in keys}

    def lose(self) -> None:
        """Lose the deployment's directory."""
        self.rig.close()
        shutil.rmtree(self.root)


class LaterClock(SystemClock):
    """The system's clock, some seconds on."""

    def __init__(self, seconds: int) -> None:
        """Take how many."""
        self._ms = seconds * 1000

    def wall_ms(self) -> int:
        """Return the time, later."""
        return super().wall_ms() + self._ms
