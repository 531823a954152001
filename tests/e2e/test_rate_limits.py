"""Limits of a deployment that was told some: over real HTTP and gRPC, in real time."""

import threading
from collections.abc import Callable, Iterator

import grpc
import httpx
import pytest

from strongroom import limits
from strongroom.errors import RateLimitedError, StrongroomError, UnauthenticatedError
from strongroom.rpc import status
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2, entity_pb2_grpc
from tests.support.deployment import CHAT, Deployment

BURST, BYTES_PER_SECOND = 30, 1024 * 1024
PER_CLIENT = 5
STRANGER = "127.0.0.2"
SETTINGS = {
    "STRONGROOM_RATE_REQUESTS_PER_SECOND": "2",
    "STRONGROOM_RATE_REQUESTS_BURST": str(BURST),
    "STRONGROOM_RATE_BYTES_PER_SECOND": str(BYTES_PER_SECOND),
    "STRONGROOM_FAILED_AUTHENTICATIONS_PER_MINUTE": str(PER_CLIENT),
}
TOO_MANY = httpx.codes.TOO_MANY_REQUESTS


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with limits."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in SETTINGS.items():
            environment.setenv(name, value)
        running = Deployment(tmp_path_factory.mktemp("limited")).start()
    yield running
    assert running.stop() == 0


def a_client(deployment: Deployment, client_id: str) -> tuple[httpx.Client, str]:
    """Make a client of everything; return the REST face as it has it, and its secret."""
    grants = [{"database": "*", "actions": ["read", "write"]}]
    with deployment.http() as admin:
        made = admin.put(f"/clients/{client_id}", json={"grants": grants})
    assert made.status_code == httpx.codes.CREATED, made.text
    secret = made.json()["client_secret"]
    issued = asking(deployment, client_id, secret)
    assert issued.status_code == httpx.codes.OK
    bearer = f"Bearer {issued.json()['access_token']}"
    base_url, headers = deployment.facts["http_url"], {"Authorization": bearer}
    return httpx.Client(base_url=base_url, headers=headers, timeout=30.0), secret


def asking(
    deployment: Deployment, client_id: str, secret: str, address: str = ""
) -> httpx.Response:
    """Ask for a token, from another address of this machine if one is given."""
    transport = httpx.HTTPTransport(local_address=address or None)
    with httpx.Client(transport=transport, timeout=30.0) as http:
        return http.post(
            f"{deployment.facts['http_url']}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client_id, secret),
        )


def exhausted(client: httpx.Client) -> httpx.Response:
    """Read until that is refused, and return the refusal."""
    for number in range(100 * BURST):
        answer = client.get("/entity/chatdb", params={"key": "nothing"})
        if answer.status_code == TOO_MANY:
            assert number >= BURST
            return answer
        assert answer.headers["ratelimit-policy"].startswith(f'"requests";q={BURST};w=15')
    raise AssertionError("a client is never refused")


def test_a_client_past_its_limit_is_refused_and_served_again_when_told(limited: Deployment) -> None:
    """One client takes all there is, or is sent away for longer than it is told."""
    busy, _ = a_client(limited, "busy")
    other, _ = a_client(limited, "other")
    with busy, other:
        refused = exhausted(busy)
        assert refused.json()["violated-policies"] == ["requests"]
        assert refused.headers["ratelimit"] == '"requests";r=0;t=1'
        # Another client has all that it may have, meanwhile.
        answers = [other.get("/entity/chatdb", params={"key": "nothing"}) for _ in range(BURST)]
        assert {answer.status_code for answer in answers} == {httpx.codes.NOT_FOUND}
        threading.Event().wait(float(refused.headers["retry-after"]))
        again = busy.get("/entity/chatdb", params={"key": "nothing"})
        assert again.status_code == httpx.codes.NOT_FOUND


def test_bytes_are_limited_before_a_large_body_is_read(limited: Deployment) -> None:
    """A client sends more than it may, a large body after the other."""
    heavy, _ = a_client(limited, "heavy")
    chat = {"chat": [{"type": "user", "text": "x" * (limits.ENTITY_BYTES_MAX - 1024)}]}
    with heavy:
        assert heavy.put("/entity/chatdb", json={"heavy": chat}).status_code == httpx.codes.CREATED
        refused = heavy.put("/entity/chatdb", json={"heavy": chat})
        assert refused.status_code == TOO_MANY
        assert refused.json()["violated-policies"] == ["bytes"]
        threading.Event().wait(float(refused.headers["retry-after"]))
        assert heavy.put("/entity/chatdb", json={"h": CHAT}).status_code == httpx.codes.CREATED


def test_a_flood_of_wrong_secrets_leaves_a_good_client_unharmed(limited: Deployment) -> None:
    """A stranger who knows a client's name locks it out."""
    client, secret = a_client(limited, "good")
    client.close()
    floods = [asking(limited, "good", "wrong", STRANGER).status_code for _ in range(PER_CLIENT + 5)]
    assert floods[:PER_CLIENT] == [httpx.codes.UNAUTHORIZED] * PER_CLIENT
    assert floods[-1] == TOO_MANY
    assert asking(limited, "good", secret, STRANGER).status_code == TOO_MANY
    assert asking(limited, "good", secret).status_code == httpx.codes.OK


def test_over_grpc_it_is_the_same(limited: Deployment) -> None:
    """What is refused over REST is served over gRPC."""
    client, secret = a_client(limited, "caller")
    client.close()
    with limited.channel() as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        good = auth_pb2.IssueTokenRequest(client_id="caller", client_secret=secret)
        token = auth.IssueToken(good).access_token
        wrong = auth_pb2.IssueTokenRequest(client_id="caller", client_secret="wrong")
        errors = [refused(lambda: auth.IssueToken(wrong)) for _ in range(PER_CLIENT + 1)]
        assert [type(error) for error in errors[:PER_CLIENT]] == [UnauthenticatedError] * PER_CLIENT
        assert isinstance(errors[-1], RateLimitedError)
        assert errors[-1].retry_after_s
        entities = entity_pb2_grpc.EntityServiceStub(channel)
        validate = entity_pb2.ValidateEntitiesRequest(database="chatdb")
        metadata = (("authorization", f"Bearer {token}"),)
        # The token was issued before, and goes on; until the client has used up what it may.
        calls = [
            refused(lambda: entities.ValidateEntities(validate, metadata=metadata))
            for _ in range(100 * BURST)
        ]
        assert not any(isinstance(error, RateLimitedError) for error in calls[:BURST])
        assert any(isinstance(error, RateLimitedError) for error in calls)


def refused(call: Callable[[], object]) -> StrongroomError | None:
    """Return the error that a call ends in, None for none."""
    try:
        call()
    except grpc.RpcError as error:
        return status.from_rpc_error(error)
    return None
