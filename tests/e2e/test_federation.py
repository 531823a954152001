"""Users of a foreign issuer: a real issuer, a real deployment, both faces, keys that rotate."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest

from cli.emulation.pki import CertificateAuthority
from strongroom import limits
from strongroom.clock import SystemClock
from strongroom.rpc import status
from strongroom_pb.v1 import entity_pb2, entity_pb2_grpc
from tests.support.deployment import CHAT, Deployment, wait_until
from tests.support.issuer_processes import IssuerProcess

AUDIENCE = "https://strongroom.example"
OK, CREATED = httpx.codes.OK, httpx.codes.CREATED
UNAUTHENTICATED, FORBIDDEN = httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN
SECONDS = 30.0
# In both faces, with what a record and a proof are cached for in either.
WITHIN_S = limits.REVOCATION_SECONDS_MAX
CHATS = {
    "claims": {"groups": ["chat"]},
    "grants": [
        {
            "database": "chatdb",
            "actions": ["read", "write", "delete"],
            "key_prefix": "users/{sub}/",
        }
    ],
}
OPS = {
    "claims": {"groups": ["ops"]},
    "grants": [{"database": "*", "actions": ["read", "write", "delete", "admin"]}],
}


@dataclass
class World:
    """A deployment, and an issuer over HTTPS that it trusts as `login`."""

    deployment: Deployment
    issuer: IssuerProcess
    ca_certificates: str

    def trust(self, *rules: dict[str, Any]) -> None:
        """Trust the issuer for these rules."""
        body = {
            "issuer": self.issuer.issuer,
            "audiences": [AUDIENCE],
            "rules": rules,
            "ca_certificates": self.ca_certificates,
        }
        with self.deployment.http() as admin:
            answer = admin.put("/issuers/login", json=body)
        assert answer.status_code in {OK, CREATED}, answer.text

    def token(self, sub: str = "ada", *groups: str, kid: str = "") -> str:
        """Return a token of a user, who is in the group `chat` unless others are named."""
        now_s = SystemClock().wall_ms() // 1000
        claims = {
            "iss": self.issuer.issuer,
            "aud": AUDIENCE,
            "sub": sub,
            "iat": now_s,
            "exp": now_s + 600,
            "groups": groups or ["chat"],
        }
        return self.issuer.sign(claims, kid)

    def http(self, token: str) -> httpx.Client:
        """Return the REST face as the bearer of a token has it."""
        return httpx.Client(
            base_url=self.deployment.facts["http_url"],
            headers={"Authorization": f"Bearer {token}"},
            timeout=SECONDS,
        )

    def over_rest(self, token: str, key: str) -> int:
        """Return the status of a read over REST."""
        with self.http(token) as user:
            return user.get("/entity/chatdb", params={"key": key}).status_code

    def over_grpc(self, token: str, key: str) -> str:
        """Return the code of a read over gRPC; empty for success."""
        metadata = (("authorization", f"Bearer {token}"),)
        with self.deployment.channel() as channel:
            entities = entity_pb2_grpc.EntityServiceStub(channel)
            request = entity_pb2.GetEntityRequest(database="chatdb", key=key)
            try:
                entities.GetEntity(request, metadata=metadata, timeout=SECONDS)
            except grpc.RpcError as error:
                return status.from_rpc_error(error).code
        return ""

    def comes_in(self, token: str, key: str) -> bool:
        """Tell whether a token lets its bearer read, through both faces."""
        return self.over_rest(token, key) == OK and self.over_grpc(token, key) == ""

    def is_kept_out(self, token: str, key: str) -> bool:
        """Tell whether both faces refuse a token as none."""
        return (
            self.over_rest(token, key) == UNAUTHENTICATED
            and self.over_grpc(token, key) == "unauthenticated"
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return a deployment that trusts an issuer over HTTPS."""
    authority = CertificateAuthority(tmp_path_factory.mktemp("pki"), SystemClock())
    issued = authority.issue("issuer", ["127.0.0.1"])
    issuer = IssuerProcess(issued.certificate_file, issued.key_file)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STRONGROOM_ISSUERS_OVER_HTTP_LOOPBACK", "yes")
        deployment = Deployment(tmp_path_factory.mktemp("federated")).start()
    made = World(deployment, issuer, authority.certificate_file.read_text())
    made.trust(CHATS, OPS)
    with made.http(made.token("root", "ops")) as admin:
        for name in ("ada", "bob", "eve"):
            written = admin.put("/entity/chatdb", json={f"users/{name}/1": CHAT})
            assert written.status_code == CREATED, written.text
    yield made
    issuer.stop()
    assert deployment.stop() == 0


@pytest.fixture(autouse=True)
def trusted(world: World) -> None:
    """Trust the issuer for everything that these tests want, and let that be in force."""
    world.trust(CHATS, OPS)
    token = world.token("eve")
    assert wait_until(lambda: world.comes_in(token, "users/eve/1"), SECONDS)


def within(condition: Callable[[], bool], seconds: float) -> None:
    """See that something comes true in time."""
    began_s = time.monotonic()
    assert wait_until(condition, SECONDS)
    assert time.monotonic() - began_s < seconds


def test_a_user_of_the_issuer_has_its_own_through_both_faces(world: World) -> None:
    """Each user of a front end needs a client and a secret; or users see each other's chats."""
    ada = world.token()
    assert world.comes_in(ada, "users/ada/1")
    assert world.over_rest(ada, "users/bob/1") == FORBIDDEN
    assert world.over_grpc(ada, "users/bob/1") == "forbidden"
    with world.http(ada) as user:
        assert user.put("/entity/chatdb", json={"users/ada/2": CHAT}).status_code == CREATED
        assert user.put("/entity/chatdb", json={"users/bob/2": CHAT}).status_code == FORBIDDEN
        assert sorted(user.get("/entity/chatdb").json()) == ["users/ada/1", "users/ada/2"]
        for path in ("/clients", "/issuers", "/keys", "/metrics", "/databases/chatdb"):
            assert user.get(path).status_code == FORBIDDEN
        assert user.delete("/entity/chatdb", params={"key": "users/ada/2"}).is_success
    stranger = world.token("ada", "nobody")
    assert world.over_rest(stranger, "users/ada/1") == FORBIDDEN
    assert world.over_grpc(stranger, "users/ada/1") == "forbidden"


def test_two_users_share_neither_cursor_nor_idempotency_key(world: World) -> None:
    """A user goes on with another one's listing, or gets the answer to another one's write."""
    with (
        world.http(world.token("root", "ops")) as root,
        world.http(world.token("rut", "ops")) as rut,
    ):
        page = root.get("/entity/chatdb", params={"limit": 1})
        following = httpx.URL(page.links["next"]["url"]).raw_path.decode()
        assert root.get(following).status_code == OK
        assert rut.get(following).status_code == httpx.codes.BAD_REQUEST
        keyed = {"Idempotency-Key": "same"}
        first = root.put("/entity/chatdb", json={"shared": CHAT}, headers=keyed)
        again = root.put("/entity/chatdb", json={"shared": CHAT}, headers=keyed)
        others = rut.put("/entity/chatdb", json={"shared": CHAT}, headers=keyed)
        versions = [one.json()["shared"]["version"] for one in (first, again, others)]
        assert versions == [1, 1, 2]
        assert root.delete("/entity/chatdb", params={"key": "shared"}).is_success


def test_keys_rotate_under_the_users(world: World) -> None:
    """After a rotation nobody gets in; or a key that is made up lets somebody in."""
    before = world.token()
    for kid, algorithm in (("rotated", "RS256"), ("again", "EdDSA")):
        world.issuer.add_key(kid, algorithm)
    assert world.comes_in(world.token(kid="rotated"), "users/ada/1")
    assert world.comes_in(world.token(kid="again"), "users/ada/1")
    assert world.comes_in(before, "users/ada/1")
    asked = world.issuer.asked()
    world.issuer.add_key("unpublished")
    world.issuer.drop_key("unpublished")
    forged = [world.token(str(n), kid="unpublished") for n in range(50)]
    assert {world.over_rest(token, "users/ada/1") for token in forged} == {UNAUTHENTICATED}
    assert world.issuer.asked() - asked <= 1 + SECONDS / limits.JWKS_ASKED_APART_SECONDS


def test_a_rule_and_an_issuer_that_are_taken_away_are_refused_in_time(world: World) -> None:
    """Who was an administrator, or was trusted, goes on for as long as its token lasts."""
    ada, root = world.token(), world.token("root", "ops")
    assert world.comes_in(ada, "users/ada/1")
    assert world.comes_in(root, "users/bob/1")
    world.trust(CHATS)
    within(
        lambda: (
            world.over_rest(root, "users/bob/1") == FORBIDDEN
            and world.over_grpc(root, "users/bob/1") == "forbidden"
        ),
        WITHIN_S,
    )
    assert world.comes_in(ada, "users/ada/1")
    with world.deployment.http() as admin:
        assert admin.delete("/issuers/login").is_success
    within(lambda: world.is_kept_out(ada, "users/ada/1"), WITHIN_S)


def test_an_issuer_that_hangs_keeps_nobody_else_waiting(world: World) -> None:
    """An outage of an issuer, and tokens that name made-up keys, stop the whole deployment."""
    hanging = IssuerProcess()
    try:
        hanging.answer("keys", "hang")
        body = {"issuer": hanging.issuer, "audiences": [AUDIENCE], "rules": [CHATS]}
        with world.deployment.http() as admin:
            assert admin.put("/issuers/hanging", json=body).status_code == CREATED
            now_s = SystemClock().wall_ms() // 1000
            claims = {"iss": hanging.issuer, "aud": AUDIENCE, "sub": "ada"}
            tokens = [
                hanging.sign({**claims, "iat": now_s, "exp": now_s + 600, "n": n})
                for n in range(40)
            ]
            began_s = time.monotonic()
            with ThreadPoolExecutor(40) as pool:
                refused = [pool.submit(world.over_rest, token, "users/ada/1") for token in tokens]
                slowest_s = 0.0
                for _ in range(10):
                    asked_s = time.monotonic()
                    assert admin.get("/entity/chatdb", params={"key": "users/ada/1"}).is_success
                    slowest_s = max(slowest_s, time.monotonic() - asked_s)
            assert slowest_s < 2.0
            assert {one.result() for one in refused} <= {503, UNAUTHENTICATED}
            assert time.monotonic() - began_s < 20.0
            assert hanging.asked() <= 2
            assert admin.delete("/issuers/hanging").is_success
    finally:
        hanging.stop()


def test_the_issuer_may_be_down_while_its_keys_are_known(world: World) -> None:
    """An outage of the issuer is at once one of ours."""
    world.issuer.answer("keys", "status", status=500)
    try:
        new = world.token("eve")
        assert world.comes_in(new, "users/eve/1")
        with world.deployment.http() as admin:
            asked = admin.post("/issuers/login/ask")
        assert asked.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert "500" in asked.json()["detail"]
    finally:
        world.issuer.answer("keys", "rightly")


def test_nothing_of_a_user_is_stored_or_logged(world: World) -> None:
    """The disk, or a log, shows who was here, or a token that somebody can use."""
    token = world.token("somebody-in-particular")
    with world.http(token) as user:
        entity = {"users/somebody-in-particular/1": CHAT}
        assert user.put("/entity/chatdb", json=entity).status_code == CREATED
    world.over_grpc(token, "users/nobody/1")
    stored = world.deployment.every_stored_byte()
    for text in (token, "somebody-in-particular", world.issuer.issuer):
        assert text.encode() not in stored
