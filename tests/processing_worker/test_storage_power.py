"""The port `EntityStorage` when the power is cut: after every call of a commit, and of a repair.

On the filesystem in memory, which loses what was not synced: all of it, or only some, because a
disk may write names and contents in any order.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processing_fn.service.ports import EntityStorage, Place
from strongroom import blob
from strongroom.errors import OutcomeUnknownError, UnavailableError
from strongroom.layout import BLOB_SUFFIX, SIDECAR_SUFFIX
from tests.support.filesystems import DyingFilesystem, Killed
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.shared_directories import shared_directory
from tests.support.storages import StorageRig, commit, place, sidecar_of, state

CALLS_MAX = 80
HERE = place(0x11)
OLD, NEW, LATER = b'{"n":1}', b'{"n":2}', b'{"n":3}'
LOSSES: dict[str, dict[str, Any]] = {
    "everything": {},
    "contents": {"names_kept": lambda _: True},
    "names": {"contents_kept": True},
    "blobs' names": {
        "names_kept": lambda name: not name.endswith(BLOB_SUFFIX),
        "contents_kept": True,
    },
    "sidecars' names": {
        "names_kept": lambda name: not name.endswith(SIDECAR_SUFFIX),
        "contents_kept": True,
    },
    "nothing": {"names_kept": lambda _: True, "contents_kept": True},
}
losing = pytest.mark.parametrize("loss", LOSSES)


class Machine(StorageRig):
    """A shared directory in memory; it loses power, and its processes die."""

    def __init__(self) -> None:
        """Begin with an empty directory."""
        super().__init__(shared_directory("memory", Path()))
        assert isinstance(self.shared.filesystem, MemoryFilesystem)
        self.memory = self.shared.filesystem

    def cut(self, loss: str) -> None:
        """Cut the power and lose what was not synced, or some of it."""
        self.memory.cut(**LOSSES[loss])

    def killed(
        self, use: Callable[[EntityStorage], object], nth: int, call: str = ""
    ) -> tuple[bool, Any]:
        """Run in a process that dies at its n-th call; return whether it ended, and with what."""
        try:
            return True, use(self.storage(DyingFilesystem(nth, self.memory, call)))
        except Killed:
            return False, None

    def check_alive(self, at: Place) -> None:
        """Check that an entity can be read and written, and that two readers agree."""
        before = state(self.storage(), at)
        assert state(self.storage(), at) == before
        if before is not None:
            raw, sidecar = self.contents(at)
            assert raw is not None
            assert sidecar == sidecar_of(raw)
        assert commit(self.storage(), at, LATER) == (1 if before is None else before[0] + 1)


def every_kill(use: Callable[[Machine, int], bool], prepare: Callable[[Machine], None]) -> int:
    """Run `use` on a machine of its own for every n, until it tells that nothing was killed."""
    for nth in range(CALLS_MAX):
        machine = Machine()
        prepare(machine)
        if use(machine, nth):
            return nth
    pytest.fail("there are more calls than expected")


def write_new(storage: EntityStorage) -> int:
    """Commit NEW."""
    return commit(storage, HERE, NEW)


def read(storage: EntityStorage) -> tuple[int, bytes] | None:
    """Read as a process without a cache does."""
    return state(storage, HERE)


PREPARED: dict[str, tuple[Callable[[Machine], None], tuple[int, bytes] | None]] = {
    "a replacement": (lambda machine: _committed(machine, HERE), (1, OLD)),
    "one more of a shard": (lambda machine: _committed(machine, place(0x111)), None),
    "the first of a database": (lambda machine: _committed(machine, place(0x11, "others")), None),
    "the first of all": (lambda _: None, None),
}
preparing = pytest.mark.parametrize("prepared", PREPARED)


def _committed(machine: Machine, at: Place) -> None:
    assert commit(machine.storage(), at, OLD) == 1


# -- commits ---------------------------------------------------------------------------------------


@losing
@preparing
def test_a_power_cut_after_every_call_of_a_commit(prepared: str, loss: str) -> None:
    """What was acknowledged is gone, or what was not is there by half."""
    prepare, old = PREPARED[prepared]
    new = (1 if old is None else 2, NEW)

    def cut(machine: Machine, nth: int) -> bool:
        acknowledged, _ = machine.killed(write_new, nth)
        machine.cut(loss)
        found = state(machine.storage(), HERE)
        assert found == new or (found == old and not acknowledged)
        machine.check_alive(HERE)
        return acknowledged

    assert every_kill(cut, prepare) > 15


@losing
@preparing
def test_what_is_written_after_a_kill_at_every_call_outlives_the_power(
    prepared: str, loss: str
) -> None:
    """A write is lost because the one before it has died, and left names that were not synced."""
    prepare, _ = PREPARED[prepared]

    def cut(machine: Machine, nth: int) -> bool:
        ended, _ = machine.killed(write_new, nth)
        version = commit(machine.storage(), HERE, LATER)
        machine.cut(loss)
        assert state(machine.storage(), HERE) == (version, LATER)
        machine.check_alive(HERE)
        return ended

    every_kill(cut, prepare)


@losing
@preparing
def test_what_was_read_after_a_kill_at_every_call_outlives_the_power(
    prepared: str, loss: str
) -> None:
    """A reader has seen a version that a power cut undoes."""
    prepare, _ = PREPARED[prepared]

    def cut(machine: Machine, nth: int) -> bool:
        ended, _ = machine.killed(write_new, nth)
        seen = state(machine.storage(), HERE)
        machine.cut(loss)
        assert state(machine.storage(), HERE) == seen
        machine.check_alive(HERE)
        return ended

    every_kill(cut, prepare)


def test_an_acknowledged_write_outlives_the_power_whoever_wrote_it() -> None:
    """A power cut takes back what a client was told, in a long life of cuts."""
    machine = Machine()
    known: dict[Place, tuple[int, bytes]] = {}
    for turn, loss in enumerate([*LOSSES, *LOSSES]):
        for at in (HERE, place(turn), place(turn, f"db-{turn}")):
            document = b"%d" % turn
            known[at] = (commit(machine.storage(), at, document), document)
        machine.cut(loss)
        assert {at: state(machine.storage(), at) for at in known} == known


@losing
def test_a_removal_that_was_acknowledged_outlives_the_power(loss: str) -> None:
    """What was deleted for good comes back, or what is left of it looks like damage."""
    machine = Machine()
    _committed(machine, HERE)
    with machine.storage().exclusive(HERE) as transaction:
        transaction.current()
        transaction.remove()
    machine.cut(loss)
    assert machine.contents(HERE) == (None, None)
    machine.check_alive(HERE)


# -- repairs ---------------------------------------------------------------------------------------


@functools.cache
def _calls_past_the_commit_point() -> list[int]:
    """Return at which calls a kill of a replacement leaves the new blob and the old sidecar."""
    found = []

    def past(machine: Machine, nth: int) -> bool:
        ended, _ = machine.killed(write_new, nth)
        raw, _ = machine.contents(HERE)
        assert raw is not None
        if not ended and blob.parse(raw).header.version == 2:
            found.append(nth)
        return ended

    every_kill(past, PREPARED["a replacement"][0])
    return found


@losing
@pytest.mark.parametrize("second_reader", [False, True], ids=["one reader", "two readers"])
@pytest.mark.parametrize("half_done", [0, 1], ids=["directory not synced", "between the renames"])
def test_a_power_cut_after_a_kill_at_every_call_of_a_repair(
    half_done: int, loss: str, *, second_reader: bool
) -> None:
    """Who reads after a crash sees a version, and after the next crash an older one."""

    def cut(machine: Machine, nth: int) -> bool:
        ended, _ = machine.killed(write_new, _calls_past_the_commit_point()[half_done])
        assert not ended
        repaired, seen = machine.killed(read, nth)
        assert seen == ((2, NEW) if repaired else None)
        if second_reader:
            seen = state(machine.storage(), HERE)
            assert seen == (2, NEW)
        machine.cut(loss)
        found = state(machine.storage(), HERE)
        assert found == (2, NEW) or (found == (1, OLD) and seen is None)
        machine.check_alive(HERE)
        return repaired

    assert every_kill(cut, PREPARED["a replacement"][0]) > 15
    assert len(_calls_past_the_commit_point()) == 2


# -- a failed fsync --------------------------------------------------------------------------------


@losing
def test_after_a_failed_fsync_of_a_blob_the_next_commit_is_durable(loss: str) -> None:
    """A write is acknowledged on the word of a second fsync, which has written nothing."""
    machine = Machine()
    process = machine.storage()
    commit(process, HERE, OLD)
    machine.memory.break_fsync(0)
    with machine.unchanged(HERE), pytest.raises(UnavailableError):
        commit(process, HERE, NEW)
    assert commit(process, HERE, LATER) == 2
    machine.cut(loss)
    assert state(machine.storage(), HERE) == (2, LATER)


@losing
def test_after_a_failed_fsync_of_the_directory_nothing_was_promised(loss: str) -> None:
    """A worker whose disk has failed answers that a write has, or has not, taken place."""
    machine = Machine()
    process = machine.storage()
    commit(process, HERE, OLD)
    machine.memory.break_fsync(1)
    with pytest.raises(OutcomeUnknownError):
        commit(process, HERE, NEW)
    assert machine.out_of_service == 1
    machine.cut(loss)
    assert state(machine.storage(), HERE) in {(1, OLD), (2, NEW)}
    machine.check_alive(HERE)
