"""What the gRPC Main Worker counts of its calls, and of its own calls to workers."""

import re
from collections.abc import Callable, Iterator

import grpc
import pytest

from main_api.domain.registry import WorkerRecord
from main_api.rpc.call_times import UNMATCHED
from main_api.service.requests.dispatch import Dispatcher
from main_api.service.workers.fleet import Fleet
from main_api.service.workers.ports import WorkerLostError
from strongroom.errors import UnavailableError
from strongroom.metrics import catalogue
from strongroom.metrics.catalogue import Metric
from strongroom.metrics.instruments import Distribution, Metrics
from strongroom_pb.v1 import entity_pb2, entity_pb2_grpc
from tests.support.clocks import ManualClock
from tests.support.deployment import wait_until
from tests.support.main_fakes import MemoryControlStore, MemoryWorkers, a_worker
from tests.support.mains import MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain

ENTITIES = "/strongroom_pb.v1.EntityService"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker with one Processing Worker."""
    made = MainRig()
    made.add_workers("worker-1")
    return made


@pytest.fixture
def channel(rig: MainRig, pki: Pki) -> Iterator[grpc.Channel]:
    """Serve it, and return a channel to it."""
    face = ServedMain(rig.main(), pki)
    with pki.client_channel(face.clients) as found:
        yield found
    face.stop()


def _calls(metrics: Metrics) -> dict[tuple[str, ...], int]:
    """Return how many calls were counted, by method and code."""
    found = {}
    for sample in metrics.collected()[catalogue.GRPC_SECONDS]:
        assert isinstance(sample.value, Distribution)
        found[sample.labels] = sum(sample.value.counts)
    return found


def _call(channel: grpc.Channel, method: str, metadata: tuple[tuple[str, str], ...] = ()) -> str:
    """Call any method at all; return how that ends."""
    call: Callable[..., bytes] = channel.unary_unary(method)
    return _code(lambda: call(b"", timeout=SECONDS, metadata=metadata))


def _code(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return str(refused.value.code().name)


def test_every_call_is_timed_by_method_and_code(rig: MainRig, channel: grpc.Channel) -> None:
    """An objective of the service cannot be held against what clients get."""
    stub = entity_pb2_grpc.EntityServiceStub(channel)
    token = (("authorization", rig.bearer(rig.add_client("admin"))),)
    missing = entity_pb2.GetEntityRequest(database="chatdb", key="missing")
    assert _code(lambda: stub.GetEntity(missing, timeout=SECONDS)) == "UNAUTHENTICATED"
    for _ in range(2):
        assert (
            _code(lambda: stub.GetEntity(missing, timeout=SECONDS, metadata=token)) == "NOT_FOUND"
        )
    assert wait_until(lambda: sum(_calls(rig.metrics).values()) == 3, SECONDS)
    assert _calls(rig.metrics) == {
        (f"{ENTITIES}/GetEntity", "UNAUTHENTICATED"): 1,
        (f"{ENTITIES}/GetEntity", "NOT_FOUND"): 2,
    }


def test_hostile_calls_make_no_labels(rig: MainRig, channel: grpc.Channel) -> None:
    """Whoever calls methods that do not exist fills Prometheus with one series for each."""
    large = (("x", "x" * 15_000), ("y", "y" * 15_000))
    for number in range(20):
        assert _call(channel, f"{ENTITIES}/MadeUp{number}") == "UNIMPLEMENTED"
        _call(channel, f"/made.up{number}/Method", large)
    assert wait_until(lambda: sum(_calls(rig.metrics).values()) >= 20, SECONDS)
    assert {method for method, _ in _calls(rig.metrics)} == {UNMATCHED}


def test_the_face_tells_how_busy_it_is(rig: MainRig, channel: grpc.Channel) -> None:
    """Requests pile up before the threads or the event loop, and no figure shows it."""
    grpc.channel_ready_future(channel).result(SECONDS)
    collected = rig.metrics.collected()
    found = {
        metric.name: collected[metric][0].value
        for metric in (catalogue.IN_FLIGHT, catalogue.WAITING, catalogue.LOOP_WAIT)
    }
    assert found["strongroom_requests_in_flight"] == 0
    assert found["strongroom_requests_waiting"] == 0
    waited = found["strongroom_event_loop_wait_seconds"]
    assert isinstance(waited, float)
    assert 0 < waited <= 1


def test_what_becomes_of_calls_to_workers_is_counted() -> None:
    """Workers die or refuse, others answer in their place, and nobody sees why it is slow."""
    clock, metrics, store = ManualClock(), Metrics(), MemoryControlStore()
    for number in range(3):
        store.put_worker(a_worker(f"worker-{number}"))
    fleet = Fleet(store, clock, MemoryWorkers(clock).probe, run=lambda _: None, metrics=metrics)
    dispatcher = Dispatcher(fleet, clock, metrics)
    answers: list[Exception | str] = [
        WorkerLostError(delivered=True),
        UnavailableError("not now", retry_after_s=1),
        "found",
    ]

    def attempt(_worker: WorkerRecord, _timeout_s: float) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert dispatcher.read("chatdb", "key", attempt) == "found"
    assert _sums(metrics) == {
        "strongroom_dispatch_attempts_total{lost}": 1,
        "strongroom_dispatch_attempts_total{refused}": 1,
        "strongroom_dispatch_attempts_total{answered}": 1,
        "strongroom_dispatch_attempts_total{given-up}": 0,
        "strongroom_dispatch_retries_total{made}": 2,
        "strongroom_dispatch_retries_total{denied}": 0,
        "strongroom_circuit_openings_total{}": 1,
        "strongroom_circuits_open{}": 1,
    }


def _sums(metrics: Metrics) -> dict[str, object]:
    def name(metric: Metric, labels: tuple[str, ...]) -> str:
        assert re.fullmatch(r"strongroom_[a-z_]+", metric.name)
        return f"{metric.name}{{{','.join(labels)}}}"

    return {
        name(metric, sample.labels): sample.value
        for metric, samples in metrics.collected().items()
        for sample in samples
    }
