"""`strongroom schema`, `db` and `client`, as an administrator enters them, on a deployment."""

import json
from pathlib import Path

import pytest

from tests.support.commands import Command, Ended, environment, refusal
from tests.support.deployment import Deployment


@pytest.fixture
def strongroom(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command."""
    return Command(monkeypatch, capsys)


@pytest.fixture
def named(deployment: Deployment) -> dict[str, str]:
    """What names the deployment."""
    return environment(deployment)


def done(ended: Ended) -> str:
    """Return what a command that did its work has printed."""
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def told(ended: Ended, name: str, value: str) -> dict[str, object]:
    """Return the line of JSON of a listing that has a value under a name."""
    lines = [json.loads(line) for line in done(ended).splitlines()]
    (found,) = [one for one in lines if one[name] == value]
    assert isinstance(found, dict)
    return found


def test_templates(named: dict[str, str], strongroom: Command, tmp_path: Path) -> None:
    """A template cannot be put, seen or taken away without curl."""
    file = tmp_path / "schema.json"
    file.write_text('{"type": "object"}')
    assert done(strongroom(named, "schema", "put", "entered", str(file))) == "entered: version 1\n"
    assert json.loads(done(strongroom(named, "schema", "get", "entered"))) == {"type": "object"}
    again = strongroom(named, "schema", "put", "entered", "-", "--json", typed="true")
    assert json.loads(done(again)) == {"schema_id": "entered", "schema_version": 2}
    listed = told(strongroom(named, "schema", "list", "--json"), "schema_id", "entered")
    assert listed["schema_version"] == 2
    assert "entered\t2\t" in done(strongroom(named, "schema", "list"))
    refused = strongroom(named, "schema", "put", "entered", "-", typed='{"type": 5}')
    assert (refused.returncode, refused.stdout) == (5, "")
    assert strongroom(named, "schema", "delete", "chat.v1").returncode == 4, "it is in use"
    done(strongroom(named, "schema", "delete", "entered"))
    assert strongroom(named, "schema", "get", "entered").returncode == 3


def test_databases(named: dict[str, str], strongroom: Command) -> None:
    """A slip of the hand deletes a database."""
    done(strongroom(named, "db", "put", "entered", "chat.v1", "--ttl-seconds", "60"))
    known = told(strongroom(named, "db", "list", "--json"), "name", "entered")
    assert (known["schema_id"], known["ttl_seconds"]) == ("chat.v1", 60)
    done(strongroom(named, "put", "entered", "k", "-", typed='{"chat": []}'))
    for typed in ("", "\n", "yes\n", "Entered\n"):
        kept = strongroom(named, "db", "delete", "entered", typed=typed)
        assert (kept.returncode, kept.stdout) == (1, "")
    assert "is not deleted" in refusal(
        strongroom(named, "db", "delete", "entered", "--yes-lose", "chatdb")
    )
    assert done(strongroom(named, "list", "entered")) == "k\t1\n"
    asked = strongroom(named, "db", "delete", "entered", typed="entered\n")
    assert (asked.returncode, asked.stdout) == (0, "entered: deleted\n")
    assert "All entities of entered will be lost" in asked.stderr
    assert strongroom(named, "list", "entered").returncode == 3


def test_clients(named: dict[str, str], strongroom: Command) -> None:
    """A client gets other grants than were entered, or its secret shows a second time."""
    put = ("client", "put", "entered", "--grant", "chatdb:read,write:c/", "--grant", "*:read")
    made = json.loads(done(strongroom(named, *put, "--json")))
    assert made["grants"] == [
        {"database": "chatdb", "actions": ["read", "write"], "key_prefix": "c/"},
        {"database": "*", "actions": ["read"]},
    ]
    theirs = {
        **named,
        "STRONGROOM_CLIENT_ID": "entered",
        "STRONGROOM_CLIENT_SECRET": made["client_secret"],
    }
    done(strongroom(theirs, "put", "chatdb", "c/1", "-", typed='{"chat": []}'))
    refused = strongroom(theirs, "put", "chatdb", "d/1", "-", typed='{"chat": []}')
    assert refused.returncode == 6
    assert done(strongroom(named, *put)) == "entered: chatdb:read,write:c/ *:read\n"
    listed = done(strongroom(named, "client", "list"))
    assert "entered\tchatdb:read,write:c/ *:read\n" in listed
    assert made["client_secret"] not in listed
    rotated = done(strongroom(named, "client", "rotate-secret", "entered"))
    assert "its secret, which is not shown again: " in rotated
    users = ("--user-grant", "chatdb:read:{sub}/")
    front = json.loads(done(strongroom(named, *put, *users, "--json")))
    assert front["user_grants"] == [
        {"database": "chatdb", "actions": ["read"], "key_prefix": "{sub}/"}
    ]
    for wrong in ("chatdb", "chatdb:", ":read"):
        assert strongroom(named, "client", "put", "entered", "--grant", wrong).returncode == 2
    odd = strongroom(named, "client", "put", "entered", "--grant", "chatdb:fly")
    assert odd.returncode == 5
    done(strongroom(named, "delete", "chatdb", "c/1"))
    done(strongroom(named, "client", "delete", "entered"))
    assert strongroom(named, "client", "delete", "entered").returncode == 3
