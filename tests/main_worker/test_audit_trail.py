"""What is recorded of whom, through both faces, and what is not done where it cannot be.

The operations are those of tests/main_worker/test_parity.py, which has every one that there is.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import pytest
import structlog
from chalice.app import Response

from main_api.adapters.keys.escrow import EscrowWrapper
from main_api.domain.audit import acts
from main_api.domain.audit.acts import Kind, Recording
from main_api.domain.audit.policy import AuditPolicy
from main_api.domain.audit.records import OK, Record
from main_api.domain.grants import Action
from main_api.rest import auditing, routes
from main_api.rpc.auditing import acts_of
from main_api.rpc.server import CLIENT_SERVICES, SUBSCRIPTIONS
from main_api.service.audit.journal import GAP
from strongroom import limits, naming
from strongroom.errors import UnavailableError
from strongroom.keyring import Purpose
from tests.support import admin_operations, entity_operations, recovery_keys
from tests.support.audit_logs import read, verify
from tests.support.faces import Operation, Refused, RestFace, RpcFace
from tests.support.mains import Built, MainRig, Unbuildable, grant
from tests.support.rpc_mains import Pki
from tests.support.wsgi import WsgiClient

OPERATIONS: Final = (*entity_operations.OPERATIONS, *admin_operations.OPERATIONS)
RPC_ACTS: Final = {
    path.partition("v1.")[2].replace("/", "."): act
    for path, act in acts_of(
        method for service in CLIENT_SERVICES for method in service.methods
    ).items()
}
APP: Final = routes.build(Unbuildable(UnavailableError("not built")))
REST_ACTS: Final = {
    f"{method} {path}": auditing.act(entry, method, APP.operations.get((path, method)))
    for path, methods in APP.routes.items()
    for method, entry in methods.items()
}
ADMINISTRATIVE: Final = [
    one for one in OPERATIONS if RPC_ACTS[one.rpc].kind in {Kind.CHANGE, Kind.DISCLOSURE}
]
OF_ENTITIES: Final = [
    one for one in OPERATIONS if RPC_ACTS[one.rpc].kind in {Kind.READ, Kind.WRITE}
]
OF_CLIENTS: Final = {"issue_token", "exchange_token", "revoke_token"}
FACES: Final = ("rest", "grpc")
ALL: Final = AuditPolicy(reads=Recording.BATCHED, writes=Recording.BATCHED)
NEEDED: Final = AuditPolicy(reads=Recording.REQUIRED, writes=Recording.REQUIRED)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


def a_rig(policy: AuditPolicy | None = None) -> MainRig:
    """Return a Main Worker with two Processing Workers."""
    rig = MainRig(
        escrow=EscrowWrapper(recovery_keys.one().public), audit_policy=policy or AuditPolicy()
    )
    rig.add_workers("worker-1", "worker-2")
    return rig


@contextmanager
def served(rig: MainRig, face: str, pki: Pki) -> Iterator[RestFace | RpcFace]:
    """Serve one face."""
    made = RestFace(rig) if face == "rest" else RpcFace(rig, pki)
    try:
        yield made
    finally:
        made.close()


def recorded(rig: MainRig) -> list[Record]:
    """Return what is on record, which verifies."""
    rig.audit.step()
    assert verify(rig.audit_log, (), rig.keys).findings == ()
    return list(read(rig.audit_log, rig.keys))


def of_act(rig: MainRig, name: str) -> list[Record]:
    """Return what is on record of an act."""
    return [record for record in recorded(rig) if record.act == name]


def state(rig: MainRig) -> Any:  # noqa: ANN401 - whatever is stored
    """Return all that an administrative act can change."""
    stored = (getattr(value, "records", value) for value in vars(rig.memory).values())
    kept = [repr(value) for value in stored if type(value) in {dict, list}]
    return [*kept, repr(rig.keyring_store.raw)]


# -- every operation -------------------------------------------------------------------------------


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_operation_is_recorded(operation: Operation, face: str, pki: Pki) -> None:
    """Something is done, and the audit log does not say what, to what, by whom or how it ended."""
    rig = a_rig(ALL)
    given = {**operation.given, **operation.prepare(rig)}
    root = rig.bearer(rig.add_client("root"))
    before = len(recorded(rig))
    with served(rig, face, pki) as asked:
        outcome = asked.ask(operation, given, root)
    assert not isinstance(outcome, Refused), outcome
    records = [one for one in recorded(rig)[before:] if one.act != "change_keyring"]
    kind = (REST_ACTS[operation.rest] if face == "rest" else RPC_ACTS[operation.rpc]).kind
    if RPC_ACTS[operation.rpc].name == "revoke_token":
        kind = Kind.CHANGE  # where it has something to revoke
    assert [one.intent for one in records] == [True, False][kind is not Kind.CHANGE :]
    *_, last = records
    assert (last.outcome, last.face, last.address) == (OK, face, "127.0.0.1")
    assert last.client == (
        given["client_id"] if RPC_ACTS[operation.rpc].name in OF_CLIENTS else "root"
    )
    assert last.request_id
    if kind is Kind.CHANGE:
        assert records[0].entry == last.entry != ""
        assert records[0].target == last.target
    named = set(re.findall(r"{(\w+)}", operation.rest)) - {"database"}
    assert {str(given[name]) for name in named} <= {*last.target.values()}
    if "{database}" in operation.rest:
        assert last.database == given["database"]


def test_both_faces_have_the_same_names() -> None:
    """An auditor who looks for an act finds those through one face only."""
    for operation in ADMINISTRATIVE:
        ours, theirs = REST_ACTS[operation.rest], RPC_ACTS[operation.rpc]
        if theirs.name != "dry_run_template":  # a put over REST that is not carried out
            assert ours.name == theirs.name, operation
            assert ours.kind in {Kind.CHANGE, theirs.kind}, "a POST may change something"
    kinds = {act.name: act.kind for act in REST_ACTS.values()}
    assert {name for name, kind in kinds.items() if kind is Kind.NOTHING} == {
        "get_health",
        "get_readiness",
        "get_openapi",
        "get_docs",
        "list_signing_keys",
    }
    workers = {act.name: act.kind for act in acts_of(SUBSCRIPTIONS.methods).values()}
    assert workers == {
        "subscribe": Kind.DISCLOSURE,
        "register": Kind.DISCLOSURE,
        "fetch_keys": Kind.DISCLOSURE,
        "renew_certificate": Kind.DISCLOSURE,
        "enrol": Kind.DISCLOSURE,
        "leave": Kind.EVENT,
        "renew": Kind.NOTHING,
        "watch": Kind.NOTHING,
        "share_commits": Kind.NOTHING,
    }


def test_what_declares_nothing_is_taken_for_an_administrators() -> None:
    """A route that somebody adds in haste is recorded nowhere."""
    rig = a_rig()
    app = routes.build(Built(rig.main()))
    done: list[str] = []

    @app.route("/new/{key_id}", methods=["POST", "GET"])
    def do_something_new(key_id: str) -> Response:
        done.append(key_id)
        return Response("", {}, 200)

    http = WsgiClient(app, authorization=rig.bearer(rig.add_client("root")))
    assert http("POST", "/new/abc").status == 200
    intent, outcome = of_act(rig, "do_something_new")
    assert (intent.intent, outcome.outcome, outcome.target) == (True, OK, {"key_id": "abc"})
    rig.audit_log.down = True
    assert http("POST", "/new/abc").status == 503
    assert done == ["abc"]
    assert (
        acts.act("x", frozenset({"a right of tomorrow"}), only_reads=True).kind is Kind.DISCLOSURE
    )
    assert (
        acts.act("x", frozenset({"read", "a right of tomorrow"}), only_reads=False).kind
        is Kind.CHANGE
    )
    assert acts.act("x", frozenset(), only_reads=False).kind is Kind.CHANGE


# -- where it cannot be written --------------------------------------------------------------------


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("operation", ADMINISTRATIVE, ids=str)
def test_no_administrative_act_takes_effect_unrecorded(
    operation: Operation, face: str, pki: Pki
) -> None:
    """On a full disk an administrator does what he likes, and nobody sees it."""
    rig = a_rig()
    given = {**operation.given, **operation.prepare(rig)}
    root = rig.bearer(rig.add_client("root"))
    before = state(rig)
    rig.audit_log.down = True
    with served(rig, face, pki) as asked:
        outcome = asked.ask(operation, given, root)
        assert isinstance(outcome, Refused)
        assert outcome.reason == "unavailable"
        assert outcome.detail.startswith("the audit log cannot be written")
        assert outcome.retry_after_s
        assert state(rig) == before
        rig.audit_log.down = False
        rig.clock.advance(limits.AUDIT_RETRIED_EVERY_SECONDS)
        assert not isinstance(asked.ask(operation, given, root), Refused)
    assert [one.act for one in recorded(rig)].count(GAP) == 1


@pytest.mark.parametrize(("policy", "status"), [(AuditPolicy(), 200), (NEEDED, 503)])
def test_whoever_looks_sees_that_it_cannot_be_written(policy: AuditPolicy, status: int) -> None:
    """For days nobody notices that nothing can be administered, or that nothing is on record."""
    rig = a_rig(policy)
    bearer = rig.bearer(rig.add_client("root"))
    http = WsgiClient(routes.build(Built(rig.main())), authorization=bearer)
    assert http("GET", "/readyz").json()["audit"]["status"] == "ok"
    with structlog.testing.capture_logs() as logged:
        rig.audit_log.down = True
        for _ in range(3):
            assert http("GET", "/keys").status == 503
        answer = http("GET", "/readyz")
        rig.audit_log.down = False
        rig.clock.advance(limits.AUDIT_RETRIED_EVERY_SECONDS)
        assert http("GET", "/keys").status == 200
    assert answer.status == status
    assert status == 503 or answer.json()["audit"]["status"] == "unavailable"
    assert http("GET", "/readyz").json()["audit"]["status"] == "ok"
    told = [line["event"] for line in logged if line["event"].startswith("audit-")]
    assert told == ["audit-unavailable", "audit-available-again"]


@pytest.mark.parametrize("face", FACES)
def test_what_was_done_and_cannot_be_concluded_is_said_to_be_unknown(face: str, pki: Pki) -> None:
    """An administrator is told that nothing was done, and does it twice."""
    rig = a_rig()
    root = rig.bearer(rig.add_client("root"))
    (operation,) = (one for one in ADMINISTRATIVE if one.rpc == "AdminService.CreateBackup")
    rig.audit_log.lasts = 1
    with served(rig, face, pki) as asked:
        outcome = asked.ask(operation, {**operation.given}, root)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "outcome-unknown"
    assert rig.memory.backups.names()
    (intent,) = of_act(rig, "create_backup")
    assert intent.intent


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("operation", OF_ENTITIES, ids=str)
def test_reads_and_writes_follow_the_setting(operation: Operation, face: str, pki: Pki) -> None:
    """With a full disk every client stands still, or reads go on where none may go unrecorded."""
    for policy in (AuditPolicy(), ALL, NEEDED):
        rig = a_rig(policy)
        given = {**operation.given, **operation.prepare(rig)}
        root = rig.bearer(rig.add_client("root"))
        rig.audit_log.down = True
        before = [one for one in rig.workers.calls if one.method not in {"get", "get_many", "scan"}]
        with served(rig, face, pki) as asked:
            outcome = asked.ask(operation, given, root)
        if policy is not NEEDED:
            assert not isinstance(outcome, Refused), outcome
            rig.audit.step()
            assert (rig.audit.state().lost > 0) is (policy is ALL)
            continue
        assert isinstance(outcome, Refused)
        assert outcome.reason == "unavailable"
        if RPC_ACTS[operation.rpc].kind is Kind.WRITE:
            after = [o for o in rig.workers.calls if o.method not in {"get", "get_many", "scan"}]
            assert after == before, "it was written, and is not on record"


@pytest.mark.parametrize(("reads", "writes"), list(itertools.product(Recording, Recording)))
def test_what_is_recorded_of_reads_and_writes(reads: Recording, writes: Recording) -> None:
    """A setting does something else than it says."""
    rig = a_rig(AuditPolicy(reads=reads, writes=writes))
    http = WsgiClient(
        routes.build(Built(rig.main())), authorization=rig.bearer(rig.add_client("root"))
    )
    assert http("PUT", "/entity/chatdb", b'{"a/b": 1, "c": 2}').status == 201
    assert http("DELETE", "/entity/chatdb?key=c").status == 204
    assert http("GET", "/entity/chatdb?key=a/b").status == 200
    assert http("GET", "/entity/chatdb?key=missing").status == 404
    assert http("POST", "/entity/chatdb/query", b'{"prefix": "a/"}').status == 200
    records = recorded(rig)
    read_acts = ["get_entity", "get_entity", "list_entities"]
    write_acts = ["batch_put_entities", "delete_entity"]
    twice = 2 if writes is Recording.REQUIRED else 1
    expected = [act for act in write_acts for _ in range(twice)] * (writes is not Recording.OFF)
    expected += read_acts * (reads is not Recording.OFF)
    assert [record.act for record in records] == expected
    incarnation = rig.memory.databases["chatdb"].incarnation
    key = rig.keys.active(Purpose.NAMING).material

    def file_id(entity_key: str) -> str:
        return naming.file_id(key, "chatdb", incarnation, entity_key).hex()

    by_act = {record.act: record for record in records}
    if writes is not Recording.OFF:
        assert by_act["batch_put_entities"].keys == (file_id("a/b"), file_id("c"))
        assert by_act["delete_entity"].keys == (file_id("c"),)
    if reads is not Recording.OFF:
        assert by_act["get_entity"].keys == (file_id("missing"),)
        assert by_act["get_entity"].outcome == "not-found"
        assert by_act["list_entities"].keys == ()
    assert {record.database for record in records} <= {"chatdb"}
    told = b"".join(msgspec.json.encode(record) for record in records)
    assert b"a/b" not in told
    assert b"missing" not in told


# -- denials ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_denial_is_recorded(operation: Operation, face: str, pki: Pki) -> None:
    """Somebody tries what he may not, again and again, and the audit log knows nothing of it."""
    rig = a_rig()
    given = {**operation.given, **operation.prepare(rig)}
    nobody = rig.bearer(rig.add_client("nobody", grant("other", Action.READ)))
    takes_token = RPC_ACTS[operation.rpc].kind is not Kind.EVENT or "job" in operation.rpc.lower()
    before = len(recorded(rig))
    with served(rig, face, pki) as asked:
        asked.ask(operation, given, None)
        asked.ask(operation, given, "Bearer rubbish")
        asked.ask(operation, given, nobody)
    denials = [one for one in recorded(rig)[before:] if one.outcome != OK]
    if not takes_token:
        return
    assert [one.outcome for one in denials] == ["unauthenticated"] * 2 + ["forbidden"]
    assert [one.client for one in denials] == ["", "", "nobody"]
    name = RPC_ACTS[operation.rpc].name
    if name != "dry_run_template":
        assert {one.act for one in denials[2:]} == {name}
    assert {one.face for one in denials} == {face}
    assert not any(one.intent for one in recorded(rig)[before:])


def test_a_denial_names_the_entity_by_its_file_id() -> None:
    """An auditor sees that somebody was refused, and not what he was after; or sees the key."""
    rig = a_rig()
    rig.audit.start("rest")
    http = WsgiClient(
        routes.build(Built(rig.main())),
        authorization=rig.bearer(
            rig.add_client("narrow", grant("chatdb", Action.READ, key_prefix="mine/"))
        ),
    )
    assert http("GET", "/entity/chatdb?key=theirs/1").status == 403
    assert http("GET", "/entity/nowhere?key=theirs/1").status == 403
    first, second = of_act(rig, "get_entity")
    key = rig.keys.active(Purpose.NAMING).material
    incarnation = rig.memory.databases["chatdb"].incarnation
    assert first.keys == (naming.file_id(key, "chatdb", incarnation, "theirs/1").hex(),)
    assert (second.database, second.keys) == ("nowhere", ())
    rig.audit.close()


def test_a_denied_request_looks_nothing_up() -> None:
    """By the time that a refusal takes, a client learns which databases there are."""
    rig = a_rig()
    rig.audit.start("rest")
    http = WsgiClient(
        routes.build(Built(rig.main())),
        authorization=rig.bearer(rig.add_client("narrow", grant("other", Action.READ))),
    )
    http("GET", "/entity/chatdb?key=a")
    rig.audit.step()
    rig.memory.reads.clear()
    audit = rig.audit
    audit._periodic.stop()  # type: ignore[union-attr]  # noqa: SLF001 - else it writes at once
    http("GET", "/entity/chatdb?key=a")
    assert rig.memory.reads["database"] == 0
    audit.step()
    assert rig.memory.reads["database"] == 1
    audit.close()


def test_failed_authentications_tell_who_was_claimed_and_from_where() -> None:
    """Somebody guesses a secret, and nobody sees whose."""
    rig = a_rig()
    http = WsgiClient(routes.build(Built(rig.main())))
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def ask(basic: str) -> int:
        headers = {**form, "Authorization": basic, "X-Request-ID": "seen-by-the-client"}
        return http("POST", "/oauth/token", b"grant_type=client_credentials", headers).status

    victim = rig.add_client("victim")
    assert ask("Basic dmljdGltOndyb25n") == 401  # victim:wrong
    assert ask("Basic aHVudGVyMiE6d3Jvbmc=") == 401  # hunter2!:wrong
    assert ask(victim.basic) == 200
    wrong, typed, right = of_act(rig, "issue_token")
    assert (wrong.claimed, wrong.client, wrong.outcome) == ("victim", "", "unauthenticated")
    assert (wrong.address, wrong.request_id) == ("127.0.0.1", "seen-by-the-client")
    assert typed.claimed == "", "what is no client's id may be a password in the wrong field"
    assert (right.client, right.outcome) == ("victim", OK)


@pytest.mark.parametrize("as_client", [False, True], ids=["strangers", "a client"])
def test_nobody_fills_the_disk_with_denials(*, as_client: bool) -> None:
    """Whoever likes can fill the disk, by failing."""
    rig = a_rig()
    nobody = rig.bearer(rig.add_client("nobody", grant("other", Action.READ)))
    http = WsgiClient(routes.build(Built(rig.main())))
    minutes, per_minute = 9, 200  # a token lasts ten
    for minute, number in itertools.product(range(minutes), range(per_minute)):
        headers = {"Authorization": nobody if as_client else f"Bearer x{minute}{number}"}
        target = f"/entity/chatdb?key={number}" if number % 2 else "/clients"
        http("GET", target, b"", headers)
        rig.clock.advance(60 / per_minute)
    rig.audit.close()
    denials = [one for one in read(rig.audit_log, rig.keys) if one.outcome != OK]
    assert sum(one.count for one in denials) == minutes * per_minute
    at_most = limits.AUDIT_LIKE_BURST + minutes * (limits.AUDIT_LIKE_RECORDS_PER_MINUTE + 3)
    assert len(denials) <= at_most
    size = sum(map(len, rig.audit_log.files.values()))
    assert size < at_most * 600
    counted = [one for one in denials if one.count > 1]
    assert counted
    assert all(one.until >= one.at for one in counted)


def test_strangers_from_many_addresses_share_a_bound() -> None:
    """Whoever has many addresses can fill the disk all the same."""
    rig = a_rig(AuditPolicy(trusted_proxies=1))
    http = WsgiClient(routes.build(Built(rig.main())))
    total = 3_000
    for number in range(total):
        address = f"10.{number >> 8}.{number & 255}.1"
        headers = {"Authorization": f"Bearer x{number}", "X-Forwarded-For": address}
        http("GET", "/clients", b"", headers)
    rig.audit.close()
    denials = list(read(rig.audit_log, rig.keys))
    assert sum(one.count for one in denials) == total
    assert len(denials) <= limits.AUDIT_LIKE_BURST + limits.AUDIT_COUNTED_MAX + 1
    addresses = Counter(one.address for one in denials)
    assert addresses[""] == 1, "the rest is told together"


def test_nothing_that_is_sent_makes_a_record_of_its_own() -> None:
    """Somebody writes what he likes into the audit log, by a header or an id."""
    rig = a_rig()
    http = WsgiClient(
        routes.build(Built(rig.main())), authorization=rig.bearer(rig.add_client("root"))
    )
    forged = '\n{"at":"2026-01-01T00:00:00.000Z","act":"forged","outcome":"ok"}\n'
    sent = {"X-Request-ID": forged, "X-Forwarded-For": forged, "User-Agent": forged}
    http("DELETE", "/clients/%0A%7B%22act%22%3A%22forged%22%7D%0A%1B%5B2J", b"", sent)
    http("GET", "/entity/%0Aforged?key=%0Aforged", b"", sent)
    http("PUT", "/backups/" + "x" * 5_000, b"", sent)
    records = recorded(rig)
    assert "forged" not in {one.act for one in records}
    assert all("\n" not in one.request_id and one.address == "127.0.0.1" for one in records)
    assert len(of_act(rig, "delete_client")[0].target["client_id"]) < 60
    (put, _) = of_act(rig, "create_backup")
    assert len(put.target["backup_id"]) == limits.AUDIT_TEXT_CHARS_MAX


# -- what is changed without a request for it ------------------------------------------------------


def test_a_change_of_the_keyring_tells_which_keys() -> None:
    """A key was rotated or destroyed, and nobody can say by whom, which or when."""
    rig = a_rig()
    http = WsgiClient(
        routes.build(Built(rig.main())), authorization=rig.bearer(rig.add_client("root"))
    )
    (old,) = http("GET", "/keys").json()["keys"]
    made = http("POST", "/keys/rotate").json()["key_id"]
    intent, outcome = of_act(rig, "change_keyring")
    assert (intent.intent, outcome.outcome) == (True, OK)
    assert outcome.client == "root"
    assert outcome.detail["during"] == "rotate_keys"
    assert outcome.detail["keys"] == f"data {old['key_id']} decrypt-only, data {made} active"
    assert [one.act for one in recorded(rig)] == [
        "list_keys",
        "rotate_keys",
        "change_keyring",
        "change_keyring",
        "rotate_keys",
    ]


def test_what_is_given_to_a_client_is_recorded() -> None:
    """Somebody gives a client more than he should have, and takes it away again."""
    rig = a_rig()
    http = WsgiClient(
        routes.build(Built(rig.main())), authorization=rig.bearer(rig.add_client("root"))
    )
    grants = b'{"grants": [{"database": "*", "actions": ["read", "admin"], "key_prefix": "a/"}]}'
    answer = http("PUT", "/clients/other", grants)
    (_, outcome) = of_act(rig, "put_client")
    assert outcome.detail == {"grants": "*: admin, read below a/"}
    secret = answer.json()["client_secret"]
    assert secret not in repr(recorded(rig))


def test_a_user_of_a_client_is_told_apart() -> None:
    """Of many users behind one client nobody can say which one it was."""
    rig = a_rig(ALL)
    front_end = rig.add_front_end(
        "front-end",
        (grant("chatdb", Action.READ, key_prefix="users/"),),
        (grant("chatdb", Action.READ, key_prefix="users/{sub}/"),),
    )
    http = WsgiClient(
        routes.build(Built(rig.main())), authorization=rig.user_bearer(front_end, "alice")
    )
    http("GET", "/entity/chatdb?key=users/alice/1")
    http("GET", "/entity/chatdb?key=users/bob/1")
    allowed, denied = of_act(rig, "get_entity")
    assert [(one.client, one.subject) for one in (allowed, denied)] == [("front-end", "alice")] * 2
    assert (allowed.outcome, denied.outcome) == ("not-found", "forbidden")
