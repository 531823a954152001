"""`strongroom verify` as an operator runs it; deletions and dry runs, on a deployment."""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from strongroom_client import Client, Grant, NotFoundError, SchemaViolationError
from tests.support.commands import Verify, environment, refusal, spawned
from tests.support.crowds import Crowd
from tests.support.deployment import CHAT, Deployment, kill, wait_until
from tests.support.scripted_server import problem, scripted

NAMED = {"STRONGROOM_CLIENT_ID": "a", "STRONGROOM_CLIENT_SECRET": "b"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment whose files the tests may spoil; each leaves them sound."""
    running = Deployment(tmp_path_factory.mktemp("verified")).start()
    with running.client() as client:
        client.admin.put_schema("anything", schema=True)
    yield running
    assert running.stop() == 0


@pytest.fixture
def client(own: Deployment) -> Iterator[Client]:
    """An administrator's client."""
    with own.client() as client:
        yield client


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    """The command."""
    return Verify(monkeypatch, capsys)


def stored(deployment: Deployment, database: str) -> list[Path]:
    """Return the files of a database."""
    found = (deployment.shared_dir / "files" / database).rglob("*")
    return sorted(path for path in found if path.is_file())


def blobs(deployment: Deployment, database: str) -> list[Path]:
    """Return the blobs of a database."""
    return [path for path in stored(deployment, database) if path.name.endswith(".json.enc")]


# -- what is told ----------------------------------------------------------------------------------


def test_where_all_is_well(own: Deployment, client: Client, verify: Verify) -> None:
    """Verification of a sound deployment fails, or shows what is none of anybody's business."""
    client.put("chatdb", "secret-key", CHAT)
    ended = spawned(environment(own))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("entities: all is as it should be\n")
    told = json.loads(verify(environment(own), "--json").stdout)
    assert (told["ok"], told["findings"]) == (True, [])
    assert told["examined"] >= 1
    assert ended.stdout.startswith(f"{told['examined']} ")


def test_damage_is_told_and_what_is_harmless_repaired(
    own: Deployment, client: Client, verify: Verify
) -> None:
    """An operator is not told what is wrong, or a script takes it for sound."""
    name = "spoilt"
    client.admin.put_database(name, "anything")
    client.put_many(name, dict.fromkeys("abc", 1))
    first, second, third = blobs(own, name)
    raw = first.read_bytes()
    first.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    sidecar = second.with_name(second.name.replace(".json.enc", ".meta.json"))
    sidecar.unlink()
    third.unlink()
    stranger = own.shared_dir / "templates" / "note.txt"
    stranger.write_text("hello")

    def shown(path: Path) -> str:
        return str(path.relative_to(own.shared_dir))

    left = [
        f"damaged   {shown(first)}: the authentication tag does not verify",
        f"damaged   {shown(third)}: the entity's blob is missing",
        f"orphaned  {shown(stranger)}: it is none of our files",
    ]
    stale = f"stale     {shown(sidecar)}: it is missing"
    for options, found, summary in (
        ((), [*left, stale], "4 findings, 0 of them repaired; try --repair"),
        (("--repair",), [*left, f"{stale} (repaired)"], "4 findings, 1 of them repaired"),
        ((), left, "3 findings, 0 of them repaired; try --repair"),
    ):
        ended = spawned(environment(own), *options)
        *lines, last = ended.stdout.splitlines()
        assert sorted(lines) == sorted(found)
        assert last.endswith(f"entities, {summary}")
        assert (ended.returncode, ended.stderr) == (1, "")
    assert sidecar.exists()
    stranger.unlink()
    first.write_bytes(raw)
    ended = verify(environment(own), "--json", "--repair")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["ok"]) == (1, False)
    (finding,) = told["findings"]
    assert finding == {
        "path": shown(third),
        "condition": "damaged",
        "reason": "the entity's blob is missing",
        "repaired": False,
    }
    # Its own database's deletion makes no proof for an entity that does not open.
    third.with_name(third.name.replace(".json.enc", ".meta.json")).unlink()
    assert verify(environment(own)).returncode == 0


def test_all_that_is_repaired_is_well(own: Deployment, verify: Verify) -> None:
    """A script that lets repairs be made takes their success for a failure."""
    left = own.shared_dir / "databases" / ".tmp-0123456789abcdef"
    left.write_bytes(b"x")
    os.utime(left, (1, 1))
    assert verify(environment(own)).returncode == 1
    ended = verify(environment(own), "--repair")
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[0].endswith("a crash has left it (repaired)")
    assert not left.exists()


# -- what cannot be done ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing", ["STRONGROOM_URL", "STRONGROOM_CLIENT_ID", "STRONGROOM_CLIENT_SECRET"]
)
def test_what_names_the_deployment_has_to_be_there(
    own: Deployment, verify: Verify, missing: str
) -> None:
    """Whoever forgets a variable gets a stack trace, or verifies another deployment."""
    for without in ({}, {missing: ""}):
        named = {n: v for n, v in environment(own).items() if n != missing} | without
        assert f"set {missing}, " in refusal(verify(named))
        assert f"set {missing}, " in refusal(verify(named, "--json"))
    assert refusal(spawned({})).startswith("strongroom: set STRONGROOM_")


BAD = {
    "a wrong secret": ({"STRONGROOM_CLIENT_SECRET": "hunter2"}, "check STRONGROOM_CLIENT_ID and"),
    "no client": ({"STRONGROOM_CLIENT_ID": "nobody"}, "check STRONGROOM_CLIENT_ID and"),
    "an odd client": ({"STRONGROOM_CLIENT_ID": "../ü"}, "check STRONGROOM_CLIENT_ID and"),
    "no text": ({"STRONGROOM_CLIENT_SECRET": os.fsdecode(b"\xff")}, "is not text on one line"),
    "two lines": ({"STRONGROOM_CLIENT_ID": "a\nb"}, "is not text on one line"),
    "nobody there": ({"STRONGROOM_URL": "http://127.0.0.1:1"}, "does not answer"),
    "no such host": ({"STRONGROOM_URL": "https://no-such-host.invalid"}, "does not answer"),
    "a long host": ({"STRONGROOM_URL": f"https://{'é' * 70}.example"}, "address is not like"),
    "no address": ({"STRONGROOM_URL": "127.0.0.1:8080"}, "the address is not like"),
    "another scheme": ({"STRONGROOM_URL": "ftp://127.0.0.1"}, "the address is not like"),
    "half an address": ({"STRONGROOM_URL": "http://[::1"}, "the address is not like"),
    "an odd port": ({"STRONGROOM_URL": "http://127.0.0.1:http"}, "the address is not like"),
    "a large port": ({"STRONGROOM_URL": "http://127.0.0.1:99999"}, "the address is not like"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_name_of_the_deployment_is_told_in_one_line(
    own: Deployment, verify: Verify, case: str
) -> None:
    """Whoever mistypes something gets a stack trace, or learns a secret from it."""
    wrong, reason = BAD[case]
    line = refusal(verify(environment(own) | wrong), 1, 6, 7)
    assert reason in line
    assert "hunter2" not in line
    assert own.facts["client_secret"] not in line


def test_whoever_may_not_is_told_so(own: Deployment, client: Client, verify: Verify) -> None:
    """A client without the right verifies, or does not learn why it cannot."""
    made = client.admin.put_client("reader", [Grant("*", {"read", "write", "delete"})])
    theirs = {
        "STRONGROOM_CLIENT_ID": made.client_id,
        "STRONGROOM_CLIENT_SECRET": made.client_secret or "",
    }
    line = refusal(verify(environment(own) | theirs, "--repair"), 6)
    assert line.startswith("strongroom: this takes the action admin on every database; ")


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", b"<html>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b"{}"),
        (200, "application/json", b'{"findings": [1], "examined": 1, "progress": {}}'),
        (404, "text/html", b"<html>"),
        (404, "application/problem+json", b"[]"),
        (500, "application/problem+json", b"{"),
        (302, "text/html", b""),
    ],
    ids=str,
)
def test_another_server_is_told_from_a_deployment(
    verify: Verify, answer: tuple[int, str, bytes]
) -> None:
    """Whoever has the wrong address gets a stack trace, or is told that all is well."""
    with scripted(answer) as (url, _):
        refusal(verify(NAMED | {"STRONGROOM_URL": url}))


def a_page(path: str, cursor: str = "") -> bytes:
    """Return what a call of a verification answers."""
    finding = {"path": path, "condition": "stale", "reason": "why", "repaired": True}
    progress = {"done": 1, "total": 2}
    page = {"findings": [finding], "examined": 5, "progress": progress, "cursor": cursor}
    return json.dumps(page).encode()


def test_a_long_verification_is_followed_to_its_end(verify: Verify) -> None:
    """Of a large deployment the first second is verified, or one lost worker ends it."""
    refused = problem(401, "unauthenticated", "the token has ended")
    token = (200, "application/json", b'{"access_token": "t", "expires_in": 900}')
    busy = problem(503, "unavailable", "no worker can serve now")
    pages = [(200, "application/json", a_page(f"p{n}", "c" * (2 - n))) for n in range(3)]
    answers = [refused, token, pages[0], busy, busy, pages[1], refused, token, pages[2]]
    with scripted(*answers) as (url, asked):
        ended = verify(NAMED | {"STRONGROOM_URL": url}, "--json", "--repair")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["ok"], told["examined"]) == (0, True, 15)
    assert [one["path"] for one in told["findings"]] == ["p0", "p1", "p2"]
    bodies = [json.loads(body) for path, body in asked if path == "/verify"]
    cursors = [None, None, "cc", "cc", "cc", "c", "c"]
    assert [(body.get("cursor"), body["repair"]) for body in bodies] == [
        (cursor, True) for cursor in cursors
    ]
    with scripted(refused, token, pages[0], busy) as (url, asked):
        ended = verify(NAMED | {"STRONGROOM_URL": url})
    assert ended.returncode == 7
    assert ended.stderr.startswith("strongroom: no worker can serve now; ")
    assert len(asked) < 20


def test_over_https_the_certificate_authority_is_named(tmp_path: Path, verify: Verify) -> None:
    """A deployment of one's own with --https cannot be verified, or whoever answers is believed."""
    secure = Deployment(tmp_path, ("--https",)).start()
    try:
        named = environment(secure)
        trusted = {"STRONGROOM_CA_FILE": secure.facts["grpc_ca_file"]}
        assert spawned(named | trusted).returncode == 0
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(verify(named), 7)
        for path in (tmp_path / "nothing", secure.ready_file):
            assert str(path) in refusal(verify(named | {"STRONGROOM_CA_FILE": str(path)}))
        plain = named["STRONGROOM_URL"].replace("https", "http")
        refusal(verify(named | trusted | {"STRONGROOM_URL": plain}), 7)
    finally:
        assert secure.stop() == 0


# -- deletions and dry runs ------------------------------------------------------------------------


def since(client: Client, worker_id: str) -> str:
    """Return when a worker has registered, nothing for one that is not listed."""
    workers = client.admin.workers()
    return "".join(one.registered_at for one in workers if one.worker_id == worker_id)


def came_back(client: Client, worker_id: str, before: str) -> bool:
    """Tell whether a worker has registered anew."""
    return since(client, worker_id) not in {"", before}


def generations(client: Client, database: str) -> list[int]:
    """Return of which generation each entity of a database is."""
    return [entity.value["generation"] for entity in client.list(database)]


def test_nothing_of_a_deleted_database_is_served_and_its_files_go(
    own: Deployment, client: Client, verify: Verify
) -> None:
    """What was deleted is still served by some worker, shows in its successor, or stays."""
    client.admin.put_database("doomed", "anything")
    crowd = Crowd(own, "doomed")
    try:
        crowd.let_all_turn()
        assert wait_until(lambda: len(blobs(own, "doomed")) == 20, 30)
        client.admin.delete_database("doomed")
        crowd.generation, crowd.shows = 2, frozenset()
        crowd.let_all_turn()
        with pytest.raises(NotFoundError):
            client.page("doomed")
        crowd.shows = frozenset({2})
        client.admin.put_database("doomed", "anything")
        crowd.let_all_turn()
        assert wait_until(lambda: len(generations(client, "doomed")) == 20, 30)
    finally:
        crowd.stop()
    assert crowd.unexpected == []
    # Each worker serves the new one alone.
    for worker in ("worker-1", "worker-2"):
        before = since(client, worker)
        kill(own.reload()["pids"]["workers"][worker])
        assert set(generations(client, "doomed")) == {2}
        assert wait_until(partial(came_back, client, worker, before), 30)
    found = json.loads(verify(environment(own), "--json").stdout)["findings"]
    # Some are gone already.
    assert 0 < len(found) <= 20
    assert {one["reason"] for one in found} == {"it is of a deleted incarnation of its database"}
    assert verify(environment(own), "--repair").returncode == 0
    assert len(stored(own, "doomed")) == 2 * len(blobs(own, "doomed")) == 40
    assert len(generations(client, "doomed")) == 20
    assert verify(environment(own)).returncode == 0
    # Without a successor, only its directories stay.
    client.admin.delete_database("doomed")
    assert verify(environment(own), "--repair").returncode == 0
    assert stored(own, "doomed") == []


def test_a_replaced_template_refuses_what_its_dry_run_has_told(
    own: Deployment, client: Client
) -> None:
    """A template is replaced after a dry run, and refuses something else than that has told."""
    schema_id = "tried.v1"
    client.admin.put_schema(schema_id, schema=True)
    documents = {f"k{number}": {"n": number} for number in range(30)}
    for database in ("tried-1", "tried-2"):
        client.admin.put_database(database, schema_id)
        client.put_many(database, documents)
    schema = {
        "x-defaults": True,
        "properties": {"n": {"multipleOf": 3}, "m": {"default": "x", "type": "string"}},
        "required": ["m"],
    }
    parts = client.admin.dry_run_schema(schema_id, schema)
    tried = [one for part in parts for one in part.refusals]
    assert client.admin.schema(schema_id).schema_version == 1
    assert client.admin.put_schema(schema_id, schema).schema_version == 2
    refused = []
    for database in ("tried-1", "tried-2"):
        for key, document in documents.items():
            try:
                client.put(database, key, document)
            except SchemaViolationError as error:
                refused.append((database, key, error.violations))
    foretold = [(one.database, one.key, one.violations) for one in tried]
    assert sorted(foretold, key=str) == sorted(refused, key=str)
    assert len(refused) == 40
    assert own.process_ended() is False
