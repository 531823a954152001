"""Administration through the client library, in all four combinations, of one real deployment."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from main_api.rpc.admin_service import DESCRIPTOR
from strongroom_client import (
    ClientCredentials,
    ConflictError,
    Grant,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    Retries,
    StrongroomClientError,
    admin_calls,
    errors,
)
from strongroom_client.admin_calls import AdminRead, AdminWrite
from strongroom_client.administration import (
    ClaimRule,
    Listing,
    PublishedKey,
    PublishedKeys,
    TrustedIssuer,
)
from strongroom_client.core.steps import Broken
from strongroom_client.oversight import AuditRecord
from strongroom_client.rest import admin as over_rest
from strongroom_client.rest.codec import RestCodec
from strongroom_client.rest.messages import HttpResponse
from strongroom_client.rpc import admin as over_grpc
from strongroom_client.rpc.codec import RpcCodec
from strongroom_client.rpc.messages import RpcAnswer
from strongroom_pb.v1.admin_pb2 import AskIssuerResponse
from tests.support.client_combinations import COMBINATIONS, Asked, Where, client_of
from tests.support.client_worlds import World
from tests.support.deployment import Deployment, wait_until

_numbers = itertools.count()


@pytest.fixture(scope="module")
def where(deployment: Deployment) -> Where:
    """The deployment."""
    urls = {
        "rest": deployment.facts["http_url"],
        "grpc": f"grpc://{deployment.facts['grpc_address']}",
    }
    return Where(urls, deployment.facts["grpc_ca_file"])


@pytest.fixture(params=COMBINATIONS)
def client(request: pytest.FixtureRequest, where: Where, deployment: Deployment) -> Iterator[Asked]:
    """An administrator."""
    credentials = ClientCredentials(*deployment.credentials())
    with client_of(request.param, where, credentials) as made:
        yield made


def test_templates_and_databases(client: Asked) -> None:
    """A database cannot be made by a program, or not be found again."""
    admin = client.admin
    made = admin.put_schema("by-client", {"type": "object"})
    assert made.schema_id == "by-client"
    assert json.loads(admin.schema("by-client").text) == {"type": "object"}
    again = admin.put_schema("by-client", {"type": ["object", "array"]})
    assert again.schema_version == made.schema_version + 1
    assert "by-client" in {one.schema_id for one in admin.schemas()}
    with pytest.raises(InvalidError):
        admin.put_schema("by-client", {"type": 5})
    database = admin.put_database("by-client", "by-client", ttl_seconds=600)
    assert (database.name, database.schema_id, database.ttl_seconds) == (
        "by-client",
        "by-client",
        600,
    )
    assert admin.database("by-client") == database
    assert database in list(admin.databases())
    assert admin.put_database("by-client", "by-client").ttl_seconds is None
    assert client.put("by-client", "k", {}).version == 1
    with pytest.raises(ConflictError):
        admin.delete_schema("by-client")
    admin.delete_database("by-client")
    admin.delete_schema("by-client")
    with pytest.raises(NotFoundError):
        admin.database("by-client")


def test_clients(client: Asked, where: Where) -> None:
    """A program that makes clients loses their secrets, or grants them something else."""
    # A name that is used again means another client, of whom some processes hear later.
    name = f"by-client-{next(_numbers)}"
    grants = [Grant("chatdb", frozenset({"read", "write"}), "by-client/"), Grant("*", ["read"])]  # type: ignore[arg-type]
    users = [Grant("chatdb", frozenset({"read"}), "{sub}/")]
    made = client.admin.put_client(name, grants, user_grants=users)
    assert made.client_secret
    assert made.client_secret not in repr(made)
    assert made.grants == tuple(grants)
    known = client.admin.client(name)
    assert (known.grants, known.user_grants, known.client_secret) == (
        tuple(grants),
        tuple(users),
        None,
    )
    assert client.admin.put_client(name, grants).client_secret is None
    assert name in {one.client_id for one in client.admin.clients()}
    rotated = client.admin.rotate_secret(name, overlap_seconds=0)
    assert rotated.client_secret not in {None, made.client_secret}
    theirs = ClientCredentials(name, str(rotated.client_secret))
    with client_of("rest-sync", where, theirs) as other:
        assert other.get_many("chatdb", ["by-client/1"]) == {}
    client.admin.delete_client(name)
    with pytest.raises(NotFoundError):
        client.admin.client(name)
    with pytest.raises(InvalidError):
        client.admin.put_client(name, [Grant("*", frozenset({"everything"}))])


def test_workers(client: Asked) -> None:
    """Nobody sees which workers there are, or sees them twice."""
    workers = list(client.admin.workers())
    assert sorted(one.worker_id for one in workers) == ["worker-1", "worker-2"]
    assert {one.state for one in workers} <= {"live", "draining"}
    assert all(one.version and one.certificate_until for one in workers)
    client.admin.revoke_worker("by-client", unseen=True)
    assert "by-client" in {one.worker_id for one in client.admin.revoked_workers()}
    client.admin.reinstate_worker("by-client")
    assert "by-client" not in {one.worker_id for one in client.admin.revoked_workers()}


def test_keys_and_jobs(client: Asked) -> None:
    """A program cannot rotate keys, or not see how a job ends."""
    admin = client.admin
    old = [one.key_id for one in admin.data_keys() if one.state == "active"]
    key_id = admin.rotate_keys()
    states = {one.key_id: one.state for one in admin.data_keys()}
    assert (states[key_id], states[old[0]]) == ("active", "decrypt-only")
    job_id = admin.rewrap_keys(files_per_second=10_000)
    assert wait_until(lambda: admin.job(job_id).state == "done", 60)
    job = admin.job(job_id)
    assert (job.kind, job.left.files) == ("rewrap", 0)
    assert job_id in {one.job_id for one in admin.jobs()}
    with pytest.raises(ConflictError):
        admin.cancel_job(job_id)
    destroyed = admin.destroy_key(old[0])
    assert wait_until(lambda: admin.job(destroyed).state == "done", 60)
    assert {one.key_id: one.state for one in admin.data_keys()}[old[0]] == "destroyed"


def test_a_template_is_tried_before_it_is_put(client: Asked) -> None:
    """A program puts a template that refuses what is stored, and learns of it afterwards."""
    admin = client.admin
    put = admin.put_schema("tried", {"type": "object"})
    admin.put_database("tried", "tried")
    client.put_many("tried", {"good": {"n": 1}, "bad": {"n": "x"}})
    parts = list(
        admin.dry_run_schema(
            "tried", {"properties": {"n": {"type": "integer"}}, "minProperties": 1}
        )
    )
    refused = [one for part in parts for one in part.refusals]
    assert [(one.database, one.key, one.version) for one in refused] == [("tried", "bad", 1)]
    assert [(one.pointer, one.keyword) for one in refused[0].violations] == [("/n", "type")]
    assert sum(part.refused for part in parts) == 1
    assert parts[-1].cursor == ""
    assert parts[0].reasons == {"type": 1}
    assert admin.schema("tried").schema_version == put.schema_version
    admin.delete_database("tried")
    admin.delete_schema("tried")


def test_grants_are_explained(client: Asked) -> None:
    """Nobody can tell which grant lets somebody do something."""
    name = f"by-client-{next(_numbers)}"
    users = [Grant("chatdb", frozenset({"read"}), "{sub}/")]
    client.admin.put_client(name, [Grant("chatdb", frozenset({"read"}))], user_grants=users)
    found = client.admin.explain_client(name, "chatdb", "read", key="a/1")
    assert (found.allowed, found.decides) == (True, 0)
    assert [one.verdict for one in found.grants] == ["covers"]
    refused = client.admin.explain_client(name, "chatdb", "write", key="b/1")
    assert (refused.allowed, refused.decides) == (False, None)
    assert [one.verdict for one in refused.grants] == ["other-action"]
    theirs = client.admin.explain_client(name, "chatdb", "read", key="bob/1", user="bob")
    assert (theirs.decides, theirs.grants[0].key_prefix) == (0, "bob/")
    assert theirs.grants[0].grant == users[0]
    with pytest.raises(InvalidError):
        client.admin.explain_client(name, "chatdb", "fly", key="b/1")
    client.admin.delete_client(name)


RULES = (
    ClaimRule(
        claims={"/roles": ("chat", 7, True)},
        grants=(Grant("chatdb", frozenset({"read"}), "users/{sub}/"),),
    ),
)
TRUSTED = TrustedIssuer(
    issuer="https://login.example.com/main", audiences=("us", "them"), rules=RULES, token_type="JWT"
)


def test_issuers(client: Asked) -> None:
    """A foreign issuer is trusted for something else than was said, or cannot be taken back."""
    made = client.admin.put_issuer("login", TRUSTED)
    assert (made.name, made.trusted) == ("login", TRUSTED)
    assert client.admin.issuer("login") == made
    assert list(client.admin.issuers()) == [made]
    text: dict[str, Any] = {"issuer": TRUSTED.issuer, "audiences": ["us"], "rules": []}
    assert client.admin.put_issuer("login", text).trusted == TrustedIssuer(
        issuer=TRUSTED.issuer, audiences=("us",), rules=()
    )
    wrong: list[Any] = [{**text, "isuer": ""}, {**text, "issuer": "ftp://x"}, []]
    for one in [*wrong, {**text, "rules": [1]}]:
        with pytest.raises(InvalidError):
            client.admin.put_issuer("login", one)
    client.admin.delete_issuer("login")
    with pytest.raises(NotFoundError):
        client.admin.issuer("login")
    with pytest.raises(NotFoundError):
        client.admin.ask_issuer("login")


def test_what_an_issuer_publishes() -> None:
    """A program learns other keys of an issuer over gRPC than over REST."""
    call = admin_calls.ask_issuer("login")
    keys = (PublishedKey(kid="a", algorithms=("RS256",)),)
    expected = PublishedKeys(keys=keys, exposed=("b",), passed_over=2)
    told: dict[str, Any] = {
        "keys": [{"kid": "a", "algorithms": ["RS256"]}],
        "exposed": ["b"],
        "passed_over": 2,
    }
    rest, message = HttpResponse(200, {}, json.dumps(told).encode()), AskIssuerResponse(**told)
    assert RestCodec().answer(call, rest) == expected
    assert RpcCodec().answer(call, RpcAnswer(message.SerializeToString())) == expected


def test_credentials_of_workers(client: Asked) -> None:
    """A worker that subscribes over REST cannot be enrolled by a program."""
    name = f"remote-{next(_numbers)}"
    made = client.admin.put_worker_credential(name)
    assert made.worker_id == name
    assert made.credential not in repr(made)
    with pytest.raises(ConflictError):
        client.admin.put_worker_credential(name)
    assert client.admin.put_worker_credential(name, replace=True).credential != made.credential


def test_keys_of_tokens_and_of_recovery(client: Asked) -> None:
    """A program cannot tell what signs tokens, or what could open the keyring after a loss."""
    try:
        new = client.admin.rotate_signing_keys()
    except ConflictError as refused:
        # One that was made just now waits until everybody knows it.
        new = refused.detail.removeprefix("the signing key ").partition(" ")[0]
    known = {one.key_id: one.is_signing for one in client.admin.signing_keys()}
    assert new in known
    assert list(known.values()).count(True) == 1
    assert client.admin.recovery_key() is None
    with pytest.raises(ConflictError):
        client.admin.export_keys()
    assert list(client.admin.key_exports()) == []
    with pytest.raises(NotFoundError):
        client.admin.delete_key_export("0123456789abcdef")


def test_backups(client: Asked) -> None:
    """A program cannot put a backup on record, and its keys are destroyed."""
    name = f"monday-{next(_numbers)}"
    made = client.admin.record_backup(name)
    assert made.backup_id == name
    assert made.key_ids
    assert made in list(client.admin.backups())
    with pytest.raises(ConflictError):
        client.admin.record_backup(name)
    client.admin.delete_backup(name)
    with pytest.raises(NotFoundError):
        client.admin.delete_backup(name)


def test_the_audit_log(client: Asked) -> None:
    """A program that watches the audit log misses records, or sees some twice."""
    name = f"by-client-{next(_numbers)}"
    began = client.admin.audit_page(page_size=1).cursor
    client.admin.put_client(name, [Grant("chatdb", frozenset({"read"}))])
    client.admin.delete_client(name)

    def since() -> list[AuditRecord]:
        pages = client.admin.audit_pages(cursor=began, page_size=2)
        return [one for page in pages for one in page.records]

    def about(records: list[AuditRecord]) -> list[str]:
        return [one.act for one in records if one.target.get("client_id") == name]

    assert wait_until(lambda: "delete_client" in about(since()), 10)
    seen = since()
    assert len({one.record_id for one in seen}) == len(seen)
    acts = [one for one in seen if one.target.get("client_id") == name]
    (made,) = [one for one in acts if one.act == "put_client" and one.outcome == "ok"]
    assert (made.client, made.count) == ("admin", 1)
    assert made.detail["grants"] == "chatdb: read"
    heads, keys = list(client.admin.audit_heads()), list(client.admin.audit_keys())
    assert all(len(bytes.fromhex(one.head)) == 32 for one in heads)
    assert {len(one.public_key) for one in keys} == {32}
    removed = client.admin.remove_audit("2020-01-01T00:00:00.000Z")
    assert removed.segments == 0
    with pytest.raises(InvalidError):
        client.admin.remove_audit("2999-01-01T00:00:00.000Z")


def test_all_that_is_stored_is_looked_at(client: Asked, deployment: Deployment) -> None:
    """A program that verifies a deployment misses a part of it, or what is wrong there."""
    client.put("chatdb", "verified", {"chat": []})
    odd = next(deployment.shared_dir.glob("files/chatdb/*")) / f"{'0' * 64}.meta.json"
    odd.write_text("{}")
    parts = list(client.admin.verify())
    found = {one.path: one for part in parts for one in part.findings}
    assert found[f"files/chatdb/{odd.parent.name}/{odd.name}"].condition == "orphaned"
    assert (parts[-1].cursor, parts[-1].done) == ("", parts[-1].total)
    assert sum(part.examined for part in parts) >= 1
    repaired = [one for part in client.admin.verify(repair=True) for one in part.findings]
    assert [one.repaired for one in repaired if one.path.endswith(odd.name)] in ([True], [False])
    odd.unlink(missing_ok=True)
    client.delete("chatdb", "verified")


def test_both_transports_have_every_operation() -> None:
    """A program that changes its transport misses an operation, or any program does."""
    assert over_rest.OPERATIONS == over_grpc.OPERATIONS
    assert len(over_rest.OPERATIONS) == 46
    assert {one.name for one in DESCRIPTOR.methods} == over_grpc.METHODS


def test_a_change_is_not_made_twice() -> None:
    """A connection that breaks rotates the keys a second time."""
    world = World([Broken("cut", may_have_acted=True), "done"])
    with pytest.raises(OutcomeUnknownError):
        world.run(world.conversation().perform(admin_calls.rotate_keys(), 60))
    assert len(world.sent) == 1
    world = World([errors.UnavailableError("not now"), "done"])
    conversation = world.conversation(retries=Retries(first_pause_s=0.01))
    assert world.run(conversation.perform(admin_calls.rotate_keys(), 60)) == "done"


def test_listings_end() -> None:
    """A server that repeats a cursor is asked for ever."""
    first: AdminRead[Listing[object]] = AdminRead(name="jobs")
    second = admin_calls.following(first, Listing((), "c"))
    assert second is not None
    assert second.given == {"cursor": "c"}
    assert admin_calls.following(second, Listing(())) is None
    with pytest.raises(StrongroomClientError):
        admin_calls.following(second, Listing((), "c"))


def test_a_secret_is_not_in_a_call() -> None:
    """A log of calls shows a schema or a grant."""
    assert "hunter2" not in repr(AdminWrite(name="n", given={"a": "hunter2"}))
