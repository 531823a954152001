"""Ordering jobs and looking at them: what is one job, how many there may be, who sees them."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from main_api.adapters.control_store import ControlFiles
from main_api.domain import jobs
from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.domain.jobs import JobRecord, Kind, Phase
from main_api.service.jobs.orders import Jobs
from main_api.service.keys.data_keys import Keys
from main_api.service.keys.live_keyring import LiveKeyring
from strongroom import keyring, limits
from strongroom.durable import LocalFilesystem
from strongroom.errors import ConflictError, ForbiddenError, IntegrityError, NotFoundError
from strongroom.keyring import Purpose, State
from strongroom.layout import Layout
from tests.support.mains import AT, MainRig, grant


class Rig:
    """A Main Worker with an administrator; nobody runs its jobs."""

    def __init__(self, main: MainRig | None = None) -> None:
        """Put it together."""
        self.main = main or MainRig()
        self.jobs = Jobs(self.main.access, self.main.store, self.main.live, self.main.clock)
        self.root = self.main.caller()

    def rotate(self) -> str:
        """Rotate, and return the key that was active before."""
        before = self.data_keys()[-1]
        Keys(self.main.access, self.main.live, self.main.clock).rotate(self.root)
        return before

    def data_keys(self) -> list[str]:
        """Return the ids of the data keys, the active one last."""
        return [key.key_id for key in self.main.live.of(frozenset({Purpose.DATA}))]

    def order(self) -> JobRecord:
        """Order a job that is another one than all before."""
        self.main.clock.advance(1)
        return self.jobs.destroy(self.root, self.data_keys()[0], None)

    def end(self, job: JobRecord, state: jobs.State = jobs.State.DONE) -> None:
        """Put on record that a job has ended."""
        ended = jobs.ended(job, state, self.main.clock.wall_ms())
        self.main.store.jobs.put(job.job_id, ended)

    def kept(self) -> list[str]:
        """Return the ids of the jobs that are kept, the newest first."""
        return [job.job_id for job in self.jobs.all(self.root)[0]]


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker with one key that may be destroyed."""
    made = Rig()
    made.rotate()
    return made


# -- what is one job -------------------------------------------------------------------------------


def test_a_rewrap_is_for_every_key_but_the_active_one(rig: Rig) -> None:
    """A rewrap leaves files under some older key, or waits for a key that is no more."""
    first, second = rig.data_keys()[0], rig.rotate()
    job = rig.jobs.rewrap(rig.root, 50)
    assert (job.kind, job.phase, job.drained) == (Kind.REWRAP, Phase.COUNTING, (first, second))
    assert job.files_per_second == 50
    assert job.is_running
    assert rig.jobs.get(rig.root, job.job_id) == job
    rig.end(job)
    rig.main.live.change(lambda current: keyring.without(current, first))
    assert rig.jobs.rewrap(rig.root).drained == (second,)


def test_the_same_rewrap_asked_twice_is_one_job(rig: Rig) -> None:
    """Whoever asks again because an answer was lost has all files rewrapped twice."""
    first = rig.jobs.rewrap(rig.root)
    assert rig.jobs.rewrap(rig.root) == first
    assert rig.kept() == [first.job_id]
    # Other keys are to be drained after a rotation, and it is another one once it has ended.
    rig.rotate()
    rig.main.clock.advance(1)
    second = rig.jobs.rewrap(rig.root)
    assert second.job_id != first.job_id
    assert second.drained[:-1] == first.drained
    rig.end(second)
    rig.main.clock.advance(1)
    third = rig.jobs.rewrap(rig.root)
    assert rig.kept() == [third.job_id, second.job_id, first.job_id]
    # A key that is being destroyed is drained too; that is no rewrap.
    rig.end(first)
    rig.end(third)
    destroying = rig.order()
    assert rig.jobs.rewrap(rig.root).job_id != destroying.job_id


@pytest.mark.parametrize("kind", Kind)
def test_a_rotation_by_another_main_worker_is_seen(rig: Rig, kind: Kind) -> None:
    """What is ordered of one Main Worker leaves a key that a rotation by another has replaced."""
    active = rig.data_keys()[-1]
    another = LiveKeyring(rig.main.keyring_store, rig.main.key_provider)
    made = keyring.new_key(Purpose.DATA, AT)
    another.change(lambda current: keyring.with_active(current, made))
    if kind is Kind.REWRAP:
        assert active in rig.jobs.rewrap(rig.root).drained
    else:
        assert rig.jobs.destroy(rig.root, active, None).drained == (active,)


def test_a_rewrap_is_ordered_anew_while_one_is_cancelled(rig: Rig) -> None:
    """Whoever cancels a rewrap and orders it once more is given the one that ends."""
    first = rig.jobs.rewrap(rig.root)
    rig.jobs.cancel(rig.root, first.job_id)
    rig.main.clock.advance(1)
    second = rig.jobs.rewrap(rig.root)
    assert second.job_id != first.job_id
    assert (second.is_running, second.cancel) == (True, False)
    assert rig.jobs.rewrap(rig.root) == second


def test_a_key_is_named_that_can_be_destroyed(rig: Rig) -> None:
    """The active key is destroyed, or a job waits for ever for a key that is none."""
    old, active = rig.data_keys()
    with pytest.raises(ConflictError, match="the active key cannot be destroyed: rotate first"):
        rig.jobs.destroy(rig.root, active, 5)
    for wrong in ("0" * 16, "", "../x", "\0", old.upper() + "x", "k" * 10_000):
        with pytest.raises(NotFoundError, match="there is no data key"):
            rig.jobs.destroy(rig.root, wrong, None)
    naming = rig.main.live.of(frozenset({Purpose.NAMING}))[0]
    with pytest.raises(NotFoundError):
        rig.jobs.destroy(rig.root, naming.key_id, None)
    assert rig.kept() == []
    plain, shredding = rig.order(), rig.jobs.destroy(rig.root, old, 0)
    assert (plain.kind, plain.phase, plain.drained) == (Kind.DESTROY, Phase.SETTLING, (old,))
    assert (plain.shred, plain.entities_accepted) == (False, 0)
    # None may be lost, and that was said: not the same as not having been asked.
    assert (shredding.shred, shredding.entities_accepted) == (True, 0)
    assert rig.main.live.find(old, Purpose.DATA).state is State.DECRYPT_ONLY
    rig.main.live.change(lambda current: keyring.without(current, old))
    with pytest.raises(ConflictError, match="was destroyed already"):
        rig.jobs.destroy(rig.root, old, None)


# -- how many there may be -------------------------------------------------------------------------


def test_only_so_many_jobs_wait(rig: Rig) -> None:
    """Whoever orders in a loop fills the disk, and everything else waits behind it."""
    waiting = [rig.order() for _ in range(limits.JOBS_RUNNING_MAX)]
    for order in (rig.order, lambda: rig.jobs.rewrap(rig.root)):
        with pytest.raises(ConflictError, match="let them end first"):
            order()
    assert len(rig.kept()) == limits.JOBS_RUNNING_MAX
    rig.end(waiting[3], jobs.State.FAILED)
    rewrap = rig.jobs.rewrap(rig.root)
    # It is on record, so it is found where there is no room for another.
    assert rig.jobs.rewrap(rig.root) == rewrap


def test_of_those_that_have_ended_the_oldest_go(rig: Rig) -> None:
    """Ended jobs are kept for ever, or a running one is forgotten and never ends."""
    running = rig.order()
    ended = []
    for _ in range(limits.JOBS_KEPT_MAX + 3):
        job = rig.order()
        rig.end(job)
        ended.append(job.job_id)
    kept = rig.kept()
    assert running.job_id in kept
    newest = [job_id for job_id in reversed(ended) if job_id in kept]
    assert newest == ended[: -len(newest) - 1 : -1]
    # One more than are kept where the oldest is one that runs.
    assert limits.JOBS_KEPT_MAX <= len(kept) <= limits.JOBS_KEPT_MAX + 1
    with pytest.raises(NotFoundError):
        rig.jobs.get(rig.root, ended[0])


def test_a_refusal_names_as_many_backups_as_somebody_reads() -> None:
    """A refusal is as long as the record of backups, in every log and on every terminal."""
    job = jobs.destroy("job", "k", None, 0)
    for count, end in ((20, "b18, b19 could not"), (23, "b18, b19 and 3 more could not")):
        names = tuple(f"b{number}" for number in range(count))
        refused = jobs.verdict(msgspec.structs.replace(job, backups=names), 0)
        assert end in refused.detail
        assert refused.backups == names


# -- who sees what ---------------------------------------------------------------------------------

USES: dict[str, Callable[[Rig, Caller, str, str], object]] = {
    "rewrap": lambda rig, who, *_: rig.jobs.rewrap(who),
    "destroy": lambda rig, who, key_id, _: rig.jobs.destroy(who, key_id, None),
    "shred": lambda rig, who, key_id, _: rig.jobs.destroy(who, key_id, 3),
    "get": lambda rig, who, _, job_id: rig.jobs.get(who, job_id),
    "cancel": lambda rig, who, _, job_id: rig.jobs.cancel(who, job_id),
    "all": lambda rig, who, *_: rig.jobs.all(who),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_jobs_take_admin_on_every_database(rig: Rig, use: Callable[..., object]) -> None:
    """Somebody without the right destroys a key, or learns which keys or jobs there are."""
    job = rig.order()
    others = {
        "no-admin": (grant("*", Action.READ, Action.WRITE, Action.DELETE),),
        "one-database": (grant("chatdb", Action.ADMIN),),
        "some-keys": (grant("*", Action.ADMIN, key_prefix="a"),),
    }
    refusals = set()
    for client_id, grants in others.items():
        caller = rig.main.caller(*grants, client_id=client_id)
        for key_id in (*rig.data_keys(), "none"):
            for job_id in (job.job_id, "none", ".."):
                with pytest.raises(ForbiddenError) as refusal:
                    use(rig, caller, key_id, job_id)
                refusals.add(refusal.value.detail)
    assert len(refusals) == 1
    assert rig.kept() == [job.job_id]


@pytest.mark.parametrize("job_id", ["none", "", ".", "..", "../x", "\0", "a/b", "é", "x" * 10_000])
def test_what_is_no_job_is_not_there(rig: Rig, job_id: str) -> None:
    """An odd id reaches another file, or is a defect."""
    with pytest.raises(NotFoundError, match="no such job"):
        rig.jobs.get(rig.root, job_id)


# -- what lies on the disk -------------------------------------------------------------------------


def test_a_damaged_record_stops_no_other_job(tmp_path: Path) -> None:
    """One bad file under control/ keeps an administrator from ever rewrapping or destroying."""
    main = MainRig()
    layout = Layout(tmp_path)
    main = MainRig(
        keys=main.keys,
        other_store=ControlFiles(LocalFilesystem(), layout, main.keys, main.clock),
        clock=main.clock,
    )
    rig = Rig(main)
    rig.rotate()
    bad, good = rig.order(), rig.order()
    path = layout.record("jobs", bad.job_id)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(IntegrityError):
        rig.jobs.get(rig.root, bad.job_id)
    assert rig.jobs.all(rig.root) == ([good], 1)
    rewrap = rig.jobs.rewrap(rig.root)
    assert rig.jobs.rewrap(rig.root) == rewrap
    # It is not removed either: whoever looks into it needs it.
    for job in (good, rewrap):
        rig.end(job)
    for _ in range(limits.JOBS_KEPT_MAX):
        rig.end(rig.order())
    assert path.exists()
    assert rig.jobs.all(rig.root)[1] == 1


def test_what_cannot_be_cancelled_is_refused(rig: Rig) -> None:
    """A job that has ended is changed; or a key that is going is said to stay."""
    rig.rotate()
    ended, going = rig.order(), rig.order()
    rig.end(ended)
    with pytest.raises(ConflictError, match="has ended: done"):
        rig.jobs.cancel(rig.root, ended.job_id)
    rig.main.store.jobs.put(
        going.job_id, jobs.entering(going, Phase.DESTROYING, rig.main.clock.wall_ms())
    )
    with pytest.raises(ConflictError, match="too late"):
        rig.jobs.cancel(rig.root, going.job_id)
    with pytest.raises(NotFoundError):
        rig.jobs.cancel(rig.root, "none")
