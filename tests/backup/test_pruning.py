"""Old backups are removed, and with them what no other one needs: whatever is killed meanwhile."""

import shutil

import pytest

from cli.backup.adapters.directory import DirectoryStore
from cli.backup.domain import manifest
from cli.backup.service import pruning, reading
from cli.backup.service.ports import Store
from cli.backup.service.pruning import Pruned
from strongroom import limits
from strongroom.clock import SystemClock, rfc3339
from strongroom.errors import ConflictError, IntegrityError, NotFoundError
from tests.support.backups import QUIET, BackupRig, LaterClock
from tests.support.filesystems import UnsyncedFilesystem
from tests.support.kills import killed_at


def taken(backups: BackupRig, count: int) -> list[str]:
    """Take backups between which some entities change; return their ids, the oldest first."""
    backups.put(6)
    ids = []
    for number in range(count):
        backups.worker.put(f"key-{number}", b'{"changed": %d}' % number)
        ids.append(backups.take().backup_id)
    return ids


def prune(
    backups: BackupRig, keep: int, store: Store | None = None, *, is_dry_run: bool = False
) -> Pruned:
    """Prune."""
    where = store or backups.store
    return pruning.prune(where, backups.register, SystemClock(), keep, QUIET, is_dry_run=is_dry_run)


def objects(backups: BackupRig) -> set[str]:
    """Return the digests that lie there."""
    return {path.name for path in (backups.place / "objects").glob("*/*")}


def needed(backups: BackupRig) -> set[str]:
    """Return the digests that the backups there need."""
    found: set[str] = set()
    for one in map(backups.find, reading.ids(backups.store)):
        found |= {*one.manifest.entity_chunks, *one.manifest.file_chunks}
        found |= {entry.sha256 for entry in one.entities()}
        found |= {entry.sha256 for entry in one.files()}
    return found


def test_the_newest_stay_and_nothing_else(backups: BackupRig) -> None:
    """A place grows for ever, or what a kept backup needs is gone."""
    ids = taken(backups, 4)
    before = objects(backups)
    would = prune(backups, 2, is_dry_run=True)
    assert (objects(backups), set(reading.ids(backups.store))) == (before, set(ids))
    assert set(ids) <= backups.register.names()
    done = prune(backups, 2)
    assert done == would
    assert (done.kept, done.removed) == (ids[:1:-1], ids[1::-1])
    assert (done.is_whole, done.unknown) == (True, [])
    assert set(reading.ids(backups.store)) == set(ids[2:])
    assert objects(backups) == needed(backups)
    assert len(before - objects(backups)) == done.objects > 0
    assert backups.register.names() == set(ids[2:])
    for one in ids[2:]:
        assert backups.prove(one).opened == 6
    assert backups.take().tally.copied == 0
    assert prune(backups, 9).removed == []
    with pytest.raises(NotFoundError, match="no backup"):
        pruning.prune(
            DirectoryStore(backups.directory / "none"), backups.register, SystemClock(), 1, QUIET
        )


def test_of_one_second_the_newest_stays(backups: BackupRig) -> None:
    """Of two backups of one second the older one is kept, and the newer one is gone."""

    class Frozen(SystemClock):
        at_ms = 1_767_225_600_000

        def wall_ms(self) -> int:
            return self.at_ms

    clock = Frozen()
    ids = []
    for n in range(8):
        backups.worker.put("key", b'{"n": %d}' % n)
        clock.at_ms += 7
        ids.append(backups.take(clock=clock).backup_id)
    done = prune(backups, 1)
    assert (done.kept, done.removed) == (ids[-1:], ids[-2::-1])


def test_a_kill_at_any_point_leaves_whole_backups(backups: BackupRig) -> None:
    """A prune that is killed has removed what a kept backup needs, or its rubbish stays."""
    ids = taken(backups, 3)
    master, register = backups.place.with_name("master"), backups.root / "control" / "backups"
    shutil.copytree(backups.place, master)
    shutil.copytree(register, register.with_name("kept"))
    kills = 0
    for nth in range(0, 4_000, 3):
        is_done = killed_at(nth, lambda fs: prune(backups, 1, DirectoryStore(backups.place, fs)))
        found = set(reading.ids(backups.store))
        assert ids[2] in found
        for one in found:
            # Whatever is still a backup is a whole one, and its keys are kept.
            assert backups.prove(one).opened == 6
            assert one in backups.register.names()
        if is_done:
            break
        kills += 1
        for name in backups.register.names():
            if name.startswith(manifest.PRUNING):
                backups.register.remove(name)
        prune(backups, 1)
        assert (set(reading.ids(backups.store)), objects(backups)) == ({ids[2]}, needed(backups))
        assert backups.register.names() == {ids[2]}
        shutil.rmtree(backups.place)
        shutil.copytree(master, backups.place)
        shutil.rmtree(register)
        shutil.copytree(register.with_name("kept"), register)
    assert kills > 10


def test_a_backup_and_a_prune_keep_out_of_each_others_way(backups: BackupRig) -> None:
    """A backup counts on an object that is removed in the same instant."""
    taken(backups, 2)
    backups.register.put("begun-20260101-000000-0123456789abcdef")
    with pytest.raises(ConflictError, match="backup forget begun-20260101"):
        prune(backups, 1)
    backups.register.remove("begun-20260101-000000-0123456789abcdef")
    now = manifest.stamp(rfc3339(SystemClock().wall_ms()))
    backups.register.put(f"{manifest.PRUNING}{now}-0123456789abcdef")
    with pytest.raises(ConflictError, match="old backups are being removed"):
        backups.take()
    with pytest.raises(ConflictError, match="another prune is under way"):
        prune(backups, 1)
    later = LaterClock(limits.PRUNE_RECORD_SECONDS + 1)
    pruning.prune(backups.store, backups.register, later, 1, QUIET)
    assert not [name for name in backups.register.names() if name.startswith(manifest.BEGUN)]
    backups.take()


def test_who_can_write_the_place_removes_nothing_by_it(backups: BackupRig) -> None:
    """A made-up backup of tomorrow counts as the newest, so that the true ones are removed."""
    ids = taken(backups, 2)
    backups.register.remove(ids[1])
    done = prune(backups, 1)
    assert (done.kept, done.removed, done.unknown) == ([ids[0]], [], [ids[1]])
    assert backups.prove(ids[0]).opened == 6
    chunk = backups.find(ids[1]).manifest.entity_chunks[0]
    backups.store.write(manifest.object_name(chunk), b"nonsense")
    before = objects(backups)
    with pytest.raises(IntegrityError, match="its digest is another"):
        prune(backups, 1)
    assert objects(backups) == before
    assert not [name for name in backups.register.names() if name.startswith(manifest.BEGUN)]


def test_what_is_needed_of_a_large_place_fits_into_memory(
    backups: BackupRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digests of a hundred million entities fill the memory; or a part of them is forgotten."""
    taken(backups, 3)
    monkeypatch.setattr(limits, "PRUNE_DIGESTS_MAX", limits.BACKUP_CHUNK_ENTRIES // 8)
    store = DirectoryStore(backups.place, UnsyncedFilesystem())
    assert prune(backups, 2, store).objects > 0
    assert objects(backups) == needed(backups)
