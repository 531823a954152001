"""Forged tokens at both faces: nobody gets in, and nothing breaks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest

from main_api.domain.rate_limits import ThrottlePolicies
from main_api.rest import routes
from strongroom import limits, tokens
from strongroom_pb.v1 import entity_pb2, entity_pb2_grpc
from tests.support.forged_tokens import Forge
from tests.support.mains import Built, MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain
from tests.support.wsgi import WsgiClient

METADATA_BYTES_MAX = 8 * 1024


class Rig:
    """A Main Worker with a client `ada`, and whoever forges tokens of it."""

    def __init__(self) -> None:
        """Make both; who fails is listened to for longer than the tests take."""
        self.main = MainRig(throttling=ThrottlePolicies.per_minute(1_000_000, 1_000_000))
        self.main.add_workers("worker-1")
        self.main.add_client("bob")
        bearer = self.main.bearer(self.main.add_client("ada"))
        self.token = bearer.removeprefix("Bearer ")
        claims: dict[str, Any] = jwt.decode(self.token, options={"verify_signature": False})
        self.forge = Forge(self.main.keys, claims)
        self.forgeries = self.forge.forgeries() | {"a worker's": self._workers()}
        self.http = WsgiClient(routes.build(Built(self.main.main())))
        self.sound = self.forge.signed(claims)

    def _workers(self) -> str:
        return tokens.issue(
            self.main.live,
            self.main.clock,
            audience=tokens.WORKER_AUDIENCE,
            subject="ada",
            scope=frozenset({"read"}),
            lifetime_s=60,
        )


@pytest.fixture(scope="module")
def rig() -> Rig:
    """Return a Main Worker."""
    return Rig()


@pytest.fixture(scope="module")
def stub(
    rig: Rig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[entity_pb2_grpc.EntityServiceStub]:
    """Serve it over gRPC."""
    pki = Pki.make(Path(tmp_path_factory.mktemp("pki")))
    face = ServedMain(rig.main.main(), pki)
    with pki.client_channel(face.clients) as channel:
        yield entity_pb2_grpc.EntityServiceStub(channel)
    face.stop()


def test_over_rest_a_forged_token_is_refused(rig: Rig) -> None:
    """Somebody gets in by REST with a token that nobody has issued, or fills the log."""

    def status(token: str) -> int:
        answer = rig.http("GET", "/clients", headers={"Authorization": f"Bearer {token}"})
        if answer.status == 401:
            assert answer.headers["www-authenticate"] == 'Bearer realm="strongroom"'
            assert token not in answer.body.decode() or not token
        return answer.status

    assert status(rig.sound) == 200
    # The header's value has no line feed at its end: there it would be another token.
    for wrong, token in rig.forgeries.items():
        assert status(token) == (200 if wrong == "line feed behind" else 401), wrong


def test_over_grpc_a_forged_token_is_refused(
    rig: Rig, stub: entity_pb2_grpc.EntityServiceStub
) -> None:
    """Somebody gets in by gRPC with a token that nobody has issued."""

    def code(token: str) -> grpc.StatusCode:
        request = entity_pb2.GetEntityRequest(database="chatdb", key="absent")
        metadata = (("authorization", f"Bearer {token}"),)
        call = stub.GetEntity.future(request, metadata=metadata, timeout=SECONDS)
        found: grpc.StatusCode = call.code()
        return found

    assert code(rig.sound) is grpc.StatusCode.NOT_FOUND
    sent = 0
    for wrong, token in rig.forgeries.items():
        if not (token.isascii() and token.isprintable() and len(token) < METADATA_BYTES_MAX):
            continue  # gRPC itself sends no such metadata
        assert code(token) is grpc.StatusCode.UNAUTHENTICATED, wrong
        sent += 1
    assert sent > 50
    too_large = code("a" * 100_000)
    assert too_large in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAUTHENTICATED}


def test_a_token_without_a_scope_does_nothing(rig: Rig) -> None:
    """A token whose scope was left out has all of its client's actions."""
    payload = jwt.decode(rig.token, options={"verify_signature": False})
    for scope in ("", "READ", "everything", "read-write"):
        token = rig.forge.signed(payload | {"scope": scope})
        answer = rig.http("GET", "/clients", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 403
    assert limits.TOKEN_CHARS_MAX < METADATA_BYTES_MAX
