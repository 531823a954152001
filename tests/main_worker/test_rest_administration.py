"""Administration over REST: lists, deletions, dry runs and verification, and what is refused."""

import json
from typing import Any

import pytest

from main_api.domain.grants import Action
from main_api.rest import routes
from strongroom import limits
from strongroom.finding import Condition, Finding
from tests.support.mains import Built, MainRig, grant
from tests.support.wsgi import Answer, WsgiClient

SCHEMA = b'{"maxProperties": 0}'
KINDS = ["schemas", "databases", "clients"]


class Rig:
    """A Main Worker with two templates, databases and clients, and an administrator."""

    def __init__(self) -> None:
        """Put it together."""
        self.main = MainRig()
        self.main.add_workers("worker-1")
        self.app = routes.build(Built(self.main.main()))
        for name in ("chat.v1", "other.v1"):
            self.main.provisioning.put_template(name, b"{}")
        self.main.provisioning.put_database("other", "other.v1")
        self.main.add_client("ada", grant("chatdb", Action.READ))
        self.http = self.client("root")

    def client(self, client_id: str, *actions: Action) -> WsgiClient:
        """Return a client with some actions on everything; without any it may do everything."""
        grants = [grant("*", *actions)] if actions else []
        bearer = self.main.bearer(self.main.add_client(client_id, *grants))
        return WsgiClient(self.app, authorization=bearer)

    def names(self, kind: str) -> list[str]:
        """Return what there is of one kind."""
        listed = self.http("GET", f"/{kind}").json()[kind]
        members = {"schemas": "schema_id", "databases": "name", "clients": "client_id"}
        return [one[members[kind]] for one in listed]

    def fill(self, *keys: str) -> None:
        """Put entities into `chatdb`."""
        entities = json.dumps({key: {"a": 1} for key in keys}).encode()
        assert self.http("PUT", "/entity/chatdb", entities).status == 201


@pytest.fixture
def rig() -> Rig:
    """Return an administrator's view of a Main Worker."""
    return Rig()


def problem(answer: Answer) -> str:
    """Return the code of an answer that has to be a problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).rpartition(":")[2]


# -- lists and deletions ---------------------------------------------------------------------------


def test_lists_show_what_there_is(rig: Rig) -> None:
    """An administrator does not see what there is, or sees a secret."""
    assert rig.names("schemas") == ["chat.v1", "other.v1"]
    assert rig.names("databases") == ["chatdb", "other"]
    assert rig.names("clients") == ["ada", "root"]
    answer = rig.http("GET", "/clients")
    assert answer.headers["cache-control"] == "no-store"
    first, _ = answer.json()["clients"]
    assert set(first) == {"client_id", "grants", "user_grants", "created_at"}
    (template, _) = rig.http("GET", "/schemas").json()["schemas"]
    assert set(template) == {"schema_id", "schema_version", "created_at", "updated_at"}
    assert "cursor" not in answer.json()


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_comes_in_pages(rig: Rig, kind: str) -> None:
    """A client that follows the cursors misses something, or never comes to an end."""
    first = rig.http("GET", f"/{kind}?limit=1").json()
    second = rig.http("GET", f"/{kind}?limit=1&cursor={first['cursor']}").json()
    assert len(first[kind]) == len(second[kind]) == 1
    assert first[kind] + second[kind] == rig.http("GET", f"/{kind}").json()[kind]
    assert "cursor" not in second


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        f"limit={limits.PAGE_SIZE_MAX + 1}",
        "limit=x",
        "limit=",
        "limit=-1",
        "limit=1&limit=2",
        "cursor=a&cursor=b",
        "prefix=a",
        "%ff=1",
        "dry_run=true",
    ],
)
def test_a_bad_parameter_of_a_list_is_refused(rig: Rig, kind: str, query: str) -> None:
    """A bad parameter of a list is passed over, or ends in a defect."""
    answer = rig.http("GET", f"/{kind}?{query}")
    assert (answer.status, problem(answer)) == (400, "invalid-argument")


def test_what_was_deleted_is_gone(rig: Rig) -> None:
    """What an administrator has deleted is still there, or takes something else with it."""
    in_use = rig.http("DELETE", "/schemas/other.v1")
    assert (in_use.status, problem(in_use)) == (409, "conflict")
    for target in ("/databases/other", "/schemas/other.v1", "/clients/ada"):
        gone = rig.http("DELETE", target)
        assert (gone.status, gone.body) == (204, b"")
        for method in ("GET", "DELETE"):
            assert rig.http(method, target).status == 404
    assert rig.names("schemas") == ["chat.v1"]
    assert rig.names("databases") == ["chatdb"]
    assert rig.names("clients") == ["root"]
    assert rig.http("GET", "/entity/other?key=k").status == 404


def test_a_database_made_anew_is_another(rig: Rig) -> None:
    """A database that was deleted comes back with what was in it."""
    body = b'{"schema_id": "other.v1"}'
    assert rig.http("PUT", "/databases/other", body).status == 200
    rig.http("DELETE", "/databases/other")
    assert rig.http("PUT", "/databases/other", body).status == 201


def test_a_worker_is_revoked_and_reinstated(rig: Rig) -> None:
    """An administrator cannot take a stolen worker out of service, or see that it is."""

    def shown() -> tuple[list[str], list[str]]:
        found = json.loads(rig.http("GET", "/workers").body)
        assert all(set(one) == {"worker_id", "revoked_at"} for one in found["revoked"])
        lists = (found["workers"], found["revoked"])
        here, revoked = ([one["worker_id"] for one in some] for some in lists)
        return here, revoked

    assert shown() == (["worker-1"], [])
    assert rig.http("DELETE", "/workers/worker-9").status == 404
    assert rig.http("POST", "/workers/worker-1/reinstate").status == 404
    for _ in range(2):
        answer = rig.http("DELETE", "/workers/worker-1")
        assert (answer.status, answer.body) == (204, b"")
        assert shown() == ([], ["worker-1"])
    answer = rig.http("POST", "/workers/worker-1/reinstate")
    assert (answer.status, answer.body) == (204, b"")
    assert shown() == (["worker-1"], [])
    assert rig.http("DELETE", "/workers/worker-9?unseen=true").status == 204
    assert shown() == (["worker-1"], ["worker-9"])
    for wrong in ("unseen=false", "unseen", "unseen=true&unseen=true"):
        assert rig.http("DELETE", f"/workers/worker-1?{wrong}").status == 400
    assert rig.http("DELETE", "/workers/WORKER").status == 400
    assert shown() == (["worker-1"], ["worker-9"])


BARE = {
    "DELETE": ["/databases/other", "/schemas/chat.v1", "/clients/ada", "/workers/worker-1"],
    "GET": ["/databases/other", "/schemas/chat.v1", "/clients/ada", "/workers"],
    "PUT": ["/databases/other", "/clients/ada"],
    "POST": ["/verify", "/workers/worker-1/reinstate"],
}


@pytest.mark.parametrize("query", ["dry_run=true", "dry_run", "force=1", "key=k", "%ff"])
def test_a_parameter_that_a_path_does_not_have_is_refused(rig: Rig, query: str) -> None:
    """Somebody tries a deletion with dry_run=true, and it is one."""
    before = {kind: rig.names(kind) for kind in KINDS}
    for method, targets in BARE.items():
        for target in targets:
            answer = rig.http(method, f"{target}?{query}", b"{}")
            assert answer.status == 400, (method, target)
            assert problem(answer) == "invalid-argument"
    assert {kind: rig.names(kind) for kind in KINDS} == before
    assert rig.main.workers.calls == []


# -- dry runs --------------------------------------------------------------------------------------


def test_a_dry_run_of_a_template_tells_what_it_would_refuse(rig: Rig) -> None:
    """A dry run puts the template in force, or does not tell what that would do."""
    rig.fill("a", "b")
    answer = rig.http("PUT", "/schemas/chat.v1?dry_run=true", SCHEMA)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    errors = [{"pointer": "/a", "keyword": "maxProperties", "detail": "refused"}]
    refusal = {"database": "chatdb", "version": 1, "detail": "no", "errors": errors}
    assert answer.json() == {
        "schema_id": "chat.v1",
        "schema_version": 2,
        "examined": 2,
        "refused": 2,
        "reasons": {"maxProperties": 2},
        "refusals": [{**refusal, "key": "a"}, {**refusal, "key": "b"}],
    }
    assert rig.http("GET", "/schemas/chat.v1").json()["schema_version"] == 1
    new = rig.http("PUT", "/schemas/new.v1?dry_run=true", SCHEMA)
    assert (new.status, new.json()["schema_version"], new.json()["examined"]) == (200, 1, 0)
    assert rig.names("schemas") == ["chat.v1", "other.v1"]


def test_a_dry_run_hides_what_the_caller_may_not_read(rig: Rig) -> None:
    """An administrator without the right to read learns keys and members over REST."""
    rig.fill("secret-1", "secret-2")
    http = rig.client("admin", Action.ADMIN)
    answer = http("PUT", "/schemas/chat.v1?dry_run=true", SCHEMA)
    assert b"secret" not in answer.body
    assert (answer.json()["refused"], answer.json()["refusals"]) == (2, [])


def test_a_long_dry_run_comes_in_pages(rig: Rig) -> None:
    """A dry run over many entities cannot be followed to its end."""
    keys = [f"k{number:04}" for number in range(limits.TRIAL_REFUSALS_MAX + 50)]
    for begin in range(0, len(keys), limits.ENTITIES_PER_REQUEST_MAX):
        rig.fill(*keys[begin : begin + limits.ENTITIES_PER_REQUEST_MAX])
    first = rig.http("PUT", "/schemas/chat.v1?dry_run=true", SCHEMA).json()
    target = f"/schemas/chat.v1?dry_run=true&cursor={first['cursor']}"
    second = rig.http("PUT", target, SCHEMA).json()
    assert [one["key"] for one in first["refusals"] + second["refusals"]] == keys
    assert "cursor" not in second


@pytest.mark.parametrize(
    "query",
    [
        "dry_run=false",
        "dry_run=TRUE",
        "dry_run=1",
        "dry_run=",
        "dry_run",
        "dry_run=true&dry_run=true",
        "dry_run=true&cursor=x",
        "dry_run=true&cursor=a&cursor=b",
        "dry_run=true&limit=5",
        "cursor=",
        "cursor=x",
        "dryrun=true",
        "dry_run=true&%ff=1",
        "dry_run=true&cursor=%ff",
        "dry_run=true&cursor=" + "A" * 5_000,
    ],
)
def test_a_bad_parameter_of_a_dry_run_is_refused(rig: Rig, query: str) -> None:
    """A mistyped dry run puts the template in force."""
    answer = rig.http("PUT", f"/schemas/chat.v1?{query}", SCHEMA)
    assert (answer.status, problem(answer)) == (400, "invalid-argument")
    assert rig.http("GET", "/schemas/chat.v1").json()["schema_version"] == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"type": 5}', b'{"$ref": "http://else.where"}', b"5"]
)
def test_a_dry_run_refuses_what_the_replacement_refuses(rig: Rig, body: bytes) -> None:
    """A template that cannot be put passes its dry run."""
    tried = rig.http("PUT", "/schemas/chat.v1?dry_run=true", body)
    put = rig.http("PUT", "/schemas/chat.v1", body)
    assert tried.status == put.status == 400
    assert tried.json()["detail"] == put.json()["detail"]
    foreign = {"Content-Type": "text/plain"}
    assert rig.http("PUT", "/schemas/t?dry_run=true", b"{}", foreign).status == 415


# -- verification ----------------------------------------------------------------------------------


def test_a_verification_answers_in_pages(rig: Rig) -> None:
    """A client that follows the cursors misses findings, or never comes to an end."""
    rig.main.memory.findings = [Finding("templates/t.json", Condition.STALE, "a reason")]
    pages: list[dict[str, Any]] = []
    cursor = ""
    while cursor or not pages:
        body = json.dumps({"cursor": cursor, "repair": True}).encode()
        answer = rig.http("POST", "/verify", body)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "no-store"
        pages.append(answer.json())
        cursor = pages[-1].get("cursor", "")
    finding = {"condition": "damaged", "reason": "reason", "repaired": True}
    mine = {"path": "templates/t.json", "condition": "stale", "reason": "a reason"}
    assert pages[0]["findings"] == [
        {**mine, "repaired": False},
        {**finding, "path": "files/1-repaired"},
    ]
    assert pages[2] == {
        "findings": [{**finding, "path": "files/3-repaired"}],
        "examined": 10,
        "progress": {"done": 3, "total": 3},
    }
    assert len(pages) == 3


def test_a_verification_repairs_only_when_asked(rig: Rig) -> None:
    """A look at what is stored changes it."""
    for body in (b"{}", b'{"repair": false}', b'{"cursor": ""}'):
        (finding,) = rig.http("POST", "/verify", body).json()["findings"]
        assert (finding["path"], finding["repaired"]) == ("files/1", False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"cursor"',
        b'{"repair": "true"}',
        b'{"repair": 1}',
        b'{"repair": null}',
        b'{"cursor": null}',
        b'{"cursor": 5}',
        b'{"unknown": 1}',
        b'{"repair": true, "repair": false}',
        b'{"cursor": "\xff"}',
        b'{"cursor": "\\ud800"}',
        b'{"cursor": "%s"}' % (b"x" * (limits.CURSOR_CHARS_MAX + 1)),
    ],
)
def test_a_bad_body_of_a_verification_is_refused(rig: Rig, body: bytes) -> None:
    """A mistyped verification repairs, looks at nothing, or ends in a defect."""
    answer = rig.http("POST", "/verify", body)
    assert answer.status == 400
    assert problem(answer) in {"invalid-argument", "invalid-json"}
    assert rig.main.workers.calls == []
    assert rig.main.memory.reads["inspect"] == 0


@pytest.mark.parametrize("misspelt", ["key_prefx", "keyPrefix", "prefix", "database_name"])
def test_a_grant_with_a_misspelt_member_is_refused(rig: Rig, misspelt: str) -> None:
    """A prefix that is misspelt is passed over, and the client gets the whole database."""
    grant = {"database": "chatdb", "actions": ["read"], misspelt: "users/ada/"}
    for member in ("grants", "user_grants"):
        body = json.dumps({"grants": [], member: [grant]}).encode()
        assert rig.http("PUT", "/clients/new", body).status == 400
    assert rig.http("GET", "/clients/new").status == 404


@pytest.mark.parametrize("text", [b"1.0", b"1e0", b"10e-1"])
def test_a_whole_number_is_one_however_it_is_written(rig: Rig, text: bytes) -> None:
    """A client whose language has one kind of numbers cannot send a limit (RFC 8259, section 6)."""
    body = b'{"limit": %s}' % text
    assert rig.http("POST", "/entity/chatdb/query", body).status == 200
    for wrong in (b"1.5", b'"1"', b"true", b"1e400"):
        assert rig.http("POST", "/entity/chatdb/query", b'{"limit": %s}' % wrong).status == 400


def test_a_verification_takes_an_administrator_of_everything(rig: Rig) -> None:
    """A client learns which databases and templates there are from what is wrong with them."""
    everything_else = (Action.READ, Action.WRITE, Action.DELETE)
    for number, actions in enumerate([everything_else, (Action.READ,)]):
        answer = rig.client(f"c{number}", *actions)("POST", "/verify", b"{}")
        assert (answer.status, problem(answer)) == (403, "forbidden")
    assert rig.main.memory.reads["inspect"] == 0
    form = {"Content-Type": "text/plain"}
    assert rig.http("POST", "/verify", b"{}", form).status == 415
    rig.main.memory.remove_worker("worker-1")
    rig.main.clock.advance(1)
    answer = rig.http("POST", "/verify", b"{}")
    assert (answer.status, problem(answer)) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
