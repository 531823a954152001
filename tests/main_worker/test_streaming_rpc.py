"""Entities as a stream: all of them, no faster than they are read, and to nobody who may not."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import grpc
import pytest

from main_api.domain.buckets import Policy
from main_api.domain.grants import Action
from main_api.domain.rate_limits import QuotaPolicies
from main_api.domain.registry import WorkerRecord
from main_api.service.requests.entities import Entities
from main_api.service.workers.ports import EntityPage, PageRequest
from strongroom import limits
from strongroom.configuration import Database
from strongroom.errors import (
    ForbiddenError,
    InvalidArgumentError,
    NotFoundError,
    RateLimitedError,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.rpc import status
from strongroom_pb.v1 import entity_pb2 as pb
from strongroom_pb.v1 import entity_pb2_grpc
from tests.support.deployment import wait_until
from tests.support.main_fakes import MemoryWorkers
from tests.support.mains import Credentials, MainRig, grant
from tests.support.rpc_mains import SECONDS, Pki, ServedMain

KEYS = [f"k{n:03}" for n in range(60)]
# Far more than flow control lets pass unread.
LARGE = b'"' + b"x" * (1024 * 1024) + b'"'
Stream = Any


@dataclass
class WatchedWorkers(MemoryWorkers):
    """Workers of which a test waits for what they are asked."""

    let: threading.Event = field(default_factory=threading.Event)

    def scan(
        self, worker: WorkerRecord, database: Database, request: PageRequest, timeout_s: float
    ) -> EntityPage:
        """Read a page, when it is let."""
        self.let.wait(SECONDS)
        return super().scan(worker, database, request, timeout_s)


@dataclass
class Face:
    """A served face, and an administrator of it."""

    rig: MainRig
    workers: WatchedWorkers
    channel: grpc.Channel
    admin: Credentials

    def stream(self, authorization: str | None = None, **asked: Any) -> Stream:  # noqa: ANN401
        """Begin a stream; as the administrator unless said otherwise."""
        defaults: dict[str, Any] = {"database": "chatdb", "page_size": 7}
        request = pb.ListEntitiesRequest(**defaults | asked)
        bearer = authorization or self.rig.bearer(self.admin)
        stub = entity_pb2_grpc.EntityServiceStub(self.channel)
        metadata = (("authorization", bearer),)
        return stub.StreamEntities(request, metadata=metadata, timeout=SECONDS)

    def lets_stream(self) -> bool:
        """Tell whether there is a place for one more stream of the administrator's."""
        stream = self.stream(page_size=1)
        try:
            return bool(next(stream))
        except grpc.RpcError:
            return False
        finally:
            stream.cancel()

    def fill(self, document: bytes = b"1", keys: list[str] = KEYS) -> None:
        """Put entities."""
        caller = self.rig.caller(client_id="filler")
        for key in keys:
            self.rig.entities.put(caller, "chatdb", {key: document})

    @property
    def pages_read(self) -> int:
        """How many pages were read of the workers."""
        return len(self.workers.pages)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def quotas() -> QuotaPolicies:
    """No limits."""
    return QuotaPolicies()


@pytest.fixture
def face(pki: Pki, quotas: QuotaPolicies) -> Iterator[Face]:
    """A Main Worker with two workers."""
    rig = MainRig(quotas=quotas)
    workers = WatchedWorkers(rig.clock)
    workers.let.set()
    rig.workers = workers
    rig.entities = Entities(rig.access, rig.store, rig.dispatcher, workers)
    rig.add_workers("worker-1", "worker-2")
    served = ServedMain(replace(rig.main(), entities=rig.entities), pki)
    roots = grpc.ssl_channel_credentials(pki.ca_file.read_bytes())
    # A window that grows would take in what nobody reads.
    options = [("grpc.max_receive_message_length", -1), ("grpc.http2.bdp_probe", 0)]
    with grpc.secure_channel(served.clients, roots, options) as channel:
        yield Face(rig, workers, channel, rig.add_client("admin"))
        workers.let.set()
    served.stop()


def refused(call: Callable[[], object]) -> StrongroomError:
    """Return the error that a call over the wire ends in."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return status.from_rpc_error(caught.value)


def keys_of(pages: list[pb.ListEntitiesResponse]) -> list[str]:
    """Return the keys on pages."""
    return [entity.key for page in pages for entity in page.entities]


def test_a_stream_has_every_entity_once(face: Face) -> None:
    """A client that streams a database misses an entity, or gets one twice."""
    face.fill()
    pages = list(face.stream())
    assert keys_of(pages) == KEYS
    assert [bool(page.next_page_token) for page in pages] == [True] * (len(pages) - 1) + [False]
    assert {len(page.entities) for page in pages[:-1]} == {7}
    assert sum(page.examined for page in pages) == len(KEYS)


def test_an_empty_database_is_one_empty_page(face: Face) -> None:
    """A stream of nothing fails, or never ends."""
    assert keys_of(list(face.stream())) == []


def test_a_stream_asks_what_a_page_asks(face: Face) -> None:
    """A query that is streamed is another one than the same query in pages."""
    face.fill()
    asked = {"prefix": "k01", "filter": "n > `1`", "select": "n"}
    assert keys_of(list(face.stream(**asked))) == KEYS[10:20]
    for page in face.workers.pages:
        assert (page.prefix, page.filter, page.select) == ("k01", "n > `1`", "n")


def test_a_stream_that_broke_is_taken_up(face: Face) -> None:
    """After a lost connection a client has to begin anew, or has gaps."""
    face.fill()
    broken = face.stream()
    first = [next(broken), next(broken)]
    broken.cancel()
    rest = list(face.stream(page_token=first[-1].next_page_token))
    assert keys_of(first + rest) == KEYS


def test_a_client_that_does_not_read_stops_the_reading(face: Face) -> None:
    """A slow client fills the memory with pages, or has the workers read everything at once."""
    face.fill(LARGE)
    stream = face.stream(page_size=1)
    assert wait_until(lambda: face.pages_read > 0, SECONDS)
    assert not wait_until(lambda: face.pages_read > 4, 1.0)
    assert keys_of(list(stream)) == KEYS
    assert face.pages_read == len(KEYS)


def test_a_client_that_has_gone_stops_the_reading(face: Face) -> None:
    """Workers go on reading for a client that has given up."""
    face.fill()
    stream = face.stream(page_size=1)
    next(stream)
    face.workers.let.clear()
    stream.cancel()
    read = face.pages_read
    face.workers.let.set()
    assert not wait_until(lambda: face.pages_read > read + 1, 1.0)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"database": "nowhere"}, NotFoundError),
        ({"database": "-bad"}, InvalidArgumentError),
        ({"page_size": -1}, InvalidArgumentError),
        ({"page_size": 2**31 - 1}, InvalidArgumentError),
        ({"page_token": "x" * 3000}, InvalidArgumentError),
    ],
)
def test_a_bad_stream_is_refused(
    face: Face, asked: dict[str, Any], kind: type[StrongroomError]
) -> None:
    """What a page refuses, a stream lets pass."""
    assert isinstance(refused(lambda: list(face.stream(**asked))), kind)
    assert face.pages_read == 0


def test_a_stream_shows_what_is_granted(face: Face) -> None:
    """A stream shows the keys of others, or is given to who has no token."""
    face.fill()
    face.fill(keys=["mine/1", "mine/2"])
    ada = face.rig.add_client("ada", grant("chatdb", Action.READ, key_prefix="mine/"))
    assert keys_of(list(face.stream(face.rig.bearer(ada)))) == ["mine/1", "mine/2"]
    bob = face.rig.add_client("bob", grant("chatdb", Action.WRITE))
    assert isinstance(refused(partial(list, face.stream(face.rig.bearer(bob)))), ForbiddenError)
    assert isinstance(refused(partial(list, face.stream("Bearer x.y.z"))), UnauthenticatedError)


@pytest.mark.parametrize("deed", ["remove", "restrict", "wait"])
def test_who_may_not_any_more_gets_no_further_page(face: Face, deed: str) -> None:
    """A client that is removed, or loses a grant, reads on for as long as its stream lasts."""
    face.fill(LARGE)
    ada = face.rig.add_client("ada", grant("chatdb", Action.READ))
    stream = face.stream(face.rig.bearer(ada), page_size=1)
    next(stream)
    if deed == "remove":
        face.rig.store.remove_client("ada")
    if deed == "restrict":
        face.rig.provisioning.put_client("ada", (grant("other", Action.READ),))
    over_s = limits.ACCESS_TOKEN_SECONDS if deed == "wait" else limits.CLIENT_RECORD_CACHE_SECONDS
    face.rig.clock.advance(over_s + 1)
    error = refused(lambda: list(stream))
    assert isinstance(error, ForbiddenError if deed == "restrict" else UnauthenticatedError)
    assert face.pages_read < 6


def test_a_worker_that_is_lost_is_replaced(face: Face) -> None:
    """One dead worker breaks every stream."""
    face.fill()
    stream = face.stream()
    first = next(stream)
    face.workers.fail("worker-1", UnavailableError("down", retry_after_s=1))
    assert keys_of([first, *stream]) == KEYS
    face.workers.fail("worker-2", UnavailableError("down", retry_after_s=1))
    assert isinstance(refused(lambda: list(face.stream())), UnavailableError)


def test_streams_of_one_client_are_few(face: Face) -> None:
    """One client takes all streams that there are, or one that has ended keeps its place."""
    face.fill(LARGE)
    held = [face.stream(page_size=1) for _ in range(limits.STREAMS_PER_CLIENT_MAX)]
    for stream in held:
        next(stream)
    assert isinstance(refused(lambda: list(face.stream())), RateLimitedError)
    ada = face.rig.bearer(face.rig.add_client("ada", grant("chatdb", Action.READ)))
    assert keys_of(list(face.stream(ada, page_size=1))) == KEYS
    held.pop().cancel()

    assert wait_until(face.lets_stream, SECONDS)
    for stream in held:
        stream.cancel()


def test_streams_are_few(face: Face) -> None:
    """Clients that stream and do not read fill the memory."""
    face.fill(LARGE)
    held = []
    for n in range(limits.CLIENT_STREAMS_MAX // limits.STREAMS_PER_CLIENT_MAX):
        one = face.rig.bearer(face.rig.add_client(f"client-{n}", grant("chatdb", Action.READ)))
        held += [face.stream(one, page_size=1) for _ in range(limits.STREAMS_PER_CLIENT_MAX)]
    for stream in held:
        next(stream)
    error = refused(lambda: list(face.stream()))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_s == 1
    for stream in held:
        stream.cancel()


@pytest.mark.parametrize(
    "quotas", [QuotaPolicies(content_bytes=Policy("bytes", 2_000_000, 4_000_000, "content-bytes"))]
)
def test_a_quota_slows_a_stream_down(face: Face) -> None:
    """A stream passes a client's limit, or is broken by it again and again."""
    face.fill(LARGE, KEYS[:6])
    stream = face.stream(page_size=1)
    pages: list[pb.ListEntitiesResponse] = []
    reader = threading.Thread(target=lambda: pages.extend(stream))
    reader.start()
    assert wait_until(lambda: face.pages_read == 4, SECONDS)
    assert not wait_until(lambda: face.pages_read > 4, 1.0)
    for _ in range(6):
        face.rig.clock.advance(1)
        wait_until(lambda: face.pages_read == 6, 1.5)
    reader.join(SECONDS)
    assert len(keys_of(pages)) == 6


@pytest.mark.parametrize(
    "quotas", [QuotaPolicies(content_bytes=Policy("bytes", 1_000, 1_000, "content-bytes"))]
)
def test_a_stream_that_would_wait_for_long_ends(face: Face) -> None:
    """A stream is held open for hours, and sends nothing."""
    face.fill(LARGE, KEYS[:6])
    error = refused(lambda: list(face.stream(page_size=1)))
    assert isinstance(error, RateLimitedError)
    assert (error.retry_after_s or 0) > limits.STREAM_PAUSE_SECONDS_MAX


def test_clients_that_leave_are_no_defects(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    """Every client that has read enough fills the log with a stack trace."""
    face.fill(LARGE)
    for n in range(40):
        stream = face.stream(page_size=1)
        for _ in range(n % 4):
            next(stream)
        stream.cancel()
    assert wait_until(face.lets_stream, SECONDS)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
