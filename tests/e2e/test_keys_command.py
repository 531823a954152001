"""`strongroom keys` and `strongroom job` as an operator runs them, on a deployment."""

import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator

import httpx
import pytest

from strongroom_client import Client, GoneError, Grant
from tests.support.commands import (
    COMMAND,
    SECONDS,
    Command,
    Ended,
    environment,
    on_a_terminal,
    ran,
    refusal,
)
from tests.support.deployment import Deployment, kill, wait_until
from tests.support.scripted_server import Scripted, scripted

NAMED = {"STRONGROOM_CLIENT_ID": "a", "STRONGROOM_CLIENT_SECRET": "b"}
JOB = "01a20bc764d706a5ff8e11493a3a"


class Vault:
    """A deployment, its commands, and a database under a key of its own."""

    def __init__(self, deployment: Deployment, client: Client, http: httpx.Client) -> None:
        """Take it and who asks it: a client, and over REST for the very members of an answer.

        What was written before lies under other keys.
        """
        self.named = environment(deployment)
        self.shared = deployment.shared_dir
        self.client, self.http = client, http
        self.database = f"db-{uuid.uuid4().hex[:12]}"
        client.admin.put_database(self.database, "anything")
        self.key = self.rotate()

    def rotate(self) -> str:
        """Make a new key active and return its id."""
        return str(json.loads(self.run("keys", "rotate", "--json").stdout)["key_id"])

    def write(self, *keys: str) -> None:
        """Put entities under the active key, which a worker may take a second to take."""
        entities = dict.fromkeys(keys, 1)

        def put() -> bool:
            self.client.put_many(self.database, entities)
            files = (self.shared / "files" / self.database).glob("*/*.meta.json")
            return {json.loads(file.read_text())["key_id"] for file in files} == {self.key}

        assert wait_until(put, SECONDS)

    def run(self, *arguments: str, typed: str = "") -> Ended:
        """Run a command with pipes."""
        return ran(self.named, *arguments, typed=typed)

    def states(self) -> dict[str, str]:
        """Return the state of every data key."""
        return {key.key_id: key.state for key in self.client.admin.data_keys()}

    def opens(self, key: str) -> bool:
        """Tell whether an entity is read, or was lost with its key."""
        try:
            self.client.get(self.database, key)
        except GoneError:
            return False
        return True


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment whose keys the tests may destroy."""
    running = Deployment(tmp_path_factory.mktemp("keys")).start()
    with running.client() as client:
        client.admin.put_schema("anything", schema=True)
    yield running
    assert running.stop() == 0


@pytest.fixture
def vault(own: Deployment) -> Iterator[Vault]:
    """A database under a key of its own."""
    with own.client() as client, own.http() as http:
        yield Vault(own, client, http)


@pytest.fixture
def strongroom(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command."""
    return Command(monkeypatch, capsys)


# -- lists and rotations ---------------------------------------------------------------------------


def test_keys_are_listed_as_who_reads_it_needs_them(vault: Vault) -> None:
    """A script cannot tell the columns, or a person cannot tell what they mean."""
    rotated = vault.run("keys", "rotate")
    (new,) = re.findall(r"^the key ([0-9a-f]{16}) is active; `strongroom keys ", rotated.stdout)
    assert (rotated.returncode, rotated.stderr, rotated.stdout.count("\n")) == (0, "", 1)
    listed = vault.run("keys", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert [row[:2] for row in rows[-2:]] == [[vault.key, "decrypt-only"], [new, "active"]]
    assert {len(row) for row in rows} == {4}
    answer = vault.http.get("/keys").json()
    assert json.loads(vault.run("keys", "list", "--json").stdout) == answer
    code, shown = on_a_terminal(vault.named, "keys", "list")
    assert code == 0
    assert re.search(r"KEY ID +STATE +CREATED AT +WRITTEN BYTES", shown)
    for key in answer["keys"]:
        assert re.search(f"{key['key_id']} +{key['state']} +{key['created_at']}", shown)


# -- rewraps ---------------------------------------------------------------------------------------


def test_a_rewrap_is_followed_to_its_end(vault: Vault) -> None:
    """A rewrap is told to be done when it is not, or a pipe gets a bar."""
    vault.write(*"abcde")
    vault.rotate()
    ended = vault.run("keys", "rewrap")
    told = re.fullmatch(
        r"job (\w+): ([\d,]+) files read, ([\d,]+) rewrapped, 0 left under older keys\n",
        ended.stdout,
    )
    assert told is not None, ended
    assert (ended.returncode, ended.stderr) == (0, "")
    job = vault.http.get(f"/jobs/{told[1]}").json()
    assert (job["state"], job["left"]) == ("done", {"files": 0, "entities": 0})
    assert (told[2], told[3]) == (f"{job['total']:,}", f"{job['rewrapped']:,}")
    assert job["rewrapped"] >= 5
    assert vault.key in job["key_ids"]
    again = json.loads(vault.run("keys", "rewrap", "--json").stdout)
    assert (again["state"], again["rewrapped"], again["total"]) == ("done", 0, job["total"])
    assert again == vault.http.get(f"/jobs/{again['job_id']}").json()


def test_a_detached_rewrap_is_found_again(vault: Vault) -> None:
    """Who does not wait for a job never learns what became of it."""
    vault.write("a")
    vault.rotate()
    detached = vault.run("keys", "rewrap", "--detach")
    assert (detached.returncode, detached.stderr, detached.stdout.count("\n")) == (0, "", 1)
    job_id = re.findall(r"`strongroom job show (\w+)`", detached.stdout)[0]
    shown = vault.run("job", "show", job_id)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.match(f"job {job_id}: .* 0 left under older keys\n", shown.stdout)
    assert vault.run("job", "show", job_id, "--no-follow") == shown
    job = vault.http.get(f"/jobs/{job_id}").json()
    assert json.loads(vault.run("job", "show", job_id, "--json").stdout) == job
    answer = vault.http.get("/jobs").json()
    assert json.loads(vault.run("job", "list", "--json").stdout) == answer
    listed = vault.run("job", "list").stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == [one["job_id"] for one in answer["jobs"]]
    assert listed[0].split("\t")[1:3] == ["rewrap", "done"]
    other = json.loads(vault.run("keys", "rewrap", "--detach", "--json").stdout)
    assert set(other) == {"job_id"}
    assert vault.run("job", "show", other["job_id"]).returncode == 0


def test_a_rewrap_is_followed_beyond_the_death_of_the_main_worker(
    own: Deployment, vault: Vault
) -> None:
    """A restart of the REST face ends the command in the middle of a long job."""
    vault.write(*(f"k{number}" for number in range(40)))
    vault.rotate()
    others = {n: v for n, v in os.environ.items() if not n.startswith("STRONGROOM_")}

    def is_half_done() -> bool:
        jobs = vault.client.admin.jobs()
        return any(job.state == "running" and job.rewrapped > 5 for job in jobs)

    with subprocess.Popen(  # noqa: S603 - the project's own command
        [COMMAND, "keys", "rewrap", "--files-per-second", "10", "--json"],
        env=others | vault.named,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert wait_until(is_half_done, SECONDS)
        kill(own.reload()["pids"]["rest"])
        out, told = process.communicate(timeout=SECONDS)
    assert (process.returncode, told) == (0, "")
    job = json.loads(out)
    assert (job["state"], job["left"]["files"]) == ("done", 0)
    assert job["rewrapped"] >= 40


def test_a_slow_job_is_made_faster_and_cancelled(vault: Vault) -> None:
    """A rewrap that was ordered too slow takes a year, and everything else waits behind it."""
    vault.write(*(f"k{number}" for number in range(100)))
    vault.rotate()
    slow = ("keys", "rewrap", "--files-per-second", "1", "--detach", "--json")
    job = json.loads(vault.run(*slow).stdout)["job_id"]
    ended = vault.run("job", "cancel", job)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"job {job}: rewrap cancelled: ")
    assert vault.client.admin.job(job).state == "cancelled"
    assert "has ended: cancelled" in refusal(vault.run("job", "cancel", job), 4)
    again = json.loads(vault.run(*slow).stdout)["job_id"]
    assert again != job
    faster = json.loads(vault.run("keys", "rewrap", "--json").stdout)
    assert (faster["job_id"], faster["state"]) == (again, "done")


# -- destroying ------------------------------------------------------------------------------------


def test_a_key_is_destroyed_once_nothing_needs_it(vault: Vault) -> None:
    """A key is destroyed that files or backups need, or nobody says which they are."""
    vault.write("a", "b")
    vault.client.admin.record_backup(vault.database)
    old, active = vault.key, vault.rotate()
    line = refusal(vault.run("keys", "destroy", old))
    assert f"the key {old} was not destroyed: 2 files need it, 2 of them entities" in line
    assert f"the backups {vault.database} could not be read any more" in line
    assert vault.opens("a")
    assert vault.run("keys", "rewrap").returncode == 0
    refused = vault.run("keys", "destroy", old, "--json")
    job = json.loads(refused.stdout)
    assert (refused.returncode, job["state"], job["left"]["files"]) == (1, "failed", 0)
    assert job["backups"] == [vault.database]
    vault.client.admin.delete_backup(vault.database)
    # Nothing is lost by it, so nothing is asked either.
    done = vault.run("keys", "destroy", old, "--shred")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"job \w+: the key {old} is destroyed\n", done.stdout)
    assert vault.states()[old] == "destroyed"
    assert (vault.opens("a"), vault.opens("b")) == (True, True)
    gone = refusal(vault.run("keys", "destroy", old), 4)
    assert gone == f"strongroom: the key {old} was destroyed already"
    refused = vault.run("keys", "destroy", active)
    assert "the active key cannot be destroyed" in refusal(refused, 4)


def test_shredding_asks_how_many_are_lost(vault: Vault) -> None:
    """Entities are lost that nobody has counted, or a typed number is passed over."""
    vault.write("a", "b", "c")
    vault.client.delete(vault.database, "c")
    vault.client.admin.record_backup(vault.database)
    vault.rotate()
    shred = ("keys", "destroy", vault.key, "--shred")
    for typed in ("", "\n", "3\n", "1\n", "y\n", "yes\n", "2 or so\n"):
        refused = vault.run(*shred, typed=typed)
        assert (refused.returncode, refused.stdout) == (1, "")
        *asked, last = refused.stderr.splitlines()
        assert asked == [
            f"Without the key {vault.key}, 2 entities (3 files) are lost for ever.",
            f"Backups that this makes unreadable: {vault.database}.",
            "Key exports that hold the key and still open them: none.",
        ]
        assert last.startswith("Type the number of entities that are lost, 2, to destroy it: ")
        assert last.endswith("(--yes-lose 2 does it without asking); nothing was destroyed")
    line = refusal(vault.run(*shred, "--yes-lose", "1"))
    assert "2 entities lie under the key" in line
    assert "more than --yes-lose 1; nothing was destroyed" in line
    assert (vault.states()[vault.key], vault.opens("a")) == ("decrypt-only", True)
    done = vault.run(*shred, typed="2\n")
    assert done.returncode == 0
    assert f"the key {vault.key} is destroyed, 2 entities are lost" in done.stdout
    assert vault.states()[vault.key] == "destroyed"
    assert (vault.opens("a"), vault.opens("b")) == (False, False)
    vault.client.admin.delete_backup(vault.database)


def test_a_script_says_beforehand_how_many_may_be_lost(vault: Vault) -> None:
    """A script cannot shred, or shreds more than it was told."""
    vault.write("a", "b")
    vault.rotate()
    shred = ("keys", "destroy", vault.key, "--shred", "--json")
    ended = vault.run(*shred, "--yes-lose", "5")
    assert (ended.returncode, ended.stderr) == (0, "")
    job = json.loads(ended.stdout)
    assert (job["state"], job["left"]) == ("done", {"files": 2, "entities": 2})
    assert not vault.opens("a")


# -- what cannot be done ---------------------------------------------------------------------------

WRONG_USAGE = [
    ("keys", "rewrap", "--files-per-second", "0"),
    ("keys", "rewrap", "--files-per-second", "-5"),
    ("keys", "rewrap", "--files-per-second", "nan"),
    ("keys", "rewrap", "--files-per-second", "inf"),
    ("keys", "rewrap", "--files-per-second", "many"),
    ("keys", "destroy"),
    ("keys", "destroy", "0" * 16, "--yes-lose", "3"),
    ("keys", "destroy", "0" * 16, "--shred", "--yes-lose", "-1"),
    ("keys", "destroy", "0" * 16, "--shred", "--yes-lose", "nan"),
    ("job", "show"),
    ("keys",),
    ("job",),
]


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_asks_nothing_of_the_deployment(
    strongroom: Command, arguments: tuple[str, ...]
) -> None:
    """A mistyped command does something else than was meant."""
    with scripted((200, "application/json", b"{}")) as (url, asked):
        ended = strongroom(NAMED | {"STRONGROOM_URL": url}, *arguments)
    assert (ended.returncode, asked) == (2, [])


UNKNOWN = {
    ("keys", "destroy", "0" * 16): (3, "there is no data key 0000000000000000"),
    ("keys", "destroy", "0" * 16, "--shred"): (3, "there is no data key 0000000000000000"),
    ("job", "show", JOB): (3, "no such job"),
    ("job", "show", "../keys"): (3, "no such job"),
    ("job", "show", ""): (5, "a name is empty"),
    ("job", "show", os.fsdecode(b"\xff")): (5, "a name has an unpaired surrogate"),
    ("keys", "destroy", "..", "--shred"): (5, "a name is empty, or dots alone"),
    ("keys", "destroy", "a\nb"): (3, "there is no data key a?b"),
    ("keys", "rewrap", "--files-per-second", "1e9"): (5, ""),
}


@pytest.mark.parametrize("arguments", UNKNOWN, ids=repr)
def test_what_is_not_there_is_told_in_one_line(
    own: Deployment, strongroom: Command, arguments: tuple[str, ...]
) -> None:
    """Whoever mistypes an id gets a stack trace, or waits for ever."""
    code, told = UNKNOWN[arguments]
    line = refusal(strongroom(environment(own), *arguments), code)
    assert line.startswith(f"strongroom: {told}")


ALL = [
    ("keys", "list"),
    ("keys", "rotate"),
    ("keys", "rewrap"),
    ("keys", "rewrap", "--detach", "--json"),
    ("keys", "destroy", "0" * 16),
    ("keys", "destroy", "0" * 16, "--shred", "--yes-lose", "5"),
    ("job", "list"),
    ("job", "show", JOB),
]


def test_whoever_may_not_is_told_so(own: Deployment, vault: Vault, strongroom: Command) -> None:
    """A client without the right changes keys, or does not learn why it cannot."""
    made = vault.client.admin.put_client("reader", [Grant("*", {"read", "write", "delete"})])
    theirs = environment(own) | {
        "STRONGROOM_CLIENT_ID": made.client_id,
        "STRONGROOM_CLIENT_SECRET": made.client_secret or "",
    }
    before = vault.states(), list(vault.client.admin.jobs())
    for arguments in ALL:
        line = refusal(strongroom(theirs, *arguments), 6)
        assert line.startswith("strongroom: this takes the action admin on every database; ")
    assert (vault.states(), list(vault.client.admin.jobs())) == before


@pytest.mark.parametrize("arguments", ALL, ids=" ".join)
def test_another_server_is_told_from_a_deployment(
    strongroom: Command, arguments: tuple[str, ...]
) -> None:
    """Whoever has the wrong address gets a stack trace, or is told that it is done."""
    answers: list[Scripted] = [
        (200, "text/html", b"<html>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"keys": [1], "jobs": {}, "key_id": 5, "job_id": null}'),
        (202, "application/json", b'{"job_id": "../../etc"}'),
        (404, "text/html", b"<html>"),
        (409, "application/problem+json", b"[]"),
    ]
    for answer in answers:
        if answer[0] == 202 and "--detach" in arguments:  # it is what it looks like
            continue
        with scripted(answer) as (url, _):
            refusal(strongroom(NAMED | {"STRONGROOM_URL": url}, *arguments), 1, 5, 8)
    refusal(strongroom(NAMED | {"STRONGROOM_URL": "http://127.0.0.1:1"}, *arguments), 7)
