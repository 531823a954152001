"""A read of many keys: which workers are asked, at once, and what if one fails."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from main_api.domain import placement
from main_api.domain.registry import WorkerRecord
from main_api.service.requests import patience
from main_api.service.requests.dispatch import Dispatcher
from main_api.service.requests.patience import Patience
from main_api.service.workers.fleet import Fleet
from main_api.service.workers.ports import GivenUpError, WorkerLostError
from strongroom import limits
from strongroom.errors import (
    BusyError,
    IntegrityError,
    NotFoundError,
    RateLimitedError,
    StaleBindingError,
    StrongroomError,
    UnavailableError,
)
from tests.support.clocks import ManualClock
from tests.support.main_fakes import MemoryControlStore, MemoryWorkers, a_worker

LOST = WorkerLostError(delivered=True)
DOWN = UnavailableError("it has no lease", retry_after_s=1)
KEYS = [f"key-{number}" for number in range(40)]
Say = Callable[[str], str | StrongroomError]


@dataclass
class Call:
    """A call to a worker, as it was begun."""

    worker: str
    keys: list[str]
    timeout_s: float
    say: Say
    failure: StrongroomError | None = None
    is_cancelled: bool = False

    def result(self) -> list[str | StrongroomError]:
        """Answer."""
        if self.failure is not None:
            raise self.failure
        return [self.say(key) for key in self.keys]

    def cancel(self) -> None:
        """Take note."""
        self.is_cancelled = True


@dataclass
class Rig:
    """A dispatcher over some workers, which say of themselves which key they were asked for."""

    workers: int = 3
    clock: ManualClock = field(default_factory=ManualClock)
    calls: list[Call] = field(default_factory=list)
    failures: dict[str, StrongroomError] = field(default_factory=dict)
    items: dict[tuple[str, str], StrongroomError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """List the workers."""
        self.store = MemoryControlStore()
        for number in range(self.workers):
            self.store.put_worker(a_worker(f"worker-{number}"))
        self.fleet = Fleet(self.store, self.clock, MemoryWorkers(self.clock).probe, lambda _: None)
        self.dispatcher = Dispatcher(self.fleet, self.clock)

    def ranked(self, key: str) -> list[str]:
        """Return the workers in rank."""
        found = placement.rank(list(self.store.registry.values()), "chatdb", key)
        return [worker.worker_id for worker in found]

    def begin(self, worker: WorkerRecord, keys: Sequence[str], timeout_s: float) -> Call:
        """Begin a call."""
        name = worker.worker_id

        def say(key: str) -> str | StrongroomError:
            return self.items.get((name, key), f"{name} has {key}")

        self.calls.append(Call(name, list(keys), timeout_s, say, self.failures.get(name)))
        return self.calls[-1]

    def read(self, keys: Sequence[str] = KEYS) -> dict[str, str | StrongroomError]:
        """Read many keys."""
        return dict(self.dispatcher.read_many("chatdb", keys, self.begin))


@pytest.fixture
def rig() -> Rig:
    """Return a dispatcher over three workers."""
    return Rig()


def test_each_key_is_asked_for_where_it_ranks_first_in_one_call_each(rig: Rig) -> None:
    """A read of many keys makes each of them cached twice, or as many calls as keys."""
    assert rig.read() == {key: f"{rig.ranked(key)[0]} has {key}" for key in KEYS}
    assert sorted(call.worker for call in rig.calls) == ["worker-0", "worker-1", "worker-2"]
    assert {call.timeout_s for call in rig.calls} == {limits.READ_ATTEMPT_SECONDS}


def test_all_are_asked_before_any_is_waited_for(rig: Rig) -> None:
    """A read of many keys takes as long as all of its workers take one after the other."""
    begun_before: list[int] = []

    class Waited(Call):
        def result(self) -> list[str | StrongroomError]:
            begun_before.append(len(rig.calls))
            return super().result()

    def begin(worker: WorkerRecord, keys: Sequence[str], timeout_s: float) -> Call:
        call = rig.begin(worker, keys, timeout_s)
        return Waited(call.worker, call.keys, call.timeout_s, call.say)

    assert len(dict(rig.dispatcher.read_many("chatdb", KEYS, begin))) == len(KEYS)
    assert begun_before == [3, 3, 3]


@pytest.mark.parametrize("failure", [LOST, DOWN, RateLimitedError("full", retry_after_s=1)])
def test_what_one_worker_cannot_answer_the_next_in_rank_does(
    rig: Rig, failure: StrongroomError
) -> None:
    """The death of one worker fails every read of many keys."""
    rig.failures["worker-1"] = failure
    answers = rig.read()
    for key in KEYS:
        first, second, _ = rig.ranked(key)
        assert answers[key] == f"{second if first == 'worker-1' else first} has {key}"
    asked_again = [key for call in rig.calls[3:] for key in call.keys]
    assert sorted(asked_again) == sorted(key for key in KEYS if rig.ranked(key)[0] == "worker-1")


def test_a_lost_worker_is_not_asked_by_the_next_read(rig: Rig) -> None:
    """Each read of many keys finds out anew that a worker is dead."""
    rig.failures["worker-1"] = LOST
    rig.read()
    rig.calls.clear()
    rig.read()
    assert {call.worker for call in rig.calls} == {"worker-0", "worker-2"}


def test_a_single_key_that_a_worker_cannot_serve_goes_to_the_next(rig: Rig) -> None:
    """One entity that a worker cannot read fails the read of a hundred."""
    first, second, _ = rig.ranked(KEYS[0])
    rig.items[first, KEYS[0]] = DOWN
    answers = rig.read()
    assert answers[KEYS[0]] == f"{second} has {KEYS[0]}"
    assert rig.calls[-1].keys == KEYS[:1]


@pytest.mark.parametrize("error", [NotFoundError("none"), IntegrityError("bad"), BusyError("busy")])
def test_what_a_worker_says_of_a_key_is_its_answer(rig: Rig, error: StrongroomError) -> None:
    """A refusal of one key costs another call, or hides the answers to all others."""
    rig.items[rig.ranked(KEYS[0])[0], KEYS[0]] = error
    answers = rig.read()
    assert answers[KEYS[0]] is error
    assert len(answers) == len(KEYS)
    assert len(rig.calls) == 3


def test_where_nobody_can_answer_it_is_unavailable(rig: Rig) -> None:
    """A read of many keys leaves those out that no worker could read."""
    for name in ("worker-0", "worker-1", "worker-2"):
        rig.items[name, KEYS[0]] = DOWN
    with pytest.raises(UnavailableError):
        rig.read()
    with pytest.raises(UnavailableError):
        Rig(workers=0).read()


def test_who_has_come_is_asked_when_those_that_were_known_leave() -> None:
    """While workers are replaced, a read of many keys is refused though another one serves."""
    rig = Rig(workers=1)
    rig.failures["worker-0"] = DOWN
    assert len(rig.dispatcher.live_workers()) == 1
    rig.store.put_worker(a_worker("worker-9"))
    rig.clock.advance(0.001)
    assert rig.read() == {key: f"worker-9 has {key}" for key in KEYS}
    assert rig.store.reads["workers"] == 2


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (IntegrityError("bad"), IntegrityError),
        (BusyError("busy"), BusyError),
        (StaleBindingError("changed"), UnavailableError),
    ],
)
def test_what_refuses_a_call_refuses_the_read_and_ends_the_others(
    rig: Rig, failure: StrongroomError, raised: type[StrongroomError]
) -> None:
    """After a refusal the other workers go on with what nobody waits for."""
    first = rig.ranked(KEYS[0])[0]
    rig.failures[first] = failure
    with pytest.raises(raised):
        rig.read()
    assert len(rig.calls) == 3
    assert all(call.is_cancelled for call in rig.calls if call.worker != first)


def test_whoever_stops_listening_ends_what_is_under_way(rig: Rig) -> None:
    """An answer that has become too large is fetched to its end, and stays counted as load."""
    with closing(rig.dispatcher.read_many("chatdb", KEYS, rig.begin)) as arriving:
        next(arriving)
    assert [call.is_cancelled for call in rig.calls] == [False, True, True]
    for worker in rig.fleet.live_workers():
        assert rig.fleet._load(worker) == 0  # noqa: SLF001 - what a hot key is measured by


def test_only_a_few_calls_are_under_way_at_a_time() -> None:
    """With a hundred workers one read holds a hundred large answers in memory."""
    rig = Rig(workers=12)
    under_way, most = 0, 0

    class Counted(Call):
        def result(self) -> list[str | StrongroomError]:
            nonlocal under_way
            under_way -= 1
            return super().result()

    def begin(worker: WorkerRecord, keys: Sequence[str], timeout_s: float) -> Call:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        call = rig.begin(worker, keys, timeout_s)
        return Counted(call.worker, call.keys, call.timeout_s, call.say)

    answers = dict(rig.dispatcher.read_many("chatdb", KEYS, begin))
    assert len(answers) == len(KEYS)
    assert len(rig.calls) > limits.FAN_OUT_CALLS_MAX
    assert most == limits.FAN_OUT_CALLS_MAX


def test_second_attempts_come_out_of_the_budget(rig: Rig) -> None:
    """Reads of many keys make an overload worse, where single ones do not."""
    full = RateLimitedError("full", retry_after_s=1)
    rig.failures = {f"worker-{number}": full for number in range(3)}
    reads = 300
    for _ in range(reads):
        with pytest.raises(RateLimitedError):
            rig.read()
    retries = len(rig.calls) - 3 * reads
    assert 0 < retries <= limits.RETRIES_AT_ONCE_MAX + limits.RETRIES_PER_REQUEST * reads


def test_nothing_is_begun_for_a_client_that_has_gone(rig: Rig) -> None:
    """A client hangs up on a read of many keys, and all workers go on with it."""
    waiting = Patience(clock=rig.clock)
    rig.failures["worker-1"] = DOWN
    with patience.serving(waiting):
        answers = rig.dispatcher.read_many("chatdb", KEYS, rig.begin)
        next(answers)
        waiting.give_up()
        with pytest.raises(GivenUpError):
            list(answers)
    assert len(rig.calls) == 3


def test_the_registry_is_looked_at_once_for_all_keys() -> None:
    """A read of a hundred keys waits a hundred times for a disk that hangs."""

    class TickingClock(ManualClock):
        def boot_s(self) -> float:
            self.advance(0.001)
            return super().boot_s()

    rig = Rig(workers=1, clock=TickingClock(), failures={"worker-0": LOST})
    rig.fleet.live_workers()

    def begin(worker: WorkerRecord, keys: Sequence[str], timeout_s: float) -> Call:
        rig.store.registry.clear()
        rig.clock.advance(2 * limits.REGISTRY_REFRESH_SECONDS)
        return rig.begin(worker, keys, timeout_s)

    before = rig.store.reads["workers"]
    with pytest.raises(UnavailableError):
        dict(rig.dispatcher.read_many("chatdb", KEYS, begin))
    assert [call.keys for call in rig.calls] == [KEYS]
    assert rig.store.reads["workers"] - before < 5
