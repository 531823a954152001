"""The workers as this process sees them: who is listed, how busy, and who is left alone.

The list is the registry's, the same for every Main Worker. How busy a worker is comes from two
sides: the calls that this process has under way there, and what the worker has told with its last
renewal, less the share of this process in it. Whose circuit is open is this process's own finding.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, TypeVar

from main_api.domain import placement, registry
from main_api.domain.circuit import CLOSED, Circuit
from main_api.domain.registry import WorkerRecord
from main_api.service.ports import ControlStore
from main_api.service.workers.ports import GivenUpError, Probe, WorkerLostError
from strongroom import limits, logs
from strongroom.clock import Clock
from strongroom.errors import StrongroomError
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics
from strongroom.occupancy import Occupancy

T = TypeVar("T")
_OUTCOMES: Final = ("answered", "refused", "lost", "given-up")
_FOR_EVER_MS: Final = 1 << 62
_log = logs.logger()


class _Standing:
    """What is known of one subscription of a worker."""

    __slots__ = ("answered_s", "circuit", "elsewhere", "own", "told_until_ms")

    def __init__(self, clock: Clock) -> None:
        self.own = Occupancy(clock)
        self.elsewhere = 0.0
        self.told_until_ms = 0
        self.circuit: Circuit = CLOSED
        self.answered_s = 0.0

    def take_over(self, record: WorkerRecord) -> None:
        """Read what the worker has told, once for each renewal."""
        if record.lease_until_ms != self.told_until_ms:
            self.told_until_ms = record.lease_until_ms
            self.elsewhere = max(0.0, record.report.load - self.own.mean())

    def load(self) -> float:
        return self.own.under_way + self.elsewhere


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A call to a worker that was begun at a boot time."""

    worker: WorkerRecord
    standing: _Standing
    began_s: float


@dataclass(frozen=True, slots=True)
class RegistryView:
    """The registry as this process has read it last.

    Attributes:
        age_s: How long ago that was; infinite for never.
        lease_until_ms: When the last of the leases in it ends, on some Main Worker's wall clock; 0
            where there is none.
    """

    age_s: float
    lease_until_ms: int


class Fleet:
    """Knows the workers. Safe under threads."""

    def __init__(
        self,
        store: ControlStore,
        clock: Clock,
        probe: Probe,
        run: Callable[[Callable[[], None]], object] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            store: Has the registry.
            clock: Measures.
            probe: Asks a worker for a sign of life.
            run: Runs a probe beside the requests; in a thread of its own where it is not said.
            metrics: Where to count what becomes of calls.
        """
        metrics = metrics or Metrics()
        attempts = metrics.counters(catalogue.DISPATCH_ATTEMPTS)
        self._attempts = {one: attempts.of(one) for one in _OUTCOMES}
        self._openings = metrics.counter(catalogue.CIRCUIT_OPENINGS)
        metrics.read(catalogue.CIRCUITS_OPEN, lambda: len(self._open))
        self._store = store
        self._clock = clock
        self._probe = probe
        self._run = run or _in_a_thread
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._listed: tuple[WorkerRecord, ...] = ()
        self._listed_until_ms = _FOR_EVER_MS
        self._fresh_until_s = 0.0
        self._looked_s = -1.0
        self._standings: dict[tuple[str, str], _Standing] = {}
        self._open: frozenset[tuple[str, str]] = frozenset()

    def live_workers(self) -> tuple[WorkerRecord, ...]:
        """Return the workers whose lease runs and that take requests.

        The view is a quarter of a second old at the most, or as old as the disk is slow: while one
        request reads the registry anew, the others go by what was read before. That nobody is there
        is said by no view older than the request.

        Raises:
            UnavailableError: The disk refuses.
        """
        now_s = self._clock.boot_s()
        if now_s >= self._fresh_until_s:
            self._look(now_s, wait_s=0.0)
        found = self._live()
        if not found:
            self._look(now_s, wait_s=limits.REGISTRY_WAIT_SECONDS)
            found = self._live()
        return found

    def view(self) -> RegistryView:
        """Return what is known of the registry, without a look at it."""
        age_s = self._clock.boot_s() - self._looked_s if self._looked_s >= 0 else inf
        latest_ms = max((one.lease_until_ms for one in self._listed), default=0)
        return RegistryView(age_s, latest_ms)

    def candidates(self, database: str, key: str) -> list[WorkerRecord]:
        """Return the workers in the order in which they are to be asked for a key.

        Those whose circuit is open are left out, unless that leaves nobody.
        """
        ranked = placement.rank(self._asked(), database, key)
        return placement.bounded(ranked, self._load)

    def candidates_of(self, database: str, keys: Iterable[str]) -> dict[str, list[WorkerRecord]]:
        """Return `candidates` of each of many keys."""
        asked = self._asked()
        return {
            key: placement.bounded(placement.rank(asked, database, key), self._load) for key in keys
        }

    def others(self, database: str, key: str, asked: Sequence[WorkerRecord]) -> list[WorkerRecord]:
        """Return the `candidates` but for some, as they are now that these were asked."""
        return self.others_of(database, {key: asked})[key]

    def others_of(
        self, database: str, asked: Mapping[str, Sequence[WorkerRecord]]
    ) -> dict[str, list[WorkerRecord]]:
        """Return `others` of each of many keys, all from one view."""
        ranked = self.candidates_of(database, asked)
        known = {key: {_identity(worker) for worker in workers} for key, workers in asked.items()}
        return {
            key: [one for one in ranked[key] if _identity(one) not in known[key]] for key in asked
        }

    def newcomers(
        self, database: str, key: str, asked: Sequence[WorkerRecord], since_s: float
    ) -> list[WorkerRecord]:
        """Return the `others`, from a look at the registry that began no sooner than `since_s`.

        Raises:
            UnavailableError: The disk refuses.
        """
        return self.newcomers_of(database, {key: asked}, since_s)[key]

    def newcomers_of(
        self, database: str, asked: Mapping[str, Sequence[WorkerRecord]], since_s: float
    ) -> dict[str, list[WorkerRecord]]:
        """Return `newcomers` of each of many keys, from one look; raises as that does."""
        self._look(since_s, wait_s=limits.REGISTRY_WAIT_SECONDS)
        return self.others_of(database, asked)

    def call(
        self, worker: WorkerRecord, attempt: Callable[[WorkerRecord, float], T], timeout_s: float
    ) -> T:
        """Make a call to a worker, and take note of what becomes of it."""
        under_way = self.begin(worker)
        failure: StrongroomError | None = None
        try:
            return attempt(worker, timeout_s)
        except StrongroomError as error:
            failure = error
            raise
        finally:
            self.end(under_way, failure)

    def begin(self, worker: WorkerRecord) -> UnderWay:
        """Count a call to a worker; `end` has to follow."""
        standing = self._standing(worker)
        standing.own.begin()
        return UnderWay(worker, standing, self._clock.boot_s())

    def end(self, under_way: UnderWay, failure: StrongroomError | None) -> None:
        """Take note of what has become of a call."""
        standing = under_way.standing
        standing.own.end()
        self._attempts[_outcome(failure)].add()
        if isinstance(failure, GivenUpError):
            return
        if not isinstance(failure, WorkerLostError):
            self._answered(under_way.worker, standing)
        elif not failure.timed_out or self._is_silent(under_way):
            self._lost(under_way.worker, standing)

    def _is_silent(self, under_way: UnderWay) -> bool:
        """Tell whether a call that was not answered in time shows that its worker answers nobody.

        It does not where others were answered meanwhile, nor where its client's own deadline was a
        short one: else a client could have the workers left alone.
        """
        waited_s = self._clock.boot_s() - under_way.began_s
        answered = under_way.standing.answered_s > under_way.began_s
        return waited_s >= limits.WORKER_SILENT_SECONDS and not answered

    def _asked(self) -> Sequence[WorkerRecord]:
        workers = self.live_workers()
        if self._open:
            return [one for one in workers if self._is_asked(one)] or workers
        return workers

    def _look(self, since_s: float, wait_s: float) -> None:
        """Read the registry, if nobody has begun to do so since; wait for who is at it."""
        if not self._reading.acquire(timeout=wait_s):
            return
        try:
            if self._looked_s < since_s:
                self._read()
        finally:
            self._reading.release()

    def _live(self) -> tuple[WorkerRecord, ...]:
        now_ms = self._clock.wall_ms()
        if now_ms < self._listed_until_ms:
            return self._listed
        return tuple(record for record in self._listed if record.is_live(now_ms))

    def _read(self) -> None:
        looked_s = self._clock.boot_s()
        revoked = frozenset(self._store.revocations.names())
        available = registry.available(self._store.workers(), revoked, self._clock.wall_ms())
        with self._lock:
            known = {_identity(record): record for record in available}
            self._standings = {
                identity: self._standings.get(identity) or _Standing(self._clock)
                for identity in known
            }
            for identity, record in known.items():
                self._standings[identity].take_over(record)
            self._open &= known.keys()
        self._listed = available
        self._listed_until_ms = min((one.lease_until_ms for one in available), default=_FOR_EVER_MS)
        self._looked_s = looked_s
        self._fresh_until_s = self._clock.boot_s() + limits.REGISTRY_REFRESH_SECONDS

    def _standing(self, worker: WorkerRecord) -> _Standing:
        identity = _identity(worker)
        standing = self._standings.get(identity)
        if standing is None:
            # It has left the registry since it was chosen.
            with self._lock:
                standing = self._standings.setdefault(identity, _Standing(self._clock))
        return standing

    def _load(self, worker: WorkerRecord) -> float:
        return self._standing(worker).load()

    def _is_asked(self, worker: WorkerRecord) -> bool:
        """Tell whether a circuit is closed; have it probed when that is due."""
        standing = self._standing(worker)
        if standing.circuit.is_closed:
            return True
        if standing.circuit.is_due(self._clock.boot_s()):
            with self._lock:
                if not standing.circuit.is_due(self._clock.boot_s()):
                    return False
                standing.circuit = standing.circuit.probed()
            self._run(lambda: self._find_out(worker, standing))
        return standing.circuit.is_closed

    def _find_out(self, worker: WorkerRecord, standing: _Standing) -> None:
        try:
            self._probe(worker, limits.PROBE_SECONDS)
        except WorkerLostError:
            with self._lock:
                standing.circuit = standing.circuit.probe_failed(self._clock.boot_s())
        except StrongroomError:
            self._answered(worker, standing)
        else:
            self._answered(worker, standing)

    def _lost(self, worker: WorkerRecord, standing: _Standing) -> None:
        with self._lock:
            was_closed = standing.circuit.is_closed
            standing.circuit = standing.circuit.lost(self._clock.boot_s())
            self._open |= {_identity(worker)}
        if was_closed:
            self._openings.add()
            _log.warning("worker-lost", worker_id=worker.worker_id)

    def _answered(self, worker: WorkerRecord, standing: _Standing) -> None:
        standing.answered_s = self._clock.boot_s()
        if not standing.circuit.is_closed:
            with self._lock:
                standing.circuit = CLOSED
                self._open -= {_identity(worker)}
            _log.info("worker-back", worker_id=worker.worker_id)


def _outcome(failure: StrongroomError | None) -> str:
    """Return what has become of a call, in a word."""
    if failure is None:
        return "answered"
    if isinstance(failure, GivenUpError):
        return "given-up"
    return "lost" if isinstance(failure, WorkerLostError) else "refused"


def _identity(worker: WorkerRecord) -> tuple[str, str]:
    """Return what names a subscription: a worker that has come anew starts with a clean slate."""
    return worker.worker_id, worker.subscription_id


def _in_a_thread(probe: Callable[[], None]) -> None:
    threading.Thread(target=probe, name="probe", daemon=True).start()
