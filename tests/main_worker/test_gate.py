"""The gRPC face under more than it takes: exactly so much, then a refusal, and on it goes."""

import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from main_api.domain.registry import WorkerRecord
from main_api.service.requests.entities import Entities
from main_api.service.workers.ports import Found, WriteItem, Written
from strongroom import limits
from strongroom.configuration import Database
from strongroom.errors import RateLimitedError
from strongroom.rpc import status
from strongroom_pb.v1 import entity_pb2, entity_pb2_grpc
from tests.support.deployment import wait_until
from tests.support.main_fakes import MemoryWorkers
from tests.support.mains import MainRig
from tests.support.rpc_mains import Pki, ServedMain

# Hundreds of megabytes pass through here; two such tests at once would wait for each other.
PUT = "/strongroom_pb.v1.EntityService/PutEntity"
GET = "/strongroom_pb.v1.EntityService/GetEntity"
ISSUE = "/strongroom_pb.v1.AuthService/IssueToken"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LARGE = b'"' + b"x" * (limits.ENTITY_BYTES_MAX - 2) + b'"'
ROUNDS = 4
# For as long as this a machine that is busy with other things is waited for. How long calls wait
# for their turn is a limit too, and left out where it is not what a test is about.
SECONDS = 100.0
# In this time a call that there is no room for is refused.
REFUSAL_S = 3.0
CONNECTIONS = limits.MAIN_CONCURRENT_REQUESTS_MAX // limits.CALLS_PER_CONNECTION_MAX + 1
LARGE_MESSAGES = limits.LARGE_BYTES_IN_FLIGHT_MAX // limits.ENTITY_BYTES_MAX
Metadata = tuple[tuple[str, str], ...]
# A call and a future at once, which grpcio's types do not say.
Call = Any


@dataclass
class HeldWorkers(MemoryWorkers):
    """Workers that answer when they are let."""

    let: threading.Event = field(default_factory=threading.Event)
    held: int = 0

    def get(
        self, worker: WorkerRecord, database: Database, key: str, known: int, timeout_s: float
    ) -> Found:
        """Read, when it is let."""
        self.let.wait(SECONDS)
        return super().get(worker, database, key, known, timeout_s)

    def write(
        self, worker: WorkerRecord, database: Database, item: WriteItem, timeout_s: float
    ) -> Written:
        """Write, when it is let."""
        self.held += 1
        self.let.wait(SECONDS)
        return super().write(worker, database, item, timeout_s)


@dataclass
class Face:
    """A served face, and a client of it."""

    workers: HeldWorkers
    channels: list[grpc.Channel]
    metadata: Metadata

    @property
    def channel(self) -> grpc.Channel:
        """One connection."""
        return self.channels[0]

    @property
    def entities(self) -> entity_pb2_grpc.EntityServiceStub:
        """The EntityService."""
        return entity_pb2_grpc.EntityServiceStub(self.channel)

    def put(self, key: str, document: bytes = b"1", connection: int = 0) -> Call:
        """Begin to put an entity."""
        request = entity_pb2.PutEntityRequest(database="chatdb", key=key, document=document)
        stub = entity_pb2_grpc.EntityServiceStub(self.channels[connection])
        return stub.PutEntity.future(request, metadata=self.metadata, timeout=SECONDS)

    def get(self, key: str) -> entity_pb2.Entity:
        """Get an entity."""
        request = entity_pb2.GetEntityRequest(database="chatdb", key=key)
        return self.entities.GetEntity(request, metadata=self.metadata, timeout=SECONDS)

    def stall(self, method: str, metadata: Metadata) -> Call:
        """Begin a call and send no message."""
        call: Any = self.channel.stream_unary(
            method, request_serializer=bytes, response_deserializer=bytes
        )
        return call.future(_nothing(self.ended), metadata=metadata, timeout=SECONDS)

    ended: threading.Event = field(default_factory=threading.Event)


def _nothing(ended: threading.Event) -> Iterator[NoReturn]:
    ended.wait(SECONDS)
    yield from ()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def face(pki: Pki) -> Iterator[Face]:
    """A Main Worker with one worker, which is let to answer; messages have all the time."""
    with _served(pki, SECONDS) as served:
        yield served


@pytest.fixture
def strict_face(pki: Pki) -> Iterator[Face]:
    """The same, where messages have the time that the limits give them."""
    with _served(pki, None) as served:
        yield served


@contextmanager
def _served(pki: Pki, patience_s: float | None) -> Iterator[Face]:
    rig = MainRig()
    rig.add_workers("worker-1")
    workers = HeldWorkers(rig.clock)
    workers.let.set()
    entities = Entities(rig.access, rig.store, rig.dispatcher, workers)
    served = ServedMain(replace(rig.main(), entities=entities), pki, patience_s=patience_s)
    metadata = (("authorization", rig.bearer(rig.add_client("somebody"))),)
    roots = grpc.ssl_channel_credentials(pki.ca_file.read_bytes())
    options = [
        ("grpc.max_receive_message_length", -1),
        # A window that grows would take in what nobody reads.
        ("grpc.http2.bdp_probe", 0),
        # Else channels of one process share a connection.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    with ExitStack() as opened:
        channels = [
            opened.enter_context(grpc.secure_channel(served.clients, roots, options))
            for _ in range(CONNECTIONS)
        ]
        face = Face(workers, channels, metadata)
        yield face
        workers.let.set()
        face.ended.set()
    served.stop()


def _one_is_refused(calls: Sequence[Call]) -> Any:  # noqa: ANN401 - what gRPC raises
    """Wait until one call of all has been refused, none of the others being answered."""
    assert wait_until(lambda: any(call.done() for call in calls), SECONDS)
    (refused,) = [call for call in calls if call.done()]
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, refused.details()
    return refused.exception()


def _says_when_to_try_again(error: Any) -> bool:  # noqa: ANN401 - what gRPC raises
    named = status.from_rpc_error(error)
    return isinstance(named, RateLimitedError) and named.retry_after_s == 1


def test_one_call_more_than_are_taken_is_refused(face: Face) -> None:
    """Calls pile up without end, or fewer are served than could be."""
    face.workers.let.clear()
    calls = [
        face.put(f"k{n}", connection=n % CONNECTIONS)
        for n in range(limits.MAIN_CONCURRENT_REQUESTS_MAX + 1)
    ]
    assert _says_when_to_try_again(_one_is_refused(calls))
    face.workers.let.set()
    assert sum(call.exception() is None for call in calls) == limits.MAIN_CONCURRENT_REQUESTS_MAX
    # grpcio judges the next call when it has taken the last one: one more is refused.
    assert wait_until(lambda: face.put("another").exception() is None, SECONDS)


def test_one_large_message_more_than_there_is_room_for_is_refused(face: Face) -> None:
    """Large messages fill the memory, or keep small ones out."""
    face.workers.let.clear()
    calls = [face.put(f"k{n}", LARGE) for n in range(LARGE_MESSAGES + 1)]
    assert _says_when_to_try_again(_one_is_refused(calls))
    small = face.put("small")
    face.workers.let.set()
    assert small.result().created
    assert sum(call.exception() is None for call in calls) == LARGE_MESSAGES
    assert face.put("another", LARGE).result().created


def test_a_full_house_is_told_at_once(face: Face) -> None:
    """While every thread waits for a worker, nobody is refused: not even who shows no token."""
    face.workers.let.clear()
    held = [face.put(f"k{n}", LARGE) for n in range(LARGE_MESSAGES)]
    assert wait_until(lambda: face.workers.held == limits.MAIN_THREADS, SECONDS)
    # What was verified is verified anew by now.
    threading.Event().wait(limits.CLIENT_RECORD_CACHE_SECONDS + 0.1)
    stranger = face.stall(PUT, ())
    assert wait_until(stranger.done, SECONDS)
    assert stranger.code() is grpc.StatusCode.UNAUTHENTICATED
    assert _says_when_to_try_again(_one_is_refused([*held, face.put("k", LARGE)]))


def test_calls_that_are_given_up_give_their_room_back(face: Face) -> None:
    """Clients that go away take the room with them, or leave work behind for nobody."""
    face.workers.let.clear()
    calls = [face.put(f"k{n}", LARGE) for n in range(LARGE_MESSAGES + 1)]
    _one_is_refused(calls)
    for call in calls:
        call.cancel()
    tried: list[Call] = []

    def taken() -> bool:
        tried.append(face.put(f"again-{len(tried)}", LARGE))
        return not wait_until(tried[-1].done, REFUSAL_S)

    assert wait_until(taken, SECONDS)
    face.workers.let.set()
    assert tried[-1].result().created
    assert len(face.workers.calls) <= limits.MAIN_THREADS + 1


def test_calls_that_are_given_up_leave_nothing_in_the_queue(face: Face) -> None:
    """While threads are busy, clients that come and go fill the memory."""
    face.workers.let.clear()
    tracemalloc.start()
    try:
        for n in range(ROUNDS):
            calls = [face.put(f"k{n}-{i}", LARGE) for i in range(LARGE_MESSAGES // 2)]
            # Some of them have come whole by then; none is answered.
            assert not wait_until(calls[0].done, 1.0)
            for call in calls:
                call.cancel()
        most = 2 * limits.MAIN_THREADS * limits.ENTITY_BYTES_MAX
        assert wait_until(lambda: tracemalloc.get_traced_memory()[0] < most, SECONDS)
    finally:
        tracemalloc.stop()


def test_a_large_answer_that_nobody_reads_takes_room(face: Face) -> None:
    """Clients that do not read their answers fill the memory, or keep small ones out."""
    face.put("large", LARGE).result()
    face.put("small").result()
    unread: Any = face.channel.unary_stream(
        GET,
        request_serializer=entity_pb2.GetEntityRequest.SerializeToString,
        response_deserializer=bytes,
    )
    request = entity_pb2.GetEntityRequest(database="chatdb", key="large")
    answers = [
        unread(request, metadata=face.metadata, timeout=SECONDS) for _ in range(LARGE_MESSAGES + 1)
    ]
    assert _says_when_to_try_again(_one_is_refused(answers))
    with pytest.raises(grpc.RpcError) as refused:
        face.get("large")
    assert _says_when_to_try_again(refused.value)
    assert face.get("small").document == b"1"
    for answer in answers:
        answer.cancel()

    def is_read() -> bool:
        try:
            return face.get("large").document == LARGE
        except grpc.RpcError:
            return False

    assert wait_until(is_read, SECONDS)


def test_calls_without_their_message_are_few_and_end(strict_face: Face) -> None:
    """Clients that begin calls and send nothing stop the service for all others, for good."""
    stalled = [
        strict_face.stall(PUT, strict_face.metadata)
        for _ in range(limits.MESSAGES_RECEIVED_MAX + 1)
    ]
    assert _says_when_to_try_again(_one_is_refused(stalled))
    assert wait_until(lambda: all(call.done() for call in stalled), SECONDS)
    ends = Counter(call.code() for call in stalled)
    assert ends[grpc.StatusCode.DEADLINE_EXCEEDED] == limits.MESSAGES_RECEIVED_MAX
    assert strict_face.put("another").result().created


def test_strangers_take_no_place_of_clients(strict_face: Face) -> None:
    """Without any token, a few calls that send nothing stop the service."""
    for _ in range(limits.MESSAGES_RECEIVED_MAX):
        call = strict_face.stall(PUT, ())
        assert call.code() is grpc.StatusCode.UNAUTHENTICATED
    strangers = limits.STRANGERS_MESSAGES_RECEIVED_MAX
    stalled = [strict_face.stall(ISSUE, ()) for _ in range(strangers + 1)]
    _one_is_refused(stalled)
    assert strict_face.put("k").result().created


def test_a_stranger_sends_nothing_large(face: Face) -> None:
    """Without any token, the memory can be filled."""
    stub: Any = health_pb2_grpc.HealthStub(face.channel)
    large = health_pb2.HealthCheckRequest(service="x" * 2 * limits.SMALL_BYTES_MAX)
    for call in (stub.Check.future, stub.Watch):
        refused = call(large, timeout=SECONDS)
        assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS).status == 1
    watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert next(watched).status == 1
    watched.cancel()


def test_one_stream_more_than_are_held_is_refused(face: Face) -> None:
    """Streams that are held open take the place of calls."""
    stream: Any = face.channel.stream_stream(
        REFLECT, request_serializer=bytes, response_deserializer=bytes
    )
    streams = [
        stream(_nothing(face.ended), timeout=SECONDS) for _ in range(limits.MAIN_STREAMS_MAX + 1)
    ]
    _one_is_refused(streams)
    for held in streams:
        held.cancel()
    assert face.put("k").result().created


def test_what_is_no_message_is_refused(face: Face) -> None:
    """Bytes of another program end in an error that nobody can tell from a defect."""
    call: Callable[..., bytes] = face.channel.unary_unary(
        PUT, request_serializer=bytes, response_deserializer=bytes
    )
    with pytest.raises(grpc.RpcError) as refused:
        call(b"\xff\xff\xff", metadata=face.metadata, timeout=SECONDS)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    face.ended.set()
    empty = face.stall(PUT, face.metadata)
    assert empty.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_metadata_that_are_too_large_are_refused(face: Face) -> None:
    """Metadata, which no flow control holds back, fill the memory for as long as calls wait."""
    large = (("x-large", "x" * limits.METADATA_BYTES_MAX),)
    for method in (PUT, ISSUE):
        call: Any = face.channel.unary_unary(method)
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", metadata=face.metadata + large, timeout=SECONDS)
        assert refused.value.code() in {
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        }
