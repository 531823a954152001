"""Taking backups: what is in one, what is copied, what a kill or a writer does to it."""

import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from cli.backup.adapters.directory import DirectoryStore
from cli.backup.adapters.shared_directory import SharedDirectory
from cli.backup.domain import manifest
from cli.backup.domain.entries import EntityEntry
from cli.backup.service import proving, reading
from cli.backup.service.writing import Chunks
from strongroom import blob, keyring, limits
from strongroom.clock import SystemClock
from strongroom.errors import ConflictError, NotFoundError, UnavailableError
from strongroom.keyring import Purpose
from tests.support.backups import QUIET, BackupRig
from tests.support.engines import AT
from tests.support.filesystems import ObservedFilesystem
from tests.support.kills import killed_at


def versions(backups: BackupRig, backup_id: str) -> dict[str, int]:
    """Return file-id and version of every entity of a backup."""
    return {one.file_id: one.version for one in backups.find(backup_id).entities()}


def test_a_backup_holds_every_entity_and_its_configuration(backups: BackupRig) -> None:
    """An entity, a template or a database is not in the backup that says it is whole."""
    backups.put(300)
    backups.worker.delete("key-7")
    taken = backups.take()
    counts = taken.manifest.counts
    assert (counts.entities, counts.tombstones, counts.files) == (300, 1, 2)
    assert [one.path for one in backups.find().files()] == [
        "databases/people",
        "templates/person.v1",
    ]
    assert (taken.tally.copied, taken.manifest.left_out, taken.earlier) == (300, 0, None)
    proof = backups.prove()
    assert (proof.read, proof.opened, proof.destroyed) == (300, 300, 0)
    assert (backups.prove(with_keys=False).read, backups.prove(with_keys=False).opened) == (300, 0)


def test_an_empty_deployment_has_a_backup(backups: BackupRig) -> None:
    """Whoever begins with backups before there is data is told of an error."""
    assert backups.take().manifest.counts.entities == 0
    assert backups.prove().read == 0


def test_no_key_is_in_a_backup(backups: BackupRig) -> None:
    """Who has the backup has what opens it."""
    backups.put(3)
    backups.take()
    every = b"".join(one.read_bytes() for one in backups.place.rglob("*") if one.is_file())
    assert b"wrapped" not in every
    for key in backups.keys.keys:
        assert key.material not in every
    assert backups.root.joinpath("control/keyring.json").read_bytes() not in every


def test_what_is_there_is_not_copied_again(backups: BackupRig) -> None:
    """Every backup costs as much as the first one."""
    backups.put(50)
    first = backups.take()
    assert backups.take().tally.copied == 0
    backups.worker.put("key-3", b'{"n": 33}')
    backups.worker.put("new", b'{"n": 1}')
    backups.worker.delete("key-4")
    third = backups.take()
    assert third.tally.copied == 3
    counts = third.manifest.counts
    assert (counts.entities, counts.tombstones) == (51, 1)
    # The earlier one stays what it was.
    assert sorted(versions(backups, first.backup_id).values()) == [1] * 50
    assert sorted(versions(backups, third.backup_id).values()) == [1] * 49 + [2, 2]
    assert backups.prove(first.backup_id).opened == 50
    assert backups.prove().opened == 51


def test_what_is_the_same_is_not_read_again(backups: BackupRig) -> None:
    """A backup of a large database reads all of it each day."""
    backups.put(20)
    backups.take()
    read: list[int] = []

    def before(name: str, arguments: tuple[object, ...]) -> None:
        if name == "read":
            read.append(int(str(arguments[1])))

    backups.take(source=SharedDirectory(backups.root, ObservedFilesystem(before)))
    assert read.count(blob.HEAD_BYTES) == 20
    # Keyring, template, database and its record; and the database once more, whether it is deleted.
    assert len(read) - 20 <= 6


def test_an_entity_that_is_gone_is_not_in_the_next_one(backups: BackupRig) -> None:
    """Files that a deleted database has left come back with a restore."""
    backups.put(10)
    backups.take()
    for path in backups.worker.files("key-1"):
        path.unlink()
    assert backups.take().manifest.counts.entities == 9
    backups.rig.put_database("people", "00" * 16, deleted=True)
    taken = backups.take()
    assert (taken.manifest.counts.entities, taken.manifest.counts.files) == (0, 4)


def test_one_that_a_listing_misses_is_asked_for(backups: BackupRig) -> None:
    """A filesystem that moves a name which is renamed over loses the entity for the backup."""
    backups.put(30)
    backups.take()

    class Forgetful(SharedDirectory):
        def file_ids(self, database: str, shard: int) -> Iterator[str]:
            yield from (one for one in super().file_ids(database, shard) if int(one[2:4], 16) % 3)

    taken = backups.take(source=Forgetful(backups.root))
    assert taken.manifest.counts.entities == 30
    assert backups.prove().opened == 30


def test_a_damaged_entity_stops_no_other(backups: BackupRig) -> None:
    """One bad file, and there is no backup of anything."""
    backups.put(10)
    cut, _ = backups.worker.files("key-1")
    cut.write_bytes(cut.read_bytes()[:20])
    put_back, _ = backups.worker.files("key-2")
    older = put_back.read_bytes()
    backups.worker.put("key-2", b'{"n": 5}')
    put_back.write_bytes(older)
    _, odd = backups.worker.files("key-3")
    odd.unlink()
    odd.mkdir()
    taken = backups.take()
    assert taken.manifest.counts.entities == 8
    assert (taken.manifest.left_out, taken.tally.damaged) == (2, 2)
    reasons = {one.reason for one in taken.tally.left_out}
    assert reasons == {
        "the file is cut short",
        "the entity's blob is older than its sidecar",
    }
    assert backups.prove().opened == 8


def test_an_entity_whose_blob_is_gone_is_told(backups: BackupRig) -> None:
    """A backup says that it is whole, and an entity is not in it: its blob was lost before."""
    backups.put(3)
    assert backups.take().tally.damaged == 0
    blob_file, _ = backups.worker.files("key-1")
    blob_file.unlink()
    for after_another in (True, False):
        if not after_another:
            shutil.rmtree(backups.place)
        taken = backups.take()
        assert taken.earlier is None or after_another
        assert [one.reason for one in taken.tally.left_out] == ["the entity's blob is missing"]
        assert (taken.manifest.left_out, taken.manifest.counts.entities) == (1, 2)


def test_one_that_was_put_back_since_the_last_backup_is_told(backups: BackupRig) -> None:
    """Both files are put back to an older version, and the backup takes it for the newest."""
    backups.put(3)
    before = [(path, path.read_bytes()) for path in backups.worker.files("key-1")]
    backups.worker.put("key-1", b'{"n": 5}')
    backups.take()
    for path, raw in before:
        path.write_bytes(raw)
    (told,) = backups.take().tally.left_out
    assert "it was put back" in told.reason


def test_a_backup_is_on_record_before_it_is_there(backups: BackupRig) -> None:
    """A key is destroyed while a backup is copied that needs it, or as soon as it is there."""
    backups.put(3)
    seen: list[set[str]] = []

    class Watched(DirectoryStore):
        def write(self, name: str, data: bytes) -> None:
            seen.append(backups.register.names())
            super().write(name, data)

    taken = backups.take(store=Watched(backups.place))
    assert all(seen)
    assert taken.backup_id in seen[-1]
    assert backups.register.names() == {taken.backup_id}


def test_everything_is_durable_before_the_manifest_is_there(backups: BackupRig) -> None:
    """After a power cut there is a manifest, and not all that it names."""
    backups.put(3)
    events: list[str] = []

    class Watched(DirectoryStore):
        def write(self, name: str, data: bytes) -> None:
            super().write(name, data)
            events.append(name.rpartition(".")[2] if name.startswith("backups") else "object")

        def settle(self) -> None:
            super().settle()
            events.append("settled")

    calls: list[str] = []
    filesystem = ObservedFilesystem(lambda name, _: calls.append(name))
    backups.take(store=Watched(backups.place, filesystem))
    assert events == ["object"] * 7 + ["sealed", "settled", "json", "settled"]
    # Each file before its name, and after that the directories.
    assert calls.count("fsync") > calls.count("rename") == 9


def test_a_key_that_is_made_meanwhile_is_on_record_too(backups: BackupRig) -> None:
    """Entities of a backup lie under a key that the deployment does not keep for it."""
    backups.put(3)
    made = keyring.new_key(Purpose.DATA, AT)

    class Rotating(SharedDirectory):
        def databases(self) -> list[str]:
            backups.keys = keyring.with_active(backups.keys, made)
            return super().databases()

    taken = backups.take(source=Rotating(backups.root))
    assert made.key_id in backups.register.key_ids(taken.backup_id)
    assert len(backups.register.key_ids(taken.backup_id)) == 2


def test_a_backup_of_another_deployment_is_not_gone_on_from(
    backups: BackupRig, tmp_path: Path
) -> None:
    """Two deployments share a place, and one is restored with the other's entities."""
    backups.put(3)
    backups.take()
    other = BackupRig(tmp_path / "other", keyring.new("another", AT))
    with pytest.raises(ConflictError, match="another deployment"):
        other.take(store=backups.store)
    other.rig.close()


def test_what_the_deployment_has_not_recorded_is_not_gone_on_from(backups: BackupRig) -> None:
    """Who can write the backups has the next one vouch for an older blob of an entity.

    He makes a backup that says of the newest version that its bytes are those of an older one.
    """
    backups.put(3)
    backups.take()
    backups.worker.put("key-1", b'{"n": 9}')
    second = backups.take()
    (newer,) = [one for one in backups.find(second.backup_id).entities() if one.version == 2]
    forge(backups, newer)
    assert backups.find().backup_id > second.backup_id
    third = backups.take()
    assert third.earlier == second.backup_id
    (now,) = [one for one in backups.find(third.backup_id).entities() if one.version == 2]
    assert now.sha256 == newer.sha256


def forge(backups: BackupRig, victim: EntityEntry) -> None:
    """Write a whole backup, newer than any, that names another object for an entity."""
    true = backups.find()
    chunks = Chunks(backups.store)
    for one in true.entities():
        entry = one
        if one.file_id == victim.file_id:
            others = [other for other in true.entities() if other.file_id != one.file_id]
            entry = msgspec.structs.replace(victim, size=others[0].size, sha256=others[0].sha256)
        chunks.add(entry)
    lie = msgspec.structs.replace(
        true.manifest, begun_at="2099-01-01T00:00:00.000Z", entity_chunks=chunks.digests()
    )
    raw = manifest.encode(lie)
    name = manifest.manifest_name(manifest.backup_id(raw, lie.begun_at))
    backups.store.write(name, raw)


def test_a_kill_at_any_point_leaves_no_half_backup(backups: BackupRig) -> None:
    """A backup that was killed is taken for a whole one, or the next one begins from nothing."""
    backups.put(12)
    kept = None
    for nth in range(0, 400, 17):
        filesystem_done = killed_at(
            nth, lambda filesystem: backups.take(store=DirectoryStore(backups.place, filesystem))
        )
        found = list(reading.ids(backups.store))
        if filesystem_done:
            kept = nth
            break
        # Either it is not there, or all of it is.
        for one in found:
            assert backups.prove(one).opened == 12
        shutil.rmtree(backups.place, ignore_errors=True)
    assert kept is not None
    assert kept > 50


def test_after_a_kill_what_was_copied_is_not_copied_again(backups: BackupRig) -> None:
    """A night's copying is lost with the process that did it."""
    backups.put(40)

    class Dying(DirectoryStore):
        def write(self, name: str, data: bytes) -> None:
            if name.startswith(manifest.FOLDER):
                os._exit(9)
            super().write(name, data)

    pid = os.fork()
    if pid == 0:
        backups.take(store=Dying(backups.place))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    with pytest.raises(NotFoundError, match="no backup that was finished"):
        backups.find()
    assert backups.take().tally.copied == 0
    assert backups.prove().opened == 40


def test_a_full_disk_is_told_and_leaves_no_backup(backups: BackupRig) -> None:
    """A backup is reported as taken although the disk had no room for it."""
    backups.put(5)

    def before(name: str, _arguments: tuple[object, ...]) -> None:
        if name == "write":
            raise OSError(28, "No space left on device")

    with pytest.raises(UnavailableError, match="No space left"):
        backups.take(store=DirectoryStore(backups.place, ObservedFilesystem(before)))
    assert list(reading.ids(backups.store)) == []
    assert [one for one in backups.place.rglob("*") if one.is_file()] == []
    # Nor a record, which would keep keys for nothing.
    assert backups.register.names() == set()


def test_the_newest_of_one_second_is_the_one_that_was_begun_last(backups: BackupRig) -> None:
    """Of two backups of one second the older one is restored, one time in two."""

    class Frozen(SystemClock):
        at_ms = 1_767_225_600_000

        def wall_ms(self) -> int:
            return self.at_ms

    clock = Frozen()
    before = None
    for n in range(12):
        backups.worker.put("key", b'{"n": %d}' % n)
        clock.at_ms += 7
        taken = backups.take(clock=clock)
        assert taken.earlier == before
        before = taken.backup_id
        assert backups.find().backup_id == before


def test_two_backups_at_once_are_two_backups(backups: BackupRig) -> None:
    """A backup that takes longer than a day is halved by the next one."""
    backups.put(60)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: backups.take(), range(2))
    for taken in (first, second):
        assert backups.prove(taken.backup_id).opened == 60


def test_what_a_killed_backup_has_left_is_swept(backups: BackupRig) -> None:
    """Each killed backup leaves files for ever that nobody can tell from others."""
    backups.put(40)
    backups.take()
    folders = [one for one in backups.place.glob("objects/*") if one.is_dir()]
    for folder in folders:
        for name, age_s in (("old", 2 * limits.TEMPORARY_FILE_SECONDS_MAX), ("new", 60)):
            left = folder / f".tmp-{name}"
            left.touch()
            at = left.stat().st_mtime - age_s
            os.utime(left, (at, at))
    backups.put(40, "other")
    backups.take()
    assert len(list(backups.place.rglob(".tmp-new"))) == len(folders)
    # Where nothing was written, nobody has looked.
    assert len(list(backups.place.rglob(".tmp-old"))) < len(folders)
    assert backups.prove().opened == 80


def test_every_entity_is_one_acknowledged_version(backups: BackupRig) -> None:
    """An entity is restored as nobody ever wrote it: half of two versions, or older than promised.

    Writers go on while backups are taken, each of which goes on from the one before. Whatever was
    acknowledged before a backup began is in it, in that version or a later one; and every version
    that is in it was written so by somebody.
    """
    keys = [f"key-{n}" for n in range(12)]
    written: dict[tuple[str, int], bytes] = {}
    acknowledged = dict.fromkeys(keys, 0)
    over = threading.Event()

    def write(mine: list[str]) -> None:
        worker = backups.rig.worker(f"worker-{mine[0]}")
        number = 0
        while not over.is_set():
            for key in mine:
                number += 1
                document = b'{"n": %d, "filling": "%s"}' % (number, b"x" * (number % 5_000))
                version = worker.put(key, document)
                written[key, version] = document
                acknowledged[key] = version

    threads = [threading.Thread(target=write, args=(keys[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        taken = []
        for _ in range(6):
            promised = dict(acknowledged)
            taken.append((promised, backups.take().backup_id))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    seen = set()
    for promised, backup_id in taken:
        backup = backups.find(backup_id)
        bound = proving.prove(backup, backups.opened, QUIET).bound["people"]
        found = {}
        for entry in backup.entities():
            opened = backups.opened.open(bound, entry.file_id, backup.content(entry))
            assert written[opened.key, entry.version] == opened.document
            found[opened.key] = entry.version
            seen.add((opened.key, entry.version))
        for key, version in promised.items():
            assert found.get(key, 0) >= version
    assert len(seen) > 2 * len(keys)


def test_a_directory_is_listed_in_parts(
    backups: BackupRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database with many entities fills the memory of the machine that it is backed up on."""
    monkeypatch.setattr(limits, "BACKUP_FILE_IDS_LISTED_MAX", 3)
    shard = Path(backups.rig.layout.shard("people", b"\xab"))
    shard.mkdir(parents=True)
    names = [f"ab{n * 7_919 % 1_000:062x}" for n in range(100)]
    for number, name in enumerate(names):
        (shard / f"{name}.json.enc").touch()
        if number % 3:
            (shard / f"{name}.meta.json").touch()
    for stranger in ("cd" * 32 + ".json.enc", ".tmp-0011", "x"):
        (shard / stranger).touch()
    assert list(SharedDirectory(backups.root).file_ids("people", 0xAB)) == sorted(names)


def test_a_directory_without_a_keyring_is_no_deployment(tmp_path: Path, backups: BackupRig) -> None:
    """A wrong path gives an empty backup, and nobody is told."""
    with pytest.raises(NotFoundError, match="no deployment's"):
        backups.take(source=SharedDirectory(tmp_path / "nothing"))


def test_a_deployment_with_another_directory_gives_no_backup(
    backups: BackupRig, tmp_path: Path
) -> None:
    """A backup of one directory is put on record by the deployment of another one."""
    other = BackupRig(tmp_path / "other", backups.keys)
    with pytest.raises(ConflictError, match="another directory"):
        backups.take(source=SharedDirectory(other.root))
    assert list(reading.ids(backups.store)) == []
    other.rig.close()
