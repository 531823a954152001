"""After a failed fsync nothing is believed, and what another process left undone is done."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from main_api.adapters.control_store import ControlFiles, KeyringFile
from processing_fn.service.ports import EntityStorage
from strongroom import durable, keyring
from strongroom.configuration import Template
from strongroom.errors import OutcomeUnknownError, StrongroomError, UnavailableError
from strongroom.layout import SIDECAR_SUFFIX, Layout
from tests.support.clocks import ManualClock
from tests.support.filesystems import DyingFilesystem, FailingFilesystem, Killed
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.shared_directories import shared_directory
from tests.support.storages import StorageRig, commit, place, state

HERE = place(0x11)
CALLS_MAX = 40


@pytest.fixture
def memory(rig: StorageRig) -> MemoryFilesystem:
    """Return the filesystem of the rig."""
    assert isinstance(rig.shared.filesystem, MemoryFilesystem)
    return rig.shared.filesystem


@pytest.fixture
def rig() -> StorageRig:
    """Return an empty shared directory in memory."""
    return StorageRig(shared_directory("memory", Path()))


def remove(storage: EntityStorage) -> None:
    """Remove an entity, as upkeep does."""
    with storage.exclusive(HERE) as transaction:
        if transaction.current() is not None:
            transaction.remove()


@pytest.mark.parametrize("nth", range(CALLS_MAX))
def test_a_failing_disk_takes_no_descriptors(rig: StorageRig, nth: int) -> None:
    """While the disk fails, every write leaves a directory open, until the worker has none left."""
    failing = FailingFilesystem(rig.shared.filesystem)
    process = rig.storage(failing)
    before = rig.shared.descriptors()
    failing.arm(nth, OSError(errno.EIO, os.strerror(errno.EIO)))
    with suppress(StrongroomError):
        commit(process, HERE, b"1")
    assert rig.shared.descriptors() <= before + 1, failing.failed


@pytest.mark.parametrize("nth", range(8))
def test_what_is_acknowledged_after_a_failed_fsync_outlives_the_power(
    rig: StorageRig, memory: MemoryFilesystem, nth: int
) -> None:
    """A worker acknowledges a write on the word of a second fsync, which has written nothing."""
    commit(rig.storage(), place(0x12, "others"), b"0")
    process = rig.storage()
    memory.break_fsync(nth)
    with suppress(UnavailableError, OutcomeUnknownError):
        commit(process, HERE, b"1")
    memory.break_fsync(-1)
    if not rig.out_of_service:
        version = commit(process, HERE, b"2")
        memory.cut()
        assert state(rig.storage(), HERE) == (version, b"2")


def test_what_is_read_after_a_failed_fsync_outlives_the_power(
    rig: StorageRig, memory: MemoryFilesystem
) -> None:
    """A second read shows what the first one's failed fsync has lost."""
    commit(rig.storage(), HERE, b"1")
    fsyncs = _fsyncs_of_a_replacement()
    with pytest.raises(Killed):
        commit(rig.storage(DyingFilesystem(fsyncs - 1, memory, "fsync")), HERE, b"2")
    reader = rig.storage()
    memory.break_fsync(1)
    with pytest.raises(UnavailableError):
        state(reader, HERE)
    if not rig.out_of_service:
        seen = state(reader, HERE)
        memory.cut()
        assert state(rig.storage(), HERE) == seen


def _fsyncs_of_a_replacement() -> int:
    rig = StorageRig(shared_directory("memory", Path()))
    commit(rig.storage(), HERE, b"1")
    nth = 0
    while True:
        dying = DyingFilesystem(nth, rig.shared.filesystem, "fsync")
        with suppress(Killed):
            commit(rig.storage(dying), HERE, b"2")
        if not dying.dead:
            return nth
        nth += 1


@pytest.mark.parametrize("nth", range(CALLS_MAX))
def test_a_power_cut_within_a_removal_leaves_no_damage(
    rig: StorageRig, memory: MemoryFilesystem, nth: int
) -> None:
    """The blob's unlink reaches the disk before the sidecar's; nobody can remove the rest."""
    commit(rig.storage(), HERE, b"1")
    durable.sync_directory(memory, str(rig.shard(HERE)))
    with suppress(Killed):
        remove(rig.storage(DyingFilesystem(nth, memory)))
    memory.cut(lambda name: not name.endswith(SIDECAR_SUFFIX))
    assert state(rig.storage(), HERE) in {None, (1, b"1")}


@pytest.mark.parametrize("nth", [0, 1])
def test_a_removal_whose_fsync_failed_is_not_taken_for_done(
    rig: StorageRig, memory: MemoryFilesystem, nth: int
) -> None:
    """The second attempt finds nothing, says so, and after a power cut all is there again."""
    process = rig.storage()
    commit(process, HERE, b"1")
    durable.sync_directory(memory, str(rig.shard(HERE)))
    memory.break_fsync(nth)
    with pytest.raises(UnavailableError):
        remove(process)
    if not rig.out_of_service:
        remove(process)
        memory.cut()
        assert state(rig.storage(), HERE) is None


AT = "2026-01-01T00:00:00.000Z"
KEYS = keyring.new("deployment", AT)
TEMPLATE = Template(
    schema_id="t", schema_version=1, created_at=AT, updated_at=AT, schema=msgspec.Raw(b"{}")
)


def _control(disk: durable.Filesystem) -> ControlFiles:
    return ControlFiles(disk, Layout(Path("/shared")), KEYS, ManualClock())


def _keyring(disk: durable.Filesystem) -> KeyringFile:
    return KeyringFile(disk, Layout(Path("/shared")), ManualClock())


WRITES: dict[str, tuple[Callable[[durable.Filesystem], None], Callable[..., object]]] = {
    "keyring": (lambda disk: _keyring(disk).write(b"1"), lambda disk: _keyring(disk).read()),
    "template": (
        lambda disk: _control(disk).put_template(TEMPLATE),
        lambda disk: _control(disk).template("t"),
    ),
}


@pytest.mark.parametrize("nth", range(12))
@pytest.mark.parametrize("kind", WRITES)
def test_what_a_second_main_worker_acknowledges_outlives_the_power(
    rig: StorageRig, memory: MemoryFilesystem, kind: str, nth: int
) -> None:
    """A directory that a killed Main Worker made and did not sync takes the keyring with it."""
    write, read = WRITES[kind]
    assert rig.shared.root == Path("/shared")
    with suppress(Killed):
        write(DyingFilesystem(nth, memory))
    write(memory)
    memory.cut()
    assert read(memory) is not None
