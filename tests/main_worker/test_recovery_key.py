"""The recovery key: RSA-4096, its private half in one file and nowhere else."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from main_api.adapters.keys import recovery_key
from strongroom.errors import InvalidArgumentError
from tests.support import recovery_keys
from tests.support.commands import Ended, ran, refusal


def make(named: dict[str, str], *arguments: str | Path) -> Ended:
    """Run the command."""
    return ran(named, "keys", "make-recovery", *map(str, arguments))


def test_the_command_makes_a_pair_of_4096_bits(tmp_path: Path) -> None:
    """The key that is to open everything one day does not open, or others can read it."""
    private, public = tmp_path / "recovery.pem", tmp_path / "recovery.pem.pub"
    ended = make({"STRONGROOM_RECOVERY_PASSPHRASE": "correct horse"}, private)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert private.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert b"PRIVATE" not in public.read_bytes()
    assert "correct horse" not in ended.stdout
    made = recovery_key.read_private(private, "correct horse")
    assert recovery_key.read_public(public) == made.public
    assert made.public.fingerprint in ended.stdout
    loaded = serialization.load_pem_private_key(made.pem, None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    assert loaded.key_size == 4096
    for wrong in ("", "correct"):
        with pytest.raises(InvalidArgumentError, match="passphrase"):
            recovery_key.read_private(private, wrong)


@pytest.mark.parametrize("there", ["key", "key.pub"])
def test_a_key_that_is_there_is_never_overwritten(tmp_path: Path, there: str) -> None:
    """A second run of the command destroys the key of all backups."""
    (tmp_path / there).write_bytes(b"mine")
    assert "is not overwritten" in refusal(make({}, tmp_path / "key"))
    assert [one.name for one in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_bytes() == b"mine"


@pytest.mark.parametrize("mark", ["control/keyring.json", "shared/control/keyring.json", "up.lock"])
def test_the_private_half_is_not_written_beside_the_data(tmp_path: Path, mark: str) -> None:
    """The backup of the data takes along the key that opens it."""
    (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mark).touch()
    below = tmp_path / "safe"
    below.mkdir()
    assert "choose another place" in refusal(make({}, below / "key"))
    assert [one.name for one in below.iterdir()] == []


def test_the_directory_that_the_environment_names_is_known(tmp_path: Path) -> None:
    """The same, of a directory in which no deployment was made yet."""
    told = refusal(make({"STRONGROOM_SHARED_DIR": str(tmp_path)}, tmp_path / "key"))
    assert "choose another place" in told
    assert [one.name for one in tmp_path.iterdir()] == []


def _pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


ODD: dict[str, tuple[Callable[[], bytes], str]] = {
    "a short key": (lambda: _pem(rsa.generate_private_key(65537, 2048)), "2048 bits"),
    "another kind": (lambda: _pem(ed25519.Ed25519PrivateKey.generate()), "is not an RSA key"),
    "nothing": (lambda: b"", "is not a public key"),
    "a long file": (lambda: b"x" * 20_000, "longer than any key"),
    "half a key": (lambda: b"-----BEGIN PUBLIC KEY-----\nMIIC", "is not a public key"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_recovery_key_is_refused(tmp_path: Path, what: str) -> None:
    """Every keyring opens with a key that somebody can compute."""
    content, told = ODD[what]
    (tmp_path / "key.pub").write_bytes(content())
    with pytest.raises(InvalidArgumentError, match=told) as failure:
        recovery_key.read_public(tmp_path / "key.pub")
    assert "\n" not in failure.value.detail


def test_a_private_key_is_no_setting_of_a_server(tmp_path: Path) -> None:
    """Whoever names the wrong half leaves the private one on every server."""
    key = recovery_keys.one()
    (tmp_path / "key").write_bytes(key.pem)
    with pytest.raises(InvalidArgumentError, match="keep it offline"):
        recovery_key.read_public(tmp_path / "key")
    assert str(key.pem) not in repr(key)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """A mistyped path ends in a stack trace."""
    for read in (recovery_key.read_public, lambda path: recovery_key.read_private(path, "")):
        with pytest.raises(InvalidArgumentError, match=r"key\.pem cannot be read"):
            read(tmp_path / "key.pem")
