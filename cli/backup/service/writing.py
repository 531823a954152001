"""The manifest of a backup as it grows: its chunks go out as they are full."""

from cli.backup.domain import entries, manifest
from cli.backup.domain.entries import EntityEntry, FileEntry
from cli.backup.domain.manifest import Counts
from cli.backup.service.ports import Store
from strongroom import limits


def put_object(store: Store, data: bytes) -> str:
    """Put an object into the store unless it is there; return its SHA-256; raises as the port."""
    sha256 = manifest.digest(data)
    name = manifest.object_name(sha256)
    if not store.has(name, len(data)):
        store.write(name, data)
    return sha256


class Chunks:
    """The entries of one sort; a chunk of them is in memory."""

    def __init__(self, store: Store) -> None:
        """Begin with none."""
        self._store = store
        self._open: list[EntityEntry | FileEntry] = []
        self._digests: list[str] = []
        self.counts = Counts()

    def add(self, entry: EntityEntry | FileEntry) -> None:
        """Take the next one; raises UnavailableError."""
        self._open.append(entry)
        self.counts = self.counts.plus(entry)
        if len(self._open) >= limits.BACKUP_CHUNK_ENTRIES:
            self._write()

    def digests(self) -> list[str]:
        """Return the SHA-256 of each, the last one included; raises UnavailableError."""
        if self._open:
            self._write()
        return self._digests

    def _write(self) -> None:
        self._digests.append(put_object(self._store, entries.encode(self._open)))
        self._open.clear()
