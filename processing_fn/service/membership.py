"""How a worker comes into service and stays in it: subscribe, register, renew, or forget.

A lease counts from the moment that its request was sent, so the worker never believes in it for
longer than the Main Worker does. When it ends without a renewal, or the worker was revoked, keys
and documents are dropped at once, whatever else is under way, and the worker starts anew with a
subscription (design.md section 4).
"""

import threading
from collections.abc import Callable
from dataclasses import replace

from processing_fn.service.engine import Engine
from processing_fn.service.instruments import Instruments
from processing_fn.service.key_following import KeyFollower
from processing_fn.service.lease_end import LeaseEnd
from processing_fn.service.ports import MainWorker, Renewal, Subscription, WorkerReport
from processing_fn.service.session import Lease, Session, open_session
from processing_fn.service.traffic import Traffic
from processing_fn.service.written import WrittenBytes
from strongroom import limits, logs
from strongroom.clock import Clock, from_rfc3339
from strongroom.errors import (
    ForbiddenError,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)

_RETRY_FIRST_S = 0.1
_RETRY_LONGEST_S = 2.0
_log = logs.logger()


class Membership:
    """Holds the engine in force; `run` is the worker's main loop."""

    def __init__(
        self,
        worker_id: str,
        main: MainWorker,
        make_engine: Callable[[Session], Engine],
        clock: Clock,
        follow: Callable[[tuple[str, ...], str], None] = lambda *_: None,
        *,
        traffic: Traffic | None = None,
        report: Callable[[], WorkerReport] = WorkerReport,
        instruments: Instruments | None = None,
    ) -> None:
        """Start without an engine.

        Args:
            worker_id: Its id.
            main: Who gives it its keys.
            make_engine: Makes an engine of them.
            clock: Measures the lease.
            follow: Is told of the Main Workers, with the newest token.
            traffic: The calls that it serves.
            report: What it tells of itself.
            instruments: What it counts with.
        """
        self._follow = follow
        self._traffic = traffic or Traffic(clock)
        self._report = report
        self._instruments = instruments or Instruments()
        self._worker_id = worker_id
        self._main = main
        self._make_engine = make_engine
        self._clock = clock
        self._engine: Engine | None = None
        self._session: Session | None = None
        self._renewed_s = clock.boot_s()
        self._dropping = threading.Lock()
        self._stopping = threading.Event()
        self._due = threading.Event()
        self._pause = threading.Event()
        self._token = ""
        self._broken = False
        self.skew_ms: int | None = None
        """How far this machine's clock is off the Main Worker's, as it was told last."""

    def engine(self) -> Engine:
        """Return the engine in force.

        Raises:
            UnavailableError: The worker has no subscription now, or has left service.
        """
        engine = self._engine
        if engine is None:
            raise UnavailableError("this worker has no subscription", retry_after_s=1)
        return engine

    def lease_left_s(self) -> float:
        """Return how long the lease still runs, 0 without one."""
        session = self._session
        return 0.0 if session is None or self._engine is None else session.lease.left_s()

    @property
    def token(self) -> str:
        """The newest token of the subscription; of no use when its lease has ended."""
        return self._token

    def lease_age_s(self) -> float:
        """Return since when the lease was not renewed; before the first, since the start."""
        return self._clock.boot_s() - self._renewed_s

    def active_key_age_s(self) -> float:
        """Return the age of the data key that is written under.

        Raises:
            UnavailableError: There is no subscription now.
        """
        session = self._session
        if session is None or session.lease.has_ended():
            raise UnavailableError("this worker has no subscription", retry_after_s=1)
        made_ms = from_rfc3339(session.data_keys.active_made_at())
        return (self._clock.wall_ms() - made_ms) / 1000

    def stop(self) -> None:
        """Leave at the next opportunity; `run` returns."""
        self._stopping.set()
        self._due.set()

    def leave_service(self) -> None:
        """Serve nothing any more: the disk has failed in the middle of a write."""
        self._broken = True
        self._drop(self._engine)
        self.stop()

    def run(
        self, address: str, on_registered: Callable[[], None], hang_up: Callable[[], object]
    ) -> bool:
        """Keep the worker in service until `stop`; tell whether it ended in good health.

        Args:
            address: Where Main Workers reach it.
            on_registered: Called each time that it has come into service.
            hang_up: Ends its connections; called when it has served its last call and is no longer
                listed, and before its keys are dropped.
        """
        pause = _RETRY_FIRST_S
        while not self._stopping.is_set():
            try:
                self._serve_one_subscription(address, on_registered)
                hang_up()
                pause = _RETRY_FIRST_S
            except StrongroomError as error:
                self._instruments.subscription_failures.add()
                _log.warning("subscription-failed", code=error.code, reason=error.detail)
                self._stopping.wait(pause)
                pause = min(2 * pause, _RETRY_LONGEST_S)
            finally:
                self._drop(self._engine)
        return not self._broken

    def _serve_one_subscription(self, address: str, on_registered: Callable[[], None]) -> None:
        session, token = self._subscribe()
        engine = self._make_engine(session)

        def drop() -> None:
            self._drop(engine)
            self._due.set()

        follower = KeyFollower(session, self._main, lambda: self._token, self._due.set, drop)
        try:
            renewal = self._main.register(token, address, self._report())
            self._token = renewal.token
            self._follow(renewal.main_addresses, renewal.token)
            # From here on a rotation waits for this worker's confirmation. One before that may have
            # made the subscription's keys old: nothing is written before they were asked for anew.
            follower.fetch()
        except BaseException:
            engine.forget()
            raise
        # In this order: who finds an engine asks for the lease.
        self._session = session
        self._engine = engine
        _log.info("registered", worker_id=self._worker_id, address=address)
        on_registered()
        lease_end = LeaseEnd(session.lease, drop)
        follower.start()
        lease_end.start()
        try:
            self._renew_until_the_end(renewal, session.lease, follower, session.written)
            if not self._broken:
                self._drain(session.lease, follower, session.written)
        finally:
            follower.stop()
            lease_end.stop()
        self._leave()

    def _subscribe(self) -> tuple[Session, str]:
        """Return a session, which from now on holds the only copy of the keys, and its token."""
        asked_at_s = self._clock.boot_s()
        subscription = self._main.subscribe()
        self._check_clock(subscription, asked_at_s)
        lease = Lease(self._clock, asked_at_s + subscription.lease_s)
        self._renewed_s = asked_at_s
        deployment, keys = subscription.deployment, subscription.keys
        session = open_session(deployment, self._worker_id, lease, keys, self._instruments)
        return session, subscription.token

    def _drain(self, lease: Lease, follower: KeyFollower, written: WrittenBytes) -> None:
        """Finish what was begun: say that nothing more is wanted, take no more, wait for the last.

        The lease that is asked for here outlives this: see `limits`.
        """
        try:
            key_id, generation = follower.confirmed
            report = replace(self._report(), is_draining=True)
            told = written.untold(key_id)
            asked_at_s = self._clock.boot_s()
            renewal = self._main.renew(self._token, key_id, generation, told, report)
            self._token = renewal.token
            written.told(key_id, told)
            lease.require()
            lease.extend(asked_at_s + renewal.lease_s)
        except StrongroomError as error:
            # It refuses what is asked of it all the same, and another worker is asked then.
            _log.warning("draining-not-announced", code=error.code, reason=error.detail)
        if not self._traffic.is_quiet():
            self._pause.wait(limits.DRAIN_ANNOUNCED_SECONDS)
        self._traffic.close()
        if not self._traffic.wait_for_the_last(limits.DRAIN_SECONDS):
            _log.warning("calls-cut-off", worker_id=self._worker_id)

    def _leave(self) -> None:
        try:
            self._main.leave(self._token)
        except StrongroomError as error:
            # The lease ends by itself soon; what is at hand can be finished all the same.
            _log.warning("leave-failed", code=error.code, reason=error.detail)

    def _renew_until_the_end(
        self, renewal: Renewal, lease: Lease, follower: KeyFollower, written: WrittenBytes
    ) -> None:
        """Renew until `stop`, at once when there is a key to confirm.

        Raises:
            UnauthenticatedError, ForbiddenError, UnavailableError: The lease has ended, or is
                refused.
        """
        pause = renewal.lease_s / limits.LEASE_RENEWALS_PER_LEASE
        while not self._is_stopped_within(pause):
            # Its end, or a revocation, may have been noticed elsewhere; then the keys are gone.
            lease.require()
            asked_at_s = self._clock.boot_s()
            try:
                key_id, generation = follower.confirmed
                told = written.untold(key_id)
                renewal = self._main.renew(self._token, key_id, generation, told, self._report())
                self._token = renewal.token
                self._follow(renewal.main_addresses, renewal.token)
                written.told(key_id, told)
                self._check_clock(renewal, asked_at_s)
                lease.require()
                lease.extend(asked_at_s + renewal.lease_s)
                self._renewed_s = asked_at_s
                pause = renewal.lease_s / limits.LEASE_RENEWALS_PER_LEASE
            except (UnauthenticatedError, ForbiddenError):
                raise
            except StrongroomError as error:
                self._instruments.renewal_failures.add()
                _log.warning("renewal-failed", code=error.code, reason=error.detail)
                lease.require()
                pause = _RETRY_FIRST_S

    def _is_stopped_within(self, seconds: float) -> bool:
        self._due.wait(seconds)
        if not self._stopping.is_set():
            self._due.clear()
        return self._stopping.is_set()

    def _check_clock(self, answer: Subscription | Renewal, asked_at_s: float) -> None:
        """Leave service with a clock that is off: expiry follows it (design.md section 3).

        Raises:
            UnavailableError: More than `limits.CLOCK_SKEW_MS_MAX` off the Main Worker's.
        """
        travelled_ms = (self._clock.boot_s() - asked_at_s) * 1000
        skew_ms = abs(self._clock.wall_ms() - answer.wall_ms)
        self.skew_ms = round(max(0.0, skew_ms - travelled_ms))
        if skew_ms > limits.CLOCK_SKEW_MS_MAX + travelled_ms:
            self._drop(self._engine)
            raise UnavailableError(f"this machine's clock is {skew_ms} ms off the Main Worker's")

    def _drop(self, engine: Engine | None) -> None:
        """Let an engine forget what it has; it is in force no longer."""
        with self._dropping:
            if self._engine is engine:
                self._engine = None
        if engine is not None:
            engine.forget()
            _log.info("keys-forgotten", worker_id=self._worker_id)
