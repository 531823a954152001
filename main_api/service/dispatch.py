"""Which worker, and what if it fails: ranking, attempts, the end of patience."""

import threading
from collections.abc import Callable
from typing import TypeVar

from main_api.domain import placement, registry
from main_api.domain.registry import WorkerRecord
from main_api.service.ports import ControlStore, WorkerLostError
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

T = TypeVar("T")
Attempt = Callable[[WorkerRecord, float], T]


class Dispatcher:
    """Knows the live workers and calls one after the other. Safe under threads."""

    def __init__(self, store: ControlStore, clock: Clock) -> None:
        """Read nothing yet."""
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._workers: tuple[WorkerRecord, ...] = ()
        self._revoked: frozenset[str] = frozenset()
        self._fresh_until_s = 0.0

    def live_workers(self) -> tuple[WorkerRecord, ...]:
        """Return the workers whose lease runs, from a view at most a quarter of a second old."""
        with self._lock:
            if self._clock.boot_s() >= self._fresh_until_s:
                self._workers = tuple(self._store.workers())
                self._revoked = frozenset(self._store.revocations.names())
                self._fresh_until_s = self._clock.boot_s() + limits.REGISTRY_REFRESH_SECONDS
            return registry.live(self._workers, self._revoked, self._clock.wall_ms())

    def read(self, database: str, key: str, attempt: Attempt[T]) -> T:
        """Call the best worker for a key; the next one when it fails.

        Raises:
            UnavailableError: No worker can serve now; also what a worker answers.
        """
        return self._call(database, key, attempt, limits.READ_ATTEMPT_SECONDS)

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

    def inspect(self, attempt: Attempt[T]) -> T:
        """Call any worker for something that takes its time; the next one when it fails."""
        return self._call("", "", attempt, limits.WRITE_ATTEMPT_SECONDS)

    def _call(self, database: str, key: str, attempt: Attempt[T], attempt_s: float) -> T:
        ends_at_s = self._clock.boot_s() + limits.REQUEST_SECONDS
        failure: StrongroomError = UnavailableError(
            "no worker can serve the request now", retry_after_s=1
        )
        for worker in placement.rank(self.live_workers(), database, key):
            left_s = ends_at_s - self._clock.boot_s()
            if left_s <= 0:
                break
            try:
                return attempt(worker, min(attempt_s, left_s))
            except BusyError:
                raise
            except StaleBindingError as error:
                # The database was changed between our look at it and the worker's.
                raise UnavailableError(error.detail, retry_after_s=1) from error
            except (UnavailableError, RateLimitedError) as error:
                failure = error
        raise failure
