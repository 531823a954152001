"""Everything that can be the matter with the files of a database, one thing at a time.

Each of these spoils the files of the database `people`, which has the entities `KEYS`, was deleted
and made anew once, and has a neighbour, `other`. What it returns is what an inspection has to tell.
"""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from strongroom.finding import Condition
from tests.support.engines import Rig, Worker
from tests.support.inspections import Told, age

FIRST, SECOND, THIRD = "00" * 16, "11" * 16, "22" * 16
KEYS = ("a", "b", "c", "d", "e")
DOCUMENT = b'{"n": 1}'
NOT_OURS = "it is none of our files"
CRASH = "a crash has left it"
DELETED = "it is of a deleted incarnation of its database"
ELSEWHERE = "the file holds another entity"
NO_TAG = "the authentication tag does not verify"
NO_FILE = "a stored file is not one of ours"
DAMAGED, ORPHANED, STALE, UNJUDGED = Condition
Spoil = Callable[[Worker], list[Told]]


def a_worker_over_both(rig: Rig) -> Worker:
    """Return a worker over a database with a few entities, and its neighbour."""
    rig.binding = rig.put_database("other", THIRD)
    worker = rig.worker()
    worker.put("elsewhere", DOCUMENT)
    rig.binding = rig.put_database("people", SECOND, retired=(FIRST,))
    for key in KEYS:
        worker.put(key, DOCUMENT)
    return worker


def shown(worker: Worker, path: Path) -> str:
    """Return a path as a finding shows it."""
    return worker.rig.layout.relative(path)


def a_changed_blob(change: Callable[[bytes], bytes], reason: str) -> Spoil:
    """Return what changes the bytes of a blob."""

    def spoil(worker: Worker) -> list[Told]:
        blob, _ = worker.files("a")
        blob.write_bytes(change(blob.read_bytes()))
        return [(shown(worker, blob), DAMAGED, reason)]

    return spoil


def a_changed_sidecar(change: Callable[[bytes], bytes]) -> Spoil:
    """Return what changes the bytes of a sidecar."""

    def spoil(worker: Worker) -> list[Told]:
        _, sidecar = worker.files("a")
        sidecar.write_bytes(change(sidecar.read_bytes()))
        return [(shown(worker, sidecar), STALE, "it is not the one of its blob")]

    return spoil


def no_blob(worker: Worker) -> list[Told]:
    """Remove a blob."""
    blob, _ = worker.files("a")
    blob.unlink()
    return [(shown(worker, blob), DAMAGED, "the entity's blob is missing")]


def no_sidecar(worker: Worker) -> list[Told]:
    """Remove a sidecar."""
    _, sidecar = worker.files("a")
    sidecar.unlink()
    return [(shown(worker, sidecar), STALE, "it is missing")]


def an_older_blob(worker: Worker) -> list[Told]:
    """Put an older blob back."""
    blob, _ = worker.files("a")
    older = blob.read_bytes()
    worker.put("a", b'{"n": 2}')
    blob.write_bytes(older)
    return [(shown(worker, blob), DAMAGED, "the entity's blob is older than its sidecar")]


def an_older_sidecar(worker: Worker) -> list[Told]:
    """Put an older sidecar back."""
    _, sidecar = worker.files("a")
    older = sidecar.read_bytes()
    worker.put("a", b'{"n": 2}')
    sidecar.write_bytes(older)
    return [(shown(worker, sidecar), STALE, "it is not the one of its blob")]


def another_entity(worker: Worker) -> list[Told]:
    """Put one entity's files in the place of another's."""
    for path, other in zip(worker.files("a"), worker.files("b"), strict=True):
        shutil.copy(other, path)
    return [(shown(worker, worker.files("a")[0]), DAMAGED, NO_TAG)]


def entities_of(incarnation: str, database: str) -> Callable[[Worker], list[Path]]:
    """Return what puts entities of another incarnation or database into the database."""

    def put(worker: Worker) -> list[Path]:
        rig, ours = worker.rig, worker.rig.binding
        configurations = [rig.layout.database(name) for name in ("people", "other")]
        before = [path.read_bytes() for path in configurations]
        rig.binding = rig.put_database(database, incarnation)
        moved = []
        for key in ("x", "y"):
            worker.put(key, DOCUMENT)
            for path in worker.files(key):
                target = rig.root / "files" / "people" / path.parent.name / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                moved.append(path.rename(target))
        for path, raw in zip(configurations, before, strict=True):
            path.write_bytes(raw)
        rig.binding = ours
        return [path for path in moved if path.name.endswith(".json.enc")]

    return put


def a_deleted_past(worker: Worker) -> list[Told]:
    """Leave entities of an incarnation that was deleted."""
    blobs = entities_of(FIRST, "people")(worker)
    return sorted((shown(worker, blob), ORPHANED, DELETED) for blob in blobs)


def an_unknown_past(worker: Worker) -> list[Told]:
    """Leave entities of an incarnation that nobody has deleted."""
    blobs = entities_of("33" * 16, "people")(worker)
    return sorted((shown(worker, blob), ORPHANED, ELSEWHERE) for blob in blobs)


def another_database(worker: Worker) -> list[Told]:
    """Move entities of another database here."""
    blobs = entities_of(THIRD, "other")(worker)
    return sorted((shown(worker, blob), ORPHANED, ELSEWHERE) for blob in blobs)


def a_deleted_database(worker: Worker) -> list[Told]:
    """Delete the database."""
    worker.rig.put_database("people", SECOND, retired=(FIRST, SECOND), deleted=True)
    blobs = [worker.files(key)[0] for key in KEYS]
    return sorted((shown(worker, blob), ORPHANED, DELETED) for blob in blobs)


def no_configuration(worker: Worker) -> list[Told]:
    """Remove the database's configuration."""
    worker.rig.layout.database("people").unlink()
    return [("files/people", ORPHANED, "no database has such a name"), *unclaimed(worker)]


def a_forged_configuration(worker: Worker) -> list[Told]:
    """Write into the database's configuration without a key."""
    path = worker.rig.layout.database("people")
    path.write_bytes(path.read_bytes().replace(SECOND.encode(), THIRD.encode()))
    return unclaimed(worker)


def unclaimed(worker: Worker) -> list[Told]:
    """Return what is told of entities of which nobody knows the database."""
    reason = "no configuration of its database verifies"
    return sorted((shown(worker, worker.files(key)[0]), ORPHANED, reason) for key in KEYS)


def a_directory_for_a_configuration(worker: Worker) -> list[Told]:
    """Put a directory in the place of the database's configuration."""
    path = worker.rig.layout.database("people")
    path.unlink()
    path.mkdir()
    return unclaimed(worker)


def a_socket_for_a_configuration(worker: Worker) -> list[Told]:
    """Put a socket in the place of the database's configuration."""
    path = worker.rig.layout.database("people")
    path.unlink()
    a_socket(path)
    return [("files/people", UNJUDGED, "the configuration of its database cannot be read")]


def strangers(worker: Worker) -> list[Told]:
    """Put something into every directory that does not belong there."""
    shard = worker.files("a")[0].parent
    files = worker.rig.root / "files"
    expected: list[Told] = []
    for directory, reason in (
        (files, "no database has such a name"),
        (shard.parent, NOT_OURS),
        (shard, NOT_OURS),
    ):
        for name in ("note.txt", "-", ".hidden", "x y"):
            (directory / name).write_bytes(b"hello")
        (directory / "folder").mkdir()
        (directory / "link").symlink_to("/etc")
        os.mkfifo(directory / "pipe")
        names = ("note.txt", "-", ".hidden", "x y", "folder", "link", "pipe")
        expected += [(shown(worker, directory / name), ORPHANED, reason) for name in names]
    return sorted(expected)


def names_that_are_no_text(worker: Worker) -> list[Told]:
    """Give files names that no message and no terminal should get as they are."""
    shard = worker.files("a")[0].parent
    expected: list[Told] = []
    for directory, reason in (
        (shard.parent.parent, "no database has such a name"),
        (shard.parent, NOT_OURS),
        (shard, NOT_OURS),
    ):
        Path(os.fsdecode(os.fsencode(directory) + b"/\xff\x1b[31m\n'\"")).write_bytes(b"")
        path = shown(worker, directory)
        expected.append((f"{path}/\\udcff\\x1b[31m\\n\\'\"", ORPHANED, reason))
    return sorted(expected)


def a_file_in_the_wrong_shard(worker: Worker) -> list[Told]:
    """Put an entity's files where nobody looks for them."""
    expected = []
    for path in worker.files("a"):
        wrong = path.parent.with_name(f"{int(path.parent.name, 16) ^ 1:02x}") / path.name
        wrong.parent.mkdir(exist_ok=True)
        shutil.copy(path, wrong)
        expected.append((shown(worker, wrong), ORPHANED, NOT_OURS))
    return sorted(expected)


def what_a_crash_left(worker: Worker) -> list[Told]:
    """Leave temporary files: two old ones, and one that may be in use."""
    shard = worker.files("a")[0].parent
    names = (".tmp-1", os.fsdecode(b".tmp-\xff\x1b[31m"), ".tmp-in-use")
    for name in names:
        (shard / name).write_bytes(b"x")
        age(shard / name, worker.rig.clock, abandoned=name != ".tmp-in-use")
    place = shown(worker, shard)
    return [(f"{place}/.tmp-1", STALE, CRASH), (f"{place}/.tmp-\\udcff\\x1b[31m", STALE, CRASH)]


def a_directory_like_a_temporary_file(worker: Worker) -> list[Told]:
    """Make what has the name of a temporary file, and cannot be removed as one."""
    folder = worker.files("a")[0].parent / ".tmp-folder"
    folder.mkdir()
    age(folder, worker.rig.clock, abandoned=True)
    return [(shown(worker, folder), STALE, CRASH)]


def no_file(which: int, make: Callable[[Path], object], reason: str = NO_FILE) -> Spoil:
    """Return what puts something else in the place of a blob (0) or a sidecar (1)."""

    def spoil(worker: Worker) -> list[Told]:
        path = worker.files("a")[which]
        path.unlink()
        make(path)
        # It is told of the entity, whose blob stands for it.
        return [(shown(worker, worker.files("a")[0]), DAMAGED, reason)]

    return spoil


def a_socket(path: Path) -> None:
    """Make a socket; its name would be too long for a path."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
    Path("s").rename(path)


def a_blob_that_is_a_socket(worker: Worker) -> list[Told]:
    """Put a socket in the place of a blob."""
    blob, _ = worker.files("a")
    blob.unlink()
    a_socket(blob)
    return [(shown(worker, blob), UNJUDGED, "the storage does not answer")]


def a_sidecar_that_is_a_pipe(worker: Worker) -> list[Told]:
    """Put a pipe in the place of a sidecar."""
    _, sidecar = worker.files("a")
    sidecar.unlink()
    os.mkfifo(sidecar)
    return [(shown(worker, sidecar), STALE, "it is not the one of its blob")]


def no_shard(make: Callable[[Path], object], condition: Condition, reason: str) -> Spoil:
    """Return what puts something else in the place of a directory of entities."""

    def spoil(worker: Worker) -> list[Told]:
        shard = worker.files("a")[0].parent
        shutil.rmtree(shard)
        make(shard)
        return [(shown(worker, shard), condition, reason)]

    return spoil


LEFT: dict[str, Spoil] = {
    "a flipped bit": a_changed_blob(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), NO_TAG),
    "a flipped bit of the header": a_changed_blob(
        lambda raw: raw.replace(b"worker-1", b"worker-3"), NO_TAG
    ),
    "cut short": a_changed_blob(lambda raw: raw[:40], "the file is cut short"),
    "empty": a_changed_blob(lambda _: b"", "the file is too short to be an entity"),
    "appended to": a_changed_blob(lambda raw: raw + b"x", NO_TAG),
    "something else": a_changed_blob(
        lambda raw: b"x" * len(raw), "the file does not begin as an entity does"
    ),
    "no blob": no_blob,
    "an older blob": an_older_blob,
    "another entity": another_entity,
    "another database": another_database,
    "an unknown past": an_unknown_past,
    "no configuration": no_configuration,
    "a forged configuration": a_forged_configuration,
    "a directory for a configuration": a_directory_for_a_configuration,
    "a socket for a configuration": a_socket_for_a_configuration,
    "strangers": strangers,
    "names that are no text": names_that_are_no_text,
    "a file in the wrong shard": a_file_in_the_wrong_shard,
    "a directory like a temporary file": a_directory_like_a_temporary_file,
    "a directory for a blob": no_file(0, Path.mkdir),
    "a link for a blob": no_file(0, lambda path: path.symlink_to("/etc/passwd")),
    "a pipe for a blob": no_file(0, os.mkfifo, "the file is too short to be an entity"),
    "a socket for a blob": a_blob_that_is_a_socket,
    "a directory for a sidecar": no_file(1, Path.mkdir),
    "a link for a sidecar": no_file(1, lambda path: path.symlink_to("/etc/passwd")),
    "a file for a shard": no_shard(Path.touch, UNJUDGED, "it cannot be read as a directory"),
    "a circle for a shard": no_shard(lambda path: path.symlink_to(path.name), DAMAGED, NO_FILE),
}
REPAIRED: dict[str, Spoil] = {
    "no sidecar": no_sidecar,
    "an older sidecar": an_older_sidecar,
    "a garbled sidecar": a_changed_sidecar(lambda raw: raw[: len(raw) // 2]),
    "an empty sidecar": a_changed_sidecar(lambda _: b""),
    "a sidecar of another form": a_changed_sidecar(lambda raw: raw + b"\n"),
    "a sidecar that differs": a_changed_sidecar(lambda raw: raw.replace(b"worker-1", b"worker-3")),
    "a pipe for a sidecar": a_sidecar_that_is_a_pipe,
    "a deleted past": a_deleted_past,
    "a deleted database": a_deleted_database,
    "what a crash left": what_a_crash_left,
}
