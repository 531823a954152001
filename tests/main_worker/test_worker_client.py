"""Calls to Processing Workers: one contract for the fake and for gRPC to a real engine."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import pytest

from main_api.adapters.processing_workers import GrpcWorkers
from main_api.domain.registry import WorkerRecord
from main_api.service.requests import patience
from main_api.service.requests.patience import Patience
from main_api.service.workers.ports import (
    Found,
    GivenUpError,
    PageRequest,
    WorkerClient,
    WorkerLostError,
    WriteItem,
    WriteKind,
    Written,
)
from processing_fn.rpc import server
from processing_fn.rpc.processing_service import ProcessingService
from processing_fn.service.engine import Engine
from strongroom import limits
from strongroom.clock import SystemClock
from strongroom.configuration import Database
from strongroom.entity import UNCONDITIONAL, Condition
from strongroom.errors import (
    IdempotencyMismatchError,
    InternalError,
    NotFoundError,
    PreconditionFailedError,
    SchemaViolationError,
    StaleBindingError,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom_pb.v1 import processing_pb2, processing_pb2_grpc
from tests.support.clocks import ManualClock
from tests.support.engines import AT, Rig
from tests.support.held_identities import live
from tests.support.main_fakes import MemoryWorkers, a_worker
from tests.support.rpc_mains import SECONDS, Pki

DATABASE = Database(name="people", incarnation="00" * 16, schema_id="person.v1", created_at=AT)


@dataclass
class Bench:
    """A worker client and a worker that it reaches."""

    client: WorkerClient
    worker: WorkerRecord
    database: Database = DATABASE

    def put(
        self,
        key: str,
        document: bytes = b"{}",
        condition: Condition = UNCONDITIONAL,
        request_id: str = "",
        ttl_seconds: int | None = None,
    ) -> Written:
        """Put an entity."""
        return self.write(
            WriteItem(WriteKind.PUT, key, document, "", condition, request_id, ttl_seconds)
        )

    def delete(
        self, key: str, condition: Condition = UNCONDITIONAL, request_id: str = ""
    ) -> Written:
        """Delete an entity."""
        return self.write(
            WriteItem(WriteKind.DELETE, key, condition=condition, request_id=request_id)
        )

    def write(self, item: WriteItem) -> Written:
        """Write an entity."""
        return self.client.write(self.worker, self.database, item, SECONDS)

    def get(self, key: str, known: int = 0) -> Found:
        """Get an entity."""
        return self.client.get(self.worker, self.database, key, known, SECONDS)


@dataclass
class Served:
    """A real engine behind a real server."""

    rig: Rig
    pki: Pki
    engine: Callable[[], Engine]
    worker: WorkerRecord


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return the deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"), ["worker-1", "worker-2"])


@pytest.fixture
def served(tmp_path: Path, pki: Pki) -> Iterator[Served]:
    """Serve an engine as worker-1."""
    rig = Rig(tmp_path)
    engine = rig.worker().engine
    holder = Served(rig, pki, lambda: engine, a_worker("worker-1"))
    # A lambda, because a test may put another engine in its place.
    service = ProcessingService(
        lambda: holder.engine(),  # noqa: PLW0108
        lambda: {"hits": 3},
        lambda: None,
    )
    grpc_server, port = server.start(service, live(pki.workers["worker-1"]), "127.0.0.1:0")
    holder.worker = a_worker("worker-1", address=f"127.0.0.1:{port}")
    yield holder
    grpc_server.stop(None).wait()


@pytest.fixture
def workers(served: Served) -> Iterator[GrpcWorkers]:
    """Return the client that a Main Worker has."""
    client = GrpcWorkers(live(served.pki.main))
    yield client
    client.close()


@pytest.fixture(params=["fake", "grpc"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Return a worker client with an empty database."""
    if request.param == "fake":
        return Bench(MemoryWorkers(ManualClock()), a_worker("worker-1"))
    served: Served = request.getfixturevalue("served")
    return Bench(request.getfixturevalue("workers"), served.worker)


# -- the contract ----------------------------------------------------------------------------------


def test_what_was_put_is_got(bench: Bench) -> None:
    """Between the two workers a document changes."""
    document = '{ "n" : 1.50, "grüße": "😀" }'.encode()
    written = bench.put("kéy", document)
    assert (written.key, written.created, written.metadata.version) == ("kéy", True, 1)
    assert (written.metadata.schema_id, written.metadata.expires_at) == ("person.v1", None)
    assert bench.get("kéy") == Found("kéy", document, written.metadata)
    assert bench.get("kéy", known=1) == Found("kéy", b"", written.metadata, not_modified=True)
    again = bench.put("kéy")
    assert (again.created, again.metadata.version) == (False, 2)
    assert again.metadata.created_at == written.metadata.created_at


def test_a_lifetime_arrives(bench: Bench) -> None:
    """An entity that should expire never does."""
    assert bench.put("k", ttl_seconds=60).metadata.expires_at == "2027-01-15T08:01:00.000Z"


def test_a_missing_entity_is_not_found(bench: Bench) -> None:
    """A missing entity is an internal error."""
    with pytest.raises(NotFoundError):
        bench.get("nothing")
    with pytest.raises(NotFoundError):
        bench.delete("nothing")


def test_conditions_hold_between_the_workers(bench: Bench) -> None:
    """A client's condition gets lost, and its write is blind."""
    absent, present = Condition(if_absent=True), Condition(if_present=True)
    with pytest.raises(PreconditionFailedError) as refusal:
        bench.put("k", condition=present)
    assert refusal.value.current_version == 0
    assert bench.put("k", condition=absent).metadata.version == 1
    with pytest.raises(PreconditionFailedError) as refusal:
        bench.put("k", condition=absent)
    assert refusal.value.current_version == 1
    assert bench.put("k", condition=Condition(if_version=1)).metadata.version == 2
    with pytest.raises(PreconditionFailedError):
        bench.delete("k", condition=Condition(if_version=1))
    assert bench.delete("k", condition=Condition(if_version=2)).metadata.version == 3


def test_the_same_request_id_is_applied_once(bench: Bench) -> None:
    """A failover applies a write twice."""
    first = bench.put("k", request_id="r-1")
    assert bench.put("k", request_id="r-1") == first
    assert bench.put("k", request_id="r-2").metadata.version == 2
    with pytest.raises(IdempotencyMismatchError):
        bench.put("k", b'{"n": 1}', request_id="r-1")
    gone = bench.delete("k", request_id="r-3")
    assert bench.delete("k", request_id="r-3").metadata.version == gone.metadata.version == 3


def test_a_deleted_entity_counts_on(bench: Bench) -> None:
    """A version is used twice."""
    bench.put("k")
    assert bench.delete("k").metadata.version == 2
    with pytest.raises(NotFoundError):
        bench.get("k")
    again = bench.put("k")
    assert (again.created, again.metadata.version) == (True, 3)


def test_a_merge_patch_changes_a_part(bench: Bench) -> None:
    """A patch replaces the whole entity, or makes one that is not there."""
    patch = WriteItem(WriteKind.MERGE_PATCH, "k", b'{"a": null, "b": {"c": 2}}')
    with pytest.raises(NotFoundError):
        bench.write(patch)
    bench.put("k", b'{"a": 1, "b": {"d": 1}, "e": [1.50]}')
    assert bench.write(patch).metadata.version == 2
    assert json.loads(bench.get("k").document) == {"b": {"c": 2, "d": 1}, "e": [1.5]}


def test_several_have_an_answer_each_in_their_order(bench: Bench) -> None:
    """The answers to a batch are mixed up, or one that fails takes the others with it."""
    items = [WriteItem(WriteKind.PUT, k, b'{"n": %d}' % n) for n, k in enumerate("abc")]
    answers = bench.client.put_many(bench.worker, bench.database, items, SECONDS)
    assert [a.key for a in answers if isinstance(a, Written)] == ["a", "b", "c"]
    reading = bench.client.get_many(bench.worker, bench.database, ["c", "x", "a"], SECONDS)
    kinds = [a.document if isinstance(a, Found) else type(a) for a in reading.result()]
    assert kinds == [b'{"n": 2}', NotFoundError, b'{"n": 0}']
    gone = [WriteItem(WriteKind.DELETE, k) for k in ("b", "x", "c")]
    deleted = bench.client.delete_many(bench.worker, bench.database, gone, SECONDS)
    assert [a.key if isinstance(a, Written) else type(a) for a in deleted] == [
        "b",
        NotFoundError,
        "c",
    ]
    with pytest.raises(NotFoundError):
        bench.get("b")
    assert bench.get("a").metadata.version == 1


def test_pages_show_every_entity_once(bench: Bench) -> None:
    """A listing leaves entities out, shows one twice, or never ends."""
    keys = [f"{group}/{n}" for group in ("mine", "ours", "theirs") for n in range(5)]
    for key in keys:
        bench.put(key)
    for prefix, key_prefixes, expected in [
        ("", ("",), keys),
        ("", ("mine/", "ours/"), keys[:10]),
        ("ours/", ("",), keys[5:10]),
        ("theirs/", ("mine/",), []),
    ]:
        seen: list[str] = []
        cursor = ""
        for _ in range(len(keys) + 1):
            request = PageRequest(prefix, key_prefixes, "", "", 4, cursor, "ada")
            page = bench.client.scan(bench.worker, bench.database, request, SECONDS)
            assert len(page.entities) <= 4
            assert {found.document for found in page.entities} <= {b"{}"}
            seen += [found.key for found in page.entities]
            cursor = page.cursor
            if not cursor:
                break
        assert sorted(seen) == expected
        assert cursor == ""


# -- gRPC alone ------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 60, 400])
def test_a_refused_batch_arrives_with_its_violations(
    served: Served, workers: GrpcWorkers, length: int
) -> None:
    """A batch with many faults looks as if the worker were full, and the next one is asked."""
    served.rig.put_template(b'{"additionalProperties": {"type": "string"}}', version=2)
    document = (
        "{"
        + ",".join(f'"{"x" * length}{n}": {n}' for n in range(limits.VIOLATIONS_REPORTED_MAX))
        + "}"
    ).encode()
    items = [WriteItem(WriteKind.PUT, key, document) for key in ("a", "b")]
    with pytest.raises(SchemaViolationError) as refusal:
        workers.put_many(served.worker, DATABASE, items, SECONDS)
    assert refusal.value.violations
    assert refusal.value.entity_key == "a"


def test_a_binding_that_has_changed_is_refused(served: Served, workers: GrpcWorkers) -> None:
    """A write is validated by a template that is not the database's."""
    for stale in (
        Database(name="people", incarnation="11" * 16, schema_id="person.v1", created_at=AT),
        Database(name="people", incarnation="00" * 16, schema_id="other.v1", created_at=AT),
    ):
        with pytest.raises(StaleBindingError):
            Bench(workers, served.worker, stale).put("k")


def test_a_worker_without_a_subscription_is_unavailable(
    served: Served, workers: GrpcWorkers
) -> None:
    """A worker that is just coming up fails requests that another one could serve."""

    def none() -> Engine:
        raise UnavailableError("this worker has no subscription", retry_after_s=1)

    served.engine = none
    bench = Bench(workers, served.worker)
    item = WriteItem(WriteKind.PUT, "k", b"{}")
    uses: list[Callable[[], object]] = [
        lambda: bench.get("k"),
        lambda: bench.put("k"),
        lambda: bench.delete("k"),
        lambda: workers.get_many(served.worker, DATABASE, ["k", "l"], SECONDS).result(),
        lambda: workers.put_many(served.worker, DATABASE, [item], SECONDS),
    ]
    for use in uses:
        with pytest.raises(UnavailableError) as answer:
            use()
        # It has answered: what was asked for was not done.
        assert not isinstance(answer.value, WorkerLostError)


def test_counters_arrive(served: Served, workers: GrpcWorkers) -> None:
    """An operator does not see whether the caches are warm."""
    assert workers.statistics(served.worker, SECONDS) == {"hits": 3}


def test_a_worker_that_hangs_is_given_up(served: Served, workers: GrpcWorkers) -> None:
    """One hanging worker holds requests for longer than a client waits."""
    released = threading.Event()

    def hanging() -> Engine:
        released.wait(SECONDS)
        raise UnavailableError("too late")

    served.engine = hanging
    item = WriteItem(WriteKind.PUT, "k", b"{}")
    uses: list[Callable[[], object]] = [
        lambda: workers.get(served.worker, DATABASE, "k", 0, 0.05),
        lambda: workers.write(served.worker, DATABASE, item, 0.05),
        lambda: workers.put_many(served.worker, DATABASE, [item], 0.05),
    ]
    try:
        for use in uses:
            with pytest.raises(WorkerLostError) as loss:
                use()
            assert loss.value.delivered
            assert loss.value.timed_out
    finally:
        released.set()


def test_a_port_that_answers_nothing_is_given_up_soon(served: Served) -> None:
    """A worker whose network leads nowhere holds up requests for as long as they may take."""
    clock = SystemClock()
    workers = GrpcWorkers(live(served.pki.main))
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        address = f"127.0.0.1:{black_hole.getsockname()[1]}"
        bench = Bench(workers, a_worker("worker-1", address=address))
        began_s = clock.boot_s()
        for use in (lambda: bench.get("k"), lambda: bench.put("k")):
            with pytest.raises(WorkerLostError) as loss:
                use()
            assert not loss.value.delivered
        assert clock.boot_s() - began_s < limits.WORKER_OUT_OF_THE_WAY_SECONDS
    workers.close()


def test_a_call_ends_when_nobody_waits_for_it_any_more(
    served: Served, workers: GrpcWorkers
) -> None:
    """A client hangs up, and a thread goes on waiting for what it had asked for."""
    released, asked, waiting = threading.Event(), threading.Event(), Patience()

    def hanging() -> Engine:
        asked.set()
        released.wait(SECONDS)
        raise UnavailableError("too late")

    def write() -> None:
        with patience.serving(waiting):
            Bench(workers, served.worker).put("k")

    served.engine = hanging
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        assert asked.wait(SECONDS)
        waiting.give_up()
        assert isinstance(writing.exception(SECONDS / 2), GivenUpError)
        released.set()


def test_a_worker_gives_a_sign_of_life(served: Served, workers: GrpcWorkers) -> None:
    """A worker that is back is not noticed, or one that is gone is."""
    workers.probe(served.worker, SECONDS)
    with pytest.raises(WorkerLostError):
        workers.probe(a_worker("worker-1", address="127.0.0.1:1"), SECONDS)


def test_a_worker_that_is_gone_is_unavailable(served: Served) -> None:
    """The death of a worker is an internal error."""
    workers = GrpcWorkers(live(served.pki.main))
    gone = Bench(workers, a_worker("worker-1", address="127.0.0.1:1"))
    for use in (lambda: gone.get("k"), lambda: gone.put("k")):
        with pytest.raises(WorkerLostError) as loss:
            use()
        assert not loss.value.delivered
    workers.close()


def test_a_defect_of_a_worker_is_no_loss_of_it(served: Served, workers: GrpcWorkers) -> None:
    """A defect is repeated on every worker, or shows a stack trace."""

    def broken() -> Engine:
        raise ValueError("hunter2")

    served.engine = broken
    bench = Bench(workers, served.worker)
    request = PageRequest("", ("",), "", "", 10, "", "")
    uses: list[Callable[[], object]] = [
        lambda: bench.get("k"),
        lambda: bench.put("k"),
        lambda: workers.get_many(served.worker, DATABASE, ["k"], SECONDS).result(),
        lambda: workers.scan(served.worker, DATABASE, request, SECONDS),
    ]
    for use in uses:
        with pytest.raises(InternalError) as failure:
            use()
        assert "hunter2" not in failure.value.detail


def test_a_worker_is_found_at_its_new_address(served: Served, workers: GrpcWorkers) -> None:
    """A worker that was restarted on another port gets no requests."""
    gone = a_worker("worker-1", address="127.0.0.1:1")
    with pytest.raises(UnavailableError):
        workers.get(gone, DATABASE, "k", 0, SECONDS)
    Bench(workers, served.worker).put("k")


def test_only_the_worker_that_is_meant_is_asked(served: Served, workers: GrpcWorkers) -> None:
    """A worker that took over another one's address gets its requests, documents included."""
    impostor = a_worker("worker-2", address=served.worker.address)
    with pytest.raises(UnavailableError):
        Bench(workers, impostor).get("k")


def test_only_a_main_worker_is_served(served: Served) -> None:
    """A worker, or whoever has a certificate, reads entities past all grants."""
    request = PageRequest("", ("",), "", "", 10, "", "")
    for identity in (served.pki.workers["worker-2"], served.pki.server):
        workers = GrpcWorkers(live(identity))
        bench, worker = Bench(workers, served.worker), served.worker
        uses: list[Callable[[], object]] = [
            partial(bench.get, "k"),
            partial(bench.put, "k"),
            partial(bench.delete, "k"),
            partial(workers.transform, worker, DATABASE, "k", "@", SECONDS),
            partial(_read_many, workers, worker),
            partial(workers.put_many, worker, DATABASE, [], SECONDS),
            partial(workers.validate, worker, DATABASE, [], SECONDS),
            partial(workers.scan, worker, DATABASE, request, SECONDS),
            partial(workers.statistics, worker, SECONDS),
        ]
        for use in uses:
            with pytest.raises(UnauthenticatedError):
                use()
        workers.close()
    with served.pki.client_channel(served.worker.address) as channel:
        stub = processing_pb2_grpc.ProcessingServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Process(processing_pb2.ProcessRequest(), timeout=SECONDS)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def _read_many(workers: GrpcWorkers, worker: WorkerRecord) -> object:
    return workers.get_many(worker, DATABASE, ["k"], SECONDS).result()


def test_many_threads_share_the_connections(served: Served, workers: GrpcWorkers) -> None:
    """Under load answers go to the wrong request, or connections are opened by the hundred."""

    def put_and_get(n: int) -> bytes | StrongroomError:
        bench = Bench(workers, served.worker)
        bench.put(f"k{n}", b'{"n": %d}' % n)
        return bench.get(f"k{n}").document

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(put_and_get, range(40)))
    assert found == [b'{"n": %d}' % n for n in range(40)]
