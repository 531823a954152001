"""The drill: the disk is gone and the master key too, and every entity is read again.

Real processes all the way: `strongroom up`, clients that write, `strongroom backup`, which is
killed at first, `strongroom keys` and `strongroom restore`.
"""

import json
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.commands import COMMAND, Ended, environment, others, ran
from tests.support.deployment import Deployment, is_alive, kill, wait_until

pytestmark = [pytest.mark.timeout(240)]
PASSPHRASE = {"STRONGROOM_RECOVERY_PASSPHRASE": "correct horse battery"}
ENTITIES = 300
Written = dict[tuple[str, int], Any]


class Writers:
    """Clients that go on writing: of each version they know what it was."""

    def __init__(self, deployment: Deployment) -> None:
        """Begin to write."""
        self.written: Written = {}
        self.acknowledged: dict[str, int] = {}
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(deployment, name)) for name in ("a", "b")
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Write no more."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _write(self, deployment: Deployment, name: str) -> None:
        with deployment.http() as http:
            number = 0
            while not self._over.is_set():
                number += 1
                key = f"{name}-{number % 20}"
                document = {"chat": [{"type": "user", "text": f"{name} ä {number}"}]}
                answer = http.put("/entity/chatdb", json={key: document})
                assert answer.status_code in {200, 201}, answer.text
                version = answer.json()[key]["version"]
                self.written[key, version] = document
                self.acknowledged[key] = version


def text_of(number: int) -> str:
    """Return a document as no encoder would write it: what comes back has to be these bytes."""
    return f'{{ "chat": [{{"type":"user",  "text": "\\u00e4 {number}", "n": {number}.10e0}}] }}'


def put_texts(http: httpx.Client) -> None:
    """Write the entities that stay as they are."""
    for first in range(0, ENTITIES, 100):
        members = (f'"kept-{n}": {text_of(n)}' for n in range(first, first + 100))
        answer = http.put(
            "/entity/chatdb",
            content="{" + ",".join(members) + "}",
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 201, answer.text


def raw_entity(http: httpx.Client, key: str) -> str:
    """Return an entity as it is answered, byte for byte."""
    answer = http.get("/entity/chatdb", params={"key": key})
    assert answer.status_code == 200, answer.text
    return answer.text.removeprefix(f'{{"{key}":').removesuffix("}")


def killed_backup(deployment: Deployment, place: Path, objects: int) -> int:
    """Begin a backup and kill it when there are so many objects; return how it ended."""
    arguments = [COMMAND, "backup", str(place), "--root", str(deployment.root)]
    with subprocess.Popen(  # noqa: S603 - the project's own command
        arguments,
        env=others() | environment(deployment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(
            lambda: len(list(place.glob("objects/*/*"))) >= objects or process.poll() is not None,
            30,
        )
        process.send_signal(signal.SIGKILL)
        return process.wait(30)


def done(ended: Ended) -> str:
    """Return what a command that has succeeded says."""
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def run_backup(deployment: Deployment, place: Path) -> Ended:
    """Take a backup."""
    return ran(
        environment(deployment), "backup", str(place), "--root", str(deployment.root), "--json"
    )


@dataclass(frozen=True)
class Lost:
    """What is known of a deployment that is gone.

    Attributes:
        safe: The recovery key and the export.
        place: The backups.
        backup: What the last one said of itself.
        writers: What was written meanwhile.
        promised: What had been acknowledged when the last backup began.
        later_version: A version that was acknowledged after it.
    """

    safe: Path
    place: Path
    backup: dict[str, Any]
    writers: Writers
    promised: dict[str, int]
    later_version: int

    @property
    def recovery(self) -> tuple[str, ...]:
        """The options that name the keys."""
        private, export = self.safe / "recovery.pem", self.safe / "export"
        return ("--recovery-key", str(private), "--export", str(export))


def life_and_end(directory: Path) -> Lost:
    """Let a deployment live, take backups of it, and lose all of its disk."""
    safe, place = directory / "safe", directory / "backups"
    safe.mkdir()
    private = safe / "recovery.pem"
    done(ran(PASSPHRASE, "keys", "make-recovery", str(private)))
    lived = Deployment(directory, ("--recovery-public-key", f"{private}.pub")).start()
    try:
        with lived.http() as http:
            return life(lived, http, safe, place)
    finally:
        kill(lived.all_pids()[0])
        # The others die with it, a moment later.
        assert wait_until(lambda: not any(map(is_alive, lived.all_pids())), 30)
        lived.stop()
        shutil.rmtree(lived.root)
        lived.ready_file.unlink()


def life(lived: Deployment, http: httpx.Client, safe: Path, place: Path) -> Lost:
    """Write under two keys; take backups while others write, of which the first are killed."""
    put_texts(http)
    http.put("/entity/chatdb", json={"deleted": {"chat": []}}).raise_for_status()
    http.delete("/entity/chatdb", params={"key": "deleted"}).raise_for_status()
    assert http.post("/keys/rotate").status_code == 201
    writers = Writers(lived)
    try:
        killed = [killed_backup(lived, place, objects) for objects in (80, 160)]
        assert killed == [-signal.SIGKILL] * 2
        assert list(place.glob("backups/*.json")) == []
        first = json.loads(done(run_backup(lived, place)))
        # Of what the killed ones had copied nothing is copied again.
        assert first["copied"] < first["entities"] - 60
        promised = dict(writers.acknowledged)
        second = json.loads(done(run_backup(lived, place)))
    finally:
        writers.stop()
    assert (second["earlier"], second["left_out"]) == (first["backup_id"], 0)
    # What was being written, and nothing else.
    assert second["copied"] <= len(promised)
    done(ran(environment(lived), "keys", "export", str(safe / "export")))
    later = http.put("/entity/chatdb", json={"kept-1": {"chat": []}}).json()["kept-1"]
    on_record = {one["backup_id"] for one in http.get("/backups").json()["backups"]}
    assert {first["backup_id"], second["backup_id"]} <= on_record
    return Lost(safe, place, second, writers, promised, later["version"])


def test_disk_and_master_key_are_lost_and_every_entity_is_back(tmp_path: Path) -> None:
    """On the worst day backup, key export and recovery key do not bring everything back.

    Whatever was acknowledged before the last backup began is there again: what did not change byte
    for byte, what was being written in one of the versions that were, and not in an older one. And
    no version is given a second time.
    """
    lost = life_and_end(tmp_path)
    found = Deployment(tmp_path)
    (found.root / "shared").mkdir(parents=True)
    root = ("--root", str(found.root))
    place = str(lost.place)
    told = done(ran(PASSPHRASE, "restore", place, "--verify", *lost.recovery, "--json"))
    assert json.loads(told)["decrypted"] == lost.backup["entities"]
    done(ran(PASSPHRASE, "keys", "recover", *root, *lost.recovery))
    told = done(ran({}, "restore", place, *root, "--json"))
    assert json.loads(told)["backup_id"] == lost.backup["backup_id"]
    found.start()
    try:
        with found.http() as http:
            everything_is_back(http, lost)
        told = done(ran(environment(found), "audit", "tail", "--lines", "500", "--json"))
        assert [one for one in told.splitlines() if '"restore_backup"' in one]
        done(ran(environment(found), "verify"))
    finally:
        assert found.stop() == 0


def everything_is_back(http: httpx.Client, lost: Lost) -> None:
    """Compare what is there with what was."""
    for number in range(ENTITIES):
        assert raw_entity(http, f"kept-{number}") == text_of(number)
    written = lost.writers.written
    assert len(lost.promised) == len({key for key, _ in written})
    for key, promised in lost.promised.items():
        answer = http.get("/entity/chatdb", params={"key": key})
        version = int(answer.headers["ETag"].strip('"'))
        assert answer.json() == {key: written[key, version]}
        assert version >= promised
    assert http.get("/entity/chatdb", params={"key": "deleted"}).status_code == 404
    again = http.put("/entity/chatdb", json={"kept-1": {"chat": []}}).json()["kept-1"]
    assert again["version"] > lost.later_version
    assert len(http.get("/keys").json()["keys"]) == 2
    on_record = {one["backup_id"] for one in http.get("/backups").json()["backups"]}
    assert lost.backup["backup_id"] in on_record
