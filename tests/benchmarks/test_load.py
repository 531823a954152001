"""The clients that load a server: each answer is judged, and a wrong one ends the run."""

import itertools
from collections.abc import Iterator

import pytest

from benchmarks.figure import WrongAnswerError
from benchmarks.load.closed_loop import Request, percentile, run
from benchmarks.load.http1 import Form, Http1
from benchmarks.load.http2 import Grpc
from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import Deployment

KEYS = 40
LARGE = 40
DOCUMENT = b'{"chat": [{"type": "assistant", "text": "%d%s"}]}'


@pytest.fixture
def grpc(deployment: Deployment) -> Iterator[Grpc]:
    """A connection to the gRPC face."""
    bearer = (("authorization", f"Bearer {deployment.token()}"),)
    lanes = Grpc(deployment.facts["grpc_address"], bearer, deployment.facts["grpc_ca_file"])
    yield lanes
    lanes.close()


def a_document(number: int) -> bytes:
    """Return one of a kilobyte."""
    return DOCUMENT % (number, b"x" * 1_000)


def puts() -> Iterator[Request]:
    """Return a put of each key."""
    for number in range(KEYS):
        request = entity_pb2.PutEntityRequest(
            database="chatdb", key=f"load{number}", document=a_document(number)
        )
        wire = Grpc.wire("/strongroom_pb.v1.EntityService/PutEntity", request.SerializeToString())
        yield Request("put", wire, f"load{number}".encode())


def large_puts() -> Iterator[Request]:
    """Return puts of 100 KB each, more than the server's windows let out at once."""
    document = DOCUMENT % (0, b"x" * 100_000)
    for number in range(LARGE):
        request = entity_pb2.PutEntityRequest(
            database="chatdb", key=f"large{number}", document=document
        )
        wire = Grpc.wire("/strongroom_pb.v1.EntityService/PutEntity", request.SerializeToString())
        yield Request("put", wire, f"large{number}".encode())


def a_get(number: int, proof: bytes) -> Request:
    """Return a read that has to show something."""
    request = entity_pb2.GetEntityRequest(database="chatdb", key=f"load{number}")
    wire = Grpc.wire("/strongroom_pb.v1.EntityService/GetEntity", request.SerializeToString())
    return Request("get", wire, proof)


def test_both_faces_answer_many_in_flight_with_what_was_put(
    deployment: Deployment, grpc: Grpc
) -> None:
    """Answers of different streams or connections are mixed up, or more is sent than asked for."""
    written = run(grpc, puts(), 16, 60.0)
    read = run(grpc, (a_get(n, a_document(n)) for n in range(KEYS)), 16, 60.0)
    form = Form(deployment.facts["http_url"], {"Authorization": f"Bearer {deployment.token()}"})
    lanes = Http1(deployment.facts["http_url"], 4)
    asked = (
        Request("get", form.wire("GET", f"/entity/chatdb?key=load{n}"), a_document(n))
        for n in range(KEYS)
    )
    over_rest = run(lanes, asked, 4, 60.0)
    lanes.close()
    assert [one.operations for one in (written, read, over_rest)] == [KEYS, KEYS, KEYS]


def test_requests_larger_than_a_window_arrive_whole(grpc: Grpc) -> None:
    """How cost grows with the bytes is told of requests that were never sent to their end."""
    assert run(grpc, large_puts(), 8, 60.0).operations == LARGE


def test_a_wrong_answer_ends_the_run(grpc: Grpc) -> None:
    """A figure is told of a server that answers something else than it was asked for."""
    run(grpc, puts(), 4, 60.0)
    wrong = itertools.repeat(a_get(1, a_document(2)))
    with pytest.raises(WrongAnswerError):
        run(grpc, wrong, 4, 1.0)


def test_a_refusal_ends_the_run(grpc: Grpc) -> None:
    """A server that refuses everything is found to be very fast."""
    with pytest.raises(WrongAnswerError, match="grpc-status"):
        run(grpc, itertools.repeat(a_get(KEYS + 1, b"")), 1, 1.0)


def test_percentiles_are_values_that_were_seen() -> None:
    """A tail is told that nobody has met."""
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, p) for p in (50, 99, 100)] == [50.0, 99.0, 100.0]
