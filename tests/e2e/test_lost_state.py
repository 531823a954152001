"""`strongroom up` over a root from which something was lost: it says what, and invents nothing."""

import shutil
from pathlib import Path

import pytest

from strongroom_client import NotFoundError
from tests.support.deployment import CHAT, Deployment


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A deployment with an entity in it, stopped."""
    running = Deployment(tmp_path_factory.mktemp("lost")).start()
    with running.client() as client:
        assert client.put("chatdb", "kept", CHAT).created
    assert running.stop() == 0
    return running


def _copy(stopped: Deployment, directory: Path) -> Deployment:
    shutil.copytree(stopped.root, directory / "root")
    return Deployment(directory)


LOST = {
    "the keyring": ("shared/control/keyring.json", "keyring.json is missing"),
    "the master key": ("kms/master-key.json", "master-key.json is missing"),
}


@pytest.mark.parametrize("what", LOST)
def test_a_lost_key_is_named_and_not_replaced(
    stopped: Deployment, tmp_path: Path, what: str
) -> None:
    """A new key is made where the old one was lost, and the data is given up unnoticed."""
    name, said = LOST[what]
    copy = _copy(stopped, tmp_path)
    (copy.root / name).unlink()
    with pytest.raises(AssertionError, match=said) as failure:
        copy.start()
    assert "Traceback" not in str(failure.value)
    assert not (copy.root / name).exists()


@pytest.mark.parametrize("name", ["kms/master-key.json", "admin.json", "pki/ca.key"])
def test_a_damaged_file_is_named(stopped: Deployment, tmp_path: Path, name: str) -> None:
    """A damaged file of the emulation ends in a stack trace."""
    copy = _copy(stopped, tmp_path)
    (copy.root / name).write_text("garbage")
    with pytest.raises(AssertionError, match="cannot be read") as failure:
        copy.start()
    assert "Traceback" not in str(failure.value)


def test_a_lost_database_is_not_made_anew(stopped: Deployment, tmp_path: Path) -> None:
    """A lost configuration comes back under a new incarnation, and every entity is gone."""
    copy = _copy(stopped, tmp_path)
    lost = copy.root / "shared" / "databases" / "chatdb.json"
    kept = lost.read_bytes()
    lost.unlink()
    copy.start()
    try:
        with copy.client() as client:
            with pytest.raises(NotFoundError):
                client.put("chatdb", "kept", CHAT)
            lost.write_bytes(kept)
            assert client.get("chatdb", "kept").value == CHAT
    finally:
        assert copy.stop() == 0


def test_a_lost_client_record_gets_new_credentials(stopped: Deployment, tmp_path: Path) -> None:
    """The ready file has credentials that do not work."""
    copy = _copy(stopped, tmp_path)
    (copy.root / "shared" / "control" / "clients" / "admin.sealed").unlink()
    copy.start()
    try:
        with copy.client() as client:
            assert client.get("chatdb", "kept").value == CHAT
    finally:
        assert copy.stop() == 0
