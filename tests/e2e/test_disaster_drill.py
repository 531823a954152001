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

import pytest

from strongroom_client import Client, JsonText, NotFoundError
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
        with deployment.client() as client:
            number = 0
            while not self._over.is_set():
                number += 1
                key = f"{name}-{number % 20}"
                document = {"chat": [{"type": "user", "text": f"{name} ä {number}"}]}
                version = client.put("chatdb", key, document).version
                self.written[key, version] = document
                self.acknowledged[key] = version


def text_of(number: int) -> bytes:
    """Return a document as no encoder would write it: what comes back has to be these bytes."""
    text = f'{{ "chat": [{{"type":"user",  "text": "\\u00e4 {number}", "n": {number}.10e0}}] }}'
    return text.encode()


def put_texts(client: Client) -> None:
    """Write the entities that stay as they are."""
    for first in range(0, ENTITIES, 100):
        texts = {f"kept-{n}": JsonText(text_of(n)) for n in range(first, first + 100)}
        client.put_many("chatdb", texts)


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
        with lived.client() as client:
            return life(lived, client, safe, place)
    finally:
        kill(lived.all_pids()[0])
        # The others die with it, a moment later.
        assert wait_until(lambda: not any(map(is_alive, lived.all_pids())), 30)
        lived.stop()
        shutil.rmtree(lived.root)
        lived.ready_file.unlink()


def life(lived: Deployment, client: Client, safe: Path, place: Path) -> Lost:
    """Write under two keys; take backups while others write, of which the first are killed."""
    put_texts(client)
    client.put("chatdb", "deleted", {"chat": []})
    client.delete("chatdb", "deleted")
    client.admin.rotate_keys()
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
    later = client.put("chatdb", "kept-1", {"chat": []}).version
    on_record = {one.backup_id for one in client.admin.backups()}
    assert {first["backup_id"], second["backup_id"]} <= on_record
    return Lost(safe, place, second, writers, promised, later)


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
        with found.client() as client:
            everything_is_back(client, lost)
        told = done(ran(environment(found), "audit", "tail", "--lines", "500", "--json"))
        assert [one for one in told.splitlines() if '"restore_backup"' in one]
        done(ran(environment(found), "verify"))
    finally:
        assert found.stop() == 0


def everything_is_back(client: Client, lost: Lost) -> None:
    """Compare what is there with what was."""
    kept = {f"kept-{number}": text_of(number) for number in range(ENTITIES)}
    found = client.get_many("chatdb", kept)
    assert {key: entity.text for key, entity in found.items()} == kept
    written = lost.writers.written
    assert len(lost.promised) == len({key for key, _ in written})
    for key, promised in lost.promised.items():
        entity = client.get("chatdb", key)
        assert entity.value == written[key, entity.version]
        assert entity.version >= promised
    with pytest.raises(NotFoundError):
        client.get("chatdb", "deleted")
    assert client.put("chatdb", "kept-1", {"chat": []}).version > lost.later_version
    assert len(list(client.admin.data_keys())) == 2
    on_record = {one.backup_id for one in client.admin.backups()}
    assert lost.backup["backup_id"] in on_record
