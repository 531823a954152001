"""Files replaced in one step, on a real disk, with every call failing in turn."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import durable
from strongroom.durable import LocalFilesystem
from tests.support.filesystems import ObservedFilesystem

OLD, NEW = b"old content", b"new content"


class Interrupted(ObservedFilesystem):
    """Fails the n-th of all calls, `close` included, which closes all the same."""

    def __init__(self, nth: int) -> None:
        """Fail the n-th call, from 0."""
        self._nth = nth
        self.calls: list[str] = []
        self.failed = ""
        super().__init__(self._fail)

    def _fail(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.calls.append(name)
        if len(self.calls) == self._nth + 1:
            self.failed = name
            if name == "close":
                os.close(arguments[0])
            raise OSError(errno.EIO, f"{name} fails")


class SmallWrites(LocalFilesystem):
    """Takes one byte at a time, as a kernel may."""

    def write(self, descriptor: int, data: bytes) -> int:
        """Write the first byte."""
        return super().write(descriptor, data[:1])


def open_descriptors() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def calls_of_a_replacement(path: Path, *, is_durable: bool) -> list[str]:
    """Return the calls that a replacement makes."""
    disk = Interrupted(10_000)
    durable.replace_file(disk, path, NEW, is_durable=is_durable)
    return disk.calls


def test_a_replacement_syncs_the_file_before_and_the_directory_after_its_rename(
    tmp_path: Path,
) -> None:
    """A power cut leaves an empty file, or takes an acknowledged change back."""
    calls = calls_of_a_replacement(tmp_path / "file", is_durable=True)
    assert [call for call in calls if call not in {"open_directory", "close"}] == [
        "fsync",
        "fsync",
        "create",
        "write",
        "fsync",
        "rename",
        "fsync",
    ]
    assert (tmp_path / "file").read_bytes() == NEW


def test_what_is_rebuilt_anyway_is_not_synced(tmp_path: Path) -> None:
    """Each renewal of each worker's lease costs two fsyncs."""
    assert "fsync" not in calls_of_a_replacement(tmp_path / "file", is_durable=False)
    assert (tmp_path / "file").read_bytes() == NEW


@pytest.mark.parametrize("is_durable", [True, False], ids=["durable", "not durable"])
def test_a_failure_at_any_call_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, *, is_durable: bool
) -> None:
    """A full or failing disk halves a file, loses the old one, or fills up with what is left."""
    path = tmp_path / "file"
    count = len(calls_of_a_replacement(path, is_durable=is_durable))
    for nth in range(count):
        path.write_bytes(OLD)
        open_before = open_descriptors()
        disk = Interrupted(nth)
        with pytest.raises(OSError, match="fails"):
            durable.replace_file(disk, path, NEW, is_durable=is_durable)
        renamed = "rename" in disk.calls and disk.failed != "rename"
        assert path.read_bytes() == (NEW if renamed else OLD), disk.calls
        assert [p.name for p in tmp_path.iterdir()] == ["file"], disk.calls
        assert open_descriptors() == open_before, disk.calls


def test_a_failed_fsync_is_never_retried(tmp_path: Path) -> None:
    """After a failed fsync the page cache lies, and a lost write is acknowledged."""
    calls = calls_of_a_replacement(tmp_path / "file", is_durable=True)
    first = calls.index("fsync")
    disk = Interrupted(first)
    with pytest.raises(OSError, match="fsync fails"):
        durable.replace_file(disk, tmp_path / "file", NEW)
    assert disk.calls.count("fsync") == 1
    assert "rename" not in disk.calls


def test_missing_directories_are_made_durably(tmp_path: Path) -> None:
    """The first file of a directory is gone after a power cut, though it was synced itself."""
    disk = Interrupted(10_000)
    path = tmp_path / "a" / "b" / "file"
    durable.replace_file(disk, path, NEW)
    assert path.read_bytes() == NEW
    assert disk.calls.count("make_directory") == 2
    for made in [n for n, call in enumerate(disk.calls) if call == "make_directory"]:
        assert disk.calls[made + 1] == "fsync"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_only_the_owner_can_read_a_file(tmp_path: Path) -> None:
    """Other users of the machine read what is kept."""
    durable.replace_file(LocalFilesystem(), tmp_path / "file", NEW)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_reader_keeps_the_old_file_until_it_is_done(tmp_path: Path) -> None:
    """A reader sees a file change under its hands."""
    disk, path = LocalFilesystem(), tmp_path / "file"
    durable.replace_file(disk, path, OLD)
    with durable.opened(disk, disk.open(str(path), None)) as descriptor:
        durable.replace_file(disk, path, NEW)
        assert durable.read_all(disk, descriptor, 100) == OLD
    assert durable.read_file(disk, str(path), 100) == NEW


@given(st.integers(0, 400_000))
def test_a_file_reads_back_whatever_its_size(
    tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    """A document of some size is cut short."""
    path = tmp_path_factory.getbasetemp() / "any-size"
    data = os.urandom(size)
    durable.replace_file(LocalFilesystem(), path, data, is_durable=False)
    assert durable.read_file(LocalFilesystem(), str(path), 400_000) == data


@pytest.mark.parametrize("size", [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 320 * 1024])
def test_a_file_of_the_size_of_a_read_reads_back(tmp_path: Path, size: int) -> None:
    """A document whose size is that of one read is cut short, or never ends."""
    (tmp_path / "file").write_bytes(b"x" * size)
    assert durable.read_file(LocalFilesystem(), str(tmp_path / "file"), size) == b"x" * size


@pytest.mark.parametrize("bound", [10, 64 * 1024, 100 * 1024])
def test_a_file_past_its_bound_is_refused(tmp_path: Path, bound: int) -> None:
    """A planted file of gigabytes takes the memory of every process that reads it."""
    (tmp_path / "at").write_bytes(b"x" * bound)
    (tmp_path / "past").write_bytes(b"x" * (bound + 1))
    assert durable.read_file(LocalFilesystem(), str(tmp_path / "at"), bound) == b"x" * bound
    with pytest.raises(OSError, match="larger") as refusal:
        durable.read_file(LocalFilesystem(), str(tmp_path / "past"), bound)
    assert refusal.value.errno == errno.EFBIG


def test_a_kernel_that_takes_little_at_a_time_gets_everything(tmp_path: Path) -> None:
    """A short write cuts a file."""
    durable.replace_file(SmallWrites(), tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW


def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path: Path) -> None:
    """Whoever can make a pipe on the shared directory stops every worker that reads it."""
    os.mkfifo(tmp_path / "file")
    assert durable.read_file(LocalFilesystem(), str(tmp_path / "file"), 100) == b""


def test_a_missing_file_is_none_and_a_refusing_disk_is_not(tmp_path: Path) -> None:
    """A disk that fails makes files look as if they were not there."""
    assert durable.read_file(LocalFilesystem(), str(tmp_path / "none"), 100) is None
    (tmp_path / "file").write_bytes(NEW)
    for nth in (0, 1):
        with pytest.raises(OSError, match="fails"):
            durable.read_file(Interrupted(nth), str(tmp_path / "file"), 100)


def test_a_removed_file_is_gone_durably(tmp_path: Path) -> None:
    """A removed record comes back after a power cut."""
    (tmp_path / "file").write_bytes(OLD)
    disk = Interrupted(10_000)
    assert durable.remove_file(disk, tmp_path / "file")
    assert [call for call in disk.calls if call != "close"] == ["open_directory", "unlink", "fsync"]
    assert not durable.remove_file(disk, tmp_path / "file")
    assert not durable.remove_file(disk, tmp_path / "no-directory" / "file")


def test_a_lock_excludes_other_descriptors_of_the_same_process(tmp_path: Path) -> None:
    """Two threads of one worker commit the same entity at once."""
    disk, path = LocalFilesystem(), str(tmp_path / "locks")
    one, other = disk.open_lock_file(path), disk.open_lock_file(path)
    try:
        assert disk.try_lock(one, 5)
        assert not disk.try_lock(other, 5)
        assert disk.try_lock(other, 6)
        disk.unlock(one, 5)
        assert disk.try_lock(other, 5)
    finally:
        disk.close(one)
        disk.close(other)


def test_descriptors_do_not_leak_into_child_processes(tmp_path: Path) -> None:
    """A child keeps a lock, or can write a file, of the process that has started it."""
    disk = LocalFilesystem()
    made = [
        disk.create(str(tmp_path / "file"), None),
        disk.open(str(tmp_path / "file"), None),
        disk.open_directory(str(tmp_path)),
        disk.open_lock_file(str(tmp_path / "locks")),
    ]
    flags = [fcntl.fcntl(descriptor, fcntl.F_GETFD) for descriptor in made]
    for descriptor in made:
        disk.close(descriptor)
    assert flags == [fcntl.FD_CLOEXEC] * len(made)
