"""`strongroom audit` as an auditor uses it: on a deployment, on a copy of its log, after kills."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from strongroom_client import UnauthenticatedError
from tests.support.commands import COMMAND, Command, Ended, environment, others, ran
from tests.support.deployment import CHAT, Deployment, kill, wait_until

PUTS = 40


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment whose writes are recorded."""
    patch = pytest.MonkeyPatch()
    patch.setenv("STRONGROOM_AUDIT_WRITES", "required")
    patch.setenv("STRONGROOM_AUDIT_READS", "batched")
    running = Deployment(tmp_path_factory.mktemp("audited")).start()
    yield running
    patch.undo()
    assert running.stop() == 0


@pytest.fixture
def strongroom(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command."""
    return Command(monkeypatch, capsys)


def log_of(own: Deployment) -> Path:
    """Return where the log lies."""
    return own.shared_dir / "control" / "audit"


def records(own: Deployment, *options: str) -> list[dict[str, object]]:
    """Return what `audit tail` prints as JSON."""
    ended = ran(environment(own), "audit", "tail", "--json", "-n", "1000", *options)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(one) for one in ended.stdout.splitlines()]


def test_an_auditor_needs_no_secret(own: Deployment, tmp_path: Path, strongroom: Command) -> None:
    """Only who could forge the log can verify it."""
    named = environment(own)
    public = tmp_path / "key.json"
    public.write_text(ran(named, "audit", "key").stdout)
    kept = tmp_path / "heads.txt"
    kept.write_text("kept in a safe place\n" + ran(named, "audit", "heads").stdout)
    with own.client() as client:
        client.admin.record_backup("tuesday")
    copy = Path(shutil.copytree(log_of(own), tmp_path / "copy"))

    def verify(heads: Path, *options: str) -> Ended:
        arguments = (str(copy), "--public-key", str(public), "--heads", str(heads))
        return strongroom({}, "audit", "verify", *arguments, *options)

    ended = verify(kept)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.endswith("heads that were kept: all is as it was written\n")
    assert "ALARM" not in ended.stdout
    # What it prints is what it takes the next time.
    again = tmp_path / "again.txt"
    again.write_text(ended.stdout)
    ended = verify(again, "--json")
    assert json.loads(ended.stdout)["intact"] is True
    again.write_text(ended.stdout)
    assert verify(again).returncode == 0
    for path in sorted(copy.iterdir()):
        raw = path.read_bytes()
        for changed in (raw[:-1], raw[:-200], raw[:150] + b"x" + raw[151:], b"", None):
            path.unlink() if changed is None else path.write_bytes(changed)
            ended = verify(again)
            assert (ended.returncode, "ALARM" in ended.stdout) == (1, True), path
            path.write_bytes(raw)
    assert verify(again).returncode == 0


def test_the_deployment_itself_is_asked_for_the_key(own: Deployment) -> None:
    """An administrator has to keep a file at hand for what his deployment knows."""
    ended = ran(environment(own), "audit", "verify", str(own.shared_dir))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("\nhead ") >= 3


def test_what_is_wrong_with_the_question_is_said(
    own: Deployment, tmp_path: Path, strongroom: Command
) -> None:
    """An auditor is shown a stack trace, or told that all is well where nothing was looked at."""
    named = environment(own)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    odd = tmp_path / "odd"
    odd.write_text("{}")
    log = str(log_of(own))
    for arguments, reason in (
        ((str(nothing),), "there is no audit log in"),
        ((log, "--public-key", str(odd)), "holds no keys"),
        ((log, "--heads", str(odd)), "holds no heads"),
        ((log, "--public-key", str(tmp_path / "absent")), "No such file"),
    ):
        ended = strongroom(named, "audit", "verify", *arguments)
        assert ended.returncode == 1
        assert reason in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
    ended = strongroom({}, "audit", "verify", log)
    assert ended.returncode == 1
    assert "STRONGROOM_URL" in ended.stderr
    odd.write_text("head 01 x y z\n")
    assert strongroom(named, "audit", "verify", log, "--heads", str(odd)).returncode == 1


def test_the_log_is_followed(own: Deployment) -> None:
    """Who watches sees nothing of what happens now."""
    following = subprocess.Popen(  # noqa: S603 - the project's own command
        [COMMAND, "audit", "tail", "--follow", "--json", "-n", "5"],
        env=others() | environment(own),
        stdout=subprocess.PIPE,
        text=True,
    )
    seen: list[str] = []
    named: list[str] = []

    def watch() -> None:
        assert following.stdout is not None
        for one in map(json.loads, following.stdout):
            named.append(one.get("target", {}).get("backup_id", ""))
            seen.append(one["act"])

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with own.client() as client:
            assert wait_until(lambda: "list_audit_records" in seen, 30)
            client.admin.record_backup("friday")
            assert client.put("chatdb", "followed", CHAT).created
            assert wait_until(lambda: "friday" in named and "put_entity" in seen, 30)
            reads = [one for one in records(own) if one["act"] == "list_audit_records"]
            threading.Event().wait(2.5)
            again = [one for one in records(own) if one["act"] == "list_audit_records"]
        # Each command that looks is on record once, however long it looks.
        assert len(again) == len(reads) + 1
    finally:
        following.terminate()
        following.wait(30)
        watching.join(30)
        assert following.stdout is not None
        following.stdout.close()
    # It is told before it is done, and again how that ended.
    assert named.count("friday") == 2


def test_it_is_read_on_a_line(own: Deployment) -> None:
    """A person cannot see at a glance who did what."""
    with own.client() as client:
        client.admin.record_backup("monday")
    with own.client(who=("nobody", "wrong")) as nobody, pytest.raises(UnauthenticatedError):
        nobody.get("chatdb", "anything")

    def lines() -> str:
        return ran(environment(own), "audit", "tail").stdout

    assert wait_until(lambda: "(nobody?)  127.0.0.1  issue_token  unauthenticated" in lines(), 10)
    assert "  admin  127.0.0.1  create_backup  backup_id=monday  ok\n" in lines()


def test_what_was_acknowledged_is_on_record_after_kills(own: Deployment) -> None:
    """A killed Main Worker takes with it what it has been told to record."""
    named: list[str] = []
    refused = 0

    def put(number: int) -> bool:
        wait_until(lambda: _answers(own), 30)
        try:
            with own.http() as http:
                answer = http.put(f"/backups/kill-{number}")
        except (httpx.HTTPError, AssertionError):
            return False
        if answer.status_code == 201:
            named.append(f"kill-{number}")
        return answer.status_code == 201

    with ThreadPoolExecutor(4) as pool:
        putting = [pool.submit(put, number) for number in range(PUTS)]
        for kills in range(2):
            assert wait_until(lambda more=kills: len(named) > more, 30)  # type: ignore[misc]
            pid = own.reload()["pids"]["rest"]
            for child in _children(pid):
                kill(child)
            wait_until(lambda: _answers(own), 30)
        refused = sum(not one.result(60) for one in putting)
    assert wait_until(lambda: _answers(own), 30)
    assert len(named) + refused == PUTS
    done = {one["target"]["backup_id"] for one in records(own) if one["act"] == "create_backup"}  # type: ignore[index]
    assert set(named) <= done
    ended = ran(environment(own), "audit", "verify", str(own.shared_dir))
    assert ended.returncode == 0, ended.stdout


def test_an_outage_is_seen_and_over_once_it_is(own: Deployment) -> None:
    """An administrator acts unrecorded, or nobody can any more until everything is started anew."""
    log, aside = log_of(own), log_of(own).with_name("aside")
    log.rename(aside)
    log.write_bytes(b"")
    for child in _children(own.reload()["pids"]["rest"]):
        kill(child)
    assert wait_until(lambda: _answers(own), 30)
    with own.http() as http:
        refused = http.put("/backups/unrecorded")
        assert refused.status_code == 503
        assert refused.json()["detail"].startswith("the audit log cannot be written")
        assert http.put("/entity/chatdb", json={"unrecorded": CHAT}).status_code == 503
        assert http.get("/entity/chatdb", params={"key": "unrecorded"}).status_code == 404
        assert http.get("/readyz").json()["audit"]["status"] == "unavailable"
        log.unlink()
        aside.rename(log)
        assert wait_until(lambda: http.put("/backups/recorded").status_code == 201, 10)
        assert http.get("/readyz").json()["audit"]["status"] == "ok"
    assert [one["act"] for one in records(own)].count("audit.gap") >= 1
    assert ran(environment(own), "audit", "verify", str(own.shared_dir)).returncode == 0


def _answers(own: Deployment) -> bool:
    try:
        return httpx.get(f"{own.facts['http_url']}/readyz", verify=own.trusted()).status_code == 200
    except httpx.HTTPError:
        return False


def _children(pid: int) -> list[int]:
    return [
        int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == pid
    ]


def _parent(path: Path) -> int:
    try:
        return int(path.read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def test_old_records_leave_the_log(own: Deployment) -> None:
    """The log grows until the disk is full."""
    ended: Ended = ran(environment(own), "audit", "remove", "--before", "2026-01-01")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "0 segments are removed, of before 2026-01-01T00:00:00.000Z\n"
    refused = ran(environment(own), "audit", "remove", "--before", "2096-01-01")
    assert refused.returncode == 5
    assert "at least 1 days ago" in refused.stderr
    told = [one for one in records(own) if one["act"] == "remove_audit_segments"]
    assert {one.get("outcome") for one in told} == {None, "ok", "invalid-argument"}
