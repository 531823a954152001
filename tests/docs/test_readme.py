"""The README's example, entered as a newcomer would, against a deployment that nobody has used."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from main_api.rest.app import app
from main_api.rpc import declared
from main_api.rpc.server import CLIENT_SERVICES
from tests.support.deployment import CHAT, Deployment, wait_until

REPOSITORY = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = {
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z": "TIME",
    r"\b[0-9a-f]{2}/[0-9a-f]{64}\b": "FILE",
    r"\b[0-9a-f]{32}\b": "REQUEST",
    r"\b[0-9a-f]{28}\b": "JOB",
    r"\b[0-9a-f]{16}\b": "KEY",
    r"\d+ (chains|blocks|heads)": r"N \1",
}
MARK = "-- end of step --"


@dataclass
class Step:
    """Commands of the README, and what it shows as their answer."""

    commands: str
    kind: str = ""
    answer: str = ""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment of its own: the README shows first versions."""
    running = Deployment(tmp_path_factory.mktemp("readme")).start()
    yield running
    assert running.stop() == 0


def test_the_example_answers_as_the_readme_shows(fresh: Deployment) -> None:
    """A newcomer's first commands fail, or answer something else than the README says."""
    steps = _steps(_example())
    assert [step.kind for step in steps] == ["", "http", "http", "http", "text", "text"]
    script = "".join(f"{step.commands}\nprintf '\\n%s\\n' '{MARK}'\n" for step in steps)
    done = subprocess.run(  # noqa: S603 - the commands are the README's
        ["/bin/bash", "-euo", "pipefail", "-c", _at(fresh, script)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.split(f"\n{MARK}\n")
    for step, answer in zip(steps, answers, strict=False):
        if step.kind == "http":
            _compare_http(step.answer, answer)
        elif step.kind == "text":
            shown = answer.replace(str(fresh.root), ".local")
            assert sorted(_plain(step.answer).split("\n")) == sorted(_plain(shown).split("\n"))


def test_up_prints_the_commands_of_the_readme(fresh: Deployment) -> None:
    """The terminal tells a newcomer something else than the README."""
    out = fresh.directory / "up.out"
    assert wait_until(lambda: "Ctrl-C stops it" in out.read_text(), 10)
    lines = re.sub("^  ", "", out.read_text(), flags=re.MULTILINE)
    for step in _steps(_example())[:3]:
        assert _at(fresh, step.commands) in lines


def test_the_table_has_every_path() -> None:
    """A reader of the README does not learn of a path, or looks for one that is not there."""
    told = {
        (method, path)
        for methods, path in re.findall(r"`([A-Z][A-Z, ]+) (/[^ `]*)`", _table())
        for method in methods.split(", ")
    }
    served = {(m, path) for path, methods in app.routes.items() for m in methods}
    assert told == served


def test_the_table_has_every_method() -> None:
    """A reader of the README does not learn of a gRPC method, or looks for one that is gone."""
    methods = {method.name for method in declared.methods(CLIENT_SERVICES)}
    column = " ".join(row.split("|")[2] for row in _table().splitlines() if row.count("|") > 2)
    assert set(re.findall(r"`([A-Z]\w+)`", column)) == methods


USERS = "## A token for each user\n"


def test_a_user_gets_a_token_as_the_readme_shows(tmp_path: Path) -> None:
    """A front end cannot be set up by the README, or its users see each other's chats."""
    token, steps = _steps(_example())[0], _steps(_section(USERS))
    assert [step.kind for step in steps] == ["", "http", "http", "http"]
    script = "".join(f"{step.commands}\nprintf '\\n%s\\n' '{MARK}'\n" for step in [token, *steps])
    running = Deployment(tmp_path).start()
    try:
        answers = _enter(tmp_path, _at(running, script)).split(f"\n{MARK}\n")[1:]
        for step, answer in zip(steps[1:], answers[1:], strict=False):
            _compare_http(step.answer, answer)
    finally:
        assert running.stop() == 0


KEYS = "## Keys: rotate, rewrap, destroy\n"


def test_keys_change_as_the_readme_shows(tmp_path: Path) -> None:
    """An administrator's commands fail, or answer something else than the README says."""
    steps = _steps(_section(KEYS))
    assert [step.kind for step in steps] == ["text", "text", "text"]
    (tmp_path / "home").mkdir()
    running = Deployment(tmp_path).start()
    try:
        with running.http() as http:
            chats = {"Chat_id": CHAT, "Chat_grpc": CHAT}
            assert http.put("/entity/chatdb", json=chats).status_code == 201
            script = "".join(f"{step.commands}\nprintf '%s\\n' '{MARK}'\n" for step in steps)
            answers = _enter(tmp_path, _at(running, script)).split(f"{MARK}\n")
            for step, answer in zip(steps, answers, strict=False):
                assert _plain(step.answer) == _plain(answer)
            assert http.get("/entity/chatdb", params={"key": "Chat_id"}).status_code == 200
    finally:
        assert running.stop() == 0


AUDIT = "## The audit log\n"


def test_the_audit_log_is_read_as_the_readme_shows(tmp_path: Path) -> None:
    """An auditor's commands fail, or answer something else than the README says."""
    (first, *_), steps = _steps(_section(KEYS)), _steps(_section(AUDIT))
    assert [step.kind for step in steps] == ["text", "text"]
    environment = "\n".join(one for one in first.commands.splitlines() if one.startswith("export"))
    (tmp_path / "home").mkdir()
    running = Deployment(tmp_path).start()
    try:
        kept = str(tmp_path / "home" / "audit-")
        script = "".join(f"{step.commands}\nprintf '%s\\n' '{MARK}'\n" for step in steps)
        script = script.replace(" audit-", f" {kept}")
        answers = _enter(tmp_path, _at(running, f"{environment}\n{script}")).split(f"{MARK}\n")
        for step, answer in zip(steps, answers, strict=False):
            assert _plain(step.answer) == _plain(answer)
    finally:
        assert running.stop() == 0


RECOVERY = "## When the master key is lost\n"


def test_the_recovery_is_as_the_readme_shows(tmp_path: Path) -> None:
    """On the worst day the README's commands do not work."""
    make, export, recover = _steps(_section(RECOVERY))
    (tmp_path / "home").mkdir()
    _enter(tmp_path, make.commands)
    public = str(tmp_path / "home" / "safe" / "recovery.pem.pub")
    running = Deployment(tmp_path, ("--recovery-public-key", public)).start()
    try:
        with running.http() as http:
            assert http.put("/entity/chatdb", json={"kept": CHAT}).status_code == 201
        _enter(tmp_path, _at(running, export.commands))
    finally:
        assert running.stop() == 0
    (running.root / "kms" / "master-key.json").unlink()
    told = _enter(tmp_path, recover.commands.replace(".local", str(running.root)))
    assert f"Next: `strongroom up --root {running.root}" in told
    running.start()
    try:
        with running.http() as http:
            assert http.get("/entity/chatdb", params={"key": "kept"}).json() == {"kept": CHAT}
    finally:
        assert running.stop() == 0


def _enter(directory: Path, script: str) -> str:
    """Run commands of the README in a shell with a home of its own; return what they say."""
    done = subprocess.run(  # noqa: S603 - the commands are the README's
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=REPOSITORY,
        env=os.environ | {"HOME": str(directory / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _section(heading: str) -> str:
    return (REPOSITORY / "README.md").read_text().partition(heading)[2].partition("\n## ")[0]


def _example() -> str:
    """Return the README without what is entered later: users, keys, an audit, a recovery."""
    text = (REPOSITORY / "README.md").read_text()
    for later in (USERS, KEYS, AUDIT, RECOVERY):
        text = text.replace(_section(later), "")
    return text


def _table() -> str:
    text = (REPOSITORY / "README.md").read_text()
    return text.partition("## What it can do")[2].partition("\n## ")[0].partition("\nWrites")[0]


def _steps(text: str) -> list[Step]:
    """Return the fenced commands of the README, each with the fenced answer below it."""
    steps: list[Step] = []
    for kind, content in FENCE.findall(text):
        if kind == "sh":
            steps.append(Step(content))
        else:
            steps[-1].kind, steps[-1].answer = kind, content
    return steps


def _at(deployment: Deployment, script: str) -> str:
    """Put the test's ports and directory in the place of the defaults."""
    url, address = deployment.facts["http_url"], deployment.facts["grpc_address"]
    for default, actual in {
        "http://127.0.0.1:8080": url,
        "127.0.0.1:50051": address,
        ".local/": f"{deployment.root}/",
    }.items():
        script = script.replace(default, actual)
    return script


def _compare_http(shown: str, answer: str) -> None:
    shown_head, _, shown_body = shown.strip().partition("\n\n")
    head, _, body = answer.replace("\r\n", "\n").strip().partition("\n\n")
    assert shown_head.split("\n")[0] == head.split("\n")[0]
    assert set(shown_head.split("\n")) <= set(head.split("\n"))
    assert _plain(shown_body) == _plain(body)


def _plain(text: str) -> str:
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text)
    return text.strip()
