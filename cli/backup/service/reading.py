"""A backup as it lies in a store: nothing of it is used before its digest is compared."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cli.backup.domain import entries, manifest
from cli.backup.domain.entries import E, EntityEntry, FileEntry
from cli.backup.domain.manifest import Manifest
from cli.backup.service.ports import Store
from strongroom import limits
from strongroom.errors import IntegrityError, NotFoundError


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that has a manifest. Safe under threads.

    Attributes:
        store: Where it lies.
        backup_id: Its id, which is the digest of its manifest.
        manifest: What it says of itself.
    """

    store: Store
    backup_id: str
    manifest: Manifest

    def entities(self) -> Iterator[EntityEntry]:
        """Return the entries of the entities, in order; a chunk is in memory.

        Raises:
            IntegrityError: A chunk is missing, or is not what the manifest names.
            UnavailableError: The store refuses.
        """
        return self._entries(self.manifest.entity_chunks, EntityEntry)

    def files(self) -> Iterator[FileEntry]:
        """Return the entries of the files; raises as `entities`."""
        return self._entries(self.manifest.file_chunks, FileEntry)

    def content(self, entry: EntityEntry | FileEntry) -> bytes:
        """Return what an entry names; raises as `entities`."""
        try:
            raw = self._object(entry.sha256, entry.size)
        except IntegrityError as error:
            raise IntegrityError(f"{entry.path}: {error.detail}") from error
        if len(raw) != entry.size:
            raise IntegrityError(f"{entry.path}: its size is another than the manifest says")
        return raw

    def names_of(self, chunk: str) -> list[str]:
        """Return the digests that a chunk of the manifest names; raises as `entities`."""
        is_of_entities = chunk in self.manifest.entity_chunks
        raw = self._object(chunk, limits.BACKUP_CHUNK_BYTES_MAX)
        if is_of_entities:
            return [one.sha256 for one in entries.decode(raw, EntityEntry, ("", ""))]
        return [one.sha256 for one in entries.decode(raw, FileEntry, ("", ""))]

    def record(self) -> bytes:
        """Return the deployment's record of it; raises as `entities`."""
        name = manifest.record_name(self.backup_id)
        raw = self.store.read(name, limits.CONFIG_FILE_BYTES_MAX)
        if raw is None:
            raise IntegrityError(f"{name} is missing: nothing says that the deployment took it")
        return raw

    def _entries(self, chunks: list[str], kind: type[E]) -> Iterator[E]:
        after = ("", "")
        for sha256 in chunks:
            raw = self._object(sha256, limits.BACKUP_CHUNK_BYTES_MAX)
            found = entries.decode(raw, kind, after)
            after = found[-1].order
            yield from found

    def _object(self, sha256: str, size_max: int) -> bytes:
        raw = self.store.read(manifest.object_name(sha256), size_max)
        if raw is None:
            raise IntegrityError(f"the object {sha256} is missing in the backup")
        if manifest.digest(raw) != sha256:
            raise IntegrityError(f"the object {sha256} was changed: its digest is another")
        return raw


def ids(store: Store) -> Iterator[str]:
    """Return the ids of the backups in a store; raises UnavailableError."""
    return filter(None, map(manifest.id_of, store.names(manifest.FOLDER)))


def newest_first(store: Store) -> list[str]:
    """Return the ids of the backups in a store, that of the one that was begun last first.

    Raises:
        IntegrityError: Of several of one second, which one was begun last cannot be read.
        UnavailableError: The store refuses.
    """
    found = list(ids(store))
    of_second = Counter(map(manifest.second_of, found))

    def begun(one: str) -> tuple[str, str]:
        second = manifest.second_of(one)
        return second, _named(store, one).manifest.begun_at if of_second[second] > 1 else ""

    return sorted(found, key=begun, reverse=True)


def find(store: Store, backup_id: str | None = None) -> Backup:
    """Return a backup, the one that was begun last where none is named.

    Raises:
        NotFoundError: There is none; one that was not finished is none.
        IntegrityError: Its manifest was changed, or is of a newer format.
        UnavailableError: The store refuses.
    """
    if backup_id is None:
        found = _last_begun(store, ids(store))
        if found is None:
            raise NotFoundError("there is no backup that was finished")
        return found
    return _named(store, backup_id)


def _named(store: Store, chosen: str) -> Backup:
    name = manifest.manifest_name(manifest.require_id(chosen))
    raw = store.read(name, limits.BACKUP_MANIFEST_BYTES_MAX)
    if raw is None:
        raise NotFoundError(f"there is no backup {chosen}")
    return Backup(store, chosen, manifest.decode(raw, chosen))


def newest(store: Store, wanted: set[str]) -> Backup | None:
    """Return the newest backup of those with these ids, None without one; raises as `find`."""
    return _last_begun(store, filter(wanted.__contains__, ids(store)))


def _last_begun(store: Store, named: Iterable[str]) -> Backup | None:
    """Return the backup that was begun last; an id tells the second, and its manifest the rest."""
    second = ""
    last: list[str] = []
    for one in named:
        its_second = manifest.second_of(one)
        if its_second > second:
            second, last = its_second, []
        if its_second == second:
            last.append(one)
    found = [_named(store, one) for one in last]
    return max(found, key=lambda one: one.manifest.begun_at, default=None)
