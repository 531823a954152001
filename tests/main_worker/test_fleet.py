"""Who is asked at all: circuits, probes, and how busy each worker is."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from main_api.domain.circuit import CLOSED, Circuit
from main_api.domain.registry import Report, WorkerRecord
from main_api.service.workers.fleet import Fleet
from main_api.service.workers.ports import GivenUpError, WorkerLostError
from strongroom import limits
from strongroom.errors import (
    NotFoundError,
    RateLimitedError,
    StrongroomError,
    UnavailableError,
)
from tests.support.clocks import ManualClock
from tests.support.deployment import wait_until
from tests.support.main_fakes import MemoryControlStore, MemoryWorkers, a_worker

LOST = WorkerLostError(delivered=True)
UNREACHED = WorkerLostError(delivered=False)
TIMED_OUT = WorkerLostError(delivered=True, timed_out=True)
PATIENCE_S = 30
FREE = limits.WORKER_CALLS_FREE


class Rig:
    """A fleet of three workers, whose probes run when the test says so."""

    def __init__(self, store: MemoryControlStore | None = None) -> None:
        """List the workers."""
        self.clock = ManualClock()
        self.store = store or MemoryControlStore()
        for number in range(3):
            self.store.put_worker(a_worker(f"worker-{number}"))
        self.workers = MemoryWorkers(self.clock)
        self.probes: list[Callable[[], None]] = []
        self.fleet = Fleet(self.store, self.clock, self.workers.probe, self.probes.append)

    def ranked(self) -> list[str]:
        """Return who is asked for a key, in order."""
        return [worker.worker_id for worker in self.fleet.candidates("chatdb", "k")]

    def first(self) -> WorkerRecord:
        """Return who is asked first."""
        return self.fleet.candidates("chatdb", "k")[0]

    def call(
        self, worker: WorkerRecord, answer: StrongroomError | None, takes_s: float = 0
    ) -> None:
        """Make a call that is answered, or fails, after a time."""

        def attempt(_: WorkerRecord, __: float) -> None:
            self.clock.advance(takes_s)
            if answer is not None:
                raise answer

        with nullcontext() if answer is None else pytest.raises(type(answer)):
            self.fleet.call(worker, attempt, 1)

    def probe(self) -> None:
        """Run the one probe that is due."""
        (due,) = self.probes
        self.probes.clear()
        due()

    def tell(self, worker: WorkerRecord, load: float) -> None:
        """Let a worker renew its lease with a report."""
        record = self.store.registry[worker.worker_id]
        self.store.put_worker(
            WorkerRecord(
                worker_id=record.worker_id,
                address=record.address,
                subscription_id=record.subscription_id,
                registered_at=record.registered_at,
                lease_until_ms=record.lease_until_ms + 1,
                report=Report(load=load),
            )
        )


@pytest.fixture
def rig() -> Rig:
    """Return a fleet of three workers."""
    return Rig()


# -- circuits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [LOST, UNREACHED], ids=["lost", "unreached"])
def test_a_lost_worker_is_asked_no_more(rig: Rig, loss: WorkerLostError) -> None:
    """Every request waits for a dead worker until its lease has ended."""
    lost, *others = rig.fleet.candidates("chatdb", "k")
    rig.call(lost, loss)
    assert rig.ranked() == [worker.worker_id for worker in others]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        NotFoundError("no such entity"),
        UnavailableError("it has no lease"),
        RateLimitedError("full"),
    ],
    ids=["answered", "not-found", "unavailable", "full"],
)
def test_a_worker_that_answers_stays(rig: Rig, answer: StrongroomError | None) -> None:
    """A refusal takes a worker out of the way, and all requests crowd on the others."""
    before = rig.ranked()
    rig.call(rig.first(), answer)
    assert rig.ranked() == before


def test_where_all_are_lost_all_are_asked(rig: Rig) -> None:
    """After a moment without a network nobody is asked, though everybody is there."""
    before = rig.ranked()
    for worker in rig.fleet.candidates("chatdb", "k"):
        rig.call(worker, LOST)
    assert rig.ranked() == before


def test_a_worker_that_comes_anew_begins_with_a_clean_slate(rig: Rig) -> None:
    """A worker that was killed and restarted is left alone because of what it was before."""
    lost = rig.first()
    rig.call(lost, LOST)
    assert lost.worker_id not in rig.ranked()
    rig.store.put_worker(a_worker(lost.worker_id))
    rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    assert rig.ranked()[0] == lost.worker_id


def test_a_probe_finds_out_whether_it_is_back_and_no_request_does(rig: Rig) -> None:
    """Each second some client pays for finding out that a dead worker is still dead."""
    lost = rig.first()
    rig.call(lost, LOST)
    rig.clock.advance(limits.CIRCUIT_PAUSE_FIRST_SECONDS)
    assert lost.worker_id not in rig.ranked()
    assert lost.worker_id not in rig.ranked()
    assert len(rig.probes) == 1, "one at a time"
    rig.probe()
    assert rig.workers.called() == [lost.worker_id]
    assert rig.ranked()[0] == lost.worker_id


def test_a_worker_that_stays_away_is_probed_less_and_less(rig: Rig) -> None:
    """A dead worker is asked for a sign of life all the time; or one that is back stays unused."""
    lost = rig.first()
    rig.workers.fail(lost.worker_id, LOST)
    rig.call(lost, LOST)
    pauses = []
    for _ in range(6):
        began_s = rig.clock.boot_s()
        while not rig.probes:
            rig.clock.advance(0.05)
            assert lost.worker_id not in rig.ranked()
        pauses.append(rig.clock.boot_s() - began_s)
        rig.probe()
    assert pauses == pytest.approx([0.25, 0.5, 1, 2, 2, 2], abs=0.1)


def test_a_probe_that_is_refused_is_answered(rig: Rig) -> None:
    """A worker that is full when it comes back is taken for dead."""
    lost = rig.first()
    rig.call(lost, LOST)
    rig.workers.fail(lost.worker_id, RateLimitedError("full", retry_after_s=1))
    rig.clock.advance(limits.CIRCUIT_PAUSE_FIRST_SECONDS)
    rig.ranked()
    rig.probe()
    assert rig.ranked()[0] == lost.worker_id


def test_an_answer_closes_the_circuit_too(rig: Rig) -> None:
    """A call that was under way is answered, and its worker is left alone all the same."""
    lost = rig.first()
    rig.call(lost, LOST)
    rig.call(lost, None)
    assert rig.ranked()[0] == lost.worker_id


def test_probes_run_beside_the_requests() -> None:
    """The request that finds a probe due waits for a dead worker."""
    rig, answered = Rig(), threading.Event()

    def probe(worker: WorkerRecord, timeout_s: float) -> None:
        del worker, timeout_s
        assert answered.wait(PATIENCE_S)

    rig.fleet = Fleet(rig.store, rig.clock, probe)
    lost = rig.first()
    rig.call(lost, LOST)
    rig.clock.advance(limits.CIRCUIT_PAUSE_FIRST_SECONDS)
    assert lost.worker_id not in rig.ranked()
    answered.set()
    assert wait_until(lambda: rig.ranked()[0] == lost.worker_id, PATIENCE_S)


# -- calls that take too long ----------------------------------------------------------------------


def test_a_worker_that_answers_nobody_in_time_is_left_alone(rig: Rig) -> None:
    """A worker that hangs, with its connection alive, holds up every request that it gets."""
    silent = rig.first()
    rig.call(silent, TIMED_OUT, takes_s=limits.READ_ATTEMPT_SECONDS)
    assert silent.worker_id not in rig.ranked()


def test_one_call_that_takes_too_long_does_not_take_a_worker_out(rig: Rig) -> None:
    """A single entity that is slow to read makes a worker's whole cache unused."""
    busy = rig.first()
    slow = rig.fleet.begin(busy)
    rig.clock.advance(1)
    rig.call(busy, None)
    rig.clock.advance(1)
    rig.fleet.end(slow, TIMED_OUT)
    assert rig.ranked()[0] == busy.worker_id


def test_a_client_with_a_short_deadline_takes_no_worker_out(rig: Rig) -> None:
    """A client with deadlines of a millisecond drives all requests from worker to worker."""
    asked = rig.first()
    rig.call(asked, TIMED_OUT, takes_s=0.001)
    assert rig.ranked()[0] == asked.worker_id


def test_a_client_that_goes_takes_no_worker_out(rig: Rig) -> None:
    """A client that hangs up on its requests drives all others from worker to worker."""
    asked = rig.first()
    rig.call(asked, GivenUpError(), takes_s=limits.REQUEST_SECONDS)
    assert rig.ranked()[0] == asked.worker_id


# -- the view of the registry ----------------------------------------------------------------------


def test_nobody_is_there_is_said_by_no_old_view(rig: Rig) -> None:
    """Requests are refused for a while after the first worker has come into service."""
    for number in range(3):
        rig.store.remove_worker(f"worker-{number}")
    assert rig.ranked() == []
    rig.store.put_worker(a_worker("worker-7"))
    rig.clock.advance(0.001)
    assert rig.ranked() == ["worker-7"]


@pytest.mark.parametrize("were_there", [True, False], ids=["leases ended", "nobody was there"])
def test_who_knows_of_nobody_waits_for_the_request_that_looks(*, were_there: bool) -> None:
    """Of the requests that come at once after a quiet hour one is served, the others refused."""
    looking, go_on = threading.Event(), threading.Event()

    class SlowStore(MemoryControlStore):
        """Reads the registry as a disk does that takes its time."""

        def workers(self) -> list[WorkerRecord]:
            looking.set()
            assert go_on.wait(PATIENCE_S)
            return super().workers()

    rig = Rig(SlowStore())
    ends_ms = rig.clock.wall_ms() + (10 if were_there else -10)
    for number in range(3):
        rig.store.put_worker(a_worker(f"worker-{number}", lease_until_ms=ends_ms))
    go_on.set()
    assert len(rig.ranked()) == (3 if were_there else 0)
    looking.clear()
    go_on.clear()
    rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    for number in range(3):
        rig.store.put_worker(a_worker(f"worker-{number}"))
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(rig.ranked)
        assert looking.wait(PATIENCE_S)
        other = pool.submit(rig.ranked)
        with pytest.raises(TimeoutError):
            other.result(0.1)
        go_on.set()
        assert len(one.result(PATIENCE_S)) == len(other.result(PATIENCE_S)) == 3


# -- load ------------------------------------------------------------------------------------------


def test_a_worker_that_is_busy_here_is_passed_over(rig: Rig) -> None:
    """One hot key drowns its worker, and all that is asked for there with it."""
    hot, *others = rig.fleet.candidates("chatdb", "k")
    under_way = [rig.fleet.begin(hot) for _ in range(FREE)]
    assert rig.ranked()[0] == others[0].worker_id
    for call in under_way:
        rig.fleet.end(call, None)
    assert rig.first() == hot


def test_a_worker_that_is_busy_elsewhere_is_passed_over(rig: Rig) -> None:
    """Each of several Main Workers takes a worker for idle that is drowned by all of them."""
    hot, *others = rig.fleet.candidates("chatdb", "k")
    rig.tell(hot, 40.0)
    rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    assert rig.ranked()[0] == others[0].worker_id
    rig.tell(hot, 1.0)
    rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    assert rig.ranked()[0] == hot.worker_id


def test_the_own_calls_are_not_counted_twice(rig: Rig) -> None:
    """What a worker tells of this Main Worker's own calls makes it pass the worker over."""
    hot = rig.first()
    under_way = [rig.fleet.begin(hot) for _ in range(FREE - 1)]
    rig.clock.advance(2)
    rig.tell(hot, float(FREE - 1))
    rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    assert rig.ranked()[0] == hot.worker_id
    for call in under_way:
        rig.fleet.end(call, None)


# -- the registry ----------------------------------------------------------------------------------


def test_one_that_is_draining_is_not_asked(rig: Rig) -> None:
    """A worker that is being stopped gets requests that it has to refuse."""
    leaving = rig.first()
    record = rig.store.registry[leaving.worker_id]
    rig.store.put_worker(
        WorkerRecord(
            worker_id=record.worker_id,
            address=record.address,
            subscription_id=record.subscription_id,
            registered_at=record.registered_at,
            lease_until_ms=record.lease_until_ms,
            report=Report(is_draining=True),
        )
    )
    rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    assert leaving.worker_id not in rig.ranked()


def test_nobody_waits_for_a_slow_disk_while_the_workers_are_known() -> None:
    """While one request reads the registry from a disk that hangs, all others stand still."""
    reading, hung = threading.Event(), threading.Event()

    class SlowStore(MemoryControlStore):
        def workers(self) -> list[WorkerRecord]:
            if self.reads["workers"]:
                reading.set()
                assert hung.wait(PATIENCE_S)
            return super().workers()

    clock, store = ManualClock(), SlowStore()
    store.put_worker(a_worker("worker-1"))
    fleet = Fleet(store, clock, MemoryWorkers(clock).probe)
    assert len(fleet.live_workers()) == 1
    clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    thread = threading.Thread(target=fleet.live_workers)
    thread.start()
    assert reading.wait(PATIENCE_S)
    assert len(fleet.live_workers()) == 1
    hung.set()
    thread.join(PATIENCE_S)


def test_what_is_gone_from_the_registry_is_forgotten(rig: Rig) -> None:
    """A Main Worker remembers every worker that ever was."""
    for number in range(50):
        rig.store.remove_worker("worker-0")
        rig.store.put_worker(a_worker("worker-0"))
        rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
        rig.call(rig.first(), LOST if number % 2 else None)
        rig.ranked()
    assert len(rig.fleet._standings) <= 4  # noqa: SLF001 - memory is what it is about


# -- the states of a circuit -----------------------------------------------------------------------


def test_the_states_of_a_circuit() -> None:
    """A circuit never closes again, or never opens."""
    assert CLOSED.is_closed
    assert not CLOSED.is_due(1e9)
    opened = CLOSED.lost(10.0)
    assert not opened.is_closed
    assert not opened.is_due(10.0)
    assert opened.is_due(10.0 + limits.CIRCUIT_PAUSE_FIRST_SECONDS)
    assert opened.lost(11.0) == opened, "losses of calls under way do not put the probe off"
    half_open = opened.probed()
    assert not half_open.is_due(1e9)
    again = half_open.probe_failed(20.0)
    assert again == Circuit(2 * limits.CIRCUIT_PAUSE_FIRST_SECONDS, 20.5)
    for _ in range(10):
        again = again.probed().probe_failed(30.0)
    assert again.pause_s == limits.CIRCUIT_PAUSE_LONGEST_SECONDS
