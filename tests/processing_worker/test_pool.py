"""Who reads the entities of a page: whoever asks, or threads, where reads wait for a disk."""

import os
import threading
from pathlib import Path

import pytest

from processing_fn.service.pool import ReadingPool

_ITEMS = list(range(16))


@pytest.fixture
def dropped(tmp_path: Path) -> Path:
    """A file that the kernel's memory does not hold."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(256 * 1024))
    return path


def _drop(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_what_is_in_memory_is_read_by_who_asks() -> None:
    """A query over a local disk takes twice the processor's time: threads wait for each other."""
    pool = ReadingPool("test", is_remote=False)
    assert list(pool.map(lambda n: (n, threading.get_ident()), _ITEMS)) == [
        (n, threading.get_ident()) for n in _ITEMS
    ]
    pool.close()


def test_round_trips_are_made_side_by_side() -> None:
    """A query over a network reads one entity after the other, each a few milliseconds."""
    pool = ReadingPool("test", is_remote=True)
    found = list(pool.map(lambda n: (n, threading.get_ident()), _ITEMS))
    pool.close()
    assert [n for n, _ in found] == _ITEMS
    assert threading.get_ident() not in {thread for _, thread in found}


def test_threads_read_while_reads_wait_for_the_disk(dropped: Path) -> None:
    """A query over more than fits in memory has the disk do one thing at a time."""
    pool = ReadingPool("test", is_remote=False)

    def read(n: int) -> tuple[int, int]:
        _drop(dropped)
        dropped.read_bytes()
        return n, threading.get_ident()

    def in_memory(n: int) -> tuple[int, int]:
        return n, threading.get_ident()

    own = threading.get_ident()
    first = list(pool.map(read, _ITEMS))
    second, third = list(pool.map(in_memory, _ITEMS)), list(pool.map(in_memory, _ITEMS))
    pool.close()
    assert [n for n, _ in (*first, *second, *third)] == _ITEMS * 3
    assert {thread for _, thread in (*first, *third)} == {own}
    if own in {thread for _, thread in second}:
        pytest.skip("the file system of the temporary directory has no disk")
