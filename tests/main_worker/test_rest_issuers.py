"""Foreign issuers over REST: by administrators of everything, and by nobody else."""

import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from main_api.domain.grants import ALL_ACTIONS, Action
from main_api.domain.trusted_issuers import TrustedIssuer
from main_api.rest import routes
from strongroom import limits
from strongroom.errors import InvalidArgumentError
from tests.support.foreign_issuers import (
    AUDIENCE,
    ISSUER,
    MemoryIssuers,
    claims,
    jwks,
    settle,
    signing_key,
)
from tests.support.mains import Built, MainRig, grant
from tests.support.wsgi import Answer, WsgiClient

KEY = signing_key()
RULE: dict[str, Any] = {
    "claims": {"/realm_access/roles": ["chat", 7, True]},
    "grants": [{"database": "chatdb", "actions": ["read"], "key_prefix": "users/{sub}/"}],
}
BODY: dict[str, Any] = {"issuer": ISSUER, "audiences": [AUDIENCE], "rules": [RULE]}


class Rig:
    """A Main Worker and an administrator of everything."""

    def __init__(self) -> None:
        """Put it together."""
        self.source = MemoryIssuers({ISSUER: jwks(KEY)})
        self.main = MainRig(issuers=self.source)
        self.main.add_workers("worker-1")
        self.app = routes.build(Built(self.main.main()))
        self.http = WsgiClient(self.app, authorization=self.bearer("root"))

    def bearer(self, client_id: str, *actions: Action, database: str = "*") -> str:
        """Return the header of a client with these actions; all of them without any."""
        client = self.main.add_client(client_id, grant(database, *(actions or ALL_ACTIONS)))
        return self.main.bearer(client)

    def put(self, name: str = "login", **members: Any) -> Answer:  # noqa: ANN401 - any JSON
        """Trust an issuer."""
        return self.http("PUT", f"/issuers/{name}", json.dumps({**BODY, **members}).encode())


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker that trusts nobody."""
    return Rig()


def test_an_issuer_is_trusted_shown_changed_and_removed(rig: Rig) -> None:
    """An administrator cannot see, or undo, what was trusted."""
    made = rig.put()
    assert made.status == 201
    shown = made.json()
    assert shown.pop("created_at") == shown.pop("updated_at")
    grants = [{**RULE["grants"][0], "actions": ["read"]}]
    assert shown == {
        "name": "login",
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "rules": [{**RULE, "grants": grants}],
        "algorithms": ["RS256", "ES256", "EdDSA"],
        "audience_claim": "aud",
        "token_type": "at+jwt",
        "token_seconds_max": 86_400,
        "jwks_uri": "",
        "ca_certificates": "",
    }
    got = rig.http("GET", "/issuers/login")
    assert (got.status, got.json()) == (200, made.json())
    rig.main.clock.advance(1)
    changed = rig.put(rules=[], token_type="JWT")
    assert (changed.status, changed.json()["rules"]) == (200, [])
    assert changed.json()["created_at"] == made.json()["created_at"] < changed.json()["updated_at"]
    # What was shown can be sent again.
    again = {
        k: v for k, v in changed.json().items() if k not in {"name", "created_at", "updated_at"}
    }
    assert rig.put(**again).status == 200
    assert [one["name"] for one in rig.http("GET", "/issuers").json()["issuers"]] == ["login"]
    assert rig.http("DELETE", "/issuers/login").status == 204
    assert rig.http("GET", "/issuers").json() == {"issuers": []}
    for method in ("GET", "DELETE"):
        assert rig.http(method, "/issuers/login").status == 404


REQUESTS = [
    ("PUT", "/issuers/login"),
    ("GET", "/issuers/login"),
    ("GET", "/issuers"),
    ("DELETE", "/issuers/login"),
    ("POST", "/issuers/login/ask"),
    ("PUT", "/issuers/no such"),
    ("GET", "/issuers/absent"),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_only_an_administrator_of_everything_may(rig: Rig, method: str, path: str) -> None:
    """Who may trust an issuer can give itself anything; and who may not learns whom we trust."""
    rig.put()
    body = (
        json.dumps({**BODY, "issuer": "https://evil.example"}).encode() if method == "PUT" else b""
    )
    for authorization in (
        rig.bearer("reader", Action.READ, Action.WRITE, Action.DELETE),
        rig.bearer("local", database="chatdb"),
        rig.bearer("nearly", database="c*"),
    ):
        answer = WsgiClient(rig.app, authorization=authorization)(method, path, body)
        assert answer.status == 403
        assert "login" not in answer.body.decode()
    assert WsgiClient(rig.app)(method, path, body).status == 401
    assert [one["issuer"] for one in rig.http("GET", "/issuers").json()["issuers"]] == [ISSUER]
    assert not rig.source.asked


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"issuer": "http://login.example"}, "https://"),
        ({"issuer": None}, "issuer"),
        ({"audiences": []}, "audiences"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        (
            {
                "rules": [
                    {**RULE, "claims": {}, "grants": [{"database": "*", "actions": ["admin"]}]}
                ]
            },
            "admin",
        ),
        ({"rules": [{"grants": RULE["grants"]}]}, "claims"),
        ({"required": {}}, "required"),
    ],
)
def test_a_slip_is_refused_and_named(rig: Rig, members: dict[str, Any], said: str) -> None:
    """An issuer is trusted with what its administrator did not mean."""
    answer = rig.put(**members)
    assert answer.status == 400
    assert said in answer.json()["detail"]
    assert rig.http("GET", "/issuers").json() == {"issuers": []}


def test_a_body_that_is_none_is_refused(rig: Rig) -> None:
    """A body that is too large, or twice as long as it seems, is read all the same."""
    put = ("PUT", "/issuers/login")
    for body in (b"", b"[]", b"null", b"{", json.dumps(BODY)[:-1].encode() + b',"rules":[]}'):
        assert rig.http(*put, body).status == 400
    wide = {**RULE, "claims": {"groups": ["x" * 500] * 100}}
    assert rig.put(rules=[wide, wide]).status == 413
    assert rig.http(*put, json.dumps(BODY).encode(), {"Content-Type": "text/plain"}).status == 415
    assert rig.http("PUT", "/issuers/login?dry_run=true", json.dumps(BODY).encode()).status == 400
    for name in ("a%2Fb", "..", ".x", "x" * 65, "a%00b", "%C3%A9"):
        assert rig.http("PUT", f"/issuers/{name}", json.dumps(BODY).encode()).status in {400, 404}
    assert rig.http("GET", "/issuers").json() == {"issuers": []}


class Picky(MemoryIssuers):
    """A source that would never ask anybody."""

    def check(self, trusted: TrustedIssuer) -> None:
        """Refuse."""
        raise InvalidArgumentError(f"{trusted.issuer} would not be asked")


def test_an_issuer_that_could_never_be_asked_is_refused() -> None:
    """A slip in an address or a certificate shows when the first user cannot get in."""
    main = MainRig(issuers=Picky())
    bearer = main.bearer(main.add_client("root"))
    http = WsgiClient(routes.build(Built(main.main())), authorization=bearer)
    answer = http("PUT", "/issuers/login", json.dumps(BODY).encode())
    assert (answer.status, answer.json()["detail"]) == (400, f"{ISSUER} would not be asked")
    assert main.memory.issuers.records == {}


def test_an_issuer_has_one_name(rig: Rig) -> None:
    """Two records say two things of one issuer, and chance decides."""
    rig.put()
    assert rig.put("other").status == 409
    assert rig.put("other", issuer="https://other.example").status == 201
    assert rig.put("other").status == 409


def test_as_many_are_trusted_as_are_read_at_once(rig: Rig) -> None:
    """Each foreign token has thousands of records read."""
    for number in range(limits.ISSUERS_MAX):
        assert rig.put(f"n{number}", issuer=f"https://n{number}.example").status == 201
    assert rig.put("more", issuer="https://more.example").status == 409
    assert rig.put("n0", issuer="https://n0.example").status == 200
    assert len(rig.http("GET", "/issuers").json()["issuers"]) == limits.ISSUERS_MAX


def test_an_issuer_is_asked_on_demand(rig: Rig) -> None:
    """An administrator learns from users whether the keys are found."""
    rig.put()
    rig.source.published[ISSUER] = jwks(
        KEY, {"kty": "oct", "kid": "k", "use": "enc"}, signing_key("bad", "EdDSA").private_jwk
    )
    answer = rig.http("POST", "/issuers/login/ask")
    assert answer.status == 200
    assert answer.json() == {
        "keys": [{"kid": "k1", "algorithms": ["ES256"]}],
        "exposed": ["bad"],
        "passed_over": 1,
    }
    assert '"d"' not in answer.body.decode()
    rig.source.published[ISSUER] = b"<html>"
    refusal = rig.http("POST", "/issuers/login/ask")
    assert refusal.status == 503
    assert "not JSON" in refusal.json()["detail"]


def test_a_user_reads_its_own_over_rest(rig: Rig) -> None:
    """A foreign token is of no use, or an answer says whose it is."""
    rig.put()
    said = claims(rig.main.clock, realm_access={"roles": ["chat"]})
    user = WsgiClient(rig.app, authorization=f"Bearer {KEY.sign(said)}")
    document = b'{"users/ada/1": {"a": 1}}'
    assert rig.http("PUT", "/entity/chatdb", document).status == 201
    assert user("GET", "/entity/chatdb?key=users/ada/1").json() == json.loads(document)
    assert user("GET", "/entity/chatdb?key=users/bob/1").status == 403
    assert user("PUT", "/entity/chatdb", document).status == 403
    for method, path in REQUESTS:
        assert user(method, path, json.dumps(BODY).encode()).status == 403
    forged = signing_key().sign(said)
    refused = WsgiClient(rig.app, authorization=f"Bearer {forged}")("GET", "/entity/chatdb?key=x")
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_while_the_keys_are_not_known_the_answer_says_so(rig: Rig) -> None:
    """During an outage of the issuer a client throws a good token away, and logs its user out."""
    rig.put()
    rig.source.published.clear()
    user = WsgiClient(rig.app, authorization=f"Bearer {KEY.sign(claims(rig.main.clock))}")
    answer = user("GET", "/entity/chatdb?key=x")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert ISSUER not in answer.body.decode()


def test_the_metrics_tell_of_an_issuer_that_is_down(rig: Rig) -> None:
    """The last keys of an issuer run out, and nobody had an alarm."""

    def shown() -> dict[str, float]:
        text = rig.http("GET", "/metrics").body.decode()
        families = text_string_to_metric_families(text)
        return {
            sample.name.removeprefix("strongroom_issuer_keys_"): sample.value
            for family in families
            for sample in family.samples
            if sample.labels == {"issuer": "login"}
        }

    rig.put()
    rig.main.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    assert shown() == {"up": 1, "failures_total": 0}
    user = WsgiClient(rig.app, authorization=f"Bearer {KEY.sign(claims(rig.main.clock))}")
    assert user("GET", "/entity/chatdb?key=x").status == 403
    rig.main.clock.advance(200)
    assert shown() == {"up": 1, "failures_total": 0, "age_seconds": 200}
    rig.source.published.clear()
    rig.main.clock.advance(100)
    user("GET", "/entity/chatdb?key=x")
    settle()
    assert shown() == {"up": 0, "failures_total": 1, "age_seconds": 300}
