"""One request is one trace in a collector, from the face that takes it to the disk and back.

A deployment of real processes exports to a real receiver of OTLP over HTTP.
"""

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest

from strongroom import limits
from strongroom.tracing import ATTRIBUTES
from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import CHAT, Deployment, wait_until
from tests.support.otlp_collector import Collector, Exported, collecting

SECONDS = 20.0
WRITTEN = {"lock wait", "validate", "encrypt", "commit", "fsync"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector."""
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment that exports to it what a client has sampled, and nothing else."""
    settings = {"STRONGROOM_OTLP_ENDPOINT": collector.url, "STRONGROOM_TRACE_RATIO": "0"}
    running = Deployment(tmp_path_factory.mktemp("traced"), environment=settings).start()
    yield running
    assert running.stop() == 0


def a_trace(*, is_sampled: bool = True) -> tuple[str, str]:
    """Return the id of a new trace, and how a client names its span in it."""
    trace_id = uuid.uuid4().hex
    return trace_id, f"00-{trace_id}-b7ad6b7169203331-0{is_sampled:d}"


def over_rest(deployment: Deployment, traceparent: str, key: str) -> None:
    """Put and get an entity."""
    with deployment.http() as http:
        http.headers["traceparent"] = traceparent
        assert http.put("/entity/chatdb", json={key: CHAT}).is_success
        assert http.get("/entity/chatdb", params={"key": key}).is_success


def over_grpc(deployment: Deployment, traceparent: str, key: str) -> None:
    """The same over gRPC."""
    stub, metadata = deployment.grpc()
    named = (*metadata, ("traceparent", traceparent))
    put = entity_pb2.PutEntityRequest(database="chatdb", key=key, document=b'{"chat": []}')
    stub.PutEntity(put, metadata=named)
    stub.GetEntity(entity_pb2.GetEntityRequest(database="chatdb", key=key), metadata=named)


FACES = [
    pytest.param(
        over_rest,
        "main-worker-rest",
        ("PUT /entity/{database}", "GET /entity/{database}"),
        id="rest",
    ),
    pytest.param(
        over_grpc,
        "main-worker-rpc",
        ("EntityService/PutEntity", "EntityService/GetEntity"),
        id="grpc",
    ),
]


@pytest.mark.parametrize(("work", "face", "names"), FACES)
def test_a_request_is_one_trace_from_the_face_to_the_disk(
    traced: Deployment,
    collector: Collector,
    work: Callable[[Deployment, str, str], None],
    face: str,
    names: tuple[str, str],
) -> None:
    """Whoever looks for the time of a request finds pieces that do not belong together."""
    trace_id, traceparent = a_trace()
    work(traced, traceparent, "traced-" + trace_id)

    def roots() -> list[Exported]:
        return [s for s in collector.trace(trace_id) if s.parent_id == "b7ad6b7169203331"]

    assert wait_until(lambda: len(roots()) == 2, SECONDS)
    # Each may have been served by another worker, which exports when it does.
    assert wait_until(lambda: all(len(chain(collector, one)) >= 3 for one in roots()), SECONDS)
    put, got = roots()
    assert (put.name, got.name) == names
    assert {(one.process, one.kind) for one in roots()} == {(face, "server")}
    for root, operation in ((put, "put"), (got, "get")):
        _, dispatch, served = chain(collector, root)
        assert (dispatch.process, dispatch.kind) == (face, "client")
        assert dispatch.attributes["strongroom.worker_id"] in {"worker-1", "worker-2"}
        assert (served.process, served.kind) == ("processing-worker", "server")
        assert served.attributes["strongroom.database"] == "chatdb"
        assert served.attributes["strongroom.operation"] == operation
        inside = {span.name for span in below(collector, served)}
        assert inside >= (WRITTEN if root is put else {"check currency"})
        if root is got:
            assert served.attributes["strongroom.cache"] == "hits"
    (commit,) = (s for s in collector.trace(trace_id) if s.name == "commit")
    assert any(one.name == "fsync" for one in below(collector, commit))


def chain(collector: Collector, span: Exported) -> list[Exported]:
    """Return a span, the call that it makes, what serves that, and so on."""
    found = [span]
    while calls := [
        other
        for other in collector.trace(span.trace_id)
        if other.parent_id == found[-1].span_id and other.kind != "internal"
    ]:
        found.append(calls[0])
    return found


def below(collector: Collector, span: Exported) -> list[Exported]:
    """Return everything that a span is made of, each within its time."""
    children = [s for s in collector.trace(span.trace_id) if s.parent_id == span.span_id]
    for child in children:
        assert span.began_ns <= child.began_ns <= child.ended_ns <= span.ended_ns
    return children + [deeper for child in children for deeper in below(collector, child)]


@pytest.mark.parametrize(("work", "face", "names"), FACES)
def test_what_nobody_has_sampled_is_not_exported(
    traced: Deployment,
    collector: Collector,
    work: Callable[[Deployment, str, str], None],
    face: str,
    names: tuple[str, str],
) -> None:
    """Each request is exported, whatever its client or the ratio says."""
    del face, names
    quiet_id, traceparent = a_trace(is_sampled=False)
    work(traced, traceparent, "traced-" + quiet_id)
    loud_id, traceparent = a_trace()
    work(traced, traceparent, "traced-" + loud_id)
    assert wait_until(lambda: len(collector.trace(loud_id)) > 0, SECONDS)
    time.sleep(2 * limits.SPANS_EXPORTED_EVERY_SECONDS)
    assert collector.trace(quiet_id) == []


def test_a_failure_is_told_by_its_code(traced: Deployment, collector: Collector) -> None:
    """A failed request looks as any other; or the trace quotes the document that was refused."""
    trace_id, traceparent = a_trace()
    stub, metadata = traced.grpc()
    request = entity_pb2.GetEntityRequest(database="chatdb", key="not-there-" + trace_id)
    with pytest.raises(grpc.RpcError):
        stub.GetEntity(request, metadata=(*metadata, ("traceparent", traceparent)))

    def failed() -> dict[str, Any]:
        return {
            span.process: span.attributes.get("error.type")
            for span in collector.trace(trace_id)
            if span.kind == "server" and span.is_failed
        }

    assert wait_until(lambda: len(failed()) == 2, SECONDS)
    assert failed() == {"main-worker-rpc": "not_found", "processing-worker": "not_found"}


def test_spans_say_what_is_allowed_and_nothing_of_a_client(
    traced: Deployment, collector: Collector
) -> None:
    """A collector learns keys, documents, tokens or paths that a client has made up."""
    trace_id, traceparent = a_trace()
    secret = uuid.uuid4().hex
    with traced.http() as http:
        http.headers["traceparent"] = traceparent
        http.headers["tracestate"] = f"vendor={secret}"
        token = http.headers["Authorization"].removeprefix("Bearer ")
        http.put("/entity/chatdb", json={secret: {"chat": secret}})
        http.get("/entity/chatdb", params={"key": secret})
        http.get(f"/{secret}")
        http.get(f"/entity/{secret}", params={"key": secret})
        http.request(secret.upper()[:16], "/entity/chatdb")
        http.post("/entity/chatdb/query", json={"filter": f"chat == '{secret}'"})
    assert wait_until(lambda: len(collector.trace(trace_id)) >= 10, SECONDS)
    time.sleep(2 * limits.SPANS_EXPORTED_EVERY_SECONDS)
    told = {name for span in collector.spans for name in span.attributes}
    assert told <= ATTRIBUTES
    for word in (secret, token, *token.split(".")):
        assert word.encode() not in collector.raw
    assert secret.upper()[:16].encode() not in collector.raw


def test_a_collector_that_is_down_or_hangs_does_no_harm(
    traced: Deployment, collector: Collector
) -> None:
    """The collector goes down, and requests wait for it, or fail."""
    key = "harmless-" + uuid.uuid4().hex
    _, traceparent = a_trace()
    with traced.http() as http:
        assert http.put("/entity/chatdb", json={key: CHAT}).is_success
        http.headers["traceparent"] = traceparent

        def median_s() -> float:
            took = []
            for _ in range(60):
                began = time.perf_counter()
                answer: httpx.Response = http.get("/entity/chatdb", params={"key": key})
                took.append(time.perf_counter() - began)
                assert answer.is_success
            return statistics.median(took)

        well = median_s()
        collector.answers.clear()
        collector.asked.clear()
        hanging = median_s()
        assert collector.asked.wait(SECONDS)
        hanging = max(hanging, median_s())
        collector.status = 503
        collector.answers.set()
        refusing = median_s()
        collector.status = 200
    # A request that waited for an export would take a thousand times as long.
    assert max(hanging, refusing) < 10 * well + 0.05
