"""A worker subscribes over REST with a pre-shared credential, which is of use for nothing else."""

import base64
import json
from http import HTTPStatus
from typing import Any

import pytest

from main_api.domain.grants import Action
from main_api.rest import routes
from main_api.rest.operations import Right
from strongroom import tokens
from strongroom.crypto import seal
from strongroom.keyring import Purpose
from tests.support.mains import Built, MainRig, grant
from tests.support.wsgi import Answer, WsgiClient

WORKER = "worker-7"
PRIVATE_KEY = seal.new_private_key()
PUBLIC_KEY = base64.b64encode(seal.public_bytes(PRIVATE_KEY)).decode()
UNAUTHENTICATED = HTTPStatus.UNAUTHORIZED


def basic(name: str, secret: str) -> str:
    """Return the value of a header with HTTP Basic credentials."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


class Rig:
    """A Main Worker, an administrator, and a worker that was given a credential."""

    def __init__(self) -> None:
        """Put it together."""
        self.main = MainRig()
        self.app = routes.build(Built(self.main.main()))
        self.bearer = self.main.bearer(self.main.add_client("root"))
        self.http = WsgiClient(self.app, authorization=self.bearer)
        made = self.http("PUT", f"/workers/{WORKER}")
        assert (made.status, set(made.json())) == (201, {"worker_id", "credential"})
        self.credential: str = made.json()["credential"]

    def subscribe(self, authorization: str | None = None, **members: object) -> Answer:
        """Subscribe: as a worker does, but for what is given."""
        body = {"worker_id": WORKER, "pubkey": PUBLIC_KEY} | members
        headers = {"Authorization": authorization or basic(WORKER, self.credential)}
        return WsgiClient(self.app)(
            "POST", "/workers/subscribe", json.dumps(body).encode(), headers
        )


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker with an enrolled worker."""
    return Rig()


def test_a_worker_subscribes(rig: Rig) -> None:
    """A worker behind an HTTP proxy gets no key, or one that it cannot open."""
    for authorization in (None, f"Bearer {rig.credential}"):
        answer = rig.subscribe(authorization)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        given = answer.json()
        active = rig.main.live.active(Purpose.DATA)
        assert given["key_id"] == active.key_id
        binding = seal.info(
            given["deployment"], WORKER, Purpose.DATA, given["key_id"], seal.Suite.X25519
        )
        sealed = base64.b64decode(given["wrapped_key"])
        assert seal.unseal(PRIVATE_KEY, sealed, binding) == active.material
        assert given["lease_seconds"] > 0
        claims = tokens.verify(
            rig.main.live, rig.main.clock, given["token"], audience=tokens.WORKER_AUDIENCE
        )
        assert claims.subject == WORKER
    # It is not listed: that takes Register, over mutual TLS.
    assert rig.http("GET", "/workers").json()["workers"] == []


def test_a_rotation_under_way_gives_no_other_key(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that subscribes while somebody rotates is told a key that it was not given."""
    sealing = seal.seal

    def rotated(*arguments: Any) -> bytes:  # noqa: ANN401 - as `seal.seal`
        monkeypatch.setattr(seal, "seal", sealing)
        assert rig.http("POST", "/keys/rotate").status == 201
        return sealing(*arguments)

    monkeypatch.setattr(seal, "seal", rotated)
    answer = rig.subscribe()
    assert answer.status == 200
    given = answer.json()
    binding = seal.info(
        given["deployment"], WORKER, Purpose.DATA, given["key_id"], seal.Suite.X25519
    )
    material = seal.unseal(PRIVATE_KEY, base64.b64decode(given["wrapped_key"]), binding)
    assert material == rig.main.live.find(given["key_id"], Purpose.DATA).material


def test_what_is_stolen_on_the_way_opens_nothing(rig: Rig) -> None:
    """Whoever reads the answer has the data key."""
    given = rig.subscribe().json()
    sealed = base64.b64decode(given["wrapped_key"])
    suite, key_id = seal.Suite.X25519, given["key_id"]
    right = seal.info(given["deployment"], WORKER, Purpose.DATA, key_id, suite)
    others = seal.info(given["deployment"], "worker-8", Purpose.DATA, key_id, suite)
    for key, binding in ((seal.new_private_key(), right), (PRIVATE_KEY, others)):
        with pytest.raises(Exception, match="open"):
            seal.unseal(key, sealed, binding)


def test_only_the_workers_own_credential_is_taken(rig: Rig) -> None:
    """A guess, a client's secret, or another worker's credential gets the data key."""
    client = rig.main.add_client(WORKER)
    theirs = rig.http("PUT", "/workers/worker-8").json()["credential"]
    token = rig.subscribe().json()["token"]
    for authorization in (
        basic(WORKER, "wrong"),
        basic(WORKER, ""),
        basic(WORKER, theirs),
        basic("worker-8", theirs),
        basic("worker-9", rig.credential),
        # A client of the same name, with its secret and with its token; a worker's token.
        basic(client.client_id, client.secret),
        rig.main.bearer(client),
        rig.bearer,
        f"Bearer {token}",
        f"Bearer {theirs}",
        "Bearer ",
        "Basic =",
        "Digest x",
    ):
        answer = rig.subscribe(authorization)
        assert answer.status == UNAUTHENTICATED, authorization
        assert answer.headers["www-authenticate"].startswith("Basic ")
    nothing = WsgiClient(rig.app)("POST", "/workers/subscribe", b"{}")
    assert nothing.status == UNAUTHENTICATED


def test_an_unknown_worker_and_a_wrong_credential_are_one_answer(rig: Rig) -> None:
    """Whoever asks learns which workers there are."""
    wrong = rig.subscribe(basic(WORKER, "x")).json()
    unknown = rig.subscribe(basic("worker-9", "x"), worker_id="worker-9").json()
    for one in (wrong, unknown):
        del one["request_id"]
    assert wrong == unknown


def test_what_is_no_worker_is_an_unknown_one(rig: Rig) -> None:
    """A proof that does not hold is told as a mistake in the request, or ends in a defect."""
    for name in ("", "Not A Label", "../worker-1", "x" * 64):
        answer = rig.subscribe(basic(name, rig.credential))
        assert answer.status == UNAUTHENTICATED
        assert answer.json()["detail"] == "unknown worker or wrong credential"


def test_the_credential_does_nothing_else(rig: Rig) -> None:
    """Who has a worker's credential reads entities, or administers, over REST."""
    bearers = [f"Bearer {rig.credential}", basic(WORKER, rig.credential)]
    bearers.append(f"Bearer {rig.subscribe().json()['token']}")
    tried = 0
    for path, methods in rig.app.routes.items():
        for method in methods:
            if {Right.PUBLIC, Right.WORKER} & set(rig.app.operations[path, method].rights):
                continue
            for bearer in bearers:
                filled = path.replace("{", "").replace("}", "")
                headers = {"Authorization": bearer}
                body = b""
                if path.startswith("/oauth/"):
                    headers["Content-Type"] = "application/x-www-form-urlencoded"
                    body = b"grant_type=client_credentials&token=a"
                answer = WsgiClient(rig.app)(method, filled, body, headers)
                assert answer.status in {UNAUTHENTICATED, 404}, (method, path, answer.body)
                assert answer.status == UNAUTHENTICATED or path.startswith("/.well-known/")
                tried += 1
    assert tried > len(bearers)


def test_a_revoked_worker_is_refused_until_it_is_reinstated(rig: Rig) -> None:
    """A revocation holds over gRPC alone."""
    assert rig.http("DELETE", f"/workers/{WORKER}").status == 204
    refused = rig.subscribe()
    assert (refused.status, "revoked" in refused.json()["detail"]) == (403, True)
    # Another credential does not lift it.
    again = rig.http("PUT", f"/workers/{WORKER}?replace=true").json()["credential"]
    assert rig.subscribe(basic(WORKER, again)).status == 403
    assert rig.http("POST", f"/workers/{WORKER}/reinstate").status == 204
    assert rig.subscribe(basic(WORKER, again)).status == 200


def test_a_credential_is_replaced_on_purpose_only(rig: Rig) -> None:
    """A second enrolment of a name puts the first worker out of service, or hands it over."""
    assert rig.http("PUT", f"/workers/{WORKER}").status == 409
    assert rig.subscribe().status == 200
    replaced = rig.http("PUT", f"/workers/{WORKER}?replace=true")
    assert replaced.status == 200
    assert rig.subscribe().status == UNAUTHENTICATED
    assert rig.subscribe(basic(WORKER, replaced.json()["credential"])).status == 200


def test_who_does_not_administer_everything_enrols_nobody(rig: Rig) -> None:
    """A client of one database makes itself a worker, which can read all of them."""
    for actions in ([Action.READ], [Action.READ, Action.WRITE, Action.DELETE]):
        own = rig.main.add_client("limited", grant("*", *actions), grant("own", Action.ADMIN))
        http = WsgiClient(rig.app, authorization=rig.main.bearer(own))
        for name in (WORKER, "worker-9"):
            assert http("PUT", f"/workers/{name}?replace=true").status == 403
    assert rig.subscribe().status == 200


def test_what_is_stored_is_no_credential(rig: Rig) -> None:
    """Whoever opens the record subscribes with what stands there."""
    stored = rig.main.store.worker_credentials.get(WORKER)
    assert stored is not None
    assert rig.credential not in str(stored)
    assert rig.subscribe(basic(WORKER, stored.secret_mac)).status == UNAUTHENTICATED


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"pubkey": "?"}, 400),
        ({"pubkey": ""}, 400),
        ({"pubkey": base64.b64encode(b"short").decode()}, 400),
        ({"pubkey": 1}, 400),
        ({"worker_id": "worker-8"}, 401),
        ({"worker_id": None}, 400),
        ({"suite": "none"}, 400),
        ({"more": 1}, 400),
        ({"pubkey": "A" * 100_000}, 413),
    ],
)
def test_a_body_that_is_none(rig: Rig, members: dict[str, Any], status: int) -> None:
    """Something else than a key is sealed to, or the process is kept busy."""
    assert rig.subscribe(**members).status == status


@pytest.mark.parametrize("name", ["UPPER", "a_b", "-a", "a" * 64, "subscribe"])
def test_a_name_that_is_no_workers_is_refused(rig: Rig, name: str) -> None:
    """A credential is made that no certificate can name, or that nobody can revoke."""
    assert rig.http("PUT", f"/workers/{name}").status in {400, 405}
