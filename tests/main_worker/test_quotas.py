"""What a client may use: requests and bytes, refused past it, told in numbers that hold."""

import contextlib
import gzip
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from main_api.domain.buckets import Policy
from main_api.domain.rate_limits import QuotaPolicies
from main_api.rest import routes
from main_api.service.buckets import QuotaExceededError
from main_api.service.requests.quotas import Quotas
from strongroom.errors import RateLimitedError
from strongroom.rpc import status
from strongroom_pb.v1 import entity_pb2, entity_pb2_grpc
from tests.support.clocks import ManualClock
from tests.support.mains import Built, MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain
from tests.support.wsgi import Answer, WsgiClient

REQUESTS = Policy("requests", per_second=0.5, burst=4)
BYTES = Policy("bytes", per_second=100.0, burst=1_000, unit="content-bytes")
THREADS = 16
POLICY_FIELD = '"requests";q=4;w=8, "bytes";q=1000;qu="content-bytes";w=10'
_ITEM = re.compile(r'"(\w+)";r=(\d+);t=(\d+)')


def a_rig(requests: Policy | None = None, content_bytes: Policy | None = None) -> MainRig:
    """Return a Main Worker with quotas."""
    rig = MainRig(quotas=QuotaPolicies(requests, content_bytes))
    rig.add_workers("worker-1")
    return rig


def clients(rig: MainRig, *client_ids: str) -> list[Callable[..., Answer]]:
    """Return clients of one REST face."""
    face = WsgiClient(routes.build(Built(rig.main())))
    made = [{"Authorization": rig.bearer(rig.add_client(one))} for one in client_ids]

    def sending(headers: dict[str, str]) -> Callable[..., Answer]:
        def send(method: str, target: str, body: bytes = b"") -> Answer:
            return face(method, target, body, {"Content-Type": "application/json", **headers})

        return send

    return [sending(headers) for headers in made]


def told(answer: Answer) -> dict[str, tuple[int, int]]:
    """Return (available, window) by policy, of an answer's `RateLimit`."""
    return {name: (int(r), int(t)) for name, r, t in _ITEM.findall(answer.headers["ratelimit"])}


def get(client: Callable[..., Answer], key: str = "nothing") -> Answer:
    """Read an entity."""
    return client("GET", f"/entity/chatdb?key={key}")


# -- without a setting -----------------------------------------------------------------------------


def test_without_a_setting_nothing_is_limited_and_nothing_told() -> None:
    """A deployment that was told of no limit has one."""
    (ada,) = clients(a_rig(), "ada")
    answers = [get(ada) for _ in range(500)]
    assert {answer.status for answer in answers} == {404}
    assert not {"ratelimit", "ratelimit-policy", "retry-after"} & set(answers[-1].headers)


# -- requests --------------------------------------------------------------------------------------


def test_a_client_is_refused_past_its_burst_and_served_when_told() -> None:
    """A client gets more than it may, or waits in vain as long as it was told."""
    rig = a_rig(REQUESTS)
    (ada,) = clients(rig, "ada")
    assert [get(ada).status for _ in range(5)] == [404] * 4 + [429]
    refused = get(ada)
    assert refused.headers["retry-after"] == "2"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["violated-policies"] == ["requests"]
    assert told(refused) == {"requests": (0, 2)}
    rig.clock.advance(1)
    assert get(ada).status == 429
    rig.clock.advance(1)
    assert get(ada).status == 404
    assert get(ada).status == 429


def test_the_fields_agree_with_what_happens() -> None:
    """A client that goes by the numbers is refused, or could have sent more."""
    rig = a_rig(REQUESTS, BYTES)
    (ada,) = clients(rig, "ada")
    first = get(ada)
    assert first.headers["ratelimit-policy"] == POLICY_FIELD
    available, window_s = told(first)["requests"]
    assert (available, window_s) == (3, 6)
    for left in reversed(range(available)):
        assert told(get(ada))["requests"][0] == left
    assert get(ada).status == 429
    rig.clock.advance(100)
    assert told(get(ada))["requests"] == (3, 6)


def test_a_client_over_its_limit_harms_no_other() -> None:
    """One client uses up what another one may."""
    rig = a_rig(REQUESTS, BYTES)
    ada, bea = clients(rig, "ada", "bea")
    assert [get(ada).status for _ in range(100)].count(404) == 4
    answer = get(bea)
    assert answer.status == 404
    assert told(answer)["requests"][0] == 3


def test_all_tokens_of_a_client_count_as_one() -> None:
    """A client has a token issued for every request and is never limited."""
    rig = a_rig(REQUESTS)
    ada = rig.add_client("ada")
    face = WsgiClient(routes.build(Built(rig.main())))
    answers = [
        face("GET", "/entity/chatdb?key=k", headers={"Authorization": rig.bearer(ada)}).status
        for _ in range(5)
    ]
    assert answers == [404] * 4 + [429]


def test_a_refused_request_costs_nothing() -> None:
    """A client that keeps asking is never let in again."""
    rig = a_rig(REQUESTS)
    (ada,) = clients(rig, "ada")
    for _ in range(100):
        get(ada)
    rig.clock.advance(2)
    assert get(ada).status == 404


def test_bytes_are_counted_as_they_are_meant() -> None:
    """A client that compresses has a hundred times as much of the service."""
    rig = a_rig(content_bytes=Policy("bytes", 1.0, 100_000, "content-bytes"))
    body = gzip.compress(b'{"k": "' + b"x" * 50_000 + b'"}')
    assert len(body) < 1_000
    face = WsgiClient(routes.build(Built(rig.main())))
    headers = {"Authorization": rig.bearer(rig.add_client("bea")), "Content-Encoding": "gzip"}
    left = face("PUT", "/entity/chatdb", body, headers).headers["ratelimit"]
    assert 49_000 < int(left.partition("r=")[2].partition(";")[0]) < 50_000


def test_strangers_learn_nothing_of_a_clients_use() -> None:
    """Whoever has no token sees how busy others are."""
    rig = a_rig(REQUESTS)
    (ada,) = clients(rig, "ada")
    get(ada)
    face = WsgiClient(routes.build(Built(rig.main())))
    for path in ("/healthz", "/entity/chatdb?key=k", "/nowhere"):
        assert "ratelimit" not in face("GET", path).headers


def test_clients_that_ask_at_once_get_no_more() -> None:
    """Many threads find the same request left, and each takes it."""
    quotas = Quotas(QuotaPolicies(Policy("requests", 0.001, 1_000)), ManualClock())
    barrier = threading.Barrier(THREADS)

    def ask(_: int) -> int:
        barrier.wait(SECONDS)
        admitted = 0
        for _ in range(200):
            with contextlib.suppress(QuotaExceededError):
                quotas.admit("ada")
                admitted += 1
        return admitted

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(ask, range(THREADS))) == 1_000


# -- bytes -----------------------------------------------------------------------------------------


def test_bodies_and_answers_count_by_their_bytes() -> None:
    """A client is charged for more or less than what went over the wire."""
    rig = a_rig(None, BYTES)
    (ada,) = clients(rig, "ada")
    body = '{"k": "é"}'.encode()
    put = ada("PUT", "/entity/chatdb", body)
    used = len(body) + len(put.body)
    assert told(put)["bytes"][0] == BYTES.burst - used
    found = get(ada, "k")
    assert "é".encode() in found.body
    assert told(found)["bytes"][0] == BYTES.burst - used - len(found.body)


def test_who_has_used_up_its_bytes_waits_until_they_are_paid() -> None:
    """A few large requests get a client more than it may have, for good."""
    rig = a_rig(None, BYTES)
    (ada,) = clients(rig, "ada")
    body = b'{"k": "%s"}' % (b"x" * 4_000)
    put = ada("PUT", "/entity/chatdb", body)
    assert put.status == 201
    debt = len(body) + len(put.body) - BYTES.burst
    refused = get(ada, "k")
    assert (refused.status, refused.json()["violated-policies"]) == (429, ["bytes"])
    wait_s = int(refused.headers["retry-after"])
    assert wait_s == -(-(debt + 1) // 100)
    rig.clock.advance(wait_s - 1)
    assert get(ada, "k").status == 429
    rig.clock.advance(1)
    assert get(ada, "k").status == 200


def test_a_client_over_its_bytes_sends_no_large_body() -> None:
    """What nobody will take is received all the same."""
    rig = a_rig(None, BYTES)
    bearer = rig.bearer(rig.add_client("ada"))
    app = routes.build(Built(rig.main()))
    headers = {"authorization": bearer}
    app.require_client(headers, "192.0.2.1")
    face = WsgiClient(app, authorization=bearer, content_type="application/json")
    face("PUT", "/entity/chatdb", b'{"k": "%s"}' % (b"x" * 4_000))
    with pytest.raises(QuotaExceededError):
        app.require_client(headers, "192.0.2.1")


def test_only_so_many_clients_are_remembered() -> None:
    """Clients that come and go fill the memory."""
    quotas = Quotas(QuotaPolicies(REQUESTS), ManualClock())
    for number in range(20_000):
        quotas.admit(f"client-{number}")
    assert quotas.settle("client-19999", 0)[0].available == 3
    assert quotas.settle("client-0", 0)[0].available == 4


# -- gRPC ------------------------------------------------------------------------------------------


class Rpc:
    """A client of a served face."""

    def __init__(self, channel: grpc.Channel, bearer: str) -> None:
        """Take its channel and its token."""
        self._stub = entity_pb2_grpc.EntityServiceStub(channel)
        self._metadata = (("authorization", bearer),)

    def put(self, document: bytes = b"1") -> entity_pb2.PutEntityResponse:
        """Put an entity; raises what the answer says."""
        request = entity_pb2.PutEntityRequest(database="chatdb", key="k", document=document)
        with _named():
            return self._stub.PutEntity(request, metadata=self._metadata, timeout=SECONDS)

    def get(self) -> entity_pb2.Entity:
        """Get it; raises what the answer says."""
        request = entity_pb2.GetEntityRequest(database="chatdb", key="k")
        with _named():
            return self._stub.GetEntity(request, metadata=self._metadata, timeout=SECONDS)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise status.from_rpc_error(error) from error


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@contextlib.contextmanager
def served(rig: MainRig, pki: Pki) -> Iterator[grpc.Channel]:
    """Serve a face, and open a channel to it."""
    face = ServedMain(rig.main(), pki)
    try:
        with pki.client_channel(face.clients) as channel:
            yield channel
    finally:
        face.stop()


def test_over_grpc_requests_are_limited(pki: Pki) -> None:
    """A client that is refused over REST goes on over gRPC; or one client harms another."""
    rig = a_rig(REQUESTS)
    with served(rig, pki) as channel:
        ada, bea = (Rpc(channel, rig.bearer(rig.add_client(one))) for one in ("ada", "bea"))
        for _ in range(4):
            ada.put()
        with pytest.raises(RateLimitedError) as refused:
            ada.put()
        assert refused.value.retry_after_s == 2
        bea.put()
        rig.clock.advance(2)
        ada.put()
        with pytest.raises(RateLimitedError):
            ada.put()


def test_over_grpc_messages_and_answers_count_by_their_bytes(pki: Pki) -> None:
    """Bytes are free over gRPC, or those of the answers are."""
    rig = a_rig(None, BYTES)
    with served(rig, pki) as channel:
        ada = Rpc(channel, rig.bearer(rig.add_client("ada")))
        ada.put(b'"%s"' % (b"x" * 600))
        # 600 bytes are charged, and then the answer's 600: after that nothing is left.
        assert len(ada.get().document) == 602
        with pytest.raises(RateLimitedError) as refused:
            ada.get()
        assert refused.value.retry_after_s is not None
        rig.clock.advance(refused.value.retry_after_s)
        ada.get()
