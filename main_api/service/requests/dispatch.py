"""Which worker, and what if it fails: attempts, the budget of retries, the end of patience."""

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from main_api.domain.registry import WorkerRecord
from main_api.service.requests import patience
from main_api.service.requests.fan_out import Begin, FanOut
from main_api.service.requests.retry_budget import RetryBudget
from main_api.service.workers.fleet import Fleet, RegistryView
from main_api.service.workers.ports import WorkerLostError
from strongroom import limits
from strongroom.clock import Clock
from strongroom.errors import (
    BusyError,
    OutcomeUnknownError,
    RateLimitedError,
    StaleBindingError,
    StrongroomError,
    UnavailableError,
)
from strongroom.metrics.instruments import Metrics

A = TypeVar("A")
T = TypeVar("T")
Attempt = Callable[[WorkerRecord, float], T]


class Dispatcher:
    """Calls one worker after the other. Safe under threads."""

    def __init__(self, fleet: Fleet, clock: Clock, metrics: Metrics | None = None) -> None:
        """Take the workers, and where to count."""
        self._fleet = fleet
        self._clock = clock
        self._retries = RetryBudget(clock, metrics)

    def live_workers(self) -> tuple[WorkerRecord, ...]:
        """Return the workers that take requests; as `Fleet.live_workers`."""
        return self._fleet.live_workers()

    def registry_view(self) -> RegistryView:
        """Return what is known of the registry; as `Fleet.view`."""
        return self._fleet.view()

    def read(self, database: str, key: str, attempt: Attempt[T]) -> T:
        """Call the best worker for a key; the next one when it fails.

        Raises:
            UnavailableError: No worker can serve now; also what a worker answers.
        """
        return self._call(database, key, attempt, limits.READ_ATTEMPT_SECONDS)

    def read_many(
        self, database: str, keys: Sequence[str], begin: Begin[A]
    ) -> Generator[tuple[str, A | StrongroomError], None, None]:
        """Call for each key the best worker, all of them at once; yield what they answer.

        Raises:
            StrongroomError: As `FanOut.answers`.
        """
        self._retries.earn()
        waiting = patience.current(self._clock)
        fan_out = FanOut(self._fleet, self._retries, waiting, begin)
        return fan_out.answers(database, keys, self._clock.boot_s())

    def write(self, database: str, key: str, attempt: Attempt[T]) -> T:
        """As `read`, for a write that carries a request id and so cannot be applied twice.

        Raises:
            OutcomeUnknownError: A worker was lost with the write in its hands, and no other one
                could say what had become of it.
        """
        lost = False

        def noting(worker: WorkerRecord, timeout_s: float) -> T:
            nonlocal lost
            try:
                return attempt(worker, timeout_s)
            except WorkerLostError as error:
                lost = lost or error.delivered
                raise

        try:
            return self._call(database, key, noting, limits.WRITE_ATTEMPT_SECONDS)
        except StrongroomError as error:
            # What a second worker refuses says little about what the first one may have done.
            if not lost:
                raise
            raise OutcomeUnknownError(
                "a worker was lost during the write; repeat it with the same Idempotency-Key,"
                " or read the entity to find out",
                retry_after_s=1,
            ) from error

    def try_write(self, database: str, key: str, attempt: Attempt[T]) -> T:
        """As `read`, for a write of which only the answer is wanted: nothing can have been written.

        It waits for a lock as a write does.
        """
        return self._call(database, key, attempt, limits.WRITE_ATTEMPT_SECONDS)

    def inspect(self, attempt: Attempt[T]) -> T:
        """Call any worker for something that takes its time; the next one when it fails."""
        return self._call("", "", attempt, limits.WRITE_ATTEMPT_SECONDS)

    def _call(self, database: str, key: str, attempt: Attempt[T], attempt_s: float) -> T:
        waiting = patience.current(self._clock)
        failure: StrongroomError | None = None
        self._retries.earn()
        began_s = self._clock.boot_s()
        asked: list[WorkerRecord] = []
        candidates = self._fleet.candidates(database, key)
        while candidates and len(asked) < limits.ATTEMPTS_MAX:
            waiting.require()
            left_s = waiting.left_s()
            if left_s <= 0 or (asked and not self._retries.spend()):
                break
            worker = candidates[0]
            try:
                return self._fleet.call(worker, attempt, min(attempt_s, left_s))
            except BusyError:
                raise
            except StaleBindingError as error:
                # The database was changed between our look at it and the worker's.
                raise UnavailableError(error.detail, retry_after_s=1) from error
            except (UnavailableError, RateLimitedError) as error:
                failure = error
            asked.append(worker)
            # Others may have been found to be lost meanwhile.
            candidates = self._fleet.others(database, key, asked)
            if not candidates and isinstance(failure, UnavailableError):
                candidates = self._fleet.newcomers(database, key, asked, began_s)
        raise failure or UnavailableError("no worker can serve the request now", retry_after_s=1)
