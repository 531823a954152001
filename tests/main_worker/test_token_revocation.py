"""Revoked tokens (RFC 7009): refused by everybody within seconds, and for as long as they live."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import grpc
import pytest

from main_api.adapters.control_store import ControlFiles
from main_api.domain import token_revocations
from main_api.domain.grants import Action
from main_api.rest import routes
from main_api.service.callers.access import Access
from strongroom import limits, tokens
from strongroom.durable import LocalFilesystem
from strongroom.errors import (
    RateLimitedError,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.layout import Layout
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc
from tests.support.mains import Built, Credentials, MainRig, grant
from tests.support.rpc_mains import SECONDS, Pki, ServedMain
from tests.support.wsgi import Answer, WsgiClient

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
READ = Action.READ


class Rig:
    """A Main Worker with clients, and the way to its revocation endpoint."""

    def __init__(self, main: MainRig | None = None) -> None:
        """Make the clients."""
        self.main = main or MainRig()
        rights = (grant("chatdb", READ),)
        self.ada = self.main.add_front_end("ada", rights, rights)
        self.bob = self.main.add_client("bob", *rights)
        self.http = WsgiClient(routes.build(Built(self.main.main())))

    def revoke(self, token: str, who: Credentials | None = None, **fields: str) -> Answer:
        """Revoke a token, as ada unless said otherwise."""
        body = urlencode({"token": token.removeprefix("Bearer ")} | fields).encode()
        headers = {**FORM, "Authorization": (who or self.ada).basic}
        return self.http("POST", "/oauth/revoke", body, headers)

    def gets_in(self, bearer: str, access: Access | None = None) -> bool:
        """Tell whether a token opens something."""
        try:
            (access or self.main.access).authenticate(bearer)
        except UnauthenticatedError:
            return False
        return True

    def records(self) -> list[str]:
        """Return the names of the records."""
        return self.main.store.token_revocations.names()


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker."""
    return Rig()


def test_a_revoked_token_is_refused_and_no_other(rig: Rig) -> None:
    """A token that somebody has lost opens everything for ten minutes more."""
    lost, other = rig.main.bearer(rig.ada), rig.main.bearer(rig.ada)
    assert rig.gets_in(lost)
    answer = rig.revoke(lost)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert not rig.gets_in(lost)
    assert rig.gets_in(other)
    assert rig.gets_in(rig.main.bearer(rig.ada))
    for _ in range(200):
        rig.main.clock.advance(limits.ACCESS_TOKEN_SECONDS / 200)
        assert not rig.gets_in(lost)


def test_every_process_refuses_it_within_five_seconds(rig: Rig) -> None:
    """A token that was revoked at one Main Worker goes on at another."""
    lost = rig.main.bearer(rig.ada)
    others = [Access(rig.main.token_keys, rig.main.store, rig.main.clock) for _ in range(20)]
    for number, other in enumerate(others):
        # Each has looked at another moment.
        rig.main.clock.advance(limits.TOKEN_REVOCATIONS_READ_EVERY_SECONDS / 20)
        assert rig.gets_in(lost, other), number
    rig.revoke(lost)
    rig.main.clock.advance(limits.REVOCATION_SECONDS_MAX)
    assert not any(rig.gets_in(lost, other) for other in others)


def test_who_looks_lists_once_in_two_seconds(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request lists a directory on the shared disk."""
    bearer, names, calls = rig.main.bearer(rig.ada), rig.main.memory.token_revocations.names, [0]

    def counted() -> list[str]:
        calls[0] += 1
        return names()

    monkeypatch.setattr(rig.main.memory.token_revocations, "names", counted)
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait(30)
        for _ in range(50):
            assert rig.gets_in(bearer)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert calls == [1]
    for _ in range(100):
        rig.main.clock.advance(0.1)
        assert rig.gets_in(bearer)
    assert calls[0] <= 6


def test_a_users_token_is_revoked_by_its_client(rig: Rig) -> None:
    """A front end cannot log a user out."""
    alice, bob = (rig.main.user_bearer(rig.ada, user) for user in ("alice", "bob"))
    assert rig.revoke(alice).status == 200
    assert not rig.gets_in(alice)
    assert rig.gets_in(bob)


def test_another_clients_token_is_not_revoked(rig: Rig) -> None:
    """Any client logs any other one out."""
    bearer = rig.main.bearer(rig.ada)
    answer = rig.revoke(bearer, rig.bob)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_grant")
    assert rig.gets_in(bearer)
    assert rig.records() == []


def test_an_administrator_revokes_whose_token_it_has_found(rig: Rig) -> None:
    """A token that was found in a log cannot be ended without its client's secret."""
    bearer = rig.main.bearer(rig.ada)
    for rights in (grant("*", READ), grant("chatdb", Action.ADMIN)):
        half = rig.main.add_client("half", rights)
        assert rig.revoke(bearer, half).status == 400
    assert rig.gets_in(bearer)
    assert rig.revoke(bearer, rig.main.add_client("root")).status == 200
    assert not rig.gets_in(bearer)


def test_what_is_no_token_needs_no_revocation(rig: Rig) -> None:
    """An OAuth library takes a logout for failed; or rubbish fills the disk."""
    expired, worker = rig.main.bearer(rig.ada), worker_token(rig)
    rig.main.clock.advance(limits.ACCESS_TOKEN_SECONDS)
    forged = rig.main.bearer(rig.ada)[:-4] + "AAAA"
    for text in ("x", "x.y.z", "é", expired, forged, worker, "x" * 5_000):
        assert rig.revoke(text).status == 200
    assert rig.records() == []


def worker_token(rig: Rig) -> str:
    """Return a worker's token."""
    return tokens.issue(
        rig.main.keys,
        rig.main.clock,
        audience=tokens.WORKER_AUDIENCE,
        subject="worker-1",
        scope=frozenset({"x"}),
        lifetime_s=60,
    )


def test_a_foreign_token_is_not_said_to_be_revoked(rig: Rig) -> None:
    """A client believes that a token is revoked which goes on."""
    elsewhere = MainRig(keys=replace(rig.main.keys, deployment="elsewhere"))
    answer = rig.revoke(elsewhere.bearer(elsewhere.add_client("ada")))
    assert (answer.status, answer.json()["error"]) == (400, "unsupported_token_type")


def test_only_a_client_revokes(rig: Rig) -> None:
    """Whoever sees a token may end it; or whoever has one may end others."""
    bearer = rig.main.bearer(rig.ada)
    for authorization in (bearer, "", Credentials("ada", "wrong").basic):
        headers = {**FORM, "Authorization": authorization}
        body = urlencode({"token": bearer.removeprefix("Bearer ")}).encode()
        answer = rig.http("POST", "/oauth/revoke", body, headers)
        assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert rig.gets_in(bearer)


def test_a_request_without_a_token_is_refused(rig: Rig) -> None:
    """A client that forgets the token believes that it has revoked one."""
    answer = rig.revoke("")
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert rig.revoke("x", token_type_hint="refresh_token").status == 200


def test_the_same_token_in_other_letters_is_revoked_too(rig: Rig) -> None:
    """A revoked token is good again with one bit changed that base64 does not count."""
    lost = rig.main.bearer(rig.ada)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spelt = [lost[:-1] + letters[letters.index(lost[-1]) ^ bit] for bit in range(4)]
    assert any(map(rig.gets_in, spelt))
    rig.revoke(lost)
    assert not any(map(rig.gets_in, spelt))


def test_without_the_list_nobody_gets_in_and_a_short_trouble_harms_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk fails, a revoked token opens everything; or one failed call stops all."""
    records, down = rig.main.memory.token_revocations, [True]
    names = records.names

    def failing() -> list[str]:
        if down[0]:
            raise UnavailableError("the storage does not answer")
        return names()

    bearer = rig.main.bearer(rig.ada)
    assert rig.gets_in(bearer)
    monkeypatch.setattr(records, "names", failing)
    rig.main.clock.advance(limits.TOKEN_REVOCATIONS_STALE_SECONDS_MAX - 0.001)
    assert rig.gets_in(bearer)
    rig.main.clock.advance(0.001)
    for _ in range(10):
        with pytest.raises(UnavailableError, match="revoked"):
            rig.main.access.authenticate(bearer)
    down[0] = False
    rig.main.clock.advance(limits.TOKEN_REVOCATIONS_TRIED_EVERY_SECONDS)
    assert rig.gets_in(bearer)
    fresh = Access(rig.main.token_keys, rig.main.store, rig.main.clock)
    down[0] = True
    with pytest.raises(UnavailableError):
        fresh.authenticate(bearer)


def test_records_are_bounded_for_a_client_and_for_all(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One client fills the disk, or keeps others from revoking anything."""
    monkeypatch.setattr(limits, "TOKENS_REVOKED_PER_CLIENT_MAX", 3)
    monkeypatch.setattr(limits, "TOKENS_REVOKED_MAX", 5)
    lost = [rig.main.bearer(rig.ada) for _ in range(4)]
    assert [rig.revoke(one).status for one in lost] == [200, 200, 200, 429]
    assert rig.revoke(lost[0]).status == 200
    assert rig.gets_in(lost[3])
    bobs = [rig.main.bearer(rig.bob) for _ in range(3)]
    assert [rig.revoke(one, rig.bob).status for one in bobs] == [200, 200, 429]
    rig.main.clock.advance(limits.ACCESS_TOKEN_SECONDS + 2)
    assert rig.revoke(rig.main.bearer(rig.ada)).status == 200


def test_records_of_tokens_that_have_ended_are_swept(rig: Rig) -> None:
    """Records pile up for ever, or go while their token lives."""
    lost = rig.main.bearer(rig.ada)
    rig.revoke(lost)
    revocations = rig.main.access.revocations
    (name,) = rig.records()
    rig.main.clock.advance(limits.ACCESS_TOKEN_SECONDS)
    revocations.sweep()
    assert rig.records() == [name]
    rig.main.clock.advance(1)
    rig.main.store.token_revocations.put("somebody-elses", a_record(rig, name))
    revocations.sweep()
    assert rig.records() == ["somebody-elses"]


def a_record(rig: Rig, name: str) -> token_revocations.TokenRevocation:
    """Return what a record says."""
    found = rig.main.store.token_revocations.get(name)
    assert found is not None
    return found


@pytest.fixture
def on_disk(tmp_path: Path) -> Rig:
    """Return a Main Worker whose records lie on a disk."""
    main = MainRig()
    store = ControlFiles(LocalFilesystem(), Layout(tmp_path), main.live, main.clock)
    return Rig(MainRig(clock=main.clock, keys=main.keys, other_store=store))


def test_a_record_says_who_has_revoked_what_and_shows_no_token(
    on_disk: Rig, tmp_path: Path
) -> None:
    """Nobody can tell why a token does not work any more; or the disk has a token to be copied."""
    lost, root = on_disk.main.bearer(on_disk.ada), on_disk.main.add_client("root")
    on_disk.revoke(lost, root)
    (name,) = on_disk.records()
    record = a_record(on_disk, name)
    assert (record.client_id, record.revoked_by) == ("ada", "root")
    (path,) = (tmp_path / "control" / "token-revocations").iterdir()
    raw = path.read_bytes()
    assert b"ada" not in raw
    assert not any(part.encode() in raw for part in lost.removeprefix("Bearer ").split("."))


def test_a_damaged_record_lifts_nothing(on_disk: Rig, tmp_path: Path) -> None:
    """Whoever can write one byte of the disk has a revoked token back."""
    lost = on_disk.main.bearer(on_disk.ada)
    on_disk.revoke(lost)
    (path,) = (tmp_path / "control" / "token-revocations").iterdir()
    path.write_bytes(b"garbage")
    other = Access(on_disk.main.token_keys, on_disk.main.store, on_disk.main.clock)
    assert not on_disk.gets_in(lost, other)
    damaged = {found.path for found in on_disk.main.store.inspect(repair=False)}
    assert f"control/token-revocations/{path.name}" in damaged


def test_a_revocation_that_cannot_be_written_is_none(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client is told that its token is revoked, and it is not."""

    def refusing(*_: object, **__: object) -> None:
        raise UnavailableError("the disk is full")

    monkeypatch.setattr(rig.main.memory.token_revocations, "put", refusing)
    assert rig.revoke(rig.main.bearer(rig.ada)).status == 503


# -- over gRPC -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, grpc.Channel]]:
    """Serve a Main Worker over gRPC."""
    rig, pki = Rig(), Pki.make(Path(tmp_path_factory.mktemp("pki")))
    face = ServedMain(rig.main.main(), pki)
    with pki.client_channel(face.clients) as channel:
        yield rig, channel
    face.stop()


def test_a_token_is_revoked_over_grpc_too(served: tuple[Rig, grpc.Channel]) -> None:
    """A client that speaks gRPC cannot log out; or revokes what is another one's."""
    rig, channel = served
    stub, lost = auth_pb2_grpc.AuthServiceStub(channel), rig.main.bearer(rig.ada)

    def revoke(who: Credentials, token: str) -> grpc.StatusCode:
        request = auth_pb2.RevokeTokenRequest(
            client_id=who.client_id,
            client_secret=who.secret,
            token=token.removeprefix("Bearer "),
        )
        code: grpc.StatusCode = stub.RevokeToken.future(request, timeout=SECONDS).code()
        return code

    assert revoke(rig.bob, lost) is grpc.StatusCode.INVALID_ARGUMENT
    assert revoke(Credentials("ada", "wrong"), lost) is grpc.StatusCode.UNAUTHENTICATED
    assert rig.gets_in(lost)
    assert revoke(rig.ada, "x") is grpc.StatusCode.OK
    assert revoke(rig.ada, lost) is grpc.StatusCode.OK
    assert not rig.gets_in(lost)


# -- names -----------------------------------------------------------------------------------------


def test_a_name_says_what_the_record_is_decided_by() -> None:
    """A token is looked for under another name than it was written under."""
    made = token_revocations.revoked_token("0" * 32, "x" * 64, 2_000_000_000)
    assert len(made.name) <= 64
    assert list(token_revocations.read([made.name])) == [made]
    odd = ["", "x", made.name + "0", "." + made.name, made.name.upper(), made.name[1:]]
    assert [one for one in token_revocations.read(odd) if one.name not in odd] == []
    assert token_revocations.of_client([made], "x" * 64) == [made]
    assert token_revocations.of_client([made], "y") == []


def test_too_many_is_told_as_a_limit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that revokes too much is told of a defect."""
    monkeypatch.setattr(limits, "TOKENS_REVOKED_MAX", 0)
    token = rig.main.bearer(rig.ada).removeprefix("Bearer ")
    with pytest.raises(StrongroomError) as refusal:
        rig.main.authorization.revoke("ada", rig.ada.secret, token)
    assert isinstance(refusal.value, RateLimitedError)
    assert refusal.value.retry_after_s == 60
