"""Failed authentications: who fails too often is not listened to, and nobody else is harmed."""

import contextlib
import tracemalloc
from collections.abc import Iterator

import grpc
import pytest

from main_api.domain.addresses import Origin
from main_api.domain.rate_limits import ThrottlePolicies
from main_api.rest import routes
from main_api.service.buckets import QuotaExceededError
from main_api.service.callers.throttling import Throttle
from strongroom import limits
from strongroom.errors import RateLimitedError, UnauthenticatedError
from strongroom.rpc import status
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2, entity_pb2_grpc
from tests.support.mains import Built, Credentials, MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain
from tests.support.wsgi import Answer, WsgiClient

PER_CLIENT, PER_ADDRESS = 5, 20
POLICIES = ThrottlePolicies.per_minute(PER_CLIENT, PER_ADDRESS, trusted_proxies=1)
GOOD, BAD = "192.0.2.1", "203.0.113.9"
GRANT = b"grant_type=client_credentials"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def rig() -> MainRig:
    """A Main Worker behind one trusted proxy, with small limits."""
    made = MainRig(throttling=POLICIES)
    made.add_workers("worker-1")
    return made


class Rest:
    """Clients of the REST face, behind a proxy that says where they are."""

    def __init__(self, rig: MainRig) -> None:
        """Build the face."""
        self._http = WsgiClient(routes.build(Built(rig.main())))

    def issue(self, address: str, client: Credentials) -> Answer:
        """Ask for a token."""
        headers = {**FORM, "Authorization": client.basic, "X-Forwarded-For": address}
        return self._http("POST", "/oauth/token", GRANT, headers)

    def read(self, address: str, authorization: str | None) -> Answer:
        """Read an entity that is not there."""
        headers = {"X-Forwarded-For": address}
        if authorization is not None:
            headers["Authorization"] = authorization
        return self._http("GET", "/entity/chatdb?key=nothing", headers=headers)

    def health(self, address: str) -> Answer:
        """Ask whether the process answers."""
        return self._http("GET", "/healthz", headers={"X-Forwarded-For": address})


def wrong(client_id: str) -> Credentials:
    """Return credentials that do not hold."""
    return Credentials(client_id, "wrong")


def forged(number: int) -> str:
    """Return a token that nobody has signed."""
    return f"Bearer eyJhbGciOiJFZERTQSJ9.e30.{number}"


# -- the bounds ------------------------------------------------------------------------------------


def test_after_so_many_failures_a_client_is_refused_from_that_address(rig: MainRig) -> None:
    """Whoever guesses secrets is answered as often as it asks."""
    rest, ada = Rest(rig), rig.add_client("ada")
    answers = [rest.issue(BAD, wrong("ada")).status for _ in range(PER_CLIENT + 1)]
    assert answers == [401] * PER_CLIENT + [429]
    # The right secret is no exception: else a refusal would tell that a guess was wrong.
    assert rest.issue(BAD, ada).status == 429


def test_a_refusal_says_when_to_try_again_and_means_it(rig: MainRig) -> None:
    """A client that waits as it was told is refused again."""
    rest, ada = Rest(rig), rig.add_client("ada")
    for _ in range(PER_CLIENT):
        rest.issue(BAD, wrong("ada"))
    refused = rest.issue(BAD, ada)
    wait_s = 60 // PER_CLIENT
    assert refused.headers["retry-after"] == str(wait_s)
    assert refused.headers["ratelimit-policy"].startswith(
        '"failed-authentications-of-address";q=20;w=60'
    )
    assert refused.headers["ratelimit"] == f'"failed-authentications";r=0;t={wait_s}'
    assert refused.json()["violated-policies"] == ["failed-authentications"]
    rig.clock.advance(wait_s - 1)
    assert rest.issue(BAD, ada).status == 429
    rig.clock.advance(1)
    assert rest.issue(BAD, ada).status == 200


def test_an_unknown_client_is_refused_like_a_known_one(rig: MainRig) -> None:
    """The number of answers tells which clients there are."""
    rest = Rest(rig)
    rig.add_client("ada")
    known = [rest.issue(BAD, wrong("ada")).status for _ in range(PER_CLIENT + 1)]
    unknown = [rest.issue(BAD, wrong("nobody")).status for _ in range(PER_CLIENT + 1)]
    assert known == unknown


def test_an_address_that_tries_many_clients_is_refused_too(rig: MainRig) -> None:
    """One secret is tried on every client there may be."""
    rest = Rest(rig)
    answers = [rest.issue(BAD, wrong(f"client-{n}")).status for n in range(PER_ADDRESS + 1)]
    assert answers == [401] * PER_ADDRESS + [429]


def test_a_name_that_no_client_can_have_counts_for_the_address(rig: MainRig) -> None:
    """Ill-formed names are a way around the limit, or are remembered at any length."""
    rest = Rest(rig)
    names = [f"{'x' * 100}/{n}" for n in range(PER_ADDRESS + 1)]
    assert [rest.issue(BAD, wrong(name)).status for name in names][-1] == 429


def test_success_costs_nothing(rig: MainRig) -> None:
    """A client that asks for tokens often is taken for one that guesses."""
    rest, ada = Rest(rig), rig.add_client("ada")
    assert {rest.issue(GOOD, ada).status for _ in range(3 * PER_ADDRESS)} == {200}


# -- nobody else is harmed -------------------------------------------------------------------------


def test_a_flood_of_wrong_secrets_locks_nobody_out_elsewhere(rig: MainRig) -> None:
    """A stranger who knows a client's name locks it out, from wherever it likes."""
    rest, ada = Rest(rig), rig.add_client("ada")
    token = rig.bearer(ada)
    for n in range(50):
        for _ in range(PER_ADDRESS + 5):
            rest.issue(f"203.0.113.{n}", wrong("ada"))
        assert rest.issue(GOOD, ada).status == 200
    assert rest.read(GOOD, token).status == 404


def test_a_client_at_the_floods_own_address_goes_on_with_its_token(rig: MainRig) -> None:
    """One machine behind a NAT stops the work of all others there."""
    rest = Rest(rig)
    token = rig.bearer(rig.add_client("ada"))
    assert rest.read(BAD, token).status == 404
    for n in range(PER_ADDRESS):
        assert rest.read(BAD, forged(n)).status == 401
    assert rest.read(BAD, forged(0)).status == 429
    assert rest.read(BAD, token).status == 404
    # A token that nobody here has seen would have to be verified, which the address has used up.
    assert rest.read(BAD, rig.bearer(rig.add_client("bea"))).status == 429


def test_probes_are_answered_whatever_their_address_has_done(rig: MainRig) -> None:
    """A load balancer takes a Main Worker out because somebody behind it has a typo."""
    rest = Rest(rig)
    for n in range(PER_ADDRESS + 1):
        rest.read(BAD, forged(n))
    assert rest.health(BAD).status == 200


@pytest.mark.parametrize("seen_before", [True, False])
def test_tokens_that_have_expired_are_no_attack(rig: MainRig, *, seen_before: bool) -> None:
    """A busy client's requests that an expiry meets lock it out for a minute."""
    rest, ada = Rest(rig), rig.add_client("ada")
    tokens = [rig.bearer(ada) for _ in range(2 * PER_ADDRESS)]
    if seen_before:
        for token in tokens:
            rest.read(GOOD, token)
    rig.clock.advance(limits.ACCESS_TOKEN_SECONDS)
    assert {rest.read(GOOD, token).status for token in tokens} == {401}
    assert rest.issue(GOOD, ada).status == 200


def test_a_deleted_clients_tokens_and_requests_without_one_are_no_attack(rig: MainRig) -> None:
    """Whoever forgets the header, or was deleted, has its neighbours refused."""
    rest, ada = Rest(rig), rig.add_client("ada")
    bea = rig.add_client("bea")
    asked = [rig.bearer(bea) for _ in range(2 * PER_ADDRESS)] + [None] * 2 * PER_ADDRESS
    rig.store.remove_client("bea")
    assert {rest.read(GOOD, authorization).status for authorization in asked} == {401}
    assert rest.issue(GOOD, ada).status == 200


# -- which address ---------------------------------------------------------------------------------


def test_a_header_does_not_choose_the_address_unless_a_proxy_is_trusted() -> None:
    """An attacker fails from another address each time, by writing one into a header."""
    rest = Rest(MainRig(throttling=ThrottlePolicies.per_minute(PER_CLIENT, PER_ADDRESS)))
    answers = [rest.issue(f"203.0.113.{n}", wrong("ada")).status for n in range(PER_CLIENT + 1)]
    assert answers[-1] == 429


def test_behind_api_gateway_the_address_is_the_events() -> None:
    """All clients of a Lambda count as one, or each as whom it likes."""
    app = routes.build(Built(MainRig(throttling=ThrottlePolicies.per_minute(1, 1)).main()))

    def status_of(address: str) -> int:
        event = {
            "headers": {"Authorization": wrong("ada").basic, **FORM},
            "multiValueQueryStringParameters": None,
            "pathParameters": None,
            "stageVariables": None,
            "requestContext": {
                "resourcePath": "/oauth/token",
                "httpMethod": "POST",
                "path": "/oauth/token",
                "identity": {"sourceIp": address},
            },
            "body": GRANT.decode(),
            "isBase64Encoded": False,
        }
        return int(app(event, None)["statusCode"])

    assert [status_of(address) for address in (BAD, BAD, GOOD, GOOD)] == [401, 429, 401, 429]


# -- memory ----------------------------------------------------------------------------------------


def test_many_addresses_do_not_fill_the_memory(rig: MainRig) -> None:
    """An attacker with many addresses grows the process until it ends."""
    throttle = Throttle(rig.access, POLICIES, rig.clock)
    tracemalloc.start()
    try:
        for n in range(limits.ADDRESSES_THROTTLED_MAX + 5_000):
            origin = Origin("", f"2001:db8:{n >> 16:x}:{n & 0xFFFF:x}::1")
            throttle.failed(throttle.attempt(origin, f"{'client' * 10}-{n % 100}"))
        used_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used_bytes < limits.THROTTLE_BYTES_MAX
    # Who came last is still known.
    for _ in range(PER_CLIENT - 1):
        throttle.failed(throttle.attempt(origin, "somebody"))
    throttle.failed(throttle.attempt(origin, "somebody"))
    with pytest.raises(QuotaExceededError):
        throttle.attempt(origin, "somebody")


# -- gRPC ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


class Rpc:
    """Clients of the gRPC face, behind a proxy that says where they are."""

    def __init__(self, served: ServedMain, pki: Pki) -> None:
        """Open a channel."""
        self.channel = pki.client_channel(served.clients)

    def issue(self, address: str, client: Credentials) -> None:
        """Ask for a token; raises what the answer says."""
        request = auth_pb2.IssueTokenRequest(
            client_id=client.client_id, client_secret=client.secret
        )
        stub = auth_pb2_grpc.AuthServiceStub(self.channel)
        with _named():
            stub.IssueToken(request, metadata=(("x-forwarded-for", address),), timeout=SECONDS)

    def validate(self, address: str, authorization: str) -> None:
        """Make a call that takes a token; raises what the answer says."""
        metadata = (("x-forwarded-for", address), ("authorization", authorization))
        stub = entity_pb2_grpc.EntityServiceStub(self.channel)
        request = entity_pb2.PutEntityRequest(database="chatdb", key="k", document=b"1")
        with _named():
            stub.PutEntity(request, metadata=metadata, timeout=SECONDS)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise status.from_rpc_error(error) from error


@pytest.fixture
def rpc(rig: MainRig, pki: Pki) -> Iterator[Rpc]:
    """A served face."""
    served = ServedMain(rig.main(), pki)
    made = Rpc(served, pki)
    yield made
    made.channel.close()
    served.stop()


def test_over_grpc_wrong_secrets_are_counted_as_well(rig: MainRig, rpc: Rpc) -> None:
    """Whoever is refused over REST goes on guessing over gRPC."""
    ada = rig.add_client("ada")
    for _ in range(PER_CLIENT):
        with pytest.raises(UnauthenticatedError):
            rpc.issue(BAD, wrong("ada"))
    with pytest.raises(RateLimitedError) as refused:
        rpc.issue(BAD, ada)
    assert refused.value.retry_after_s == 60 // PER_CLIENT
    rpc.issue(GOOD, ada)
    rig.clock.advance(60 // PER_CLIENT)
    rpc.issue(BAD, ada)


def test_over_grpc_forged_tokens_are_counted_as_well(rig: MainRig, rpc: Rpc) -> None:
    """Signatures are verified for whoever sends some, without end."""
    token = rig.bearer(rig.add_client("ada"))
    rpc.validate(BAD, token)
    for n in range(PER_ADDRESS):
        with pytest.raises(UnauthenticatedError):
            rpc.validate(BAD, forged(n))
    with pytest.raises(RateLimitedError):
        rpc.validate(BAD, forged(0))
    rpc.validate(BAD, token)
    rpc.validate(GOOD, rig.bearer(rig.add_client("bea")))
