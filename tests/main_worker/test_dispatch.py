"""Which worker is asked, what happens when it fails, and when patience ends."""

from collections.abc import Callable

import pytest

from main_api.domain import placement
from main_api.domain.registry import WorkerRecord
from main_api.service.requests import patience
from main_api.service.requests.dispatch import Attempt, Dispatcher
from main_api.service.requests.patience import Patience
from main_api.service.workers.fleet import Fleet
from main_api.service.workers.ports import WorkerLostError
from strongroom import limits
from strongroom.errors import (
    BusyError,
    IntegrityError,
    InternalError,
    NotFoundError,
    OutcomeUnknownError,
    PreconditionFailedError,
    RateLimitedError,
    SchemaViolationError,
    StaleBindingError,
    StrongroomError,
    UnavailableError,
)
from tests.support.clocks import ManualClock
from tests.support.main_fakes import MemoryControlStore, MemoryWorkers, a_worker

Answer = str | StrongroomError


class Attempts:
    """Answers the attempts of one request in turn, and remembers them."""

    def __init__(self, clock: ManualClock, *answers: Answer, takes_s: float = 0.0) -> None:
        """Take what the first worker answers, the second one, and so on."""
        self._clock = clock
        self._answers = list(answers)
        self._takes_s = takes_s
        self.workers: list[str] = []
        self.timeouts: list[float] = []

    def __call__(self, worker: WorkerRecord, timeout_s: float) -> str:
        """Answer one attempt."""
        self.workers.append(worker.worker_id)
        self.timeouts.append(timeout_s)
        self._clock.advance(min(self._takes_s, timeout_s))
        answer = self._answers.pop(0)
        if isinstance(answer, StrongroomError):
            raise answer
        return answer


class Rig:
    """A dispatcher over three workers."""

    def __init__(self, count: int = 3) -> None:
        """List the workers."""
        self.clock = ManualClock()
        self.store = MemoryControlStore()
        for n in range(count):
            self.store.put_worker(a_worker(f"worker-{n}"))
        self.probes: list[Callable[[], None]] = []
        self.signs = MemoryWorkers(self.clock)
        self.fleet = Fleet(self.store, self.clock, self.signs.probe, self.probes.append)
        self.dispatcher = Dispatcher(self.fleet, self.clock)
        workers = list(self.store.registry.values())
        self.ranked = [w.worker_id for w in placement.rank(workers, "chatdb", "k")]

    def attempts(self, *answers: Answer, takes_s: float = 0.0) -> Attempts:
        """Return attempts with these answers."""
        return Attempts(self.clock, *answers, takes_s=takes_s)

    def read(self, attempts: Attempt[str]) -> str:
        """Read through the dispatcher."""
        return self.dispatcher.read("chatdb", "k", attempts)

    def write(self, attempts: Attempt[str]) -> str:
        """Write through the dispatcher."""
        return self.dispatcher.write("chatdb", "k", attempts)


@pytest.fixture
def rig() -> Rig:
    """Return a dispatcher over three workers."""
    return Rig()


Send = Callable[[Rig, Attempt[str]], str]
BOTH = pytest.mark.parametrize("send", [Rig.read, Rig.write], ids=["read", "write"])
DOWN = UnavailableError("it says that it cannot serve", retry_after_s=1)
LOST = WorkerLostError(delivered=True)
UNREACHED = WorkerLostError(delivered=False)
FULL = RateLimitedError("full", retry_after_s=1)


@BOTH
def test_the_first_in_rank_is_asked_alone(rig: Rig, send: Send) -> None:
    """An entity is read by several workers, and no cache is warm."""
    attempts = rig.attempts("answer")
    assert send(rig, attempts) == "answer"
    assert attempts.workers == rig.ranked[:1]


@BOTH
@pytest.mark.parametrize(
    "failure", [DOWN, LOST, UNREACHED, FULL], ids=["down", "lost", "unreached", "full"]
)
def test_the_next_in_rank_is_asked_when_one_fails(
    rig: Rig, send: Send, failure: StrongroomError
) -> None:
    """One worker's death fails the requests for a part of all keys."""
    attempts = rig.attempts(failure, failure, "answer")
    assert send(rig, attempts) == "answer"
    assert attempts.workers == rig.ranked


@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        NotFoundError("no such entity"),
        PreconditionFailedError("changed", current_version=4),
        SchemaViolationError("refused"),
        IntegrityError("changed on the disk"),
        InternalError("a defect"),
        OutcomeUnknownError("the disk failed midway"),
    ],
    ids=lambda error: error.code,
)
def test_what_a_worker_answers_is_the_answer(rig: Rig, send: Send, answer: StrongroomError) -> None:
    """A refusal costs as many calls as there are workers, or a defect is repeated on each."""
    attempts = rig.attempts(answer)
    with pytest.raises(type(answer)) as failure:
        send(rig, attempts)
    assert failure.value is answer
    assert len(attempts.workers) == 1


@BOTH
def test_a_busy_entity_is_not_asked_for_elsewhere(rig: Rig, send: Send) -> None:
    """Under contention every worker queues up for the same lock."""
    attempts = rig.attempts(BusyError("locked", retry_after_s=1))
    with pytest.raises(BusyError):
        send(rig, attempts)
    assert len(attempts.workers) == 1


@BOTH
def test_a_database_that_has_just_changed_is_worth_another_try(rig: Rig, send: Send) -> None:
    """Between two workers' views of a changed database a client gets an error that is not its."""
    attempts = rig.attempts(StaleBindingError("bound otherwise"))
    with pytest.raises(UnavailableError) as failure:
        send(rig, attempts)
    assert failure.value.retry_after_s is not None
    assert len(attempts.workers) == 1


@BOTH
def test_without_workers_nothing_is_done_and_the_client_may_retry(send: Send) -> None:
    """While no worker is up, a write looks as if it could have taken place."""
    rig = Rig(count=0)
    attempts = rig.attempts()
    with pytest.raises(UnavailableError) as failure:
        send(rig, attempts)
    assert not isinstance(failure.value, OutcomeUnknownError)
    assert failure.value.retry_after_s is not None
    assert attempts.workers == []


def test_a_read_that_no_worker_can_serve_is_unavailable(rig: Rig) -> None:
    """A failed read looks as if something could have been changed."""
    attempts = rig.attempts(DOWN, DOWN, DOWN)
    with pytest.raises(UnavailableError) as failure:
        rig.read(attempts)
    assert failure.value.retry_after_s is not None
    assert attempts.workers == rig.ranked


def test_a_write_whose_worker_was_lost_has_an_unknown_outcome(rig: Rig) -> None:
    """A client is told that nothing was done, writes anew, and has written twice."""
    attempts = rig.attempts(LOST, LOST, LOST)
    with pytest.raises(OutcomeUnknownError) as failure:
        rig.write(attempts)
    assert failure.value.retry_after_s is not None
    assert attempts.workers == rig.ranked


@pytest.mark.parametrize("failure", [DOWN, UNREACHED, FULL], ids=["down", "unreached", "full"])
def test_a_write_that_no_worker_has_taken_was_not_done(rig: Rig, failure: StrongroomError) -> None:
    """A client is told that its write may have taken place, though it cannot have."""
    with pytest.raises(type(failure)):
        rig.write(rig.attempts(failure, failure, failure))


@pytest.mark.parametrize(
    "second",
    [
        FULL,
        DOWN,
        UNREACHED,
        BusyError("locked", retry_after_s=1),
        InternalError("a defect"),
        PreconditionFailedError("changed", current_version=4),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_outcome_stays_unknown_whatever_a_second_worker_fails_with(
    second: StrongroomError,
) -> None:
    """A worker is lost after its commit, the next one is full: the client hears "not done"."""
    rig = Rig(count=2)
    with pytest.raises(OutcomeUnknownError):
        rig.write(rig.attempts(LOST, second))


def test_a_second_worker_that_knows_the_write_answers_for_the_first(rig: Rig) -> None:
    """After a failover the client is told of an unknown outcome that is known."""
    assert rig.write(rig.attempts(LOST, "first answer")) == "first answer"


# -- time ------------------------------------------------------------------------------------------


def test_attempts_are_as_long_as_they_may_be(rig: Rig) -> None:
    """A read waits for a hanging worker for as long as the whole request may take."""
    reading, writing = rig.attempts("answer"), rig.attempts("answer")
    rig.read(reading)
    rig.write(writing)
    assert reading.timeouts == [limits.READ_ATTEMPT_SECONDS]
    assert writing.timeouts == [limits.WRITE_ATTEMPT_SECONDS]


def test_the_last_attempt_ends_with_the_request(rig: Rig) -> None:
    """A request takes as many attempts' time as there are workers, and the client has hung up."""
    attempts = rig.attempts(DOWN, "answer", takes_s=limits.WRITE_ATTEMPT_SECONDS)
    rig.write(attempts)
    assert attempts.timeouts == [
        limits.WRITE_ATTEMPT_SECONDS,
        limits.REQUEST_SECONDS - limits.WRITE_ATTEMPT_SECONDS,
    ]


def test_after_the_deadline_nobody_is_asked(rig: Rig) -> None:
    """A write is applied after its client was told that it has failed."""
    attempts = rig.attempts(LOST, LOST, "too late", takes_s=limits.REQUEST_SECONDS / 2)
    with pytest.raises(OutcomeUnknownError):
        rig.write(attempts)
    assert len(attempts.workers) == 2


def test_who_has_said_how_long_it_waits_is_served_no_longer(rig: Rig) -> None:
    """Workers go on with what a client with a deadline has given up long ago."""
    attempts = rig.attempts(DOWN, "answer", takes_s=1.0)
    with patience.serving(Patience(1.5, rig.clock)):
        rig.write(attempts)
    assert attempts.timeouts == [1.5, pytest.approx(0.5)]
    with patience.serving(Patience(0.0, rig.clock)), pytest.raises(UnavailableError):
        rig.read(rig.attempts())


@BOTH
def test_for_a_client_that_has_gone_nothing_is_begun(rig: Rig, send: Send) -> None:
    """A client that hangs up leaves its requests to one worker after the other."""
    waiting = Patience(clock=rig.clock)

    def hang_up(worker: WorkerRecord, timeout_s: float) -> str:
        attempts(worker, timeout_s)
        waiting.give_up()
        raise DOWN

    attempts = rig.attempts("whatever")
    with patience.serving(waiting), pytest.raises(UnavailableError):
        send(rig, hang_up)
    assert len(attempts.workers) == 1


# -- how many attempts -----------------------------------------------------------------------------


@BOTH
def test_attempts_are_few_however_many_workers_there_are(send: Send) -> None:
    """A request that every worker fails at costs as many calls as there are workers."""
    rig = Rig(count=10)
    attempts = rig.attempts(*[FULL] * 10)
    with pytest.raises(StrongroomError):
        send(rig, attempts)
    assert len(attempts.workers) == limits.ATTEMPTS_MAX


def test_overload_is_not_made_worse_by_retries(rig: Rig) -> None:
    """Workers that have no room get every request many times, and so have none for longer."""
    requests = 2_000
    calls = 0
    for _ in range(requests):
        attempts = rig.attempts(FULL, FULL, FULL)
        with pytest.raises(RateLimitedError):
            rig.read(attempts)
        calls += len(attempts.workers)
    retries = calls - requests
    assert retries > limits.RETRIES_AT_ONCE_MAX
    assert retries <= limits.RETRIES_AT_ONCE_MAX + limits.RETRIES_PER_REQUEST * requests


def test_what_was_spent_on_retries_comes_back(rig: Rig) -> None:
    """After one bad minute a worker's death fails requests for ever."""
    for _ in range(500):
        with pytest.raises(RateLimitedError):
            rig.read(rig.attempts(FULL, FULL, FULL))
    rig.clock.advance(limits.RETRIES_AT_ONCE_MAX / limits.RETRIES_PER_SECOND)
    for _ in range(limits.RETRIES_AT_ONCE_MAX):
        assert rig.read(rig.attempts(FULL, "answer")) == "answer"


def test_a_few_retries_are_always_there(rig: Rig) -> None:
    """With one request a minute there is never a second attempt, because so few have earned one."""
    for _ in range(100):
        rig.clock.advance(60)
        assert rig.read(rig.attempts(DOWN, "answer")) == "answer"


# -- the view of the registry ----------------------------------------------------------------------


def test_the_registry_is_read_once_in_a_while(rig: Rig) -> None:
    """Each request lists a directory and decrypts a record for each worker."""
    for _ in range(10):
        rig.read(rig.attempts("answer"))
    assert rig.store.reads["workers"] == 1
    rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    rig.read(rig.attempts("answer"))
    assert rig.store.reads["workers"] == 2


def test_a_new_worker_is_seen_after_the_refresh(rig: Rig) -> None:
    """A worker that was started gets no requests."""
    assert len(rig.dispatcher.live_workers()) == 3
    rig.store.put_worker(a_worker("worker-9"))
    rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    assert len(rig.dispatcher.live_workers()) == 4


@BOTH
def test_who_has_come_is_asked_when_those_that_were_known_leave(rig: Rig, send: Send) -> None:
    """While workers are replaced, a request is refused though another one serves by now."""
    assert len(rig.dispatcher.live_workers()) == 3
    attempts = rig.attempts(DOWN, "answer")
    for worker_id in list(rig.store.registry):
        if worker_id != rig.ranked[0]:
            rig.store.remove_worker(worker_id)
    rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    assert len(rig.dispatcher.live_workers()) == 1
    rig.store.put_worker(a_worker("worker-9"))
    rig.clock.advance(0.001)
    assert send(rig, attempts) == "answer"
    assert attempts.workers == [rig.ranked[0], "worker-9"]


@BOTH
def test_who_was_found_to_be_lost_meanwhile_is_not_asked(rig: Rig, send: Send) -> None:
    """Of three workers two die at once, and each request finds out about both of them anew."""
    first, second, third = rig.ranked

    def lose(_: WorkerRecord, __: float) -> str:
        raise LOST

    def attempt(worker: WorkerRecord, _: float) -> str:
        if worker.worker_id == first:
            with pytest.raises(WorkerLostError):
                rig.fleet.call(rig.store.registry[second], lose, 1)
            raise LOST
        return worker.worker_id

    assert send(rig, attempt) == third


@BOTH
def test_who_has_come_is_not_looked_for_while_all_are_full(rig: Rig, send: Send) -> None:
    """Under overload each request that is refused costs a look at the registry too."""
    for _ in range(50):
        with pytest.raises(RateLimitedError):
            send(rig, rig.attempts(FULL, FULL, FULL))
    assert rig.store.reads["workers"] == 1


def test_a_lease_that_ends_between_two_refreshes_counts(rig: Rig) -> None:
    """Requests go to a worker whose lease has ended, until the registry is read again."""
    ends_ms = rig.clock.wall_ms() + 100
    rig.store.put_worker(a_worker("worker-9", lease_until_ms=ends_ms))
    assert len(rig.dispatcher.live_workers()) == 4
    rig.clock.now_wall_ms = ends_ms
    assert len(rig.dispatcher.live_workers()) == 3
    assert rig.store.reads["workers"] == 1


@BOTH
def test_a_registry_that_cannot_be_read_is_unavailable(rig: Rig, send: Send) -> None:
    """While the disk fails, a write looks as if it could have taken place."""
    rig.store.down = True
    with pytest.raises(UnavailableError) as failure:
        send(rig, rig.attempts())
    assert not isinstance(failure.value, OutcomeUnknownError)
