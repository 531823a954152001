"""Jobs whose record is complete, or beside which records are damaged, come to their end too."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from main_api.adapters.control_store import ControlFiles
from main_api.domain import jobs
from main_api.domain.backups import BackupRecord
from main_api.domain.exports import ExportRecord
from main_api.domain.jobs import JobRecord, Kind, Pass, Phase, State, Use
from main_api.domain.registry import WorkerRecord
from main_api.service.workers.ports import Piece
from strongroom import keyring
from strongroom.durable import LocalFilesystem
from strongroom.keyring import Purpose
from strongroom.layout import Layout
from tests.support.main_fakes import MemoryBarrier
from tests.support.mains import AT, MainRig
from tests.support.memory_filesystem import MemoryFilesystem

ALL_SHARDS = f"{(1 << jobs.SHARDS) - 1:x}"
STEPS = 5


class NobodyToAsk:
    """Workers that have nothing to do any more."""

    def rewrap(self, worker: WorkerRecord, piece: Piece, timeout_s: float) -> tuple[Pass, str]:
        """Fail the test."""
        del worker, timeout_s
        raise AssertionError(piece)


class Rig:
    """A Main Worker with an old data key, and a job over all shards of which nothing is left."""

    def __init__(self, directory: Path) -> None:
        """Rotate once; there are no workers."""
        bare = MainRig()
        self.layout = Layout(directory)
        self.store = ControlFiles(LocalFilesystem(), self.layout, bare.keys, bare.clock)
        self.main = MainRig(keys=bare.keys, other_store=self.store, clock=bare.clock)
        self.old = self.main.live.active(Purpose.DATA).key_id
        made = keyring.new_key(Purpose.DATA, AT)
        self.main.live.change(lambda current: keyring.with_active(current, made))

    def run(self, kind: Kind, phase: Phase, seen: Pass, entities: int | None = None) -> JobRecord:
        """Go on with a job as its record says, as far as a few steps bring it."""
        now_ms = self.main.clock.wall_ms()
        if kind is Kind.REWRAP:
            job = jobs.rewrap("job", (self.old,), 0, now_ms)
        else:
            job = jobs.destroy("job", self.old, entities, now_ms)
        self.store.jobs.put("job", msgspec.structs.replace(job, phase=phase, seen=seen))
        runner = self.main.job_runner(MemoryBarrier(), NobodyToAsk())
        for _ in range(STEPS):
            runner.step()
        found = self.store.jobs.get("job")
        assert found is not None
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return one."""
    return Rig(tmp_path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", Kind)
def test_a_pass_that_was_complete_is_not_waited_for(rig: Rig, kind: Kind) -> None:
    """A runner is killed after the last shard, and whoever goes on waits for one more for ever."""
    done = rig.run(kind, Phase.VERIFYING, Pass(shards=ALL_SHARDS, files=7))
    assert (done.state, done.total) == (State.DONE, 7)


DAMAGED: dict[str, Callable[[Rig], object]] = {
    "backups": lambda rig: rig.store.backups.put(
        "monday", BackupRecord(backup_id="monday", recorded_at=AT, key_ids=())
    ),
    "exports": lambda rig: rig.store.exports.put(
        "monday",
        ExportRecord(export_id="monday", exported_at=AT, generation=1, key_ids=(), recovery="r"),
    ),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_record_of_a_copy_is_one_that_may_need_the_key(rig: Rig, kind: str) -> None:
    """One bad file keeps every job waiting for ever, or a key is destroyed that a backup needs."""
    DAMAGED[kind](rig)
    rig.layout.record(kind, "monday").write_bytes(b"damaged")
    seen = Pass(shards=ALL_SHARDS, files=2, by_key={rig.old: Use(2, 2)})
    refused = rig.run(Kind.DESTROY, Phase.VERIFYING, seen)
    assert refused.state is State.FAILED
    assert getattr(refused, kind) == ("monday",)
    shredded = rig.run(Kind.DESTROY, Phase.VERIFYING, seen, entities=2)
    assert (shredded.state, getattr(shredded, kind)) == (State.DONE, ("monday",))
    assert rig.main.live.find(rig.old, Purpose.DATA).state is keyring.State.DESTROYED


def test_a_power_cut_leaves_a_job_that_goes_on() -> None:
    """A job that was under way in a power cut is gone, and nobody can tell how far it had come."""
    memory, bare = MemoryFilesystem(), MainRig()
    store = ControlFiles(memory, Layout(Path("/shared")), bare.keys, bare.clock)
    main = MainRig(keys=bare.keys, other_store=store, clock=bare.clock)
    job = jobs.rewrap("job", ("old",), 0, bare.clock.wall_ms())
    store.jobs.put("job", msgspec.structs.replace(job, phase=Phase.SETTLING))
    runner = main.job_runner(MemoryBarrier(held=2), NobodyToAsk())
    runner.stop()
    runner.step()
    memory.cut(lambda _name: True)
    found = store.jobs.get("job")
    assert found is not None
    assert found.is_running
    assert "holds an entity's lock" in found.detail
