"""docs/backup.md, entered as its reader would: a backup, proofs, restores, the worst day."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import ran
from tests.support.deployment import CHAT, Deployment

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs" / "backup.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "-- end of step --"
VARYING = {
    r"\d{8}-\d{6}-[0-9a-f]{48}": "ID",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z": "TIME",
    r"[1-9]\d* bytes": "N bytes",
    r"\d+ files": "N files",
}

pytestmark = [pytest.mark.timeout(240)]


def steps(text: str) -> list[tuple[str, str]]:
    """Return the fenced commands, each with the fenced answer below it."""
    found: list[tuple[str, str]] = []
    for kind, content in FENCE.findall(text):
        if kind == "sh":
            found.append((content, ""))
        else:
            found[-1] = (found[-1][0], content)
    return found


def plain(text: str, home: Path) -> str:
    """Return an answer without what differs from day to day."""
    text = text.replace(str(home), "/home/you")
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text)
    return text.strip()


def entered(script: str, home: Path) -> list[str]:
    """Run commands in a shell with a home of its own; return what each step says."""
    done = subprocess.run(  # noqa: S603 - the commands are the page's
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=REPOSITORY,
        env=os.environ | {"HOME": str(home), "STRONGROOM_RECOVERY_PASSPHRASE": "x"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(f"{MARK}\n")[:-1]


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """On the worst day the page's commands do not work, or say something else."""
    home = tmp_path / "home"
    safe = home / "safe"
    safe.mkdir(parents=True)
    named = {"STRONGROOM_RECOVERY_PASSPHRASE": "x"}
    assert ran(named, "keys", "make-recovery", str(safe / "recovery.pem")).returncode == 0
    option = ("--recovery-public-key", str(safe / "recovery.pem.pub"))
    running = Deployment(tmp_path, option).start()

    def at(commands: str) -> str:
        script = commands.replace("http://127.0.0.1:8080", running.facts["http_url"])
        script = script.replace(".local/", f"{running.root}/")
        return script.replace("--root .local", f"--root {running.root}")

    (environment, *rest) = [commands for commands, _ in steps(TEXT)]
    answers = [answer for _, answer in steps(TEXT)][1:]
    overwrite = next(n for n, one in enumerate(rest) if "--in-place" in one)
    export = next(n for n, one in enumerate(rest) if "keys recover" in one)
    try:
        with running.http() as http:
            chats = {"Chat_id": CHAT, "another": CHAT}
            assert http.put("/entity/chatdb", json=chats).status_code == 201
            before = "".join(f"{one}\necho '{MARK}'\n" for one in rest[:overwrite])
            said = entered(at(environment + before), home)
            assert http.put("/entity/chatdb", json={"Chat_id": {"chat": []}}).status_code == 200
            middle = "".join(f"{one}\necho '{MARK}'\n" for one in rest[overwrite:export])
            said += entered(at(environment + middle), home)
            for shown, told in zip(answers, said, strict=False):
                assert plain(shown, home) == plain(told, home)
            assert http.get("/entity/chatdb", params={"key": "Chat_id"}).json() == {"Chat_id": CHAT}
            there = http.get("/entity/chatdb-then", params={"limit": 9}).json()
            assert there == chats
            taken_out = f".venv/bin/strongroom keys export {safe / 'strongroom.keyring'}\n"
            entered(at(environment + taken_out + f"echo '{MARK}'"), home)
            (lost, pruned, removed) = rest[export:]
            (told,) = entered(at(f"{lost}\necho '{MARK}'"), home)
            assert "restored into" in told
            assert "2 entities (2 decrypted)" in told
            assert len(http.get("/backups").json()["backups"]) == 2
            (told,) = entered(at(f"{environment}{pruned}\necho '{MARK}'"), home)
            assert "1 backups stay, 1 removed" in told
            assert told.splitlines()[-1] == "1"
            assert len(http.get("/backups").json()["backups"]) == 1
            entered(at(f"{environment}{removed}\necho '{MARK}'"), home)
            assert http.get("/backups").json()["backups"] == []
            assert not (home / "backups").exists()
    finally:
        assert running.stop() == 0
