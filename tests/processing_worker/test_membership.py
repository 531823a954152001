"""A worker comes into service, and what takes it out again at once, whatever else is under way."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from processing_fn.rpc import server
from processing_fn.rpc.processing_service import ProcessingService
from processing_fn.service import readiness
from processing_fn.service.engine import Engine
from processing_fn.service.instruments import Instruments
from processing_fn.service.membership import Membership
from processing_fn.service.ports import (
    NO_REPORT,
    Renewal,
    Subscription,
    Vended,
    WorkerReport,
)
from processing_fn.service.session import Session
from processing_fn.service.traffic import Traffic
from strongroom import keyring
from strongroom.clock import SystemClock
from strongroom.crypto import secret
from strongroom.durable import LocalFilesystem, open_or_make_directory
from strongroom.errors import (
    ForbiddenError,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.keyring import WORKER_PURPOSES, Purpose
from strongroom.layout import Layout
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics
from strongroom.readiness import Name
from strongroom.rpc import tls
from tests.support.deployment import wait_until
from tests.support.engines import AT, Rig
from tests.support.held_identities import live, mutual_channel
from tests.support.rpc_mains import Pki

PATIENCE_S = 30


class ScriptedWatch:
    """An event stream that tells one generation, and ends as the test says."""

    def __init__(self) -> None:
        """Stay open."""
        self.ended = threading.Event()
        self.error: StrongroomError | None = None

    def __iter__(self) -> Iterator[int]:
        """Yield a generation, and wait for the end."""
        yield 1
        self.ended.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error

    def cancel(self) -> None:
        """End it."""
        self.ended.set()

    def end(self, error: StrongroomError) -> None:
        """End it with an error."""
        self.error = error
        self.ended.set()


class ScriptedMain:
    """A `MainWorker` whose renewals may hang."""

    def __init__(self, lease_s: float) -> None:
        """Grant leases of some length."""
        self.keys = keyring.new("test-deployment", AT)
        self.lease_s = lease_s
        self.clock = SystemClock()
        self.watches: list[ScriptedWatch] = []
        self.renewals_answered = threading.Event()
        self.renewals_answered.set()
        self.renewing = threading.Event()
        self.subscriptions = self.renewals_done = 0
        self.reports: list[WorkerReport] = []
        self.left = threading.Event()
        self.refusal: StrongroomError | None = None
        self.renewal_refusal: StrongroomError | None = None

    def subscribe(self) -> Subscription:
        """Vend the keys."""
        if self.refusal is not None:
            raise self.refusal
        self.subscriptions += 1
        keys = self.keys.of(WORKER_PURPOSES)
        return Subscription("test-deployment", "token", self.lease_s, keys, self.clock.wall_ms())

    def register(self, token: str, address: str, report: WorkerReport = NO_REPORT) -> Renewal:
        """List the worker."""
        del token, address
        self.reports.append(report)
        return self._renewal()

    def renew(
        self,
        token: str,
        key_id: str,
        generation: int,
        written_bytes: int = 0,
        report: WorkerReport = NO_REPORT,
    ) -> Renewal:
        """Extend the lease, once renewals are answered."""
        del token, key_id, generation, written_bytes
        self.reports.append(report)
        if self.renewal_refusal is not None:
            raise self.renewal_refusal
        self.renewing.set()
        self.renewals_answered.wait(PATIENCE_S)
        renewal = self._renewal()
        self.renewals_done += 1
        return renewal

    def watch(self, token: str) -> ScriptedWatch:
        """Open the stream."""
        del token
        self.watches.append(ScriptedWatch())
        return self.watches[-1]

    def fetch_keys(self, token: str) -> Vended:
        """Vend the keys."""
        del token
        return Vended(self.keys.of(WORKER_PURPOSES), self.keys.generation)

    def leave(self, token: str) -> None:
        """List it no longer."""
        del token
        self.left.set()

    def _renewal(self) -> Renewal:
        return Renewal("token", self.lease_s, self.clock.wall_ms())


class Running:
    """A membership that runs in a thread."""

    def __init__(self, rig: Rig, main: ScriptedMain) -> None:
        """Start it, and wait until it is in service."""
        self.main = main
        self.sessions: list[Session] = []
        self.registered = threading.Event()
        self._rig = rig
        self.traffic = Traffic(SystemClock())
        self.hung_up = threading.Event()
        self.metrics = Metrics()
        self.membership = Membership(
            "worker-1",
            main,
            self._engine,
            SystemClock(),
            traffic=self.traffic,
            report=lambda: WorkerReport(load=0.5, version="0.1.0"),
            instruments=Instruments(self.metrics),
        )
        self._thread = threading.Thread(
            target=self.membership.run,
            args=("address", self.registered.set, self.hung_up.set),
        )
        self._thread.start()
        assert self.registered.wait(PATIENCE_S)

    def _engine(self, session: Session) -> Engine:
        self.sessions.append(session)
        return self._rig.worker(session=session).engine

    def is_in_service(self) -> bool:
        """Tell whether it serves."""
        try:
            self.membership.engine()
        except UnavailableError:
            return False
        return True

    def has_forgotten(self) -> bool:
        """Tell whether the keys of the first session are overwritten."""
        first = self.sessions[0]
        held = (*first.secrets, first.data_keys.active()[1])
        return all(_is_overwritten(one) for one in held)

    def stop(self) -> None:
        """End it."""
        self.main.renewals_answered.set()
        self.membership.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def _is_overwritten(held: secret.Material) -> bool:
    try:
        return not secret.use(held, bytes)
    except UnavailableError:
        return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[ScriptedMain], Running]]:
    """Return what starts a worker; it is stopped at the end of the test."""
    started: list[Running] = []
    rig = Rig(tmp_path, clock=SystemClock())

    def make(main: ScriptedMain) -> Running:
        started.append(Running(rig, main))
        return started[-1]

    yield make
    for running in started:
        running.stop()
    rig.close()


def test_keys_go_with_the_lease_while_a_renewal_hangs(
    start: Callable[[ScriptedMain], Running],
) -> None:
    """A worker that is cut off keeps its keys for as long as its call to nobody takes."""
    main = ScriptedMain(lease_s=0.6)
    main.renewals_answered.clear()
    running = start(main)
    assert main.renewing.wait(PATIENCE_S)
    assert wait_until(running.has_forgotten, PATIENCE_S)
    assert not running.is_in_service()
    assert not main.renewals_answered.is_set()
    assert main.subscriptions == 1
    # An answer that comes too late is the answer to a lease that is over: it begins anew.
    main.lease_s = 60
    main.renewals_answered.set()
    assert wait_until(lambda: main.subscriptions == 2 and running.is_in_service(), PATIENCE_S)
    assert running.has_forgotten()


@pytest.mark.parametrize("error", [ForbiddenError("revoked"), UnauthenticatedError("over")])
def test_keys_go_when_the_stream_is_refused(
    start: Callable[[ScriptedMain], Running], error: StrongroomError
) -> None:
    """A revoked worker keeps its keys until its next renewal, or its end if nobody answers it."""
    main = ScriptedMain(lease_s=3_600)
    running = start(main)
    assert main.renewing.wait(PATIENCE_S), "the keys are confirmed; the next renewal is far away"
    main.renewing.clear()
    main.refusal = error
    main.watches[0].end(error)
    assert wait_until(running.has_forgotten, PATIENCE_S)
    assert not running.is_in_service()
    assert not main.renewing.is_set(), "it was not a renewal that has told"
    main.refusal = None
    assert wait_until(running.is_in_service, PATIENCE_S)
    assert main.subscriptions == 2


def test_a_stream_that_breaks_is_opened_anew(start: Callable[[ScriptedMain], Running]) -> None:
    """A Main Worker that is restarted takes every worker out of service."""
    main = ScriptedMain(lease_s=3_600)
    running = start(main)
    assert wait_until(lambda: bool(main.watches), PATIENCE_S)
    main.watches[0].end(UnavailableError("restarted"))
    assert wait_until(lambda: len(main.watches) > 1, PATIENCE_S)
    assert running.is_in_service()
    assert not running.has_forgotten()


def test_a_worker_that_stops_forgets(start: Callable[[ScriptedMain], Running]) -> None:
    """Keys outlive the worker's service, in a process that takes its time to end."""
    running = start(ScriptedMain(lease_s=3_600))
    assert not running.has_forgotten()
    running.stop()
    assert running.has_forgotten()


def test_a_worker_tells_of_itself(start: Callable[[ScriptedMain], Running]) -> None:
    """Main Workers know nothing of how busy a worker is, or what it runs."""
    main = ScriptedMain(lease_s=0.6)
    start(main)
    assert wait_until(lambda: len(main.reports) > 2, PATIENCE_S)
    assert set(main.reports) == {WorkerReport(load=0.5, version="0.1.0")}


def test_a_worker_that_stops_says_so_first_and_finishes_what_it_has_begun(
    start: Callable[[ScriptedMain], Running],
) -> None:
    """A deployment that replaces its workers one by one fails the requests at hand."""
    main = ScriptedMain(lease_s=3_600)
    running = start(main)
    begun, ended = threading.Event(), threading.Event()

    def serve() -> None:
        with running.traffic:
            begun.set()
            assert ended.wait(PATIENCE_S)

    call = threading.Thread(target=serve)
    call.start()
    assert begun.wait(PATIENCE_S)
    running.membership.stop()
    assert wait_until(lambda: main.reports[-1].is_draining, PATIENCE_S)
    with running.traffic:
        assert running.is_in_service(), "who has not heard of it yet is served"

    def refuses() -> bool:
        try:
            with running.traffic:
                return False
        except UnavailableError:
            return True

    assert wait_until(refuses, PATIENCE_S)
    assert running.is_in_service(), "what was begun has its keys"
    assert not main.left.is_set()
    ended.set()
    assert main.left.wait(PATIENCE_S)
    assert running.hung_up.wait(PATIENCE_S)
    assert wait_until(running.has_forgotten, PATIENCE_S)
    call.join(PATIENCE_S)


def test_a_worker_that_stops_has_the_lease_that_it_has_asked_for(
    start: Callable[[ScriptedMain], Running],
) -> None:
    """What was begun before a stop loses its keys midway, at the end of the lease before."""
    main = ScriptedMain(lease_s=3_600)
    running = start(main)
    assert main.renewing.wait(PATIENCE_S), "the first renewal confirms the keys"
    lease = running.sessions[0].lease
    assert wait_until(lambda: main.renewals_done == 1, PATIENCE_S)
    main.lease_s = 7_200
    with running.traffic:
        running.membership.stop()
        assert wait_until(lambda: main.renewals_done == 2, PATIENCE_S)
        assert wait_until(lambda: lease.left_s() > 7_000, PATIENCE_S)
    assert main.left.wait(PATIENCE_S)


def test_a_worker_that_cannot_say_so_leaves_all_the_same(
    start: Callable[[ScriptedMain], Running],
) -> None:
    """While no Main Worker answers, a worker cannot be stopped."""
    main = ScriptedMain(lease_s=3_600)
    running = start(main)
    assert main.renewing.wait(PATIENCE_S), "the first renewal confirms the keys"

    main.renewal_refusal = UnavailableError("nobody is there")
    running.stop()
    assert main.left.is_set()
    assert running.has_forgotten()


def test_a_lease_that_is_not_renewed_shows_in_the_figures(
    start: Callable[[ScriptedMain], Running],
) -> None:
    """A worker is about to forget its keys, and the first to notice are its clients."""
    main = ScriptedMain(lease_s=1.5)
    running = start(main)
    membership = running.membership

    def counted(metric: catalogue.Metric) -> float:
        return running.metrics.counter(metric).value()

    assert wait_until(lambda: main.renewals_done > 1, PATIENCE_S)
    assert 0 < membership.lease_left_s() <= 1.5
    assert membership.active_key_age_s() > 0
    assert counted(catalogue.RENEWAL_FAILURES) == 0
    assert counted(catalogue.SUBSCRIPTION_FAILURES) == 0
    main.refusal = main.renewal_refusal = UnavailableError("nobody is there")
    assert wait_until(lambda: counted(catalogue.RENEWAL_FAILURES) > 1, PATIENCE_S)
    assert wait_until(lambda: counted(catalogue.SUBSCRIPTION_FAILURES) > 1, PATIENCE_S)
    assert membership.lease_left_s() == 0
    assert membership.lease_age_s() > 1.5
    with pytest.raises(UnavailableError):
        membership.active_key_age_s()
    main.refusal = main.renewal_refusal = None
    assert wait_until(running.is_in_service, PATIENCE_S)
    assert wait_until(lambda: membership.lease_age_s() < 1.5, PATIENCE_S)


def test_a_worker_serves_with_the_keys_of_the_moment_it_was_listed(
    start: Callable[[ScriptedMain], Running],
) -> None:
    """A rotation between subscription and registration leaves a worker under the old key.

    Whoever waits for all workers has not seen it, and destroys the key that it writes under.
    """
    main = ScriptedMain(lease_s=3_600)
    made = keyring.new_key(Purpose.DATA, AT)
    register = main.register

    def register_and_rotate(token: str, address: str, report: WorkerReport = NO_REPORT) -> Renewal:
        main.keys = keyring.with_active(main.keys, made)
        return register(token, address, report)

    def refuse_to_watch(token: str) -> ScriptedWatch:
        raise UnavailableError(f"no stream for {token}")

    main.register = register_and_rotate  # type: ignore[method-assign]
    main.watch = refuse_to_watch  # type: ignore[method-assign]
    running = start(main)
    assert running.sessions[0].data_keys.active()[0] == made.key_id


def test_health_says_whether_the_worker_serves_and_what_is_in_the_way(
    start: Callable[[ScriptedMain], Running], tmp_path: Path
) -> None:
    """Whoever looks at a worker sees that its process lives, and not that it serves nobody."""
    pki = Pki.make(tmp_path / "pki", ["worker-1"])
    identity, layout = live(pki.workers["worker-1"]), Layout(tmp_path)
    main = ScriptedMain(lease_s=3_600)
    running = start(main)
    filesystem = LocalFilesystem()
    filesystem.close(open_or_make_directory(filesystem, str(layout.keyring().parent)))
    checkup = readiness.checkup(running.membership, filesystem, layout, identity, SystemClock())
    assert {found.name: found.reason for found in checkup.findings()} == {
        Name.LEASE: None,
        Name.CLOCK: None,
        Name.STORAGE_READ: None,
        Name.STORAGE_WRITE: None,
        Name.CERTIFICATE: None,
    }
    servicer, stopped = health.HealthServicer(), threading.Event()
    service = ProcessingService(running.membership.engine, dict, lambda: None)
    grpc_server, port = server.start(service, identity, "127.0.0.1:0", servicer=servicer)
    following = threading.Thread(target=server.follow_health, args=(servicer, checkup, stopped))
    following.start()
    channel = mutual_channel(pki.main, f"127.0.0.1:{port}", tls.worker_name("worker-1"))
    stub: Any = health_pb2_grpc.HealthStub(channel)

    def serves(name: str) -> bool:
        asked = health_pb2.HealthCheckRequest(service=name)
        answer = stub.Check(asked, timeout=PATIENCE_S, wait_for_ready=True)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    try:
        assert all(serves(name) for name in ("", server.SERVICE, "readiness", "readiness.lease"))
        main.refusal = UnauthenticatedError("revoked")
        running.membership.leave_service()
        assert wait_until(lambda: not serves(server.SERVICE), PATIENCE_S)
        assert not serves("readiness.lease")
        assert serves("readiness.storage-read")
        assert serves("")
    finally:
        stopped.set()
        following.join(PATIENCE_S)
        channel.close()
        grpc_server.stop(None).wait()
