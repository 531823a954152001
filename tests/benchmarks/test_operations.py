"""What operations ask of a file system, as benchmarks/scale counts it."""

import pytest

from benchmarks.scale.operations import Operation, Operations, observed
from benchmarks.scale.published import FileSystem

KIB = 1024
DISK = FileSystem(read_s=0.001, write_s=0.01)


@pytest.fixture(scope="module")
def operations() -> Operations:
    """What the project's own code asks for."""
    return observed()


def test_requests_time_and_bytes_of_an_operation() -> None:
    """A month's bill and every end of the design are a multiple of what they should be."""
    operation = Operation(("open", "read", "create", "write", "rename"), beside=("open",))
    # Each of the two files is closed as well.
    assert (operation.reads, operation.writes) == (2 + 2, 3)
    assert operation.seconds(DISK) == pytest.approx(2 * 0.001 + 3 * 0.01 - 0.001)
    assert operation.read_bytes == (32 + 3 * 4) * KIB
    assert operation.written_bytes == (32 + 2 * 4) * KIB


def test_reads_ask_for_what_they_are_designed_to(operations: Operations) -> None:
    """The page reckons with another program than the one that is deployed."""
    assert operations.warm_read.calls == ("open_directory", "open", "read")
    assert operations.cold_read.calls == ("open_directory", *2 * ("open", "read"))


def test_a_write_and_a_rewrap_commit(operations: Operations) -> None:
    """What is counted as a write has found nothing to write, and costs next to nothing."""
    for operation in (operations.write, operations.rewrap):
        assert operation.calls.count("write") == 2
        assert operation.calls.count("rename") == 2
        assert operation.calls.count("try_lock") == operation.calls.count("unlock") == 1
        # Both files are written at the same time.
        assert "write" in operation.beside
        assert len(operation.calls) - len(operation.beside) <= 16


def test_a_look_reads_each_record_once(operations: Operations) -> None:
    """What grows with the number of workers is told as what does not."""
    assert operations.look.calls == ("open", "read")
    assert operations.look_once.calls == ("list_directory", "list_directory")
    assert operations.renewal.calls.count("rename") == 1
    assert operations.renewal.calls.count("fsync") == 0
