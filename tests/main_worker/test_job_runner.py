"""Jobs come to their end whatever happens to who runs them, and destroy no key that is needed."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from main_api.adapters.control_store import ControlFiles
from main_api.adapters.shared_lock import SharedLock
from main_api.adapters.writer_barrier import WriterBarrier
from main_api.domain import jobs
from main_api.domain.backups import BackupRecord
from main_api.domain.exports import ExportRecord
from main_api.domain.jobs import JobRecord, Pass, Phase, State, Use
from main_api.domain.registry import WorkerRecord
from main_api.service.jobs.runner import JobRunner
from main_api.service.jobs.shard_pass import ShardPass
from main_api.service.workers.ports import Piece
from strongroom import keyring, limits
from strongroom.clock import SystemClock
from strongroom.durable import LocalFilesystem
from strongroom.errors import UnavailableError
from strongroom.keyring import Purpose
from strongroom.layout import Layout
from tests.support.audit_logs import read
from tests.support.main_fakes import MemoryBarrier, a_worker
from tests.support.mains import AT, MainRig

DATA = frozenset({Purpose.DATA})
BOTH = ("worker-1", "worker-2")


class Files:
    """Files by shard and key, and the workers that rewrap them; `fails` may raise before a call."""

    def __init__(self, active: Callable[[], str]) -> None:
        """Start with none."""
        self._active = active
        self.shards: dict[int, list[str]] = {}
        self.locked: Counter[str] = Counter()
        self.fails: Callable[[WorkerRecord, Piece], None] = lambda _worker, _piece: None
        self.calls: list[tuple[str, Piece]] = []
        self._mutex = threading.Lock()

    def rewrap(self, worker: WorkerRecord, piece: Piece, timeout_s: float) -> tuple[Pass, str]:
        """Do one file of a shard per call; a locked one stays as it is."""
        assert timeout_s == limits.REWRAP_CALL_SECONDS
        with self._mutex:
            self.calls.append((worker.worker_id, piece))
        time.sleep(0.0005)
        self.fails(worker, piece)
        files = self.shards.get(piece.shard, [])
        at = int(piece.cursor or 0)
        if at >= len(files):
            return Pass(), ""
        due = files[at] in piece.drained
        if due and self.locked[files[at]]:
            self.locked[files[at]] -= 1
            due = False
        if due:
            files[at] = self._active()
        seen = Pass(files=1, rewrapped=due, by_key={files[at]: Use(1, 1)})
        return seen, str(at + 1) if at + 1 < len(files) else ""

    def under(self, key_id: str) -> int:
        """Count the files under a key."""
        return sum(files.count(key_id) for files in self.shards.values())


class Bench:
    """A Main Worker with two workers, two data keys, and 300 files under the older one."""

    def __init__(self) -> None:
        """Rotate once."""
        self.rig = MainRig()
        self.old = self.rig.live.active(Purpose.DATA).key_id
        self.rotate()
        self.files = Files(lambda: self.rig.live.active(Purpose.DATA).key_id)
        for number in range(300):
            self.files.shards.setdefault(number * 7 % 256, []).append(self.old)
        self.barrier = MemoryBarrier()
        self.confirm(*BOTH)
        self.caller = self.rig.caller()
        self.main = self.rig.main()
        self.runner = self.rig.job_runner(self.barrier, self.files)

    def rotate(self) -> None:
        """Make a new key active."""
        made = keyring.new_key(Purpose.DATA, AT)
        self.rig.live.change(lambda current: keyring.with_active(current, made))

    def confirm(self, *worker_ids: str, generation: int | None = None) -> None:
        """List workers that have confirmed the keyring as it is now."""
        for worker_id in worker_ids:
            confirmed = generation if generation is not None else self.rig.live.generation
            key_id = self.rig.live.active(Purpose.DATA).key_id
            record = msgspec.structs.replace(
                a_worker(worker_id), key_id=key_id, generation=confirmed
            )
            self.rig.store.put_worker(record)
        self.rig.clock.advance(1)

    def job(self, job: JobRecord) -> JobRecord:
        """Return a job as it is now."""
        return self.main.jobs.get(self.caller, job.job_id)

    def finish(self, job: JobRecord, steps: int = 30) -> JobRecord:
        """Step until a job has ended."""
        for _ in range(steps):
            if not self.job(job).is_running:
                break
            self.runner.step()
        return self.job(job)


@pytest.fixture
def bench() -> Bench:
    """Return one."""
    return Bench()


# -- rewrap ----------------------------------------------------------------------------------------


def test_a_rewrap_ends_with_no_file_under_the_old_key(bench: Bench) -> None:
    """The job says that it is done, and files lie under the old key; or it never ends."""
    job = bench.finish(bench.main.jobs.rewrap(bench.caller))
    assert (job.state, job.total, job.done, job.rewrapped, job.detail) == (
        State.DONE,
        300,
        300,
        300,
        "",
    )
    assert bench.files.under(bench.old) == 0
    assert {worker for worker, _ in bench.files.calls} == set(BOTH)


def test_without_anything_to_do_it_is_verified_and_done(bench: Bench) -> None:
    """A second rewrap writes everything once more, or is never done."""
    bench.finish(bench.main.jobs.rewrap(bench.caller))
    bench.files.calls.clear()
    job = bench.finish(bench.main.jobs.rewrap(bench.caller))
    assert (job.state, job.total, job.rewrapped) == (State.DONE, 300, 0)
    assert all(not piece.drained for _, piece in bench.files.calls)


def test_the_final_look_waits_for_every_live_worker(bench: Bench) -> None:
    """A worker that has not heard of the rotation writes under the old key after the last look."""
    bench.confirm("worker-2", generation=bench.rig.live.generation - 1)
    job = bench.main.jobs.rewrap(bench.caller)
    for _ in range(10):
        bench.runner.step()
    waiting = bench.job(job)
    assert (waiting.state, waiting.phase) == (State.RUNNING, Phase.SETTLING)
    assert "worker-2" in waiting.detail
    assert "worker-1" not in waiting.detail
    assert bench.barrier.restarts == 0
    bench.files.shards[3] = [bench.old]
    bench.confirm("worker-2")
    job = bench.finish(job)
    assert (job.state, job.round) == (State.DONE, 2)
    assert bench.files.under(bench.old) == 0


def test_a_worker_whose_lease_has_ended_is_not_waited_for(bench: Bench) -> None:
    """A job waits for ever for a worker that is gone."""
    until_ms = bench.rig.clock.wall_ms() + 1_000
    bench.rig.store.put_worker(
        msgspec.structs.replace(a_worker("worker-3"), lease_until_ms=until_ms)
    )
    job = bench.main.jobs.rewrap(bench.caller)
    for _ in range(5):
        bench.runner.step()
    assert "worker-3" in bench.job(job).detail
    bench.rig.clock.advance(limits.LEASE_SECONDS + 1)
    assert bench.finish(job).state is State.DONE


def test_the_final_look_waits_for_writers_under_way(bench: Bench) -> None:
    """A writer that was stopped under its lock commits under the old key after the last look."""
    bench.barrier.held = 3
    job = bench.finish(bench.main.jobs.rewrap(bench.caller))
    assert bench.barrier.held < 0
    assert bench.barrier.restarts == 1
    assert job.state is State.DONE


def test_a_registry_that_cannot_be_read_settles_nothing(bench: Bench) -> None:
    """A live worker whose record could not be read just then is taken for none."""
    job = bench.main.jobs.rewrap(bench.caller)
    for _ in range(2):
        bench.runner.step()
    assert bench.job(job).phase is Phase.SETTLING

    def unreadable() -> tuple[list[WorkerRecord], list[str]]:
        raise UnavailableError("the storage does not answer")

    reading = bench.rig.memory.every_worker
    bench.rig.memory.every_worker = unreadable  # type: ignore[method-assign]
    bench.runner.stop()
    bench.runner.step()
    assert bench.job(job).phase is Phase.SETTLING
    assert bench.job(job).detail == "to be tried again: the storage does not answer"
    bench.rig.memory.every_worker = reading  # type: ignore[method-assign]
    bench.runner = bench.rig.job_runner(bench.barrier, bench.files)
    assert bench.finish(job).state is State.DONE


def test_a_file_that_stays_locked_is_tried_again_and_then_told(bench: Bench) -> None:
    """The job ends as done with a file left; or goes on for ever."""
    bench.files.locked[bench.old] = 2
    job = bench.finish(bench.main.jobs.rewrap(bench.caller))
    assert (job.state, job.rewrapped) == (State.DONE, 300)
    assert job.round == 2
    other = Bench()
    other.files.locked[other.old] = 10**9
    failed = other.finish(other.main.jobs.rewrap(other.caller), steps=200)
    assert failed.state is State.FAILED
    assert (failed.left.files, failed.round) == (300, jobs.ROUNDS_MAX)
    assert "strongroom verify" in failed.detail


def test_files_that_do_not_open_end_it_at_once() -> None:
    """A damaged file costs twenty rounds over everything."""
    job = jobs.rewrap("j", ("old",), 0, 0)
    seen = Pass(files=3, by_key={"old": Use(1, 1), "new": Use(2, 2)}, unreadable=1)
    rewrapped = jobs.after_pass(msgspec.structs.replace(job, phase=Phase.REWRAPPING, seen=seen), 0)
    verified = msgspec.structs.replace(
        jobs.entering(rewrapped, Phase.VERIFYING, 0), seen=msgspec.structs.replace(seen)
    )
    failed = jobs.after_pass(verified, 0)
    assert (failed.state, failed.round) == (State.FAILED, 1)
    assert "1 files under the old keys do not open" in failed.detail


# -- who runs it -----------------------------------------------------------------------------------


def test_whoever_goes_on_repeats_no_complete_shard(bench: Bench) -> None:
    """After a kill of the Main Worker a job begins anew, or counts what was done twice."""
    job = bench.main.jobs.rewrap(bench.caller)
    bench.runner.step()
    first = bench.runner
    counted = threading.Event()

    def stop_midway(_worker: WorkerRecord, piece: Piece) -> None:
        if piece.drained and len([1 for _, p in bench.files.calls if p.drained]) > 100:
            first.stop()
            counted.set()
            # Longer than it takes until the threads are told.
            time.sleep(0.5)

    bench.files.fails = stop_midway
    bench.runner.step()
    assert counted.is_set()
    midway = bench.job(job)
    assert midway.phase is Phase.REWRAPPING
    done = set(range(256)) - set(midway.seen.todo())
    assert 0 < len(done) < 256
    bench.files.fails = lambda _worker, _piece: None
    bench.files.calls.clear()
    bench.runner = bench.rig.job_runner(bench.barrier, bench.files)
    bench.runner.step()
    assert done.isdisjoint(piece.shard for _, piece in bench.files.calls if piece.drained)
    job = bench.finish(job)
    assert (job.state, job.total, bench.files.under(bench.old)) == (State.DONE, 300, 0)
    assert 0 < job.rewrapped <= 300, "what lay in a shard under way is not counted"


def test_a_lost_worker_gives_its_shards_to_the_other(bench: Bench) -> None:
    """A worker that dies stops the job, or its shards are left out."""

    def lost(worker: WorkerRecord, _piece: Piece) -> None:
        if worker.worker_id == "worker-1" and len(bench.files.calls) > 50:
            raise UnavailableError("the worker cannot be reached in time")

    bench.files.fails = lost
    job = bench.finish(bench.main.jobs.rewrap(bench.caller))
    assert (job.state, job.rewrapped) == (State.DONE, 300)


def test_only_who_has_the_claim_runs_jobs(tmp_path: Path) -> None:
    """Two Main Workers rewrap everything at once, and each other's counts go wrong."""
    bench = Bench()
    rig = bench.rig
    store = ControlFiles(LocalFilesystem(), Layout(tmp_path), rig.live, rig.clock)
    rig.other_store = store
    for worker_id in BOTH:
        bench.confirm(worker_id)
    lock = SharedLock(LocalFilesystem(), Layout(tmp_path).jobs_lock(), SystemClock())
    runner = JobRunner(
        store,
        rig.live,
        rig.dispatcher,
        bench.files,
        bench.barrier,
        claim=lambda: lock.exclusive(0),
        clock=rig.clock,
    )
    job = jobs.rewrap("0job", (bench.old,), 0, rig.clock.wall_ms())
    store.jobs.put(job.job_id, job)
    with lock.exclusive():
        runner.stop()
        runner.step()
    assert bench.files.calls == []


def test_a_damaged_record_stops_no_other_job(tmp_path: Path) -> None:
    """Whoever can write one file under control/ ends all rewraps."""
    bench = Bench()
    store = ControlFiles(LocalFilesystem(), Layout(tmp_path), bench.rig.live, bench.rig.clock)
    bench.rig.other_store = store
    bench.confirm(*BOTH)
    (tmp_path / "control/jobs").mkdir()
    (tmp_path / "control/jobs/0000.sealed").write_bytes(b"damaged")
    bench.runner = bench.rig.job_runner(bench.barrier, bench.files)
    job = jobs.rewrap("0job", (bench.old,), 0, bench.rig.clock.wall_ms())
    store.jobs.put(job.job_id, job)
    for _ in range(6):
        bench.runner.step()
    ended = store.jobs.get("0job")
    assert ended is not None
    assert ended.state is State.DONE


def test_without_workers_it_waits_and_says_so() -> None:
    """A job fails because all workers were restarted at once."""
    told: list[str] = []

    def told_twice() -> bool:
        return len(told) > 1

    ended = ShardPass(Pass(), (), Files(str), list).run(
        lambda _seen, trouble: told.append(trouble), told_twice
    )
    assert not ended
    assert set(told) == {"no worker can serve now"}


def test_a_rate_is_shared_by_the_workers(bench: Bench) -> None:
    """Every worker rewraps as fast as all of them together may."""
    bench.finish(bench.main.jobs.rewrap(bench.caller, 10))
    assert {piece.files_per_second for _, piece in bench.files.calls} == {5}


# -- destroy ---------------------------------------------------------------------------------------


def test_a_key_that_files_need_is_not_destroyed(bench: Bench) -> None:
    """A key is destroyed under which 300 files lie."""
    job = bench.finish(bench.main.jobs.destroy(bench.caller, bench.old, None))
    assert job.state is State.FAILED
    assert "300 files need it" in job.detail
    assert bench.rig.live.find(bench.old, Purpose.DATA).material


def test_a_key_that_nothing_needs_is_destroyed_on_every_worker(bench: Bench) -> None:
    """The job says that a key is gone which a worker still has."""
    bench.finish(bench.main.jobs.rewrap(bench.caller))
    job = bench.main.jobs.destroy(bench.caller, bench.old, None)
    for _ in range(6):
        bench.runner.step()
    assert bench.rig.live.find(bench.old, Purpose.DATA).state is keyring.State.DESTROYED
    assert bench.job(job).phase is Phase.DESTROYING
    assert "worker-1, worker-2" in bench.job(job).detail
    bench.confirm("worker-1")
    bench.runner.step()
    assert bench.job(job).is_running
    bench.confirm("worker-2")
    assert bench.finish(job).state is State.DONE


def test_the_destruction_of_a_key_is_on_record(bench: Bench) -> None:
    """A key is gone, and nobody can say which job has destroyed it, or it went unrecorded."""
    bench.finish(bench.main.jobs.rewrap(bench.caller))
    job = bench.main.jobs.destroy(bench.caller, bench.old, None)
    bench.rig.audit_log.down = True
    for _ in range(6):
        bench.runner.step()
    assert bench.rig.live.find(bench.old, Purpose.DATA).material
    assert "the audit log cannot be written" in bench.job(job).detail
    bench.rig.audit_log.down = False
    bench.confirm(*BOTH)
    for _ in range(4):
        bench.runner.step()
    assert bench.rig.live.find(bench.old, Purpose.DATA).state is keyring.State.DESTROYED
    of_job = [
        one
        for one in read(bench.rig.audit_log, bench.rig.keys)
        if one.detail.get("job_id") == job.job_id and one.act == "change_keyring"
    ]
    assert [one.intent for one in of_job] == [True, False]
    assert of_job[1].detail["keys"] == f"data {bench.old} destroyed"


def test_a_backup_on_record_keeps_its_keys(bench: Bench) -> None:
    """A backup cannot be read any more, and nobody was told."""
    bench.main.backups.record(bench.caller, "monday")
    bench.rig.store.backups.put(
        "older", BackupRecord(backup_id="older", recorded_at=AT, key_ids=("other",))
    )
    bench.finish(bench.main.jobs.rewrap(bench.caller))
    refused = bench.finish(bench.main.jobs.destroy(bench.caller, bench.old, None))
    assert (refused.state, refused.backups) == (State.FAILED, ("monday",))
    assert "monday" in refused.detail
    assert "files need" not in refused.detail
    bench.main.backups.remove(bench.caller, "monday")
    job = bench.main.jobs.destroy(bench.caller, bench.old, None)
    for _ in range(6):
        bench.runner.step()
    bench.confirm(*BOTH)
    assert bench.finish(job).state is State.DONE


def test_a_backup_recorded_at_the_last_moment_keeps_its_keys(bench: Bench) -> None:
    """A backup is put on record, and the key that it needs is destroyed a moment later."""
    bench.finish(bench.main.jobs.rewrap(bench.caller))
    job = bench.main.jobs.destroy(bench.caller, bench.old, None)
    while bench.job(job).phase is not Phase.DESTROYING:
        bench.runner.step()
    bench.main.backups.record(bench.caller, "monday")
    ended = bench.finish(job)
    assert (ended.state, ended.backups) == (State.FAILED, ("monday",))
    assert bench.rig.live.find(bench.old, Purpose.DATA).material


def test_the_exports_that_still_open_it_are_told(bench: Bench) -> None:
    """A key is destroyed, and nobody knows that a copy of it lies in a safe."""
    for name, keys in (("with", (bench.old, "other")), ("without", ("other",))):
        record = ExportRecord(
            export_id=name, exported_at=AT, generation=1, key_ids=keys, recovery="f"
        )
        bench.rig.store.exports.put(name, record)
    job = bench.main.jobs.destroy(bench.caller, bench.old, 300)
    for _ in range(4):
        bench.runner.step()
    bench.confirm(*BOTH)
    job = bench.finish(job)
    assert (job.state, job.exports) == (State.DONE, ("with",))


@pytest.mark.parametrize(("accepted", "state"), [(299, State.FAILED), (300, State.DONE)])
def test_a_shredding_loses_no_more_than_was_confirmed(
    bench: Bench, accepted: int, state: State
) -> None:
    """Entities that were written after the confirmation are lost without a word."""
    job = bench.main.jobs.destroy(bench.caller, bench.old, accepted)
    for _ in range(6):
        bench.runner.step()
    bench.confirm(*BOTH)
    job = bench.finish(job)
    assert (job.state, job.left.entities) == (state, 300)
    destroyed = bench.rig.live.find(bench.old, Purpose.DATA).state is keyring.State.DESTROYED
    assert destroyed is (state is State.DONE)


def test_an_export_of_the_last_moment_is_told(bench: Bench) -> None:
    """Somebody believes a key gone that a copy made a moment before still opens."""
    job = bench.main.jobs.destroy(bench.caller, bench.old, 300)
    while bench.job(job).phase is not Phase.DESTROYING:
        bench.runner.step()
    late = ExportRecord(
        export_id="late", exported_at=AT, generation=2, key_ids=(bench.old,), recovery="SHA256:x"
    )
    bench.rig.store.exports.put("late", late)
    bench.runner.step()
    bench.confirm(*BOTH)
    ended = bench.finish(job)
    assert (ended.state, ended.exports) == (State.DONE, ("late",))


def test_a_kill_between_keyring_and_record_ends_well(bench: Bench) -> None:
    """The key is gone, its job tries to destroy it again for ever."""
    job = bench.main.jobs.destroy(bench.caller, bench.old, 300)
    bench.runner.step()
    bench.runner.step()
    destroying = bench.job(job)
    assert destroying.phase is Phase.DESTROYING
    bench.rig.live.change(lambda current: keyring.without(current, bench.old))
    bench.confirm(*BOTH)
    assert bench.finish(job).state is State.DONE


# -- the barrier -----------------------------------------------------------------------------------


def test_the_barrier_is_passed_when_every_lock_was_given_back(tmp_path: Path) -> None:
    """A writer that was stopped under its lock is not waited for."""
    disk, layout, clock = LocalFilesystem(), Layout(tmp_path), SystemClock()
    barrier = WriterBarrier(disk, layout, clock)
    assert barrier.wait(5), "nobody holds anything, and no lock file is there"
    writer = disk.open_lock_file(str(layout.locks() / "a7.lock"))
    assert disk.try_lock(writer, 2**61)
    assert barrier.wait(0), "that was passed before"
    barrier.restart()
    assert not barrier.wait(0.05)
    assert not barrier.wait(0.05)
    disk.unlock(writer, 2**61)
    assert barrier.wait(5)
    assert disk.try_lock(writer, 2**61), "the barrier gives back what it has had"
    disk.close(writer)


def test_a_damaged_record_of_a_worker_holds_no_job_up_for_ever(bench: Bench) -> None:
    """The registry has a file that nobody can read, and no key is ever destroyed again."""
    bench.rig.memory.damaged_workers.add("worker-2")
    job = bench.main.jobs.rewrap(bench.caller)
    for _ in range(4):
        bench.runner.step()
    assert bench.job(job).detail == "waiting for worker-2 to confirm the new key"
    bench.rig.clock.advance(limits.LEASE_SECONDS + limits.CLOCK_SKEW_MS_MAX / 1000)
    bench.confirm("worker-1", "worker-3")
    assert bench.finish(job).state is State.DONE


def test_a_rewrap_goes_on_at_the_rate_that_was_asked_for_last(bench: Bench) -> None:
    """A job that was ordered too slow, or too fast, stays so until its end."""
    job = bench.main.jobs.rewrap(bench.caller, 3)
    rates: set[float] = set()

    def faster(_worker: WorkerRecord, piece: Piece) -> None:
        if not rates and piece.drained:
            assert bench.main.jobs.rewrap(bench.caller, 100).job_id == job.job_id
        rates.update({piece.files_per_second} if piece.drained else ())
        bench.rig.clock.advance(0.1)
        time.sleep(0.01)

    bench.files.fails = faster
    assert bench.finish(job).state is State.DONE
    assert rates == {1.5, 50}, "what each of two workers was told"


def test_fewer_workers_keep_a_low_rate(bench: Bench) -> None:
    """A rate of one file a second becomes one on each of many workers."""
    bench.files.shards = {0: [bench.old] * 5, 1: [bench.old] * 5}
    job = bench.main.jobs.rewrap(bench.caller, 1)
    assert bench.finish(job).state is State.DONE
    done = {(worker_id, p.files_per_second) for worker_id, p in bench.files.calls if p.drained}
    assert len({worker_id for worker_id, _ in done}) == 1
    assert {rate for _, rate in done} == {1}


@pytest.mark.parametrize("phase", [Phase.COUNTING, Phase.REWRAPPING, Phase.SETTLING])
def test_a_cancelled_job_ends(bench: Bench, phase: Phase) -> None:
    """A job goes on for days that nobody wants any more; the next one waits for it."""
    job = bench.main.jobs.rewrap(bench.caller)
    while bench.job(job).phase is not phase:
        bench.runner.step()
    bench.main.jobs.cancel(bench.caller, job.job_id)
    bench.runner.step()
    ended = bench.job(job)
    assert ended.state is State.CANCELLED
    assert ended.detail
    assert bench.finish(bench.main.jobs.rewrap(bench.caller)).state is State.DONE


def test_a_job_is_cancelled_under_way(bench: Bench) -> None:
    """Only who begins a pass looks whether it is still wanted."""
    job = bench.main.jobs.rewrap(bench.caller)
    bench.runner.step()
    assert bench.job(job).phase is Phase.REWRAPPING

    def cancelled(_worker: WorkerRecord, _piece: Piece) -> None:
        if bench.job(job).is_running and not bench.job(job).cancel:
            bench.main.jobs.cancel(bench.caller, job.job_id)
            bench.rig.clock.advance(1)
        time.sleep(0.02)

    bench.files.fails = cancelled
    bench.runner.step()
    assert bench.job(job).state is State.CANCELLED
    assert bench.files.under(bench.old) > 0


def test_a_job_that_waits_for_a_writer_is_cancelled(bench: Bench) -> None:
    """A stopped writer holds the job up, and nobody can end it."""
    bench.barrier.held = 1_000_000
    job = bench.main.jobs.rewrap(bench.caller)
    for _ in range(2):
        bench.runner.step()
    asked = threading.Timer(0.2, bench.main.jobs.cancel, (bench.caller, job.job_id))
    asked.start()
    bench.runner.step()
    asked.join()
    assert bench.job(job).state is State.CANCELLED


def test_a_key_whose_destruction_was_cancelled_stays(bench: Bench) -> None:
    """The order to cancel comes between the verdict and the deed, is accepted, and is ignored."""
    bench.files.shards = {}
    job = bench.main.jobs.destroy(bench.caller, bench.old, None)
    bench.runner.step()
    assert bench.job(job).phase is Phase.VERIFYING
    bench.main.jobs.cancel(bench.caller, job.job_id)
    bench.runner.step()
    assert bench.job(job).state is State.CANCELLED
    assert bench.rig.live.find(bench.old, Purpose.DATA).state is keyring.State.DECRYPT_ONLY
