"""Jobs that are followed from a shell: through trouble, at a terminal, to an end that is bad."""

import json
import os
import re
import signal
import subprocess
from typing import Any

import pytest

from cli.jobs import following
from strongroom_client import Client, ClientCredentials, Options, Retries, UnavailableError
from tests.support.commands import COMMAND, SECONDS, Command, Ended, on_a_terminal, refusal
from tests.support.deployment import wait_until
from tests.support.scripted_server import Scripted, problem, scripted

NAMED = {"STRONGROOM_CLIENT_ID": "a", "STRONGROOM_CLIENT_SECRET": "b"}
JOB = "01a20bc764d706a5ff8e11493a3a"
HUNG_UP: Scripted = (0, "", b"")


BUSY = problem(503, "busy", "the storage is busy")
TOKEN: list[Scripted] = [
    problem(401, "unauthenticated", "the token has ended"),
    (200, "application/json", b'{"access_token": "t", "expires_in": 900}'),
]
ACCEPTED: Scripted = (202, "application/json", json.dumps({"job_id": JOB}).encode())


@pytest.fixture
def strongroom(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command."""
    return Command(monkeypatch, capsys)


def a_job(**members: Any) -> Scripted:  # noqa: ANN401 - members of the answer
    """Return what is answered of a job that rewraps."""
    job = {
        "job_id": JOB,
        "kind": "rewrap",
        "state": "running",
        "phase": "rewrapping",
        "done": 40,
        "total": 100,
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z",
    }
    return 200, "application/json", json.dumps(job | members).encode()


WAITING = a_job(phase="settling", done=100, detail="waiting for worker-2 to confirm the new key")
DONE = a_job(state="done", phase="verifying", done=100, rewrapped=60)


def test_a_job_is_followed_through_trouble(strongroom: Command) -> None:
    """A restart of the Main Worker, or a token's end, ends the command and not the job."""
    moved = a_job(phase="counting", done=0, total=0)
    page = (502, "text/html", b"<html>")
    trouble = [*TOKEN, ACCEPTED, moved, HUNG_UP, page, BUSY, *TOKEN, a_job(), WAITING, DONE]
    with scripted(*trouble) as (url, asked):
        named = NAMED | {"STRONGROOM_URL": url}
        ended = strongroom(named, "keys", "rewrap", "--files-per-second", "7.5")
    assert ended == Ended(
        0, f"job {JOB}: 100 files read, 60 rewrapped, 0 left under older keys\n", ""
    )
    orders = [json.loads(body) for path, body in asked if path == "/keys/rewrap"]
    assert orders == [{"files_per_second": 7.5}] * 2
    assert {path for path, _ in asked} == {"/keys/rewrap", "/oauth/token", f"/jobs/{JOB}"}


def test_who_cannot_follow_any_more_learns_that_the_job_may_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A command waits for ever for a deployment that is gone, or gives up at once."""
    pauses: list[float] = []
    nobody = Options(retries=Retries(first_pause_s=0.01, longest_pause_s=0.01))
    with (
        Client("http://127.0.0.1:1", ClientCredentials("a", "b"), nobody) as client,
        pytest.raises(UnavailableError) as lost,
    ):
        following.to_its_end(client, JOB, pauses.append)
    assert "does not answer" in lost.value.detail
    assert f"the job may go on; `strongroom job show {JOB}`" in capsys.readouterr().err
    assert 20 <= sum(pauses) <= 120


@pytest.mark.parametrize(
    ("status", "code", "exit_code"), [(403, "forbidden", 6), (404, "not-found", 3)]
)
def test_what_is_refused_meanwhile_is_not_asked_again(
    strongroom: Command, status: int, code: str, exit_code: int
) -> None:
    """Who has lost the right to look, or whose job was forgotten, waits for nothing."""
    with scripted(ACCEPTED, a_job(), problem(status, code, "no longer")) as (url, asked):
        ended = strongroom(NAMED | {"STRONGROOM_URL": url}, "keys", "rewrap")
    assert refusal(ended, exit_code).startswith("strongroom: no longer")
    assert len(asked) == 3


def test_a_failed_job_is_told_as_one(strongroom: Command) -> None:
    """A script takes a rewrap that has failed for one that is done."""
    failed = a_job(state="failed", detail="5 files under the old keys do not open\x1b[2J\nX")
    for arguments in (("keys", "rewrap"), ("job", "show", JOB)):
        answers = [ACCEPTED, failed] if arguments[0] == "keys" else [failed]
        with scripted(*answers) as (url, _):
            line = refusal(strongroom(NAMED | {"STRONGROOM_URL": url}, *arguments))
        # What it says cannot play with the terminal either.
        told = "rewrap failed: 5 files under the old keys do not open?[2J?X"
        assert line == f"strongroom: job {JOB}: {told}"
        with scripted(*answers) as (url, _):
            ended = strongroom(NAMED | {"STRONGROOM_URL": url}, *arguments, "--json")
        assert (ended.returncode, ended.stderr) == (1, "")
        assert json.loads(ended.stdout)["state"] == "failed"


def test_a_running_job_can_be_looked_at_once(strongroom: Command) -> None:
    """Who asks how far a job has come has to wait for its end."""
    with scripted(a_job()) as (url, asked):
        named = NAMED | {"STRONGROOM_URL": url}
        ended = strongroom(named, "job", "show", JOB, "--no-follow")
    assert len(asked) == 1
    assert ended == Ended(0, f"job {JOB}: rewrap under way, rewrapping, 40 of 100 files\n", "")


def test_a_terminal_shows_how_far_it_is_and_what_it_waits_for() -> None:
    """Who looks at a long job cannot tell whether it goes on, or what is in its way."""
    odd = a_job(phase="settling", detail="[/red] [bold]worker-1[/bold]: slow")
    with scripted(ACCEPTED, a_job(), a_job(done=70), odd, WAITING, DONE) as (url, _):
        code, shown = on_a_terminal(NAMED | {"STRONGROOM_URL": url}, "keys", "rewrap")
    assert code == 0
    assert "rewrapping, 40 of 100 files" in shown
    assert re.search(r"rewrapping, 70 of 100 files, [\d,]+/s", shown)
    assert "70%" in shown
    assert "settling: [/red] [bold]worker-1[/bold]: slow" in shown
    assert "settling: waiting for worker-2 to confirm the new key" in shown
    assert shown.endswith("60 rewrapped, 0 left under older keys\r\n")


def test_the_number_is_typed_at_a_terminal() -> None:
    """The question does not show, or a bar covers it."""
    path = f"/keys/{'0' * 16}/destroy"
    members: dict[str, Any] = {"kind": "destroy", "key_ids": ["0" * 16], "done": 100}
    exports = [f"export-{number}" for number in range(30)]
    refused = a_job(**members, state="failed", left={"files": 15, "entities": 12}, exports=exports)
    with scripted(ACCEPTED, refused, ACCEPTED, a_job(**members, state="done")) as (url, asked):
        code, shown = on_a_terminal(
            NAMED | {"STRONGROOM_URL": url}, "keys", "destroy", "0" * 16, "--shred", typed="12\n"
        )
    assert code == 0
    assert "12 entities (15 files) are lost for ever" in shown
    assert "export-0, export-1, " in shown
    assert "export-19 and 10 more." in shown
    assert "Type the number of entities that are lost, 12, to destroy it: " in shown
    orders = [json.loads(body) for asked_path, body in asked if asked_path == path]
    assert orders == [{"shred": False}, {"shred": True, "entities": 12}]


def test_ctrl_c_leaves_the_job_running() -> None:
    """Who stops looking stops the job, or cannot find it again."""
    with scripted(ACCEPTED, a_job()) as (url, asked):
        others = {n: v for n, v in os.environ.items() if not n.startswith("STRONGROOM_")}
        with subprocess.Popen(  # noqa: S603 - the project's own command
            # Who runs the tests in the background may have told them to ignore Ctrl-C.
            ["/usr/bin/env", "--default-signal=INT", COMMAND, "keys", "rewrap"],
            env=others | NAMED | {"STRONGROOM_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert wait_until(lambda: len(asked) > 2, SECONDS)
            process.send_signal(signal.SIGINT)
            out, told = process.communicate(timeout=SECONDS)
        assert (process.returncode, out) == (130, "")
        assert told == f"the job goes on; `strongroom job show {JOB}` follows it again\n"
        assert {path for path, _ in asked} == {"/keys/rewrap", f"/jobs/{JOB}"}
