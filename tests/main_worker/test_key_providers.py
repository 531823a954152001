"""The key providers: one contract for all of them, with a recovery key and without.

KMS is moto's, behind the real SDK. The `keyring` library is the real one, over a backend of the
tests that keeps its entries in a file: a desktop's secret service is not tried here.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import keyring as os_keyring
import pytest

from cli.emulation.kms import EmulatedKms
from main_api.adapters.keys import providers
from main_api.adapters.keys.escrow import EscrowWrapper
from main_api.adapters.keys.kms import KmsKeyProvider
from main_api.adapters.keys.local_key import KeyFile, LocalKeyProvider, OsKeyring
from main_api.adapters.keys.recovery_key import RecoveryPublicKey
from main_api.service.admin import provisioning
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.keys.ports import KeyProvider
from main_api.settings import KeySettings, ProviderKind
from strongroom.crypto import aead
from strongroom.errors import ConflictError, IntegrityError, UnavailableError
from tests.support import recovery_keys
from tests.support.clocks import ManualClock
from tests.support.main_fakes import FakeKeyProvider, MemoryKeyringStore
from tests.support.os_keyring import FILE_VARIABLE, FileKeyring, ForgetfulKeyring, LockedKeyring

ROOT = aead.new_key()


@pytest.fixture(scope="module")
def kms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedKms]:
    """Return a running emulation."""
    emulated = EmulatedKms(tmp_path_factory.mktemp("kms") / "master-key.json")
    emulated.start()
    yield emulated
    emulated.stop()


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OsKeyring]:
    """Return a master key's entry in the keyring of an operating system; it is not made yet."""
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "os-keyring.json"))
    before = os_keyring.get_keyring()
    os_keyring.set_keyring(FileKeyring.made())
    yield OsKeyring("strongroom", "master-key")
    os_keyring.set_keyring(before)


Make = Callable[[RecoveryPublicKey | None], KeyProvider]


@pytest.fixture(params=["kms", "file", "keyring"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return what makes a provider of one kind, each time over the same master key."""
    if request.param == "kms":
        kms: EmulatedKms = request.getfixturevalue("kms")
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        for name, value in kms.environment().items():
            monkeypatch.setenv(name, value)
        return lambda recovery: KmsKeyProvider(kms.key_arn, recovery)
    source = (
        KeyFile(tmp_path / "own" / "master.key")
        if request.param == "file"
        else request.getfixturevalue("entry")
    )
    source.make()
    return lambda recovery: LocalKeyProvider(source, recovery)


# -- the contract ----------------------------------------------------------------------------------


@pytest.fixture(params=["without", "with"])
def provider(request: pytest.FixtureRequest, make: Make) -> KeyProvider:
    """Return a provider, without a recovery key and with one."""
    return make(recovery_keys.one().public if request.param == "with" else None)


def obeys(provider: KeyProvider) -> None:
    """Hold a provider to what the port says."""
    message = provider.wrap(ROOT, "deployment")
    assert provider.unwrap(message, "deployment") == ROOT
    assert ROOT not in message
    assert provider.wrap(ROOT, "deployment") != message
    with pytest.raises(IntegrityError):
        provider.unwrap(message, "elsewhere")
    store = MemoryKeyringStore()
    provisioning.create_keyring(store, provider, ManualClock())
    opened = LiveKeyring(store, provider).current
    assert opened == LiveKeyring(store, provider).current
    assert opened.recovery == provider.recovery


def test_a_provider_wraps_a_root_for_its_deployment(provider: KeyProvider) -> None:
    """A deployment does not start again, or starts with the root of another one."""
    obeys(provider)


@pytest.mark.parametrize("recovery", ["", "SHA256:of-a-key"])
def test_the_fake_is_one_of_them(recovery: str) -> None:
    """What is tested on the fake does not hold for the others."""
    obeys(FakeKeyProvider(recovery))


def test_a_changed_message_does_not_open(provider: KeyProvider) -> None:
    """A damaged keyring opens to another root, or ends in a stack trace."""
    message = provider.wrap(ROOT, "deployment")
    for position in {*range(0, len(message), 29), len(message) - 1}:
        changed = bytearray(message)
        changed[position] ^= 1
        # Of two wrapped keys the one that is not used here may be damaged.
        try:
            assert provider.unwrap(bytes(changed), "deployment") == ROOT
        except IntegrityError:
            continue
        except UnavailableError:
            # moto's ciphertext begins with the id of its key: it denies access to another one.
            continue
        assert provider.recovery, f"byte {position} is not authenticated"


@pytest.mark.parametrize("kept", [0, 1, 100, -1], ids=str)
def test_a_truncated_message_is_an_integrity_error(provider: KeyProvider, kept: int) -> None:
    """A keyring that was cut short looks like an outage, or ends in a stack trace."""
    with pytest.raises(IntegrityError):
        provider.unwrap(provider.wrap(ROOT, "deployment")[:kept], "deployment")


def test_the_message_is_of_one_format(provider: KeyProvider) -> None:
    """A deployment cannot change its provider, or a message opens under two keys to two roots."""
    message = provider.wrap(ROOT, "deployment")
    assert message[0] == 2
    assert int.from_bytes(message[1:3], "big") == 0x0478
    for told in (b"deployment", b"strongroom-keyring-root"):
        assert told in message
    assert (b"strongroom-recovery" in message) == bool(provider.recovery)


# -- escrow ----------------------------------------------------------------------------------------


def test_a_message_opens_with_the_provider_or_with_the_recovery_key(make: Make) -> None:
    """When the master key is lost the recovery key opens nothing, or it opens other deployments."""
    escrow = recovery_keys.opener()
    message = make(recovery_keys.one().public).wrap(ROOT, "deployment")
    assert make(None).unwrap(message, "deployment") == ROOT
    assert escrow.unwrap(message, "deployment") == ROOT
    for refused in ("elsewhere", ""):
        with pytest.raises(IntegrityError):
            escrow.unwrap(message, refused)
    with pytest.raises(IntegrityError, match="not wrapped for the recovery key"):
        escrow.unwrap(make(None).wrap(ROOT, "deployment"), "deployment")


def test_another_recovery_key_opens_nothing(make: Make) -> None:
    """Every recovery key opens every deployment."""
    message = make(recovery_keys.one().public).wrap(ROOT, "deployment")
    with pytest.raises(IntegrityError, match=r"not wrapped for the recovery key SHA256:"):
        recovery_keys.foreign_opener().unwrap(message, "deployment")


def test_an_export_opens_with_the_recovery_key_alone(make: Make) -> None:
    """A key backup is of use to whoever may use the master key, or to nobody."""
    message = EscrowWrapper(recovery_keys.one().public).wrap(ROOT, "deployment")
    assert recovery_keys.opener().unwrap(message, "deployment") == ROOT
    with pytest.raises(IntegrityError):
        make(None).unwrap(message, "deployment")
    for kept in (0, 1, 100, len(message) - 1):
        with pytest.raises(IntegrityError):
            recovery_keys.opener().unwrap(message[:kept], "deployment")


# -- a master key in a file ------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a master key's file."""
    path = tmp_path / "master.key"
    KeyFile(path).make()
    return path


def test_a_made_key_is_private_and_fresh(file: Path, tmp_path: Path) -> None:
    """Every user of the machine can open the keyring, or all machines have one key."""
    assert file.stat().st_mode & 0o7777 == 0o600
    assert len(file.read_bytes()) == 32
    KeyFile(tmp_path / "other.key").make()
    assert (tmp_path / "other.key").read_bytes() != file.read_bytes()


def test_a_key_that_is_there_is_kept(file: Path) -> None:
    """A second start makes a new master key, and nothing opens any more."""
    before = file.read_bytes()
    with pytest.raises(ConflictError):
        KeyFile(file).make()
    providers.ensure_master_key(KeySettings(ProviderKind.FILE, master_key_file=file))
    assert file.read_bytes() == before


def _shared(file: Path) -> None:
    file.chmod(0o644)


def _linked(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, r"is missing: restore it .*`strongroom keys recover`"),
    "readable by others": (_shared, "has mode 0644"),
    "a symbolic link": (_linked, "is a symbolic link"),
    "too short": (lambda file: file.write_bytes(b"x" * 31), "has 31 bytes, a master key has 32"),
    "empty": (lambda file: file.write_bytes(b""), "has 0 bytes"),
    "too long": (lambda file: file.write_bytes(b"x" * 33), "longer than 32 bytes"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_file_that_is_no_safe_master_key_is_refused_in_one_line(file: Path, what: str) -> None:
    """A key that others have read stays in use; or a start ends in a stack trace."""
    provider = LocalKeyProvider(KeyFile(file))
    message = provider.wrap(ROOT, "deployment")
    change, told = UNFIT[what]
    change(file)
    uses: list[Callable[[], bytes]] = [
        lambda: provider.unwrap(message, "deployment"),
        lambda: provider.wrap(ROOT, "deployment"),
    ]
    for use in uses:
        with pytest.raises(UnavailableError, match=told) as failure:
            use()
        assert str(file) in failure.value.detail
        assert "\n" not in failure.value.detail


def test_another_master_key_is_told_from_a_damaged_message(file: Path) -> None:
    """A wrong file opens a keyring to another root, or its name is not told."""
    message = LocalKeyProvider(KeyFile(file)).wrap(ROOT, "deployment")
    file.write_bytes(aead.new_key())
    with pytest.raises(IntegrityError, match=r"not wrapped by the master key in .*master\.key"):
        LocalKeyProvider(KeyFile(file)).unwrap(message, "deployment")


# -- a master key in the keyring of the operating system ------------------------------------------


def test_an_entry_is_made_once(entry: OsKeyring, tmp_path: Path) -> None:
    """A second start makes a new master key, and nothing opens any more."""
    configured = KeySettings(ProviderKind.KEYRING)
    providers.ensure_master_key(configured)
    kept = (tmp_path / "os-keyring.json").read_bytes()
    assert base64.b64encode(entry.read()) in kept
    providers.ensure_master_key(configured)
    with pytest.raises(ConflictError):
        entry.make()
    assert (tmp_path / "os-keyring.json").read_bytes() == kept


def test_an_entry_that_is_missing_or_odd_is_named(entry: OsKeyring) -> None:
    """A start ends in a stack trace, or goes on with half a key."""
    provider = LocalKeyProvider(entry)
    with pytest.raises(UnavailableError, match=r"strongroom/master-key .*is missing: restore it"):
        provider.unwrap(b"", "deployment")
    for odd in ("", "x", "AAAA", base64.b64encode(b"x" * 33).decode()):
        os_keyring.set_password("strongroom", "master-key", odd)
        with pytest.raises(UnavailableError, match="is not one"):
            provider.wrap(ROOT, "deployment")


def test_a_locked_keyring_is_one_clear_line(entry: OsKeyring) -> None:
    """A start on a machine whose keyring is locked ends in a stack trace."""
    os_keyring.set_keyring(LockedKeyring.made())
    with pytest.raises(UnavailableError, match=r"KeyringLocked\); unlock the keyring") as failure:
        LocalKeyProvider(entry).wrap(ROOT, "deployment")
    assert "\n" not in failure.value.detail


def test_a_backend_that_keeps_nothing_is_noticed(entry: OsKeyring) -> None:
    """A deployment is made under a key that is gone the next moment."""
    os_keyring.set_keyring(ForgetfulKeyring.made())
    with pytest.raises(UnavailableError, match="was not kept"):
        entry.make()


WRAP = """
import sys
from main_api.adapters.keys import providers
from main_api.settings import KeySettings, ProviderKind
configured = KeySettings(ProviderKind.KEYRING)
providers.ensure_master_key(configured)
wrapped = providers.provider(configured, None).wrap(bytes.fromhex(sys.argv[1]), "deployment")
sys.stdout.write(wrapped.hex())
"""


def test_another_process_finds_the_entry(entry: OsKeyring) -> None:
    """A restarted Main Worker does not find its master key."""
    named = {"PYTHON_KEYRING_BACKEND": "tests.support.os_keyring.FileKeyring", "PYTHONPATH": "."}
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", WRAP, ROOT.hex()],
        env=os.environ | named,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert LocalKeyProvider(entry).unwrap(bytes.fromhex(ended.stdout), "deployment") == ROOT


LOADED = """
import sys
import app
from main_api.adapters.keys import providers
from main_api.settings import KeySettings, ProviderKind
providers.provider(KeySettings(ProviderKind.KMS, kms_key_arn="arn"), None)
sys.stdout.write(" ".join(sorted(sys.modules)))
"""


def test_a_lambda_does_not_load_the_library() -> None:
    """Every cold start pays for a desktop's keyring, and fails where it is not packaged."""
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", LOADED],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(ended.stdout.split())
    assert "main_api.adapters.keys.local_key" in loaded
    assert not loaded & {"keyring", "secretstorage", "jeepney"}
