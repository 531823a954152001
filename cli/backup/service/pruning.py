"""Removing old backups of a place, and what only they need.

Backups share their objects, so what a kept manifest names is gathered first, out of every chunk of
it; one that cannot be read ends it before anything is removed. Then a backup ceases to be one:
its manifest goes, then it goes off the deployment's record, then what is left of it. Last go the
objects that nothing kept names. A kill at any point leaves whole backups, and rubbish that the next
run finds: it asks what is needed, not what was to be removed.

A backup that is taken meanwhile could count on an object that is about to go. So both are on the
deployment's record under a name that says what they are, and look for each other after that. A run
ends well before its own name counts as that of a process that was killed.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from cli.backup.domain import manifest
from cli.backup.service import reading
from cli.backup.service.ports import Progress, Register, Store
from cli.backup.service.reading import Backup
from strongroom import ids, limits
from strongroom.clock import Clock, rfc3339
from strongroom.errors import ConflictError, NotFoundError, StrongroomError

_SHARDS: Final = 256


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be.

    Attributes:
        kept: The ids of the backups that stay, the newest first.
        removed: The ids of those that went, the newest first.
        unknown: Those that stay because the deployment has them not on record.
        objects: How many objects nothing needed any more.
        is_whole: Whether all of these were removed within the time that a run has.
    """

    kept: list[str]
    removed: list[str]
    unknown: list[str]
    objects: int
    is_whole: bool


def prune(
    store: Store,
    register: Register,
    clock: Clock,
    keep: int,
    progress: Progress,
    *,
    is_dry_run: bool = False,
) -> Pruned:
    """Keep the newest backups that are on record, and remove the older ones.

    Args:
        store: Where they lie.
        register: The deployment's record of backups.
        clock: What a run is dated by.
        keep: How many stay, at least 1.
        progress: Told how many of 256 parts of the place were gone through.
        is_dry_run: Tell what would be removed, and remove nothing.

    Raises:
        ConflictError: A backup is being taken, or another run is under way.
        NotFoundError: There is no backup.
        IntegrityError: One that stays cannot be read; nothing was removed.
        ForbiddenError, UnavailableError: As the ports.
    """
    began_s = clock.boot_s()
    if is_dry_run:
        return _Run(store, register, clock, began_s, progress, is_dry_run=True).prune(keep)
    with _on_record(register, clock):
        return _Run(store, register, clock, began_s, progress, is_dry_run=False).prune(keep)


def under_way(names: set[str], now_ms: int) -> list[str]:
    """Return the names of runs that may be removing something, as the record has them."""
    earliest = manifest.stamp(rfc3339(now_ms - limits.PRUNE_RECORD_SECONDS * 1000))
    found = (name for name in names if name.startswith(manifest.PRUNING))
    return sorted(name for name in found if name.removeprefix(manifest.PRUNING) >= earliest)


@contextmanager
def _on_record(register: Register, clock: Clock) -> Iterator[None]:
    now_ms = clock.wall_ms()
    name = f"{manifest.PRUNING}{manifest.stamp(rfc3339(now_ms))}-{ids.new_id(64)}"
    register.put(name)
    try:
        names = register.names() - {name}
        pruning = {one for one in names if one.startswith(manifest.PRUNING)}
        alive = under_way(names, now_ms)
        taking = [one for one in names - pruning if one.startswith(manifest.BEGUN)]
        if others := sorted([*alive, *taking]):
            raise ConflictError(
                f"{others[0]} is on record: a backup or another prune is under way; if it was"
                f" killed, `strongroom backup forget {others[0]}` says so"
            )
        for dead in pruning.difference(alive):
            register.remove(dead)
        yield
    finally:
        # What has failed is told, not that nobody could be told of it.
        with suppress(StrongroomError):
            register.remove(name)


@dataclass(frozen=True, slots=True)
class _Run:
    store: Store
    register: Register
    clock: Clock
    began_s: float
    progress: Progress
    is_dry_run: bool

    def prune(self, keep: int) -> Pruned:
        on_record = self.register.names()
        found = reading.newest_first(self.store)
        if not found:
            raise NotFoundError("there is no backup that was finished")
        known = [one for one in found if one in on_record]
        unknown = [one for one in found if one not in on_record]
        kept, dropped = known[:keep], known[keep:]
        staying = [reading.find(self.store, one) for one in (*kept, *unknown)]
        parts = _parts(staying)
        needed = self._needed(staying, parts[0])
        if not self.is_dry_run:
            for one in dropped:
                self._remove_backup(one)
            self._remove_remains({*kept, *unknown})
        objects = 0
        for part in parts:
            if part is not parts[0]:
                needed = self._needed(staying, part)
            for shard in part:
                if self._is_late():
                    return Pruned(kept, dropped, unknown, objects, is_whole=False)
                objects += self._sweep(shard, needed)
                self.progress(shard + 1, _SHARDS)
        if not self.is_dry_run:
            self.store.settle()
        return Pruned(kept, dropped, unknown, objects, is_whole=True)

    def _remove_backup(self, backup_id: str) -> None:
        self.store.remove(manifest.manifest_name(backup_id))
        self.store.settle()
        self.register.remove(backup_id)
        self.store.remove(manifest.record_name(backup_id))

    def _remove_remains(self, staying: set[str]) -> None:
        """Finish what was killed: a record in the place without a manifest is of no backup."""
        for name in list(self.store.names(manifest.FOLDER)):
            backup_id = manifest.id_of_record(name)
            if backup_id is not None and backup_id not in staying:
                self.register.remove(backup_id)
                self.store.remove(manifest.record_name(backup_id))

    def _needed(self, staying: list[Backup], part: range) -> set[bytes]:
        """Return the digests that backups name whose first byte is in a part."""
        needed = set()
        for sha256, backup in _chunks(staying).items():
            needed.add(bytes.fromhex(sha256))
            for named in backup.names_of(sha256):
                if int(named[:2], 16) in part:
                    needed.add(bytes.fromhex(named))
        return needed

    def _sweep(self, shard: int, needed: set[bytes]) -> int:
        folder = manifest.object_folder(shard)
        digests = (one for one in self.store.names(folder) if manifest.is_digest(one))
        rubbish = [one for one in digests if bytes.fromhex(one) not in needed]
        if not self.is_dry_run:
            for one in rubbish:
                self.store.remove(manifest.object_name(one))
        return len(rubbish)

    def _is_late(self) -> bool:
        return self.clock.boot_s() - self.began_s > limits.PRUNE_SECONDS_MAX


def _chunks(staying: list[Backup]) -> dict[str, Backup]:
    """Return every chunk once, with a backup that has it."""
    return {
        sha256: backup
        for backup in staying
        for sha256 in (*backup.manifest.entity_chunks, *backup.manifest.file_chunks)
    }


def _parts(staying: list[Backup]) -> list[range]:
    """Divide the place so that what is needed of each part fits into memory."""
    entries_max = len(_chunks(staying)) * limits.BACKUP_CHUNK_ENTRIES
    count = 1
    while count < _SHARDS and entries_max / count > limits.PRUNE_DIGESTS_MAX:
        count *= 2
    width = _SHARDS // count
    return [range(first, first + width) for first in range(0, _SHARDS, width)]
