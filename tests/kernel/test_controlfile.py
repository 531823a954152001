"""Records under control/: encrypted, and bound to what and whose they are."""

import pytest

from strongroom import controlfile, keyring
from strongroom.errors import IntegrityError
from strongroom.keyring import KeySet, Purpose
from tests.support.bytes_changed import flipped_bits, truncations

AT = "2026-01-01T00:00:00.000Z"
CONTENT = b'{"client_id": "ada", "secret_mac": "abcd"}'


def control_keys() -> KeySet:
    """Return the control keys of a deployment of its own."""
    return KeySet(keyring.new("deployment", AT).of(frozenset({Purpose.CONTROL})))


def test_a_record_survives() -> None:
    """After a restart no client can log in."""
    keys = control_keys()
    raw = controlfile.encode("clients", "ada", CONTENT, keys, AT)
    assert controlfile.decode("clients", "ada", raw, keys) == CONTENT


def test_a_record_shows_nothing_of_its_content() -> None:
    """Whoever reads the shared directory learns who the clients are and what they may do."""
    # So long a name does not stand in a ciphertext by chance.
    content = CONTENT.replace(b"ada", b"ada-lovelace")
    raw = controlfile.encode("clients", "ada-lovelace", content, control_keys(), AT)
    assert b"ada-lovelace" not in raw
    assert b"secret_mac" not in raw


def test_every_changed_record_is_refused() -> None:
    """Whoever can write the disk gives a client more rights."""
    keys = control_keys()
    raw = controlfile.encode("clients", "ada", CONTENT, keys, AT)
    for what, changed in [*flipped_bits(raw), *truncations(raw), ("appended", raw + b"\0")]:
        with pytest.raises(IntegrityError):
            pytest.fail(f"{what}: {controlfile.decode('clients', 'ada', changed, keys)!r}")


@pytest.mark.parametrize(("kind", "name"), [("clients", "bob"), ("workers", "ada")])
def test_a_record_at_another_place_is_refused(kind: str, name: str) -> None:
    """Whoever can write the disk copies the administrator's record over their own."""
    keys = control_keys()
    raw = controlfile.encode("clients", "ada", CONTENT, keys, AT)
    with pytest.raises(IntegrityError):
        controlfile.decode(kind, name, raw, keys)


def test_a_record_of_another_deployment_is_refused() -> None:
    """An administrator of one deployment makes themself one of another."""
    raw = controlfile.encode("clients", "ada", CONTENT, control_keys(), AT)
    with pytest.raises(IntegrityError):
        controlfile.decode("clients", "ada", raw, control_keys())
