"""Kills at every call of every write, and power cuts after them.

A child process does the write and is killed by SIGKILL at its n-th filesystem call, for every n.
What is there afterwards is the old state or the new one, the same for a reader with a warm cache
and for a cold one, and no version is used twice.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from processing_fn.service.patching import PatchKind
from processing_fn.service.requests import TransformRequest
from strongroom import limits
from strongroom.errors import NotFoundError
from tests.support.clocks import ManualClock
from tests.support.engines import Rig, Worker
from tests.support.filesystems import DyingFilesystem, Killed
from tests.support.kills import killed_at
from tests.support.memory_filesystem import MemoryFilesystem

OLD, NEW, LATER = b'{"n":1}', b'{"n":2}', b'{"n":3}'
CALLS_MAX = 60


@dataclass(frozen=True)
class Operation:
    """A write, and what it makes of OLD; None where the entity is gone."""

    name: str
    run: Callable[[Worker], object]
    result: bytes | None


OPERATIONS = [
    Operation("put", lambda worker: worker.put("a", NEW), NEW),
    Operation("patch", lambda worker: worker.patch("a", PatchKind.MERGE, NEW), NEW),
    Operation("delete", lambda worker: worker.delete("a"), None),
    Operation(
        "transform",
        lambda worker: worker.engine.store_transformed(
            worker.rig.binding, TransformRequest("a", "{n: `2`}")
        ),
        NEW,
    ),
]


def _state(worker: Worker) -> tuple[int, bytes] | None:
    try:
        return worker.get("a")
    except NotFoundError:
        return None


def _killed_at(rig: Rig, operation: Operation, nth: int) -> bool:
    return killed_at(nth, lambda disk: operation.run(rig.worker("dying", filesystem=disk)))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_kill_at_every_call(rig: Rig, operation: Operation) -> None:
    """A killed worker leaves a half state, two truths, or a version that is used again."""
    writer = rig.worker("writer")
    for nth in range(CALLS_MAX):
        version = writer.put("a", OLD)
        warm, cold = rig.worker("warm"), rig.worker("cold")
        assert warm.get("a") == (version, OLD)
        acknowledged = _killed_at(rig, operation, nth)
        new = None if operation.result is None else (version + 1, operation.result)
        seen = _state(cold)
        assert seen == new or (seen == (version, OLD) and not acknowledged)
        assert _state(warm) == seen
        assert _state(rig.worker("third")) == seen
        after = writer.put("a", LATER)
        assert after == version + (2 if seen == new else 1)
        if acknowledged:
            break
    assert acknowledged
    assert nth > 10


def test_what_kills_leave_behind_is_swept(rig: Rig) -> None:
    """A worker that is killed often fills the disk."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = rig.worker()
    worker.put("a", OLD)
    for nth in range(CALLS_MAX):
        if _killed_at(rig, OPERATIONS[0], nth):
            break
    shard = worker.files("a")[0].parent
    assert list(shard.glob(".tmp-*"))
    clock.advance(limits.TEMPORARY_FILE_SECONDS_MAX * 1_000_000)
    worker.lease.extend(clock.boot_s() + 1)
    worker.engine.upkeep.tidy("people", int(shard.name, 16))
    assert sorted(path.name for path in shard.iterdir()) == sorted(
        path.name for path in worker.files("a")
    )


@pytest.fixture
def memory() -> MemoryFilesystem:
    """Return a filesystem whose power can be cut."""
    return MemoryFilesystem()


@pytest.fixture
def machine(memory: MemoryFilesystem) -> Rig:
    """Return a shared directory on it."""
    return Rig(Path("/shared"), filesystem=memory)


@pytest.mark.parametrize("read_between", [False, True])
def test_a_power_cut_after_a_kill_at_every_call(
    machine: Rig, memory: MemoryFilesystem, *, read_between: bool
) -> None:
    """What was acknowledged, or what a reader has seen, is gone after a power cut."""
    for nth in range(CALLS_MAX):
        version = machine.worker("steady").put("a", OLD)
        dying = DyingFilesystem(nth, memory)
        with suppress(Killed):
            machine.worker("dying", filesystem=dying).put("a", NEW)
        seen = _state(machine.worker("reader")) if read_between else None
        memory.cut()
        after = machine.worker("after").get("a")
        assert after in {(version, OLD), (version + 1, NEW)}
        if not dying.dead:
            assert after == (version + 1, NEW)
            break
        if seen is not None:
            assert after[0] >= seen[0], "a reader saw a version that a power cut has undone"
    assert not dying.dead
    assert nth > 10


def test_an_acknowledged_write_survives_a_power_cut_at_once(
    machine: Rig, memory: MemoryFilesystem
) -> None:
    """A power cut takes back what a client was told."""
    for number in range(1, 6):
        assert machine.worker().put(f"k{number}", b'{"n":%d}' % number) == 1
        memory.cut()
        for known in range(1, number + 1):
            assert machine.worker("after").get(f"k{known}") == (1, b'{"n":%d}' % known)
