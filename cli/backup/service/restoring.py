"""A deployment that is gone, put back into an empty directory."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from cli.backup.domain import entries
from cli.backup.domain.entries import EntityEntry, FileEntry
from cli.backup.domain.selection import Selection
from cli.backup.service import proving
from cli.backup.service.ports import Keys, Progress
from cli.backup.service.proving import Proof
from cli.backup.service.reading import Backup
from strongroom import blob, limits
from strongroom.errors import IntegrityError, KeyDestroyedError, NotFoundError


class EmptyDirectory(Protocol):
    """The shared directory of a deployment that has a keyring and nothing else.

    Every method raises UnavailableError where the disk refuses.
    """

    def begin(self, backup_id: str) -> None:
        """Note that a backup is put back here.

        Raises:
            ConflictError: There is data, and not of an earlier attempt with this backup.
        """
        ...

    def put_entity(self, database: str, file_id: str, raw: bytes, sidecar: bytes) -> None:
        """Put an entity's two files in their place. Safe under threads."""
        ...

    def put_file(self, kind: str, name: str, raw: bytes) -> None:
        """Put a file of configuration in its place."""
        ...

    def end(self) -> None:
        """Make all of it durable; the attempt is over."""
        ...


def restore(
    backup: Backup,
    keys: Keys,
    target: EmptyDirectory,
    progress: Progress,
    selection: Selection | None = None,
    *,
    leaves_out: bool = False,
) -> Proof:
    """Prove a backup, then put it back: blobs as they are, versions to go on far above them.

    All configuration is put back, aside from databases that are not selected.

    What was acknowledged after the backup is gone, and its versions must not be given again: a
    cache, or a client's condition, would take the new for the old. So every database's floor is
    raised above any version that can have been. Databases are put back last: until then nothing
    serves what is there.

    With `leaves_out` that is put back which verifies, and what does not is told; the versions of
    entities that are left out are not given again either.

    Raises:
        ConflictError: The directory is not empty.
        NotFoundError: The backup has no such database.
        IntegrityError: As `proving.prove`; nothing was put back.
        UnavailableError: Store or disk refuse; put back again, it goes on.
    """
    chosen = selection or Selection()
    proof = proving.prove(backup, keys, progress, chosen, leaves_out=leaves_out)
    missing = [one for one in chosen.databases if one not in proof.bound]
    if missing:
        raise NotFoundError(f"the backup has no database {missing[0]}")
    target.begin(backup.backup_id)
    _Entities(backup, keys, target, chosen, proof).put(progress)
    databases: list[FileEntry] = []
    for entry in backup.files():
        if entry.order in proof.damage.files:
            continue
        if entry.kind == entries.DATABASES:
            databases += [entry] if chosen.has_database(entry.name) else []
        else:
            target.put_file(entry.kind, entry.name, backup.content(entry))
    # What keeps the keys of this backup from being destroyed; it was made after the copy.
    target.put_file("backups", backup.backup_id, backup.record())
    for entry in databases:
        raised = keys.raised(entry.name, backup.content(entry), proof.highest.get(entry.name, 0))
        target.put_file(entry.kind, entry.name, raised)
    target.end()
    return proof


@dataclass(frozen=True, slots=True)
class _Entities:
    backup: Backup
    keys: Keys
    target: EmptyDirectory
    selection: Selection
    proof: Proof

    def put(self, progress: Progress) -> None:
        done = 0
        with ThreadPoolExecutor(limits.BACKUP_THREADS) as pool:
            some = proving.selected(self.backup, self.keys, self.selection, self.proof.bound)
            for batch in some:
                list(pool.map(self._put, batch))
                done += len(batch)
                progress(done, self.proof.read)

    def _put(self, entry: EntityEntry) -> None:
        try:
            raw = self.backup.content(entry)
            parsed = proving.require_as_entered(entry, raw)
            is_meant = self._is_meant(entry, raw)
        except IntegrityError:
            if self.proof.damage.is_left_out:
                # The proof has told of it.
                return
            raise
        if is_meant:
            self.target.put_entity(entry.database, entry.file_id, raw, blob.sidecar(parsed))

    def _is_meant(self, entry: EntityEntry, raw: bytes) -> bool:
        if not self.selection.patterns and not self.proof.damage.is_left_out:
            return True
        try:
            found = self.keys.open(self.proof.bound[entry.database], entry.file_id, raw)
        except KeyDestroyedError:
            # Nobody can tell its key any more.
            return not self.selection.patterns
        return self.selection.has_key(found.key)
