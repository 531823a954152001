"""`strongroom get`, `put`, `import` and the like, as they are entered, on a deployment."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom_client import Grant
from tests.support.commands import (
    COMMAND,
    Command,
    Ended,
    environment,
    on_a_terminal,
    others,
    refusal,
)
from tests.support.deployment import Deployment

DATABASE, CHATS = "cli-any", "cli-chats"
SECRET = "hunter2"


@pytest.fixture(scope="module")
def named(deployment: Deployment) -> Iterator[dict[str, str]]:
    """Two databases of these tests' own; the value names the deployment."""
    bindings = {DATABASE: "cli-anything", CHATS: "chat.v1"}
    with deployment.client() as client:
        client.admin.put_schema("cli-anything", schema=True)
        for name, schema_id in bindings.items():
            client.admin.put_database(name, schema_id)
        yield environment(deployment)
        for name in bindings:
            client.admin.delete_database(name)
        client.admin.delete_schema("cli-anything")


@pytest.fixture
def strongroom(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command."""
    return Command(monkeypatch, capsys)


def lines(ended: Ended) -> list[str]:
    """Return what a command that did its work has printed."""
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_a_document_comes_back_byte_for_byte(
    named: dict[str, str], strongroom: Command, tmp_path: Path
) -> None:
    """A document that goes through the command line is another one afterwards."""
    text = '{ "n": 0.10000000000000000001,\n  "t": "ß" }\n'
    file = tmp_path / "document.json"
    file.write_text(text)
    assert (
        strongroom(named, "put", DATABASE, "by/file", str(file)).stdout
        == "by/file: version 1 (new)\n"
    )
    assert strongroom(named, "get", DATABASE, "by/file").stdout == text
    put = strongroom(named, "put", DATABASE, "by/file", "-", "--json", typed=" [1, 2]")
    told = json.loads(put.stdout)
    assert (told["key"], told["version"], told["created"]) == ("by/file", 2, False)
    got = json.loads(strongroom(named, "get", DATABASE, "by/file", "--json").stdout)
    assert got == {"key": "by/file", "version": 2, "entity": [1, 2]}


def test_conditions(named: dict[str, str], strongroom: Command, tmp_path: Path) -> None:
    """A script overwrites what somebody else has changed."""
    file = tmp_path / "one.json"
    file.write_text("1")
    put = ("put", DATABASE, "conditions", str(file))
    assert lines(strongroom(named, *put, "--if-absent")) == ["conditions: version 1 (new)"]
    for condition in (("--if-absent",), ("--if-version", "7")):
        refused = strongroom(named, *put, *condition)
        assert (refused.returncode, refused.stdout) == (4, "")
        assert refused.stderr.startswith("strongroom: ")
    assert lines(strongroom(named, *put, "--if-version", "1")) == ["conditions: version 2"]
    assert lines(strongroom(named, *put, "--if-present")) == ["conditions: version 3"]
    assert strongroom(named, *put, "--if-absent", "--if-present").returncode == 2
    once = (*put, "--idempotency-key", "conditions-1")
    assert lines(strongroom(named, *once)) == lines(strongroom(named, *once))


def test_exit_codes_tell_what_is_wrong(
    named: dict[str, str], strongroom: Command, deployment: Deployment, tmp_path: Path
) -> None:
    """A script cannot tell an entity that is not there from a deployment that is down."""
    bad = tmp_path / "bad.json"
    bad.write_text('{"chat": [{"type": "user"}]}')
    with deployment.client() as client:
        secret = client.admin.put_client("cli-reader", [Grant(DATABASE, {"read"})]).client_secret
        assert secret is not None
        reader = {**named, "STRONGROOM_CLIENT_ID": "cli-reader", "STRONGROOM_CLIENT_SECRET": secret}
        nowhere = {**named, "STRONGROOM_URL": "http://127.0.0.1:1"}
        expected = {
            3: (named, ("get", DATABASE, "absent")),
            5: (named, ("put", CHATS, "k", str(bad))),
            6: (reader, ("put", DATABASE, "k", str(bad))),
            7: (nowhere, ("get", DATABASE, "k")),
        }
        for code, (who, arguments) in expected.items():
            ended = strongroom(who, *arguments)
            assert (ended.returncode, ended.stdout) == (code, ""), ended
            assert ended.stderr.startswith("strongroom: ")
        client.admin.delete_client("cli-reader")
    wrong = strongroom({**named, "STRONGROOM_CLIENT_SECRET": SECRET}, "get", DATABASE, "k")
    assert wrong.returncode == 6
    assert "STRONGROOM_CLIENT_SECRET" in wrong.stderr
    assert SECRET not in wrong.stderr


def test_a_refused_document_is_told_where(
    named: dict[str, str], strongroom: Command, tmp_path: Path
) -> None:
    """Whoever has a document refused has to guess why."""
    refused = strongroom(named, "put", CHATS, "k", "-", typed='{"chat": [{"type": "user"}]}')
    first, second = refused.stderr.splitlines()
    assert first == "strongroom: the document does not satisfy its template"
    assert second.startswith("  /chat/0: required: ")
    checked = strongroom(named, "validate", CHATS, "k", "-", typed='{"chat": 1}')
    assert (checked.returncode, checked.stdout) == (5, "")
    assert "  /chat: type: " in checked.stderr
    assert strongroom(named, "validate", CHATS, "k", "-", typed='{"chat": []}').returncode == 0
    told = strongroom(named, "validate", CHATS, "k", "-", "--json", typed='{"chat": 1}')
    assert json.loads(told.stdout)["violations"][0]["pointer"] == "/chat"
    missing = strongroom(named, "put", CHATS, "k", str(tmp_path / "absent"))
    assert "No such file" in refusal(missing)


def test_changes_and_deletions(named: dict[str, str], strongroom: Command, tmp_path: Path) -> None:
    """A part of an entity cannot be changed, or a deletion says what it has not done."""
    merge, steps = tmp_path / "merge.json", tmp_path / "patch.json"
    strongroom(named, "put", DATABASE, "changed", "-", typed='{"a": 1}')
    merge.write_text('{"b": [2, 1]}')
    steps.write_text('[{"op": "remove", "path": "/a"}]')
    assert lines(strongroom(named, "patch", DATABASE, "changed", str(merge)))
    assert lines(strongroom(named, "patch", DATABASE, "changed", str(steps), "--json-patch"))
    assert lines(strongroom(named, "get", DATABASE, "changed")) == ['{"b":[2,1]}']
    assert lines(strongroom(named, "transform", DATABASE, "changed", "sort(b)")) == ["[1,2]"]
    stored = strongroom(named, "transform", DATABASE, "changed", "b", "--store")
    assert lines(stored) == ["changed: version 4"]
    both = strongroom(named, "delete", DATABASE, "changed", "absent")
    assert (both.returncode, both.stdout) == (3, "changed: deleted\nabsent: not there\n")
    assert strongroom(named, "delete", DATABASE, "changed").returncode == 3


def test_listing_and_query(named: dict[str, str], strongroom: Command, tmp_path: Path) -> None:
    """Nobody can see what a database has."""
    file = tmp_path / "entities"
    file.write_text("".join(f'{{"key":"l/{n}","entity":{{"n":{n}}}}}\n' for n in range(5)))
    assert lines(strongroom(named, "import", DATABASE, str(file)))
    listed = lines(strongroom(named, "list", DATABASE, "--prefix", "l/"))
    assert sorted(listed) == [f"l/{n}\t1" for n in range(5)]
    assert len(lines(strongroom(named, "list", DATABASE, "--limit", "2"))) == 2
    (found,) = lines(strongroom(named, "query", DATABASE, "n == `3`", "--prefix", "l/"))
    assert found == 'l/3\t1\t{"n":3}'
    (told,) = lines(strongroom(named, "query", DATABASE, "n == `3`", "--select", "n", "--json"))
    assert json.loads(told) == {"key": "l/3", "version": 1, "entity": 3}
    wrong = strongroom(named, "query", DATABASE, "n ==")
    assert wrong.returncode == 5


def test_what_is_exported_is_imported(
    named: dict[str, str], strongroom: Command, tmp_path: Path
) -> None:
    """A database that is moved by export and import is not the same one."""
    entities = {f"x/{n:03}\u00e9": [n, "\n", {"f": 0.5}] for n in range(250)}
    file = tmp_path / "in"
    file.write_text(
        "".join(json.dumps({"key": k, "entity": v}) + "\n" for k, v in entities.items()) + "\n"
    )
    imported = strongroom(named, "import", DATABASE, str(file), "--json")
    assert json.loads(imported.stdout) == {"written": 250, "refused": 0}
    out = tmp_path / "out"
    exported = strongroom(named, "export", DATABASE, str(out), "--prefix", "x/")
    assert (exported.returncode, exported.stdout) == (0, "")
    assert out.stat().st_mode & 0o777 == 0o600
    parsed = [json.loads(line) for line in out.read_text().splitlines()]
    assert {one["key"]: one["entity"] for one in parsed} == entities
    assert strongroom(named, "export", DATABASE, str(out)).returncode == 1, "it is not overwritten"
    piped = strongroom(named, "export", DATABASE, "--prefix", "x/")
    assert sorted(piped.stdout.splitlines()) == sorted(out.read_text().splitlines())
    again = strongroom(named, "import", DATABASE, "-", typed=piped.stdout)
    assert again.stdout == "250 entities written, 0 refused\n"


def test_an_import_that_meets_a_refusal(
    named: dict[str, str], strongroom: Command, tmp_path: Path
) -> None:
    """Of a long import that ended midway nobody knows how to go on."""
    good, bad = '{"key":"i/%d","entity":{"chat":[]}}\n', '{"key":"bad","entity":{"chat":1}}\n'
    file = tmp_path / "mixed"
    file.write_text(good % 1 + bad + good % 3)
    tried = strongroom(named, "import", CHATS, str(file), "--dry-run")
    assert (tried.returncode, tried.stdout) == (5, "2 entities would be written, 1 refused\n")
    assert "strongroom: line 2: bad: " in tried.stderr
    assert strongroom(named, "list", CHATS).stdout == ""
    stopped = strongroom(named, "import", CHATS, str(file))
    assert (stopped.returncode, stopped.stdout) == (5, "")
    assert stopped.stderr.endswith(
        "strongroom: the lines before 2 are done; go on with --from-line 2, or --resume\n"
    )
    assert strongroom(named, "list", CHATS).stdout == "i/1\t1\n"
    assert strongroom(named, "import", CHATS, str(file), "--from-line", "3").returncode == 0
    kept = strongroom(named, "import", CHATS, str(file), "--keep-going")
    assert (kept.returncode, kept.stdout) == (5, "2 entities written, 1 refused\n")
    file.write_text(good % 1 + "nonsense secret\n")
    odd = strongroom(named, "import", CHATS, str(file))
    assert odd.returncode == 1
    assert "line 2, column 5 is not of the form" in odd.stderr
    assert "secret" not in odd.stderr


def test_over_grpc(named: dict[str, str], strongroom: Command, deployment: Deployment) -> None:
    """An operator who can reach gRPC alone has no command line."""
    there = {
        **named,
        "STRONGROOM_URL": f"grpc://{deployment.facts['grpc_address']}",
        "STRONGROOM_CA_FILE": deployment.facts["grpc_ca_file"],
    }
    lines(strongroom(there, "put", DATABASE, "over/grpc", "-", typed="1"))
    assert lines(strongroom(named, "get", DATABASE, "over/grpc")) == ["1"]
    assert lines(strongroom(there, "list", DATABASE, "--prefix", "over/")) == ["over/grpc\t1"]


def test_a_reader_who_has_seen_enough(named: dict[str, str]) -> None:
    """`strongroom export DATABASE | head` ends in a complaint."""
    program = f"'{COMMAND}' export {DATABASE} | head -n 0; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(  # noqa: S603 - the project's own command
        ["/bin/bash", "-c", program],
        env=others() | named,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    assert "Broken pipe" not in ended.stderr


def test_an_import_at_a_terminal_shows_how_far_it_is(named: dict[str, str], tmp_path: Path) -> None:
    """Whoever imports a million entities looks at a blank screen."""
    file = tmp_path / "many"
    file.write_text("".join(f'{{"key":"t/{n}","entity":{n}}}\n' for n in range(300)))
    code, shown = on_a_terminal(named, "import", DATABASE, str(file))
    assert code == 0
    assert "entities, " in shown
    assert "300 entities written, 0 refused" in shown


def test_an_argument_is_no_place_for_a_secret(strongroom: Command) -> None:
    """Everybody on the machine can read a secret out of the list of processes."""
    told = strongroom({}, "get", "--help").stdout
    assert "--profile" in told
    assert "secret" not in told.lower()
