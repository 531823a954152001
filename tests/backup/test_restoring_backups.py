"""A deployment that is gone, put back into an empty directory."""

import os
from pathlib import Path

import pytest

from cli.backup.adapters.empty_directory import EmptySharedDirectory
from cli.backup.domain.selection import Selection
from cli.backup.service import restoring
from cli.emulation.deployment import LocalDeployment, Options
from main_api.adapters.control_store import ControlFiles
from strongroom import keyring, limits
from strongroom.clock import SystemClock
from strongroom.durable import LocalFilesystem
from strongroom.errors import ConflictError, KeyDestroyedError, NotFoundError, UnavailableError
from strongroom.keyring import Purpose
from strongroom.layout import Layout
from tests.support.backups import QUIET, BackupRig
from tests.support.engines import AT
from tests.support.filesystems import ObservedFilesystem, UnsyncedFilesystem


def files(root: Path) -> dict[str, bytes]:
    """Return the entities' files below a shared directory."""
    found = (root / "files").rglob("*")
    return {str(p.relative_to(root)): p.read_bytes() for p in found if p.is_file()}


def test_every_file_comes_back_as_it_was(backups: BackupRig) -> None:
    """A restored blob or sidecar is another one than was lost."""
    written = backups.put(200)
    backups.worker.put("key-1", b'{"n":   1.50}')
    written["key-1"] = (2, b'{"n":   1.50}')
    before = files(backups.root)
    backups.take()
    backups.lose()
    root = backups.fresh()
    restored = backups.restore(root)
    assert files(root) == before
    assert backups.entities(restored, list(written)) == written
    restored.close()


def test_versions_go_on_above_any_that_was_lost(backups: BackupRig) -> None:
    """A version is given twice: a cache takes the new document for the lost one."""
    backups.put(2)
    backups.take()
    lost = max(backups.worker.put("key-1", b'{"n": %d}' % n) for n in range(50))
    lost_too = backups.worker.put("later", b"{}")
    backups.lose()
    restored = backups.restore(backups.fresh())
    worker = restored.worker()
    assert worker.get("key-1") == (1, b'{"n": 1}')
    assert worker.put("key-1", b"{}") > lost
    assert worker.put("later", b"{}") > lost_too
    restored.close()


def test_a_deployment_is_restored_again_and_again(backups: BackupRig) -> None:
    """What is restored for the second time gives versions of its life after the first time."""
    floor = 5 * limits.RESTORED_VERSIONS_LEFT
    backups.put(2)
    backups.rig.put_database("people", "00" * 16, floor=floor)
    backups.take()
    # After that backup, whose entities are all below the floor.
    lost = backups.worker.put("key-1", b"{}")
    assert lost > floor
    backups.lose()
    restored = backups.restore(backups.fresh())
    assert restored.worker().put("key-1", b"{}") > lost
    restored.close()


@pytest.mark.parametrize("patterns", [("key-1", "key-12"), ("key-1", "key-1[23]")])
def test_a_part_is_put_back(backups: BackupRig, patterns: tuple[str, ...]) -> None:
    """Whoever needs one database of many, or a few entities, has to put all of it back."""
    backups.put(20)
    backups.rig.put_database("animals", "11" * 16)
    backups.take()
    root = backups.fresh()
    restored = backups.restore(root, selection=Selection(("people",), patterns))
    wanted = {"key-1", "key-12"} | ({"key-13"} if "[" in patterns[1] else set())
    assert len(list((root / "files").rglob("*.json.enc"))) == len(wanted)
    for key in wanted:
        assert restored.worker().get(key)[0] == 1
    assert not (root / "databases" / "animals.json").exists()
    with pytest.raises(NotFoundError, match="no database fish"):
        backups.restore(backups.fresh("other"), selection=Selection(("fish",)))
    restored.close()


def test_a_tombstone_goes_on_counting(backups: BackupRig) -> None:
    """A deleted entity comes back, or begins at version 1 again."""
    backups.put(1)
    backups.worker.delete("key-0")
    backups.take()
    backups.lose()
    restored = backups.restore(backups.fresh())
    worker = restored.worker()
    with pytest.raises(Exception, match="no such entity"):
        worker.get("key-0")
    assert worker.put("key-0", b"{}") > 2
    restored.close()


def test_a_directory_with_data_is_refused(backups: BackupRig) -> None:
    """A restore overwrites what is there."""
    backups.put(3)
    backups.take()
    before = files(backups.root)
    with pytest.raises(ConflictError, match="there is data under"):
        backups.restore(backups.root)
    assert files(backups.root) == before


def test_control_records_come_back(backups: BackupRig) -> None:
    """Clients cannot log in any more, or a worker that was revoked can again."""
    backups.take()
    kept = backups.take()
    root = backups.fresh()
    backups.restore(root)
    store = ControlFiles(LocalFilesystem(), Layout(root), backups.keys, SystemClock())
    # That of the backup itself too: its keys must not be destroyed now either.
    assert kept.backup_id in store.backups.names()
    assert len(store.backups.names()) == 2
    assert [one for one in store.inspect(repair=False) if "restoring" in one.path] == []


def test_what_lies_under_a_destroyed_key_stops_nothing(backups: BackupRig) -> None:
    """After a shredding no older backup can be restored."""
    backups.put(2)
    made = keyring.new_key(Purpose.DATA, AT)
    old = backups.keys.active(Purpose.DATA)
    backups.take()
    backups.keys = keyring.without(keyring.with_active(backups.keys, made), old.key_id)
    proof = backups.prove()
    assert (proof.read, proof.opened, proof.destroyed) == (2, 0, 2)
    restored = backups.restore(backups.fresh())
    with pytest.raises(KeyDestroyedError):
        restored.worker().get("key-1")
    restored.close()


def test_a_restore_that_was_killed_is_gone_on_with(backups: BackupRig) -> None:
    """A killed restore leaves a directory that is neither empty nor a deployment."""
    written = backups.put(30)
    backups.take()
    root = backups.fresh()
    ended, nth = False, 0
    while not ended:
        nth += 60
        pid = os.fork()
        if pid == 0:
            _restore_until(backups, root, nth)
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert nth > 120
    restored = backups.reading(root)
    assert backups.entities(restored, list(written)) == written
    assert not (root / "restoring.json").exists()
    restored.close()


def test_what_is_half_restored_is_not_started(backups: BackupRig, tmp_path: Path) -> None:
    """`strongroom up` makes databases of its own there, which the rest of the restore replaces."""
    backups.put(1)
    backups.take()
    deployment = LocalDeployment(Options(root=tmp_path / "up"))
    deployment.shared_dir.mkdir(parents=True)
    EmptySharedDirectory(deployment.shared_dir).begin(backups.find().backup_id)
    with pytest.raises(ConflictError, match="has not ended: go on with it"):
        deployment.start()
    deployment.stop()


def _restore_until(backups: BackupRig, root: Path, nth: int) -> None:
    left = nth

    def before(_name: str, _arguments: tuple[object, ...]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os._exit(9)

    target = EmptySharedDirectory(root, ObservedFilesystem(before))
    restoring.restore(backups.find(), backups.opened, target, QUIET)
    os._exit(0)


def test_another_backup_is_not_mixed_in(backups: BackupRig) -> None:
    """A restore that was killed is ended with another backup, and the result is of two."""
    backups.put(3)
    first = backups.take().backup_id
    backups.worker.put("key-1", b"{}")
    backups.take()
    root = backups.fresh()
    EmptySharedDirectory(root).begin(first)
    with pytest.raises(ConflictError, match="go on with that one"):
        backups.restore(root)
    backups.restore(root, first).close()


def test_a_full_disk_is_told(backups: BackupRig) -> None:
    """A restore is reported as done although there was no room for it."""
    backups.put(3)
    backups.take()
    root = backups.fresh()

    def before(name: str, _arguments: tuple[object, ...]) -> None:
        if name == "write":
            raise OSError(28, "No space left on device")

    target = EmptySharedDirectory(root, ObservedFilesystem(before, UnsyncedFilesystem()))
    with pytest.raises(UnavailableError, match="full"):
        restoring.restore(backups.find(), backups.opened, target, QUIET)
    assert not (root / "databases").exists()
