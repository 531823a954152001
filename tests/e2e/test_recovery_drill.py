"""The drill: the master key is gone for ever, and every entity is read again.

Real processes all the way: `strongroom up`, its REST face, and `strongroom keys`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from strongroom_client import Client, DamagedError
from tests.support.commands import Ended, environment, ran, refusal
from tests.support.deployment import NOBODY_TRUSTED, Deployment, wait_until
from tests.support.os_keyring import FILE_VARIABLE

pytestmark = [pytest.mark.timeout(240)]
PASSPHRASE = {"STRONGROOM_RECOVERY_PASSPHRASE": "correct horse battery"}


def documents(name: str) -> dict[str, object]:
    """Return entities."""
    return {f"{name}-{n}": {"chat": [{"type": "user", "text": f"{name} ä {n}"}]} for n in range(12)}


@dataclass
class Safe:
    """What lies in a safe, away from the deployment."""

    directory: Path

    @property
    def private(self) -> Path:
        """The recovery key."""
        return self.directory / "recovery.pem"

    @property
    def public(self) -> Path:
        """Its public half."""
        return self.directory / "recovery.pem.pub"

    def export(self, name: str) -> Path:
        """Return where an export is."""
        return self.directory / f"{name}.keyring"


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Safe:
    """A safe with a recovery key in it."""
    made = Safe(tmp_path_factory.mktemp("safe"))
    assert ran(PASSPHRASE, "keys", "make-recovery", str(made.private)).returncode == 0
    return made


ENTITIES = documents("first") | documents("second")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, safe: Safe) -> Deployment:
    """A deployment with entities under two data keys and an export of each state, stopped.

    The recovery key was named at its second start: the keyring is older than the escrow.
    """
    directory = tmp_path_factory.mktemp("drill")
    plain = Deployment(directory).start()
    try:
        with plain.client() as client:
            assert client.admin.recovery_key() is None
        refused = ran(environment(plain), "keys", "export", str(safe.export("none")))
        assert "names no recovery key" in refusal(refused, 4)
        assert not safe.export("none").exists()
    finally:
        assert plain.stop() == 0
    running = Deployment(directory, ("--recovery-public-key", str(safe.public))).start()
    try:
        with running.client() as client:
            client.put_many("chatdb", documents("first"))
            export(running, safe.export("older"))
            client.admin.rotate_keys()
            # Until every worker writes under the new key, which takes up to a second.
            assert wait_until(lambda: 12 in put_second(running, client).values(), 20)
            export(running, safe.export("newest"))
            recovery = client.admin.recovery_key() or ""
            assert recovery.startswith("SHA256:")
            assert len(list(client.admin.data_keys())) == 2
            on_record = list(client.admin.key_exports())
            assert sorted(len(one.key_ids) for one in on_record) == [1, 2]
            assert {one.recovery for one in on_record} == {recovery}
    finally:
        assert running.stop() == 0
    return running


def put_second(running: Deployment, client: Client) -> Counter[str]:
    """Write the second half; return how many files lie under which of the later keys."""
    client.put_many("chatdb", documents("second"))
    first, *_ = client.admin.data_keys()
    sidecars = (running.shared_dir / "files").rglob("*.meta.json")
    under = Counter(json.loads(one.read_bytes())["key_id"] for one in sidecars)
    del under[first.key_id]
    return under


def export(running: Deployment, file: Path) -> None:
    """Export the keyring."""
    ended = ran(environment(running), "keys", "export", str(file))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def lost(stopped: Deployment, tmp_path: Path) -> Deployment:
    """A copy of the deployment, whose master key is gone."""
    shutil.copytree(stopped.root, tmp_path / "root")
    copy = Deployment(tmp_path)
    (copy.root / "kms" / "master-key.json").unlink()
    return copy


def recover(lost: Deployment, safe: Safe, *options: str | Path, **named: str) -> Ended:
    """Run the recovery."""
    whole = ["--root", lost.root, "--recovery-key", safe.private, *options]
    return ran(PASSPHRASE | named, "keys", "recover", *map(str, whole))


def keyring_of(deployment: Deployment) -> Path:
    """Return the keyring's file."""
    return deployment.root / "shared" / "control" / "keyring.json"


@pytest.fixture
def no_new_key(lost: Deployment) -> Iterator[None]:
    """See that a refused recovery has made no master key: a start still says what is missing."""
    yield
    assert not (lost.root / "kms" / "master-key.json").exists()


def serves_everything(lost: Deployment, *arguments: str) -> None:
    """Start it; every entity reads back as it was, and new ones are written."""
    lost.arguments = arguments
    lost.start()
    try:
        with lost.client() as client:
            for key, document in ENTITIES.items():
                assert client.get("chatdb", key).value == document
            client.put_many("chatdb", documents("third"))
            client.admin.rotate_keys()
            client.put_many("chatdb", documents("fourth"))
            assert listed(client) == ENTITIES | documents("third") | documents("fourth")
            assert len(list(client.admin.data_keys())) == 3
        assert ran(environment(lost), "verify").returncode == 0
    finally:
        assert lost.stop() == 0


def listed(client: Client) -> dict[str, object]:
    """Return every entity that opens."""
    return {entity.key: entity.value for entity in client.list("chatdb")}


def refuses_to_start(lost: Deployment) -> None:
    """See that a start ends in one clear line that names the road."""
    with pytest.raises(AssertionError, match=r"is missing: restore it .*keys recover") as failure:
        lost.start()
    assert "Traceback" not in str(failure.value)


@pytest.mark.parametrize("provider", ["kms", "file"])
def test_a_deployment_lives_again_under_a_new_master_key(
    lost: Deployment, safe: Safe, provider: str
) -> None:
    """The KMS key is deleted, and with it every entity that was ever acknowledged."""
    refuses_to_start(lost)
    ended = recover(lost, safe, "--key-provider", provider)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "made of control/keyring.json" in ended.stdout
    assert f"Next: `strongroom up --root {lost.root} --key-provider {provider}`" in ended.stdout
    # Without the option it finds the key that is there.
    serves_everything(lost)
    # And again: the escrow has not ended with the recovery.
    shutil.rmtree(lost.root / "kms")
    assert recover(lost, safe).returncode == 0


def test_the_export_alone_is_enough(lost: Deployment, safe: Safe) -> None:
    """Whoever loses the keyring together with the KMS key has a backup that does not help."""
    keyring_of(lost).unlink()
    ended = recover(lost, safe, "--export", safe.export("newest"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "made of the export" in ended.stdout
    serves_everything(lost)


def test_the_newer_one_is_taken(lost: Deployment, safe: Safe) -> None:
    """An old export takes the place of a newer keyring, and what was written since is lost."""
    before = json.loads(keyring_of(lost).read_bytes())
    ended = recover(lost, safe, "--export", safe.export("older"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "made of control/keyring.json" in ended.stdout
    assert "does not open 0" in ended.stdout
    after = json.loads(keyring_of(lost).read_bytes())
    assert [one["key_id"] for one in after["keys"]] == [one["key_id"] for one in before["keys"]]
    assert after["generation"] > before["generation"]


def test_an_export_that_is_too_old_is_told(lost: Deployment, safe: Safe) -> None:
    """Somebody recovers from an old export, and finds out later what he has lost."""
    keyring_of(lost).unlink()
    older = ("--export", safe.export("older"))
    line = refusal(recover(lost, safe, *older))
    assert "does not open 12 stored files" in line
    assert "--accept-loss" in line
    assert not keyring_of(lost).exists()
    assert recover(lost, safe, *older, "--accept-loss").returncode == 0
    lost.start()
    try:
        with lost.client() as client:
            assert listed(client) == documents("first")
            with pytest.raises(DamagedError):
                client.get("chatdb", "second-1")
    finally:
        assert lost.stop() == 0


def damage(lost: Deployment) -> None:
    """Change a byte of the keyring."""
    raw = keyring_of(lost).read_bytes()
    keyring_of(lost).write_bytes(raw.replace(b'"generation": 3', b'"generation": 9'))
    assert keyring_of(lost).read_bytes() != raw


def cut(lost: Deployment) -> None:
    """Cut the keyring short."""
    keyring_of(lost).write_bytes(keyring_of(lost).read_bytes()[:400])


@pytest.mark.parametrize("harm", [damage, cut])
@pytest.mark.usefixtures("no_new_key")
def test_a_damaged_keyring_is_refused(
    lost: Deployment, safe: Safe, harm: Callable[[Deployment], None]
) -> None:
    """A keyring that somebody has changed is taken, or overwritten before anybody could look."""
    harm(lost)
    before = keyring_of(lost).read_bytes()
    for options in ((), ("--export", safe.export("newest")), ("--accept-loss",)):
        line = refusal(recover(lost, safe, *options))
        assert "keyring.json does not open" in line
        assert "move it out of the directory" in line
        assert keyring_of(lost).read_bytes() == before


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, safe: Safe) -> Deployment:
    """Another deployment with the same recovery key, and an export of it."""
    directory = tmp_path_factory.mktemp("foreign")
    running = Deployment(directory, ("--recovery-public-key", str(safe.public))).start()
    try:
        export(running, safe.export("foreign"))
    finally:
        assert running.stop() == 0
    return running


@pytest.mark.usefixtures("no_new_key")
def test_the_keyring_of_another_deployment_is_refused(
    lost: Deployment, safe: Safe, foreign: Deployment
) -> None:
    """Whoever can write the disk has a deployment go on under keys that he knows."""
    theirs = ("--export", safe.export("foreign"))
    before = keyring_of(lost).read_bytes()
    assert "of another deployment" in refusal(recover(lost, safe, *theirs))
    assert keyring_of(lost).read_bytes() == before
    keyring_of(lost).unlink()
    assert "opens nothing of what lies there" in refusal(recover(lost, safe, *theirs))
    shutil.copy(keyring_of(foreign), keyring_of(lost))
    before = keyring_of(lost).read_bytes()
    for options in ((), ("--accept-loss",)):
        assert "opens nothing of what lies there" in refusal(recover(lost, safe, *options))
    assert keyring_of(lost).read_bytes() == before


@pytest.mark.usefixtures("no_new_key")
def test_another_key_or_passphrase_recovers_nothing(
    lost: Deployment, safe: Safe, tmp_path: Path
) -> None:
    """A deployment is recovered with any key; or a wrong one ends in a stack trace."""
    other = Safe(tmp_path / "other")
    other.directory.mkdir()
    assert ran(PASSPHRASE, "keys", "make-recovery", str(other.private)).returncode == 0
    before = keyring_of(lost).read_bytes()
    line = refusal(recover(lost, other))
    assert "not wrapped for the recovery key SHA256:" in line
    wrong = refusal(recover(lost, safe, STRONGROOM_RECOVERY_PASSPHRASE="hunter2"))
    assert "passphrase" in wrong
    assert "hunter2" not in wrong
    assert "needs its passphrase" in refusal(recover(lost, safe, STRONGROOM_RECOVERY_PASSPHRASE=""))
    assert keyring_of(lost).read_bytes() == before


def test_nothing_is_recovered_below_a_running_deployment(
    stopped: Deployment, safe: Safe, tmp_path: Path
) -> None:
    """The keyring of a deployment that serves is exchanged."""
    shutil.copytree(stopped.root, tmp_path / "root")
    running = Deployment(tmp_path).start()
    try:
        before = keyring_of(running).read_bytes()
        assert "another `strongroom up` serves" in refusal(recover(running, safe))
        shared = ("--shared-dir", running.shared_dir, "--recovery-key", safe.private)
        line = refusal(ran(PASSPHRASE, "keys", "recover", *map(str, shared)))
        assert "worker-1, worker-2 may still serve: stop the deployment" in line
        assert keyring_of(running).read_bytes() == before
        # Without an administrator's word, or a second file of the same name, there is no export.
        asked = ran(environment(running), "keys", "export", str(safe.export("newest")))
        assert "is not overwritten" in refusal(asked)
        inside = ran(environment(running), "keys", "export", str(running.shared_dir / "export"))
        assert "choose another place" in refusal(inside)
    finally:
        assert running.stop() == 0


def test_a_deployment_moves_to_a_machine_without_aws(
    lost: Deployment, safe: Safe, tmp_path: Path
) -> None:
    """Outside of `strongroom up` nothing can be recovered, or no Main Worker starts under it.

    The new master key is in the operating system's keyring, over the backend of the tests.
    """
    named = {
        "STRONGROOM_KEY_PROVIDER": "keyring",
        "PYTHON_KEYRING_BACKEND": "tests.support.os_keyring.FileKeyring",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        FILE_VARIABLE: str(tmp_path / "os-keyring.json"),
    }
    shared = ("--shared-dir", lost.root / "shared", "--recovery-key", safe.private)
    ended = ran(PASSPHRASE | named, "keys", "recover", *map(str, shared))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "the master key strongroom/master-key in the keyring of this system" in ended.stdout
    assert "Next: start every Main Worker with the settings" in ended.stdout
    pki, ready = lost.root / "pki", tmp_path / "rest.ready"
    served = {
        "STRONGROOM_SHARED_DIR": str(lost.root / "shared"),
        "STRONGROOM_CA_FILE": str(pki / "ca.pem"),
        "STRONGROOM_CERTIFICATE_FILE": str(pki / "main.pem"),
        "STRONGROOM_KEY_FILE": str(pki / "main.key"),
        "STRONGROOM_HTTP_LISTEN": "127.0.0.1:0",
        "STRONGROOM_READY_FILE": str(ready),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "main_api.rest"], env=os.environ | named | served
    )
    try:
        assert wait_until(lambda: ready.exists() or process.poll() is not None, 40)
        url = f"http://127.0.0.1:{json.loads(ready.read_text())['port']}"
        known = json.loads((lost.root / "admin.json").read_text())
        lost.facts = known | {"http_url": url, "grpc_ca_file": str(pki / "ca.pem")}
        assert wait_until(partial(answers, url), 20)
        with lost.http() as http:
            assert http.get("/keys").json()["recovery"].startswith("SHA256:")
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    """Tell whether it is served."""
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/healthz", verify=NOBODY_TRUSTED).status_code == httpx.codes.OK
    return False


def test_an_export_shows_no_key_and_is_of_the_keyrings_format(
    stopped: Deployment, safe: Safe
) -> None:
    """A key backup needs a program of its own, or opens without the recovery key."""
    exported = json.loads(safe.export("newest").read_bytes())
    kept = json.loads(keyring_of(stopped).read_bytes())
    assert exported.keys() == kept.keys()
    assert exported["deployment"] == kept["deployment"]
    assert [one["key_id"] for one in exported["keys"]] == [one["key_id"] for one in kept["keys"]]
    assert exported["root"] != kept["root"]
