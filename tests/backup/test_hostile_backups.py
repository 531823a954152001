"""Backups that somebody has changed who can write where they lie, and has no key."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cli.backup.domain import entries, manifest
from cli.backup.domain.entries import EntityEntry, FileEntry
from cli.backup.domain.manifest import Counts
from cli.backup.service import reading
from strongroom import keyring, limits
from strongroom.errors import IntegrityError, NotFoundError, StrongroomError, UnavailableError
from tests.support.backups import BackupRig
from tests.support.engines import AT

DIGEST = "ab" * 32


@pytest.fixture
def backups(backups: BackupRig) -> BackupRig:
    """Return a deployment with two backups: of three entities, and of three and one newer."""
    backups.put(3)
    backups.take()
    backups.worker.put("key-1", b'{"n": 11}')
    backups.take()
    return backups


def rewritten(backups: BackupRig, **changed: object) -> None:
    """Put a changed manifest in the newest one's place, under a name that fits it."""
    newest = backups.find()
    lie = msgspec.structs.replace(newest.manifest, **changed)
    raw = manifest.encode(lie)
    name = manifest.backup_id(raw, lie.begun_at)
    shutil.copy(
        backups.place / manifest.record_name(newest.backup_id),
        backups.place / manifest.record_name(name),
    )
    (backups.place / manifest.manifest_name(newest.backup_id)).unlink()
    (backups.place / manifest.manifest_name(name)).write_bytes(raw)


def chunk(backups: BackupRig, found: list[EntityEntry] | list[FileEntry]) -> str:
    """Put a chunk into the store."""
    raw = entries.encode(found)
    backups.store.write(manifest.object_name(manifest.digest(raw)), raw)
    return manifest.digest(raw)


def with_entries(backups: BackupRig, *found: EntityEntry) -> None:
    """Have the newest backup name other entities."""
    counts = Counts()
    everything: list[EntityEntry | FileEntry] = [*found, *backups.find().files()]
    for one in everything:
        counts = counts.plus(one)
    rewritten(backups, entity_chunks=[chunk(backups, list(found))], counts=counts)


def entities(backups: BackupRig) -> list[EntityEntry]:
    """Return the newest backup's."""
    return list(backups.find().entities())


def object_of(backups: BackupRig, number: int = 0) -> Path:
    """Return the file of a blob."""
    return backups.place / manifest.object_name(entities(backups)[number].sha256)


def a_changed_byte(backups: BackupRig) -> None:
    """Change the last byte of a blob."""
    path = object_of(backups)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def a_cut_blob(backups: BackupRig) -> None:
    """Cut a blob short."""
    path = object_of(backups)
    path.write_bytes(path.read_bytes()[:-1])


def a_missing_blob(backups: BackupRig) -> None:
    """Remove a blob."""
    object_of(backups).unlink()


def a_link_to_the_same(backups: BackupRig) -> None:
    """Put a symbolic link to the very blob in its place."""
    path = object_of(backups)
    elsewhere = backups.directory / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def a_linked_directory(backups: BackupRig) -> None:
    """Put a symbolic link in the place of a directory of blobs."""
    folder = object_of(backups).parent
    folder.rename(backups.directory / "elsewhere")
    folder.symlink_to(backups.directory / "elsewhere")


def a_pipe(backups: BackupRig) -> None:
    """Put a pipe in a blob's place: whoever opens it waits for ever."""
    path = object_of(backups)
    path.unlink()
    os.mkfifo(path)


def an_endless_blob(backups: BackupRig) -> None:
    """Put a file of many gigabytes, which takes no room, in a blob's place."""
    with object_of(backups).open("wb") as file:
        file.truncate(1 << 40)


def a_cut_manifest(backups: BackupRig) -> None:
    """Cut the manifest short."""
    path = backups.place / manifest.manifest_name(backups.find().backup_id)
    path.write_bytes(path.read_bytes()[:-40])


def an_endless_manifest(backups: BackupRig) -> None:
    """Make the manifest as large as no memory is."""
    path = backups.place / manifest.manifest_name(backups.find().backup_id)
    with path.open("r+b") as file:
        file.truncate(1 << 40)


def a_deep_manifest(backups: BackupRig) -> None:
    """Put a manifest there that nests deeper than any stack."""
    path = backups.place / manifest.manifest_name(backups.find().backup_id)
    path.write_bytes(b'{"format": 1, "zzz": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def a_changed_manifest(backups: BackupRig) -> None:
    """Change a number in the manifest, and leave its name."""
    path = backups.place / manifest.manifest_name(backups.find().backup_id)
    path.write_bytes(path.read_bytes().replace(b'"left_out": 0', b'"left_out": 1'))


def a_newer_format(backups: BackupRig) -> None:
    """Have the manifest be one of a later version."""
    rewritten(backups, format=2)


def an_older_blob_of_an_entity(backups: BackupRig) -> None:
    """Put one entity back to what the backup before has of it, with everything else consistent."""
    first, second = sorted(reading.ids(backups.store))
    older = {one.file_id: one for one in backups.find(first).entities()}
    newer = list(backups.find(second).entities())
    assert [one for one in newer if older[one.file_id] != one]
    with_entries(backups, *older.values())


def one_entity_less(backups: BackupRig) -> None:
    """Leave an entity out."""
    with_entries(backups, *entities(backups)[:-1])


def a_path_upwards(backups: BackupRig) -> None:
    """Name a database that is a path."""
    (first, *_) = entities(backups)
    with_entries(backups, msgspec.structs.replace(first, database="../../control"))


def a_file_id_upwards(backups: BackupRig) -> None:
    """Name a file-id that is a path."""
    (first, *_) = entities(backups)
    with_entries(backups, msgspec.structs.replace(first, file_id="../" * 21 + "x"))


def a_file_upwards(backups: BackupRig) -> None:
    """Name a record that is a path."""
    found = backups.find()
    lie = FileEntry("clients", "../../keyring", 10, DIGEST)
    rewritten(backups, file_chunks=[chunk(backups, [*found.files(), lie])])


def another_kind(backups: BackupRig) -> None:
    """Name a kind of file that no backup has."""
    lie = FileEntry("workers", "worker-1", 10, DIGEST)
    rewritten(backups, file_chunks=[chunk(backups, [lie])])


def one_that_comes_twice(backups: BackupRig) -> None:
    """Name an entity twice."""
    first, *rest = entities(backups)
    with_entries(backups, first, first, *rest)


def another_place(backups: BackupRig) -> None:
    """Exchange the blobs of two entities."""
    one, other, *rest = entities(backups)
    swapped = (
        msgspec.structs.replace(other, file_id=one.file_id),
        msgspec.structs.replace(one, file_id=other.file_id),
    )
    with_entries(backups, *swapped, *rest)


def another_version(backups: BackupRig) -> None:
    """Say of a blob that it is a later version than it is."""
    first, *rest = entities(backups)
    with_entries(backups, msgspec.structs.replace(first, version=first.version + 5), *rest)


def a_living_tombstone(backups: BackupRig) -> None:
    """Say of an entity that it is deleted."""
    first, *rest = entities(backups)
    with_entries(backups, msgspec.structs.replace(first, deleted=True), *rest)


def wrong_counts(backups: BackupRig) -> None:
    """Say that there are more than there are."""
    rewritten(backups, counts=Counts(entities=9, files=3, bytes=1))


def no_record(backups: BackupRig) -> None:
    """Take the deployment's record away."""
    (backups.place / manifest.record_name(backups.find().backup_id)).unlink()


def another_record(backups: BackupRig) -> None:
    """Put the record of the other backup in its place."""
    first, second = sorted(reading.ids(backups.store))
    shutil.copy(
        backups.place / manifest.record_name(first), backups.place / manifest.record_name(second)
    )


def another_deployment(backups: BackupRig) -> None:
    """Have it say that it is of another deployment."""
    rewritten(backups, deployment="another")


HARMS: list[tuple[Callable[[BackupRig], None], str]] = [
    (a_changed_byte, "its digest is another"),
    (a_cut_blob, "its digest is another"),
    (a_missing_blob, "is missing in the backup"),
    (a_link_to_the_same, "symbolic link"),
    (a_linked_directory, "Not a directory|symbolic link"),
    (a_pipe, "no plain file"),
    (an_endless_blob, "larger than"),
    (a_cut_manifest, "cannot be read|digest is another"),
    (an_endless_manifest, "larger than"),
    (a_deep_manifest, "cannot be read"),
    (a_changed_manifest, "digest is another"),
    (a_newer_format, "format 2, not known"),
    (an_older_blob_of_an_entity, "took no such backup"),
    (one_entity_less, "took no such backup"),
    (a_path_upwards, "took no such backup"),
    (wrong_counts, "took no such backup"),
    (another_place, "took no such backup"),
    (no_record, "nothing says that the deployment took it"),
    (another_record, "took no such backup"),
    (another_deployment, "the backup is of the deployment another"),
]


@pytest.mark.parametrize(("harm", "told"), HARMS, ids=lambda one: getattr(one, "__name__", ""))
def test_nothing_of_a_changed_backup_is_restored(
    backups: BackupRig, harm: Callable[[BackupRig], None], told: str
) -> None:
    """A changed backup is restored, in part or as a whole, and nobody is told."""
    harm(backups)
    root = backups.fresh()
    before = sorted(root.rglob("*"))
    with pytest.raises((IntegrityError, UnavailableError), match=told):
        backups.restore(root)
    assert sorted(root.rglob("*")) == before
    assert not (backups.directory / "control").exists()


WITHOUT_KEYS: list[tuple[Callable[[BackupRig], None], str]] = [
    *[pair for pair in HARMS if "took no" not in pair[1] and "deployment another" not in pair[1]],
    (a_path_upwards, "a database name is"),
    (a_file_id_upwards, "not one of an entity"),
    (a_file_upwards, "a name is"),
    (another_kind, "not one of a file"),
    (one_that_comes_twice, "out of order, or one comes twice"),
    (another_version, "another version than the manifest says"),
    (a_living_tombstone, "another version than the manifest says"),
    (wrong_counts, "another number of entities"),
]


@pytest.mark.parametrize(
    ("harm", "told"), WITHOUT_KEYS, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_changed_backup_is_found_without_keys(
    backups: BackupRig, harm: Callable[[BackupRig], None], told: str
) -> None:
    """A machine without keys says of a damaged backup that it is whole."""
    harm(backups)
    with pytest.raises((IntegrityError, UnavailableError), match=told):
        backups.prove(with_keys=False)


def test_a_forger_who_makes_everything_fit_has_no_record(backups: BackupRig) -> None:
    """Whoever can write the backups takes an entity back to its last version, or out of it.

    Without a key nothing can tell: that is why a restore asks for one.
    """
    an_older_blob_of_an_entity(backups)
    assert backups.prove(with_keys=False).read == 3
    with pytest.raises(IntegrityError, match="took no such backup"):
        backups.prove()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (another_place, "does not verify"),
        (one_entity_less, ""),
        (wrong_counts, "another number of entities"),
        (a_path_upwards, "a database name is"),
        (a_file_upwards, "a name is"),
    ],
)
def test_what_is_on_record_is_looked_at_all_the_same(
    backups: BackupRig, harm: Callable[[BackupRig], None], told: str
) -> None:
    """Whoever may put backups on record has another entity's document, or a path, restored.

    He can leave entities out; that is his to do: he could delete them.
    """
    harm(backups)
    name = backups.find().backup_id
    backups.register.put(name)
    record = backups.root / "control" / "backups" / f"{name}.sealed"
    shutil.copy(record, backups.place / manifest.record_name(name))
    if told:
        with pytest.raises(IntegrityError, match=told):
            backups.prove()
    else:
        assert backups.prove().opened == 2


def test_the_keys_of_another_deployment_open_nothing(backups: BackupRig) -> None:
    """A backup is put back under another deployment's keyring, which opens nothing of it."""
    backups.keys = keyring.new("another", AT)
    with pytest.raises(IntegrityError, match="the keys at hand are of another"):
        backups.restore(backups.fresh())
    backups.keys = keyring.new("test-deployment", AT)
    with pytest.raises(IntegrityError, match="took no such backup"):
        backups.restore(backups.fresh())


@pytest.mark.parametrize("odd", ["../x", "20260101-000000-" + "g" * 48, "", "x" * 10_000])
def test_an_id_is_no_path(backups: BackupRig, odd: str) -> None:
    """`--id` reads a file outside the backups."""
    with pytest.raises(IntegrityError, match="is not the id of a backup"):
        backups.find(odd)


def test_a_backup_that_is_not_there_is_told(backups: BackupRig) -> None:
    """A mistyped id ends in a stack trace."""
    with pytest.raises(NotFoundError, match="there is no backup 2026"):
        backups.find("20260101-000000-" + "a" * 48)


@pytest.mark.parametrize("cut", range(0, 400, 23))
def test_any_cut_of_a_chunk_is_refused(backups: BackupRig, cut: int) -> None:
    """A chunk of the manifest that was cut short is taken for a whole one."""
    (sha256,) = backups.find().manifest.entity_chunks
    path = backups.place / manifest.object_name(sha256)
    raw = path.read_bytes()
    path.write_bytes(raw[:cut])
    with pytest.raises(StrongroomError, match="digest is another"):
        backups.prove(with_keys=False)


def test_nothing_is_written_through_a_link(backups: BackupRig) -> None:
    """Whoever can write the backups has the next one write elsewhere, as its user."""
    shutil.rmtree(backups.place / "objects")
    elsewhere = backups.directory / "elsewhere"
    elsewhere.mkdir()
    (backups.place / "objects").symlink_to(elsewhere)
    with pytest.raises(UnavailableError, match="objects"):
        backups.take()
    assert list(elsewhere.iterdir()) == []


def test_a_chunk_has_so_many_entries_at_most(
    backups: BackupRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk of millions of lines fills the memory of whoever looks at it."""
    monkeypatch.setattr(limits, "BACKUP_CHUNK_ENTRIES", 2)
    with pytest.raises(IntegrityError, match="too many entries"):
        backups.prove()
