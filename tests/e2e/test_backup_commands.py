"""`strongroom backup` and `strongroom restore` against a deployment that serves."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from cli.backup.adapters.directory import DirectoryStore
from cli.backup.adapters.register import DeploymentsRegister
from cli.backup.domain import manifest
from cli.backup.service import reading
from strongroom_client import Client
from tests.support.commands import Command, environment, on_a_terminal, ran, refusal
from tests.support.deployment import Deployment

CHATS = {f"chat-{n}": {"chat": [{"type": "user", "text": f"ä {n}"}]} for n in range(12)}


@dataclass
class Desk:
    """Where an operator sits: a database of his own, and a place for backups."""

    deployment: Deployment
    client: Client
    command: Command
    place: Path

    def backup(self, where: str = "") -> dict[str, object]:
        """Take a backup."""
        root = ("--root", str(self.deployment.root))
        ended = self.command(
            environment(self.deployment), "backup", where or str(self.place), *root, "--json"
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return dict(json.loads(ended.stdout))

    def restore(self, *options: str, where: str = "") -> dict[str, object]:
        """Put entities back, or prove a backup."""
        root = ("--root", str(self.deployment.root))
        ended = self.command(
            environment(self.deployment), "restore", where or str(self.place), *root, *options
        )
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return dict(json.loads(ended.stdout))

    def put(self, entities: dict[str, object], database: str = "desk") -> None:
        """Write entities."""
        self.client.put_many(database, entities)

    def all(self, database: str = "desk") -> dict[str, object]:
        """Return every entity."""
        return {entity.key: entity.value for entity in self.client.list(database)}

    def version(self, key: str) -> int:
        """Return an entity's version."""
        return self.client.get("desk", key).version


@pytest.fixture
def desk(
    deployment: Deployment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Desk]:
    """A database with twelve chats; what was made here is gone at the end."""
    # The command sets variables in this process, as it may in its own.
    variables = dict(os.environ)
    with deployment.client() as client:
        client.admin.put_database("desk", "chat.v1")
        made = Desk(deployment, client, Command(monkeypatch, capsys), tmp_path / "backups")
        made.put(dict(CHATS))
        yield made
        for database in client.admin.databases():
            if database.name.startswith("desk"):
                client.admin.delete_database(database.name)
        for one in client.admin.backups():
            client.admin.delete_backup(one.backup_id)
    os.environ.clear()
    os.environ.update(variables)


def test_in_place_and_to_the_side(desk: Desk) -> None:
    """What was overwritten by mistake cannot be brought back while the deployment serves."""
    taken = desk.backup()
    desk.put({"chat-1": {"chat": []}, "later": {"chat": []}})
    desk.client.delete("desk", "chat-2")
    told = desk.restore("--as", "desk-then", "--database", "desk", "--json")
    assert (told["written"], told["databases"]) == (12, ["desk-then"])
    assert desk.all("desk-then") == CHATS
    assert desk.all()["chat-1"] == {"chat": []}
    told = desk.restore("--in-place", "--database", "desk", "--key", "chat-[12]", "--json")
    assert (told["written"], told["same"], told["backup_id"]) == (2, 0, taken["backup_id"])
    assert desk.all() == CHATS | {"later": {"chat": []}}
    assert (desk.version("chat-1"), desk.version("chat-2"), desk.version("chat-3")) == (3, 3, 1)


def test_a_backup_in_s3(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup in a bucket is not one that can be restored."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "of-a-test",
            "AWS_SECRET_ACCESS_KEY": "of-a-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        import boto3  # noqa: PLC0415 - with the environment of above

        boto3.client("s3").create_bucket(Bucket="backups-of-a-desk")
        where = "s3://backups-of-a-desk/nightly"
        first = desk.backup(where)
        assert desk.backup(where)["copied"] == 0
        desk.put({"chat-1": {"chat": []}})
        told = desk.restore("--verify", "--json", where=where)
        assert told["decrypted"] == first["entities"]
        told = desk.restore("--in-place", "--key", "chat-1", "--json", where=where)
        assert told["written"] == 1
        assert desk.all() == CHATS
    finally:
        server.stop()


def test_what_the_template_refuses_now_is_told(desk: Desk) -> None:
    """A restore says that it is done although an entity is not as it was."""
    desk.client.admin.put_schema("desk.v1", {})
    desk.client.admin.put_database("desk", "desk.v1")
    desk.put({"number": 7})
    desk.backup()
    desk.client.admin.put_database("desk", "chat.v1")
    desk.client.delete_many("desk", ["number", "chat-4"])
    ended = desk.command(
        environment(desk.deployment),
        *("restore", str(desk.place), "--root", str(desk.deployment.root)),
        *("--in-place", "--database", "desk"),
    )
    assert ended.returncode == 1
    assert "refused  number: " in ended.stdout
    assert "1 entities written, 11 were so already" in ended.stdout
    assert desk.all() == CHATS
    desk.client.admin.delete_schema("desk.v1")


def test_a_key_that_a_backup_needs_is_not_destroyed(desk: Desk) -> None:
    """An administrator destroys the key of a backup, and learns of it when he needs it."""
    taken = desk.backup()
    (active,) = [key for key in desk.client.admin.data_keys() if key.state == "active"]
    on_record = {one.backup_id: one.key_ids for one in desk.client.admin.backups()}
    assert active.key_id in on_record[str(taken["backup_id"])]


def test_what_is_on_record_already_is_fine(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup of hours is lost because an answer was: the second attempt finds the record."""
    for name, value in environment(desk.deployment).items():
        monkeypatch.setenv(name, value)
    with Client.from_environment() as client:
        register = DeploymentsRegister(client)
        register.put("monday")
        register.put("monday")
        assert "monday" in register.names()
        register.remove("monday")
        register.remove("monday")
        assert "monday" not in register.names()


def test_refusals_are_one_line(desk: Desk) -> None:
    """A user's mistake ends in a stack trace, or something was done all the same."""
    root, named = str(desk.deployment.root), environment(desk.deployment)
    place = str(desk.place)
    inside = str(desk.deployment.shared_dir / "backups")
    desk.backup()

    def refused(*arguments: str, of: dict[str, str] = named) -> str:
        return refusal(desk.command(of, *arguments))

    assert "give --root" in refused("backup", place)
    assert "give --root" in refused("backup", place, "--root", root, "--shared-dir", root)
    assert "a deployment's directory" in refused("backup", inside, "--root", root)
    assert "set STRONGROOM_URL, STRONGROOM_CLIENT_ID" in refused(
        "backup", place, "--root", root, of={}
    )
    assert "not an address like" in refused("backup", "s4://x", "--root", root)
    assert "another `strongroom up` serves" in refused("restore", place, "--root", root)
    shared = str(desk.deployment.shared_dir)
    assert "STRONGROOM" in refused("restore", place, "--shared-dir", shared)
    assert "no backup that was finished" in refused("restore", place + "-2", "--verify")
    assert "not the id of a backup" in refused("restore", place, "--verify", "--id", "../x")
    assert "there is a database desk;" in refused(
        *("restore", place, "--root", root, "--as", "desk", "--database", "desk")
    )
    assert not (desk.deployment.shared_dir / "backups").exists()
    ended = desk.command(named, "restore", place, "--root", root, "--verify", "--in-place")
    assert (ended.returncode, ended.stdout) == (2, "")


def test_a_changed_backup_is_one_line(desk: Desk) -> None:
    """An operator sees a stack trace, or a restored half, of a backup that was changed."""
    desk.backup()
    largest = max(desk.place.glob("objects/*/*"), key=lambda one: one.stat().st_size)
    raw = largest.read_bytes()
    largest.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    before = desk.all()
    line = refusal(ran({}, "restore", str(desk.place), "--verify"))
    assert "its digest is another" in line
    ended = desk.command(
        environment(desk.deployment),
        *("restore", str(desk.place), "--root", str(desk.deployment.root), "--in-place"),
    )
    assert "its digest is another" in refusal(ended)
    assert desk.all() == before


def test_damage_is_told_and_gone_past_where_that_is_asked_for(desk: Desk) -> None:
    """A script takes a part for the whole, or nobody learns how to get the rest back."""
    desk.put(dict(CHATS))
    desk.backup()
    found = reading.find(DirectoryStore(desk.place))
    damaged = next(entry for entry in found.entities() if entry.database == "desk")
    (desk.place / manifest.object_name(damaged.sha256)).write_bytes(b"garbage")
    verify = ("restore", str(desk.place), "--verify")
    line = refusal(ran({}, *verify))
    assert damaged.path in line
    assert "--leave-out-damaged" in line
    ended = ran({}, *verify, "--leave-out-damaged", "--json")
    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert (told["damaged"], told["read"]) == (1, told["entities"] - 1)
    assert damaged.path in told["first_damaged"][0]
    named, root = environment(desk.deployment), ("--root", str(desk.deployment.root))
    back = ("restore", str(desk.place), *root, "--in-place", "--database", "desk")
    ended = desk.command(named, *back, "--leave-out-damaged", "--json")
    assert ended.returncode == 1
    done = json.loads(ended.stdout)
    assert (done["damaged"], done["written"], done["refusals"]) == (1, 0, 0)


def test_a_terminal_sees_how_far_it_is(desk: Desk) -> None:
    """An operator in front of a long backup does not know whether it goes on."""
    root = ("--root", str(desk.deployment.root))
    code, shown = on_a_terminal(environment(desk.deployment), "backup", str(desk.place), *root)
    assert code == 0
    assert "copying" in shown
    assert "entities," in shown
    code, shown = on_a_terminal({}, "restore", str(desk.place), "--verify")
    assert code == 0
    assert "verifying" in shown
    assert "none decrypted: no keys are at hand" in shown
