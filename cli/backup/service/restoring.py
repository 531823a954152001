"""A deployment that is gone, put back into an empty directory."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from cli.backup.domain import entries
from cli.backup.domain.entries import EntityEntry, FileEntry
from cli.backup.service import proving
from cli.backup.service.ports import Keys, Progress
from cli.backup.service.proving import Proof
from cli.backup.service.reading import Backup
from strongroom import blob, limits

_AT_ONCE: Final = 8 * limits.BACKUP_THREADS


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


def restore(backup: Backup, keys: Keys, target: EmptyDirectory, progress: Progress) -> Proof:
    """Prove a backup, then put it back: blobs as they are, versions to go on far above them.

    What was acknowledged after the backup is gone, and its versions must not be given again: a
    cache, or a client's condition, would take the new for the old. So every database's floor is
    raised above any version that can have been. Databases are put back last: until then nothing
    serves what is there.

    Raises:
        ConflictError: The directory is not empty.
        IntegrityError: As `proving.prove`; nothing was put back.
        UnavailableError: Store or disk refuse; put back again, it goes on.
    """
    proof = proving.prove(backup, keys, progress)
    target.begin(backup.backup_id)
    _entities(backup, target, progress)
    databases: list[FileEntry] = []
    for entry in backup.files():
        if entry.kind == entries.DATABASES:
            databases.append(entry)
        else:
            target.put_file(entry.kind, entry.name, backup.content(entry))
    # What keeps the keys of this backup from being destroyed; it was made after the copy.
    target.put_file("backups", backup.backup_id, backup.record())
    for entry in databases:
        raised = keys.raised(entry.name, backup.content(entry), proof.highest.get(entry.name, 0))
        target.put_file(entry.kind, entry.name, raised)
    target.end()
    return proof


def _entities(backup: Backup, target: EmptyDirectory, progress: Progress) -> None:
    def put(entry: EntityEntry) -> None:
        raw = backup.content(entry)
        parsed = proving.require_as_entered(entry, raw)
        target.put_entity(entry.database, entry.file_id, raw, blob.sidecar(parsed))

    done = 0
    with ThreadPoolExecutor(limits.BACKUP_THREADS) as pool:
        for batch in proving.batches(backup.entities(), _AT_ONCE):
            list(pool.map(put, batch))
            done += len(batch)
            progress(done, backup.manifest.counts.entities)
