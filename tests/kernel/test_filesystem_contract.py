"""The port `durable.Filesystem`: one contract for the real filesystem and for each double of it.

Where a double differs, every test that runs on it proves something about a disk that nobody has.
"""

import errno
import inspect
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.durable import Filesystem
from tests.support.filesystems import CALLS
from tests.support.shared_directories import FILESYSTEMS, SharedDirectory, shared_directory

LONG = "n" * 256


@pytest.fixture(params=FILESYSTEMS)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> SharedDirectory:
    """Return an empty directory."""
    return shared_directory(request.param, tmp_path)


@pytest.fixture
def disk(shared: SharedDirectory) -> Filesystem:
    """Return the filesystem of the empty directory."""
    return shared.filesystem


@pytest.fixture
def root(shared: SharedDirectory) -> str:
    """Return the path of the empty directory."""
    return str(shared.root)


def make(disk: Filesystem, path: str, content: bytes = b"") -> None:
    """Write a file that is not there yet."""
    descriptor = disk.create(path, None)
    assert disk.write(descriptor, content) == len(content)
    disk.close(descriptor)


def content(disk: Filesystem, path: str) -> bytes:
    """Return what is in a file, up to 100 bytes."""
    descriptor = disk.open(path, None)
    found = disk.read(descriptor, 100)
    disk.close(descriptor)
    return found


def refused(code: int, call: Callable[..., object], *arguments: object) -> None:
    """Check how a call fails."""
    with pytest.raises(OSError) as refusal:  # noqa: PT011 - the number is compared below
        call(*arguments)
    assert refusal.value.errno == code, f"{errno.errorcode[code]}, not {refusal.value}"


def test_every_call_of_the_port_is_observed() -> None:
    """A call that was added to the port is neither counted nor failed by any test."""
    port = {name for name, _ in inspect.getmembers(Filesystem, inspect.isfunction)}
    assert {name for name in port if not name.startswith("_")} == set(CALLS)


# -- files -----------------------------------------------------------------------------------------


def test_what_is_written_is_read_and_then_the_file_ends(disk: Filesystem, root: str) -> None:
    """A read begins anew, skips, or never ends."""
    descriptor = disk.create(f"{root}/file", None)
    assert disk.write(descriptor, b"four") == 4
    assert disk.write(descriptor, b"five!") == 5
    disk.close(descriptor)
    one, other = disk.open(f"{root}/file", None), disk.open(f"{root}/file", None)
    assert [disk.read(one, 6), disk.read(one, 6), disk.read(one, 6)] == [b"fourfi", b"ve!", b""]
    assert disk.read(other, 4) == b"four"
    for opened in (one, other):
        disk.close(opened)


def test_a_file_that_is_there_is_not_created_again(disk: Filesystem, root: str) -> None:
    """Two writers share one temporary file."""
    make(disk, f"{root}/file", b"old")
    disk.make_directory(f"{root}/directory")
    refused(errno.EEXIST, disk.create, f"{root}/file", None)
    refused(errno.EEXIST, disk.create, f"{root}/directory", None)
    assert content(disk, f"{root}/file") == b"old"


def test_a_name_is_looked_up_in_the_open_directory(disk: Filesystem, root: str) -> None:
    """A file of one directory is written to another one."""
    for name in ("one", "other"):
        disk.make_directory(f"{root}/{name}")
    one, other = (disk.open_directory(f"{root}/{name}") for name in ("one", "other"))
    disk.close(disk.create("file", one))
    disk.close(disk.open("file", one))
    refused(errno.ENOENT, disk.open, "file", other)
    disk.close(disk.open(f"{root}/one/file", other))
    disk.rename("file", "renamed", one)
    refused(errno.ENOENT, disk.unlink, "renamed", other)
    disk.unlink("renamed", one)
    assert disk.list_directory(f"{root}/one") == []
    for opened in (one, other):
        disk.close(opened)


LOOKUPS: dict[str, Callable[[Filesystem, str, int | None], object]] = {
    "open": lambda disk, name, directory: disk.open(name, directory),
    "create": lambda disk, name, directory: disk.create(name, directory),
    "unlink": lambda disk, name, directory: disk.unlink(name, directory),
    "rename": lambda disk, name, directory: disk.rename(name, "new", directory),
}
PATHS: dict[str, Callable[[Filesystem, str], object]] = {
    **{n: lambda disk, path, use=use: use(disk, path, None) for n, use in LOOKUPS.items()},  # type: ignore[misc]
    "open_directory": lambda disk, path: disk.open_directory(path),
    "open_lock_file": lambda disk, path: disk.open_lock_file(path),
    "modified_s": lambda disk, path: disk.modified_s(path),
    "make_directory": lambda disk, path: disk.make_directory(path),
    "list_directory": lambda disk, path: disk.list_directory(path),
}
MAKING = {"create", "open_lock_file", "make_directory"}


@pytest.mark.parametrize("call", PATHS)
def test_a_path_that_leads_nowhere(disk: Filesystem, root: str, call: str) -> None:
    """What is missing looks as if the disk had failed, or the reverse."""
    make(disk, f"{root}/file")
    refused(errno.ENOENT, PATHS[call], disk, f"{root}/missing/name")
    refused(errno.ENOTDIR, PATHS[call], disk, f"{root}/file/name")
    refused(errno.ENAMETOOLONG, PATHS[call], disk, f"{root}/{LONG}")
    refused(errno.ENOENT, PATHS[call], disk, "")
    if call not in MAKING:
        refused(errno.ENOENT, PATHS[call], disk, f"{root}/missing")
    assert disk.list_directory(root) == ["file"]


@pytest.mark.parametrize("call", LOOKUPS)
def test_what_is_no_open_directory(disk: Filesystem, root: str, call: str) -> None:
    """A name is looked up somewhere, though the directory has gone."""
    make(disk, f"{root}/file")
    file, directory = disk.open(f"{root}/file", None), disk.open_directory(root)
    disk.close(directory)
    refused(errno.ENOTDIR, LOOKUPS[call], disk, "file", file)
    refused(errno.EBADF, LOOKUPS[call], disk, "file", directory)
    disk.close(file)


def test_a_descriptor_does_what_it_was_opened_for(disk: Filesystem, root: str) -> None:
    """A reader changes a file, or a directory is taken for an empty file."""
    make(disk, f"{root}/file", b"old")
    reader, writer = disk.open(f"{root}/file", None), disk.create(f"{root}/new", None)
    refused(errno.EBADF, disk.write, reader, b"new")
    refused(errno.EBADF, disk.try_lock, reader, 0)
    refused(errno.EBADF, disk.read, writer, 1)
    for directory in (disk.open(root, None), disk.open_directory(root)):
        refused(errno.EISDIR, disk.read, directory, 1)
        refused(errno.EBADF, disk.write, directory, b"new")
        refused(errno.EBADF, disk.try_lock, directory, 0)
        disk.unlock(directory, 0)
        disk.close(directory)
    for opened in (reader, writer):
        disk.fsync(opened)
        disk.unlock(opened, 0)
        disk.close(opened)
    assert content(disk, f"{root}/file") == b"old"


def test_a_closed_descriptor_is_of_no_use(disk: Filesystem, root: str) -> None:
    """What is used after its end reads or writes another one's file."""
    descriptor = disk.open_lock_file(f"{root}/locks")
    disk.close(descriptor)
    refused(errno.EBADF, disk.close, descriptor)
    refused(errno.EBADF, disk.fsync, descriptor)
    refused(errno.EBADF, disk.read, descriptor, 1)
    refused(errno.EBADF, disk.write, descriptor, b"x")
    refused(errno.EBADF, disk.try_lock, descriptor, 0)
    refused(errno.EBADF, disk.unlock, descriptor, 0)


# -- names -----------------------------------------------------------------------------------------


def test_a_rename_replaces_and_who_reads_keeps_what_was_opened(disk: Filesystem, root: str) -> None:
    """A reader sees half of one file and half of another one."""
    make(disk, f"{root}/target", b"old")
    make(disk, f"{root}/temporary", b"new")
    reader = disk.open(f"{root}/target", None)
    disk.rename(f"{root}/temporary", f"{root}/target", None)
    assert disk.read(reader, 100) == b"old"
    disk.close(reader)
    assert content(disk, f"{root}/target") == b"new"
    assert disk.list_directory(root) == ["target"]


def test_a_rename_that_cannot_be_done_changes_nothing(disk: Filesystem, root: str) -> None:
    """A refused replacement loses the old file or the new one."""
    make(disk, f"{root}/file", b"old")
    disk.make_directory(f"{root}/directory")
    rename = disk.rename
    refused(errno.ENOENT, rename, f"{root}/missing", f"{root}/file", None)
    refused(errno.EISDIR, rename, f"{root}/file", f"{root}/directory", None)
    refused(errno.ENOENT, rename, f"{root}/file", f"{root}/missing/file", None)
    refused(errno.ENOTDIR, rename, f"{root}/file", f"{root}/file/file", None)
    refused(errno.ENAMETOOLONG, rename, f"{root}/file", f"{root}/{LONG}", None)
    disk.rename(f"{root}/file", f"{root}/file", None)
    assert sorted(disk.list_directory(root)) == ["directory", "file"]
    assert content(disk, f"{root}/file") == b"old"


def test_a_removed_file_is_read_on_by_who_has_it_open(disk: Filesystem, root: str) -> None:
    """A reader fails because a file was swept or replaced meanwhile."""
    make(disk, f"{root}/file", b"old")
    reader = disk.open(f"{root}/file", None)
    disk.unlink(f"{root}/file", None)
    assert disk.list_directory(root) == []
    make(disk, f"{root}/file", b"new")
    assert disk.read(reader, 100) == b"old"
    disk.fsync(reader)
    disk.close(reader)
    disk.make_directory(f"{root}/directory")
    refused(errno.EISDIR, disk.unlink, f"{root}/directory", None)


def test_directories_are_made_one_at_a_time_and_listed(disk: Filesystem, root: str) -> None:
    """A shard is not found again, or hides another one's files."""
    disk.make_directory(f"{root}/a")
    refused(errno.EEXIST, disk.make_directory, f"{root}/a")
    refused(errno.ENOENT, disk.make_directory, f"{root}/b/c")
    disk.make_directory(f"{root}/a/b")
    make(disk, f"{root}/a/file")
    refused(errno.EEXIST, disk.make_directory, f"{root}/a/file")
    assert sorted(disk.list_directory(f"{root}/a")) == ["b", "file"]
    assert disk.list_directory(f"{root}/a/b") == []
    for call in (disk.list_directory, disk.open_directory):
        refused(errno.ENOTDIR, call, f"{root}/a/file")
    directory = disk.open_directory(f"{root}/a")
    disk.fsync(directory)
    disk.close(directory)


def test_a_file_is_as_old_as_its_last_write(disk: Filesystem, root: str) -> None:
    """A temporary file in use is swept, or an abandoned one never."""
    make(disk, f"{root}/before")
    descriptor = disk.create(f"{root}/file", None)
    created_s = disk.modified_s(f"{root}/file")
    _until(lambda: _written_later(disk, descriptor, f"{root}/file", created_s))
    disk.close(descriptor)
    written_s = disk.modified_s(f"{root}/file")
    assert disk.modified_s(f"{root}/before") <= created_s < written_s
    disk.rename(f"{root}/file", f"{root}/renamed", None)
    assert disk.modified_s(f"{root}/renamed") == written_s
    assert disk.modified_s(root) >= written_s


def _written_later(disk: Filesystem, descriptor: int, path: str, than_s: float) -> bool:
    disk.write(descriptor, b"x")
    return disk.modified_s(path) > than_s


def _until(done: Callable[[], bool]) -> None:
    """Wait for the next tick of a clock that may be as coarse as 10 ms."""
    pause = threading.Event()
    assert any(done() or pause.wait(0.002) for _ in range(500))


# -- locks -----------------------------------------------------------------------------------------


def test_a_lock_excludes_every_other_opening_and_no_other_byte(disk: Filesystem, root: str) -> None:
    """Two workers commit one entity at once, or wait for each other without need."""
    one, other = (disk.open_lock_file(f"{root}/locks") for _ in range(2))
    assert disk.try_lock(one, 5)
    assert disk.try_lock(one, 5), "an opening does not exclude itself"
    assert not disk.try_lock(other, 5)
    assert disk.try_lock(other, 2**62 - 1)
    disk.unlock(other, 5)
    assert not disk.try_lock(other, 5), "an opening gives back what another one has"
    disk.unlock(one, 5)
    disk.unlock(one, 5)
    assert disk.try_lock(other, 5)
    for opened in (one, other):
        disk.close(opened)


def test_closing_gives_every_lock_of_that_opening_back(disk: Filesystem, root: str) -> None:
    """What a dead process has locked stays locked, or closing one file unlocks another one's."""
    one, other, third = (disk.open_lock_file(f"{root}/locks") for _ in range(3))
    assert all(disk.try_lock(one, offset) for offset in (1, 2))
    assert disk.try_lock(other, 3)
    disk.close(one)
    assert all(disk.try_lock(third, offset) for offset in (1, 2))
    assert not disk.try_lock(third, 3)
    for opened in (other, third):
        disk.close(opened)


def test_a_lock_of_a_whole_file_waits_for_every_byte_of_it(disk: Filesystem, root: str) -> None:
    """Whoever waits until all writers have ended goes on while one is under way, or begins."""
    one, other = (disk.open_lock_file(f"{root}/locks") for _ in range(2))
    assert disk.try_lock(one, 2**62 - 1)
    assert not disk.try_lock_file(other)
    disk.unlock(one, 2**62 - 1)
    assert disk.try_lock_file(other)
    assert not disk.try_lock(one, 0)
    assert not disk.try_lock_file(one)
    disk.close(other)
    assert disk.try_lock(one, 0)
    assert disk.try_lock_file(one), "an opening excludes itself"
    disk.close(one)


def test_a_lock_is_of_the_file_and_not_of_its_name(disk: Filesystem, root: str) -> None:
    """Who removes a lock file is told, or believes, that its locks are still in force."""
    one = disk.open_lock_file(f"{root}/locks")
    assert disk.try_lock(one, 0)
    disk.unlink(f"{root}/locks", None)
    other = disk.open_lock_file(f"{root}/locks")
    assert disk.try_lock(other, 0)
    for opened in (one, other):
        disk.close(opened)


def test_a_lock_file_is_opened_as_it_is(disk: Filesystem, root: str) -> None:
    """Opening a lock file empties it, or takes a directory for one."""
    make(disk, f"{root}/locks", b"kept")
    descriptor = disk.open_lock_file(f"{root}/locks")
    assert disk.read(descriptor, 2) == b"ke"
    assert disk.write(descriptor, b"!!") == 2
    disk.close(descriptor)
    assert content(disk, f"{root}/locks") == b"ke!!"
    disk.make_directory(f"{root}/directory")
    refused(errno.EISDIR, disk.open_lock_file, f"{root}/directory")


def test_threads_do_not_get_in_each_others_way(disk: Filesystem, root: str) -> None:
    """A double that loses an update makes tests of concurrency fail, or pass, for no reason."""
    make(disk, f"{root}/count", b"0")
    wrong: list[BaseException] = []

    def count(thread: int) -> None:
        try:
            locks = disk.open_lock_file(f"{root}/locks")
            for turn in range(10):
                _until(lambda: disk.try_lock(locks, 7))
                before = int(content(disk, f"{root}/count"))
                make(disk, f"{root}/{thread}-{turn}", b"%d" % (before + 1))
                disk.rename(f"{root}/{thread}-{turn}", f"{root}/count", None)
                disk.unlock(locks, 7)
            disk.close(locks)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            wrong.append(error)

    threads = [threading.Thread(target=count, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert content(disk, f"{root}/count") == b"40"
    assert sorted(disk.list_directory(root)) == ["count", "locks"]


def test_nothing_stays_open(shared: SharedDirectory) -> None:
    """The count of open descriptors, by which other tests find a leak, does not count."""
    before = shared.descriptors()
    descriptor = shared.filesystem.open_directory(str(shared.root))
    assert shared.descriptors() == before + 1
    shared.filesystem.close(descriptor)
    assert shared.descriptors() == before
