"""Taking a backup of a deployment that goes on serving.

A blob is replaced by a rename, so whoever has opened one reads one write of its entity, whole,
whatever is written meanwhile; its sidecar follows from it and is not kept. Objects are named by
their SHA-256 and are written once: after a kill at any point the next backup finds what is there
and copies the rest, and whatever was not finished has no manifest and is no backup. Configuration
is copied after the entities, so that a template is never older than what was written by it.

No key is destroyed while a backup is taken, nor while there is one: it is on the deployment's
record from before the first blob is read, and under its id before its manifest is there.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from cli.backup.domain import entries, manifest
from cli.backup.domain.entries import EntityEntry, FileEntry
from cli.backup.domain.manifest import Counts, Manifest
from cli.backup.domain.merging import Known, merged
from cli.backup.service import proving, pruning, reading, writing
from cli.backup.service.ports import Progress, Register, Source, Store
from cli.backup.service.reading import Backup
from cli.backup.service.writing import Chunks
from strongroom import blob, ids, limits
from strongroom.clock import Clock, rfc3339
from strongroom.errors import ConflictError, IntegrityError, StrongroomError

_SHARDS: Final = 256
_AT_ONCE: Final = 8 * limits.BACKUP_THREADS


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entity that is not in a backup, because it is damaged."""

    path: str
    reason: str


@dataclass(slots=True)
class Tally:
    """How far a backup has come.

    Attributes:
        looked_at: How many entities.
        copied: How many blobs and files went into the store.
        copied_bytes: Their size.
        left_out: The first of those that were damaged.
        damaged: How many were.
    """

    looked_at: int = 0
    copied: int = 0
    copied_bytes: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that is finished.

    Attributes:
        backup_id: Its id.
        manifest: What it says of itself.
        earlier: The id of the backup that it goes on from.
        tally: What was done.
    """

    backup_id: str
    manifest: Manifest
    earlier: str | None
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Copied:
    entry: EntityEntry
    fresh_bytes: int


def take(
    source: Source,
    store: Store,
    register: Register,
    clock: Clock,
    progress: Callable[[Tally], Progress],
) -> Taken:
    """Take a backup.

    Args:
        source: The deployment's directory.
        store: Where to; earlier backups of the same deployment may lie there.
        register: The deployment's record of backups.
        clock: What it is dated by.
        progress: Told of the tally, returns what is told how far it has come.

    Raises:
        ConflictError: The store has backups of another deployment, old ones are being removed, or
            there are too many entities.
        NotFoundError: There is no deployment in that directory.
        IntegrityError: What the store has of an earlier backup was changed.
        ForbiddenError, UnavailableError: As the ports.
    """
    deployment = source.deployment()
    begun_at = rfc3339(clock.wall_ms())
    tally = Tally()
    with _on_record(register, f"{manifest.BEGUN}{manifest.stamp(begun_at)}-{ids.new_id(64)}"):
        if pruning.under_way(register.names(), clock.wall_ms()):
            raise ConflictError("old backups are being removed; take it after that")
        earlier = _earlier(store, register, deployment)
        chunks, files = Chunks(store), Chunks(store)
        taking = _Taking(source, store, tally, progress(tally))
        taking.entities(earlier, chunks)
        taking.files(files)
        whole = Manifest(
            format=manifest.FORMAT_VERSION,
            deployment=deployment,
            begun_at=begun_at,
            ended_at=rfc3339(clock.wall_ms()),
            counts=_sum(chunks.counts, files.counts),
            left_out=tally.damaged,
            entity_chunks=chunks.digests(),
            file_chunks=files.digests(),
        )
        backup_id = _finish(source, store, register, whole)
    return Taken(backup_id, whole, earlier.backup_id if earlier else None, tally)


@contextmanager
def _on_record(register: Register, name: str) -> Iterator[None]:
    """Keep a name on record meanwhile; a kill leaves it there, which keeps keys."""
    register.put(name)
    try:
        yield
    except BaseException:
        # What has failed is told, not that nobody could be told of it.
        with suppress(StrongroomError):
            register.remove(name)
        raise
    register.remove(name)


def _finish(source: Source, store: Store, register: Register, whole: Manifest) -> str:
    """Put the backup on record, then make it one; return its id."""
    raw = manifest.encode(whole)
    backup_id = manifest.backup_id(raw, whole.begun_at)
    register.put(backup_id)
    try:
        record = source.file("backups", backup_id)
        if record is None:
            raise ConflictError(
                "the deployment that was told of the backup has another directory than the one that"
                " it was taken of"
            )
        store.write(manifest.record_name(backup_id), record)
        store.settle()
        store.write(manifest.manifest_name(backup_id), raw)
        store.settle()
    except BaseException:
        with suppress(StrongroomError):
            register.remove(backup_id)
        raise
    return backup_id


def _earlier(store: Store, register: Register, deployment: str) -> Backup | None:
    """Return the newest backup that the deployment knows of.

    What another one claims to hold is not believed: whoever can write the store could have the next
    backup, which the deployment vouches for, name an older blob.
    """
    found = reading.newest(store, register.names())
    if found is None:
        some = next(reading.ids(store), None)
        found_here = None if some is None else reading.find(store, some).manifest.deployment
        if found_here not in {None, deployment}:
            raise ConflictError("backups of another deployment lie there; choose another place")
    elif found.manifest.deployment != deployment:
        raise ConflictError("backups of another deployment lie there; choose another place")
    return found


@dataclass(frozen=True, slots=True)
class _Taking:
    source: Source
    store: Store
    tally: Tally
    progress: Progress

    def entities(self, earlier: Backup | None, chunks: Chunks) -> None:
        databases = self.source.databases()
        there = frozenset(databases)
        known = (e for e in earlier.entities() if e.database in there) if earlier else ()
        with ThreadPoolExecutor(limits.BACKUP_THREADS) as pool:
            for batch in proving.batches(merged(self._listed(databases), known), _AT_ONCE):
                self.tally.looked_at += len(batch)
                for done in pool.map(self._entity, batch):
                    self._note(done, chunks)
                self._tell(databases, batch[-1])

    def files(self, chunks: Chunks) -> None:
        for kind in sorted(entries.KINDS):
            names = (n for n in self.source.names(kind) if not n.startswith(manifest.BEGUN))
            for name in names:
                # A record may be removed between the two calls; so it would have been before.
                raw = self.source.file(kind, name)
                if raw is not None:
                    sha256 = writing.put_object(self.store, raw)
                    chunks.add(FileEntry(kind, name, len(raw), sha256))

    def _listed(self, databases: list[str]) -> Iterator[tuple[str, str]]:
        for database in databases:
            for shard in range(_SHARDS):
                for file_id in self.source.file_ids(database, shard):
                    yield database, file_id

    def _entity(self, known: Known) -> _Copied | LeftOut | None:
        database, file_id, before = known
        try:
            return self._copied(database, file_id, before)
        except IntegrityError as error:
            return LeftOut(f"{database}/{file_id}", error.detail)

    def _copied(self, database: str, file_id: str, before: EntityEntry | None) -> _Copied | None:
        header = None if before is None else self.source.header(database, file_id)
        if before is not None and header is not None:
            if header.version < before.version:
                raise IntegrityError("it is older than in the backup before: it was put back")
            if before.identity == (header.version, header.key_id, header.iv) and self.store.has(
                manifest.object_name(before.sha256), before.size
            ):
                return _Copied(before, 0)
        raw = self.source.entity(database, file_id)
        if raw is None:
            return None
        entry = _entry(database, file_id, raw)
        name = manifest.object_name(entry.sha256)
        if self.store.has(name, entry.size):
            return _Copied(entry, 0)
        self.store.write(name, raw)
        return _Copied(entry, entry.size)

    def _note(self, done: _Copied | LeftOut | None, chunks: Chunks) -> None:
        if isinstance(done, _Copied):
            chunks.add(done.entry)
            self.tally.copied += done.fresh_bytes > 0
            self.tally.copied_bytes += done.fresh_bytes
        elif done is not None:
            self.tally.damaged += 1
            if len(self.tally.left_out) < limits.BACKUP_TOLD_MAX:
                self.tally.left_out.append(done)

    def _tell(self, databases: list[str], last: Known) -> None:
        """Tell how far it is: file-ids are spread evenly over the shards."""
        database, file_id, _ = last
        passed = databases.index(database) * _SHARDS + int(file_id[:2], 16)
        self.progress(passed, len(databases) * _SHARDS)


def _entry(database: str, file_id: str, raw: bytes) -> EntityEntry:
    header = blob.parse(raw).header
    entry = EntityEntry(
        database=database,
        file_id=file_id,
        version=header.version,
        key_id=header.key_id,
        iv=header.iv,
        deleted=header.deleted,
        size=len(raw),
        sha256=manifest.digest(raw),
    )
    entry.require_well_formed()
    return entry


def _sum(one: Counts, other: Counts) -> Counts:
    return Counts(
        entities=one.entities + other.entities,
        tombstones=one.tombstones + other.tombstones,
        files=one.files + other.files,
        bytes=one.bytes + other.bytes,
    )
