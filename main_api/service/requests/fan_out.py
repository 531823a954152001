"""One read of many keys: to the right worker for each, at once, and what fails to the next.

Keys that rank one worker first are one call. When that fails, its keys are asked for at the workers
that rank next for them; what the other workers have answered stays. The same goes for a single key
that a worker says it cannot serve now.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from main_api.domain.registry import WorkerRecord
from main_api.service.requests.patience import Patience
from main_api.service.requests.retry_budget import RetryBudget
from main_api.service.workers.fleet import Fleet, UnderWay
from main_api.service.workers.ports import GivenUpError, Pending
from strongroom import limits
from strongroom.errors import (
    BusyError,
    RateLimitedError,
    StaleBindingError,
    StrongroomError,
    UnavailableError,
)

A = TypeVar("A")


Begin = Callable[[WorkerRecord, Sequence[str], float], Pending[list[A | StrongroomError]]]


@dataclass(slots=True)
class _Part(Generic[A]):
    """Keys that are asked for in one call."""

    worker: WorkerRecord
    keys: list[str]
    under_way: UnderWay
    pending: Pending[list[A | StrongroomError]]


class FanOut(Generic[A]):
    """A read under way; `answers` is called once."""

    def __init__(
        self,
        fleet: Fleet,
        retries: RetryBudget,
        waiting: Patience,
        begin: Begin[A],
    ) -> None:
        """Take what begins a call."""
        self._fleet = fleet
        self._retries = retries
        self._waiting = waiting
        self._begin = begin
        self._under_way: deque[_Part[A]] = deque()
        self._failure: StrongroomError = UnavailableError(
            "no worker can serve the request now", retry_after_s=1
        )

    def answers(
        self, database: str, keys: Sequence[str], began_s: float
    ) -> Generator[tuple[str, A | StrongroomError], None, None]:
        """Yield each key with its answer, as the calls are answered.

        Whoever stops listening ends what is under way.

        Args:
            database: Where.
            keys: What is asked for.
            began_s: Boot time of the request.

        Raises:
            StrongroomError: What refuses a call, where no other worker is to be asked.
            UnavailableError: No worker can serve one of the keys now.
        """
        ranked = self._fleet.candidates_of(database, keys)
        asked: dict[str, list[WorkerRecord]] = {key: [] for key in keys}
        left = list(keys)
        try:
            for attempt in range(limits.ATTEMPTS_MAX):
                again: list[str] = []
                for part in self._calls(ranked, left, attempt):
                    yield from self._taken(part, again)
                if not again:
                    return
                left = again
                for key in left:
                    asked[key].append(ranked[key][0])
                ranked = self._others(database, {key: asked[key] for key in left}, began_s)
            raise self._failure
        finally:
            while self._under_way:
                part = self._under_way.popleft()
                part.pending.cancel()
                self._fleet.end(part.under_way, GivenUpError())

    def _calls(
        self, ranked: dict[str, list[WorkerRecord]], keys: list[str], attempt: int
    ) -> Iterator[_Part[A]]:
        """Begin the calls, a few at a time, and yield them in that order."""
        for worker, its_keys in self._parts(ranked, keys):
            self._waiting.require()
            left_s = self._waiting.left_s()
            if left_s <= 0 or (attempt and not self._retries.spend()):
                raise self._failure
            timeout_s = min(limits.READ_ATTEMPT_SECONDS, left_s)
            under_way = self._fleet.begin(worker)
            pending = self._begin(worker, its_keys, timeout_s)
            self._under_way.append(_Part(worker, its_keys, under_way, pending))
            if len(self._under_way) >= limits.FAN_OUT_CALLS_MAX:
                yield self._under_way[0]
        while self._under_way:
            yield self._under_way[0]

    def _parts(
        self, ranked: dict[str, list[WorkerRecord]], keys: list[str]
    ) -> list[tuple[WorkerRecord, list[str]]]:
        """Return which keys are asked for where."""
        parts: dict[str, tuple[WorkerRecord, list[str]]] = {}
        for key in keys:
            if not ranked[key]:
                raise self._failure
            worker = ranked[key][0]
            parts.setdefault(worker.worker_id, (worker, []))[1].append(key)
        return list(parts.values())

    def _others(
        self, database: str, asked: Mapping[str, list[WorkerRecord]], began_s: float
    ) -> dict[str, list[WorkerRecord]]:
        """Return who is to be asked next for each key, in order.

        The registry is waited for once, however many keys there are.
        """
        others = self._fleet.others_of(database, asked)
        if not all(others.values()) and isinstance(self._failure, UnavailableError):
            others = self._fleet.newcomers_of(database, asked, began_s)
        return others

    def _taken(self, part: _Part[A], again: list[str]) -> Iterator[tuple[str, A | StrongroomError]]:
        """Wait for a call; yield what it answers, and note which keys are to be asked for again."""
        failure: StrongroomError | None = None
        answers: list[A | StrongroomError] = []
        try:
            answers = part.pending.result()
        except StrongroomError as error:
            failure = error
        self._under_way.popleft()
        self._fleet.end(part.under_way, failure)
        if failure is not None:
            self._note(failure)
            again += part.keys
            return
        for key, answer in zip(part.keys, answers, strict=True):
            if isinstance(answer, UnavailableError) and not isinstance(answer, BusyError):
                self._failure = answer
                again.append(key)
            else:
                yield key, answer

    def _note(self, failure: StrongroomError) -> None:
        """Keep a failure that another worker may make good; raise any other one."""
        if isinstance(failure, StaleBindingError):
            raise UnavailableError(failure.detail, retry_after_s=1) from failure
        if isinstance(failure, BusyError) or not isinstance(
            failure, UnavailableError | RateLimitedError
        ):
            raise failure
        self._failure = failure
