"""The keyring's root under KMS: the real SDK against moto's KMS, as `strongroom up` serves it.

The contract that it shares with other key providers stands in test_key_providers.py.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.emulation.kms import EmulatedKms
from main_api.adapters.keys.kms import KmsKeyProvider
from main_api.service.admin import provisioning
from main_api.service.keys.live_keyring import LiveKeyring
from strongroom.crypto import aead
from strongroom.errors import IntegrityError, StrongroomError, UnavailableError
from tests.support.clocks import ManualClock
from tests.support.faulty_kms import Fault, FaultyKms
from tests.support.main_fakes import MemoryKeyringStore

ROOT = aead.new_key()
SECONDS = 30.0


@dataclass
class Kms:
    """An emulated KMS and what leads there."""

    emulated: EmulatedKms
    environment: dict[str, str]

    @property
    def provider(self) -> KmsKeyProvider:
        """Return a provider as a process that was just started has it."""
        return KmsKeyProvider(self.emulated.key_arn)


@pytest.fixture(scope="module")
def kept_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the emulation keeps its master key."""
    return tmp_path_factory.mktemp("kms") / "master-key.json"


@pytest.fixture(scope="module")
def running(kept_key: Path) -> Iterator[EmulatedKms]:
    """Return a running emulation."""
    kms = EmulatedKms(kept_key)
    kms.start()
    yield kms
    kms.stop()


def led_to(kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch, endpoint: str = "") -> Kms:
    """Let boto3 find an emulation, as the environment of a real process does."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    environment = kms.environment() | ({"AWS_ENDPOINT_URL_KMS": endpoint} if endpoint else {})
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Kms(kms, environment)


@pytest.fixture
def kms(running: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> Kms:
    """Return a running emulation that boto3 finds."""
    return led_to(running, monkeypatch)


@pytest.fixture(scope="module")
def message(running: EmulatedKms) -> bytes:
    """Return the root, wrapped for `deployment`."""
    with pytest.MonkeyPatch.context() as environment:
        return led_to(running, environment).provider.wrap(ROOT, "deployment")


# -- calls and refusals ----------------------------------------------------------------------------


def test_a_start_costs_one_call(running: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold start waits for KMS several times, and a fleet of Lambdas is throttled."""
    proxy = FaultyKms(running.endpoint)
    try:
        kms, store = led_to(running, monkeypatch, proxy.endpoint), MemoryKeyringStore()
        provisioning.create_keyring(store, kms.provider, ManualClock())
        made = list(proxy.operations)
        proxy.operations.clear()
        LiveKeyring(store, kms.provider)
        assert (made, proxy.operations) == (["GenerateDataKey"], ["Decrypt"])
    finally:
        proxy.stop()


def test_the_message_is_of_the_sdks_own_format_with_commitment(kms: Kms, message: bytes) -> None:
    """A recovery key cannot be added, or a message opens under two keys to two roots."""
    assert message[0] == 2
    assert int.from_bytes(message[1:3], "big") == 0x0478
    assert b"deployment" in message
    assert b"strongroom-keyring-root" in message
    assert kms.emulated.key_arn.encode() in message


def test_kms_itself_refuses_another_deployments_context(kms: Kms, message: bytes) -> None:
    """Whoever may call Decrypt opens every deployment's root, in whatever name."""
    with pytest.raises(StrongroomError):
        kms.provider.unwrap(message.replace(b"deployment", b"Deployment"), "Deployment")


@pytest.mark.parametrize(
    ("part", "distance"), [("body", 1), ("frame", 70), ("commitment", 90), ("data key", 140)]
)
def test_a_changed_message_is_an_integrity_error(
    kms: Kms, message: bytes, part: str, distance: int
) -> None:
    """A damaged keyring looks like an outage of KMS, or ends in a stack trace."""
    changed = bytearray(message)
    changed[-distance] ^= 1
    with pytest.raises(IntegrityError):
        pytest.fail(f"{part}: {kms.provider.unwrap(bytes(changed), 'deployment')!r}")


@pytest.mark.parametrize("kept", [0, 100, -1], ids=str)
def test_a_truncated_message_is_an_integrity_error(kms: Kms, message: bytes, kept: int) -> None:
    """A keyring that was cut short looks like an outage of KMS."""
    with pytest.raises(IntegrityError):
        kms.provider.unwrap(message[:kept], "deployment")


def test_another_key_of_the_same_kms_is_refused(kms: Kms, message: bytes) -> None:
    """A wrong setting of the master key goes unnoticed until it is rotated away."""
    arn = kms.emulated.key_arn
    other = KmsKeyProvider(arn[:-12] + "000000000000")
    with pytest.raises(IntegrityError) as failure:
        other.unwrap(message, "deployment")
    assert "000000000000" in failure.value.detail


def test_a_key_that_does_not_exist_is_named(kms: Kms) -> None:
    """An operator with a wrong key id gets a stack trace."""
    other = KmsKeyProvider(kms.emulated.key_arn[:-12] + "000000000000")
    with pytest.raises(UnavailableError, match=r"KMS does not serve the key .*000000000000"):
        other.wrap(ROOT, "deployment")


def test_a_stopped_kms_is_one_clear_line(
    running: EmulatedKms, monkeypatch: pytest.MonkeyPatch, message: bytes
) -> None:
    """During an outage of KMS a start hangs, or says nothing that helps."""
    silent = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    silent.server_close()
    kms = led_to(running, monkeypatch, f"http://127.0.0.1:{silent.server_port}")
    uses: list[Callable[[], bytes]] = [
        lambda: kms.provider.unwrap(message, "deployment"),
        lambda: kms.provider.wrap(ROOT, "deployment"),
    ]
    for use in uses:
        with pytest.raises(UnavailableError) as failure:
            use()
        assert failure.value.retry_after_s is not None
        assert kms.emulated.key_arn in failure.value.detail
        assert "\n" not in failure.value.detail


REFUSALS: list[tuple[str, int, type[StrongroomError]]] = [
    ("AccessDeniedException", 400, UnavailableError),
    ("DisabledException", 400, UnavailableError),
    ("KMSInvalidStateException", 400, UnavailableError),
    ("NotFoundException", 400, UnavailableError),
    ("KMSInternalException", 500, UnavailableError),
    ("InvalidCiphertextException", 400, IntegrityError),
    ("IncorrectKeyException", 400, IntegrityError),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=[code for code, _, _ in REFUSALS])
def test_a_refusal_of_kms_is_told_from_a_damaged_keyring(
    running: EmulatedKms,
    monkeypatch: pytest.MonkeyPatch,
    message: bytes,
    refusal: tuple[str, int, type[StrongroomError]],
) -> None:
    """A missing permission or a disabled key looks like an attack, or damage like an outage."""
    code, status, expected = refusal
    refusing = FaultyKms(running.endpoint)
    refusing.fail(Fault(code, status))
    try:
        kms = led_to(running, monkeypatch, refusing.endpoint)
        with pytest.raises(StrongroomError) as failure:
            kms.provider.unwrap(message, "deployment")
    finally:
        refusing.stop()
    assert isinstance(failure.value, expected)
    if expected is UnavailableError:
        assert kms.emulated.key_arn in failure.value.detail


UNWRAP = """
import sys
from main_api.adapters.keys.kms import KmsKeyProvider
from strongroom import logs
from strongroom.errors import StrongroomError
logs.configure("tester")
try:
    KmsKeyProvider(sys.argv[1]).unwrap(bytes.fromhex(sys.argv[2]), "deployment")
except StrongroomError as error:
    sys.stderr.write(error.detail + "\\n")
    sys.exit(1)
"""


def test_an_outage_leaves_no_stack_trace_of_a_library(kms: Kms, message: bytes) -> None:
    """An operator has to find the one clear line among a library's hundred lines of traceback."""
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", UNWRAP, kms.emulated.key_arn, message.hex()],
        env={**kms.environment, "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("\n") == 1


# -- the emulation ---------------------------------------------------------------------------------


FORMER_LIFE = """
import os, sys
from pathlib import Path
from cli.emulation.kms import EmulatedKms
from main_api.adapters.keys.kms import KmsKeyProvider
kms = EmulatedKms(Path(sys.argv[1]))
kms.start()
os.environ.update(kms.environment())
sys.stdout.write(KmsKeyProvider(kms.key_arn).wrap(bytes.fromhex(sys.argv[2]), "deployment").hex())
sys.stdout.flush()
os._exit(0)
"""


def test_a_restarted_emulation_opens_what_it_has_wrapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`strongroom up` cannot read its own data after a restart."""
    kept = tmp_path / "master-key.json"
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", FORMER_LIFE, str(kept), ROOT.hex()],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    emulated = EmulatedKms(kept)
    emulated.start()
    try:
        provider = led_to(emulated, monkeypatch).provider
        assert provider.unwrap(bytes.fromhex(ended.stdout), "deployment") == ROOT
    finally:
        emulated.stop()


def test_the_kept_key_is_private(kms: Kms, kept_key: Path) -> None:
    """Every user of the machine can open the keyring."""
    kept: dict[str, Any] = json.loads(kept_key.read_text())
    assert len(base64.b64decode(kept["material"])) == 32
    assert kms.emulated.key_arn.endswith(kept["key_id"])
    assert kept_key.stat().st_mode & 0o777 == 0o600
