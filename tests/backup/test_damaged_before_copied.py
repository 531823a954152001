"""Entities and files that were damaged when they were copied, or are damaged in the backup."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.backup.adapters.empty_directory import EmptySharedDirectory
from cli.backup.domain import manifest
from cli.backup.domain.selection import Selection
from cli.backup.service import putting_back, restoring
from cli.backup.service.proving import DamagedError, Proof
from cli.backup.service.putting_back import Wish
from strongroom.clock import SystemClock
from strongroom.errors import IntegrityError, NotFoundError
from strongroom.layout import Layout
from tests.support.backups import QUIET, BackupRig
from tests.support.filesystems import UnsyncedFilesystem
from tests.support.running_engines import RunningEngine

OTHERS = {f"key-{n}": (1, b'{"n": %d}' % n) for n in (0, 2, 3, 4)}


def flipped(path: Path) -> None:
    """Change the last byte of a file, which is one of its tag."""
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


@pytest.fixture
def backups(backups: BackupRig) -> BackupRig:
    """Return a deployment with a backup, in which a disk has changed a bit of an entity before."""
    backups.put(5)
    flipped(backups.worker.files("key-1")[0])
    assert backups.take().tally.damaged == 0, "who takes a backup has no keys"
    return backups


def restore(backups: BackupRig, root: Path, *patterns: str) -> Proof:
    """Put back into a directory what verifies."""
    target = EmptySharedDirectory(root, UnsyncedFilesystem())
    selection = Selection((), patterns)
    found = backups.find()
    return restoring.restore(found, backups.opened, target, QUIET, selection, leaves_out=True)


def test_by_itself_nothing_is_left_out(backups: BackupRig) -> None:
    """A restore leaves out an entity, and nobody has asked for that."""
    root = backups.fresh()
    with pytest.raises(DamagedError, match="tag does not verify"):
        backups.restore(root)
    assert not (root / "files").exists()
    with pytest.raises(DamagedError, match="tag does not verify"):
        backups.prove()


def test_it_does_not_keep_the_others_from_coming_back(backups: BackupRig) -> None:
    """One bit that a disk has changed, and a lost deployment cannot be restored of any backup."""
    proof = backups.prove(leaves_out=True)
    assert (proof.read, proof.opened, proof.damage.count) == (4, 4, 1)
    assert "tag does not verify" in proof.damage.told[0]
    backups.lose()
    root = backups.fresh()
    assert restore(backups, root).damage.told == proof.damage.told
    restored = backups.reading(root)
    assert backups.entities(restored, list(OTHERS)) == OTHERS
    worker = restored.worker()
    with pytest.raises(NotFoundError):
        worker.get("key-1")
    assert worker.put("key-1", b"{}") > 1, "its version was somebody's"
    restored.close()


def test_nor_from_being_put_into_a_deployment_that_serves(backups: BackupRig) -> None:
    """One damaged entity, and no other can be put back either."""
    for key in OTHERS:
        backups.worker.put(key, b"{}")
    wish = Wish(Selection(), None, may_be_there=True, leaves_out=True)
    target = RunningEngine(backups.rig)
    done = putting_back.put_back(
        backups.find(), backups.opened, target, wish, clock=SystemClock(), progress=QUIET
    )
    assert (done.written, done.refusals, done.damage.count) == (4, 0, 1)
    assert {key: backups.worker.get(key)[1] for key in OTHERS} == {
        key: raw for key, (_, raw) in OTHERS.items()
    }


def a_changed_object(path: Path) -> None:
    """Have a disk change the backup itself."""
    flipped(path)


def a_missing_object(path: Path) -> None:
    """Have an object removed."""
    path.unlink()


def a_pipe(path: Path) -> None:
    """Put something else in its place."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("harm", [a_changed_object, a_missing_object, a_pipe])
def test_so_it_is_with_what_is_damaged_in_the_backup(
    backups: BackupRig, harm: Callable[[Path], None]
) -> None:
    """One bad sector under the backups, and they are worth nothing."""
    entry = next(e for e in backups.find().entities() if e.path in shown(backups, "key-0"))
    harm(backups.place / manifest.object_name(entry.sha256))
    root = backups.fresh()
    assert restore(backups, root).damage.count == 2
    kept = {key: value for key, value in OTHERS.items() if key != "key-0"}
    assert backups.entities(backups.reading(root), list(kept)) == kept


def shown(backups: BackupRig, key: str) -> str:
    """Return where an entity's blob lies."""
    return str(backups.worker.files(key)[0])


def test_a_damaged_file_of_configuration_is_left_out_too(backups: BackupRig) -> None:
    """A record that nobody has looked at for a year keeps a lost deployment from coming back."""
    record = Layout(backups.root).record("clients", "old")
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_bytes(b"garbage")
    backups.take()
    with pytest.raises(DamagedError, match="clients/old in the backup"):
        backups.prove()
    root = backups.fresh()
    proof = restore(backups, root)
    assert proof.damage.count == 2
    assert not Layout(root).record("clients", "old").exists()
    assert backups.entities(backups.reading(root), list(OTHERS)) == OTHERS


@pytest.mark.parametrize("patterns", [(), ("key-0",), ("key-*",)])
def test_entities_without_a_database_are_told(
    backups: BackupRig, patterns: tuple[str, ...]
) -> None:
    """A database's file is damaged: its entities are put where nothing can read them, unsaid."""
    flipped(backups.root / "databases" / "people.json")
    backups.take()
    root = backups.fresh()
    proof = restore(backups, root, *patterns)
    assert proof.damage.count == 1 + 5
    assert not (root / "files").exists()
    assert not (root / "databases" / "people.json").exists()


def test_the_manifest_has_to_be_whole_in_any_case(backups: BackupRig) -> None:
    """What is left out cannot be told, because the list of it is gone."""
    (chunk,) = backups.find().manifest.entity_chunks
    flipped(backups.place / manifest.object_name(chunk))
    with pytest.raises(IntegrityError, match="its digest is another") as raised:
        restore(backups, backups.fresh())
    assert not isinstance(raised.value, DamagedError)
