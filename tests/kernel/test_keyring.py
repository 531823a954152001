"""The keyring's file: opened with the root alone, changed by nobody, showing no key."""

import base64
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from strongroom import keyring
from strongroom.crypto import aead, mac
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    KeyDestroyedError,
    NotFoundError,
    UnavailableError,
)
from strongroom.keyring import Key, Keyring, KeySet, Purpose, State
from tests.support.bytes_changed import flipped_bits, replaced_bytes, truncations
from tests.support.main_fakes import FakeKeyProvider

AT = "2026-01-01T00:00:00.000Z"
ROOT = aead.new_key()
PROVIDER = FakeKeyProvider()
MESSAGE = PROVIDER.wrap(ROOT, "deployment")


def a_keyring() -> Keyring:
    """Return a keyring whose data key was rotated once."""
    made = keyring.new("deployment", AT)
    return keyring.with_active(made, keyring.new_key(Purpose.DATA, "2026-02-01T00:00:00.000Z"))


KEYS = a_keyring()
RAW = keyring.encode(KEYS, ROOT, MESSAGE)


def opened(raw: bytes) -> Keyring:
    """Open a keyring's file with the provider of the deployment."""
    return keyring.decode(raw, PROVIDER.unwrap)[0]


def test_a_keyring_survives() -> None:
    """After a restart nothing can be decrypted."""
    assert keyring.decode(RAW, PROVIDER.unwrap) == (KEYS, ROOT, MESSAGE)


def test_opening_asks_the_key_provider_once() -> None:
    """A start costs as many KMS calls as there are keys, and fails when one of them does."""
    provider = FakeKeyProvider()
    raw = keyring.encode(KEYS, ROOT, provider.wrap(ROOT, "deployment"))
    provider.calls.clear()
    keyring.decode(raw, provider.unwrap)
    assert provider.calls == ["unwrap"]


def test_a_new_keyring_has_one_fresh_key_for_each_purpose() -> None:
    """A key serves two purposes, or two deployments share one."""
    one, other = keyring.new("one", AT), keyring.new("other", AT)
    assert [key.purpose for key in one.keys] == list(Purpose)
    assert {key.state for key in one.keys} == {State.ACTIVE}
    materials = {key.material for key in (*one.keys, *other.keys)}
    assert len(materials) == 2 * len(Purpose)
    assert {len(material) for material in materials} == {32}
    assert len({key.key_id for key in (*one.keys, *other.keys)}) == 2 * len(Purpose)


def shapes(secret: bytes) -> list[bytes]:
    """Return the ways in which a secret could stand in a text."""
    encoded = base64.b64encode(secret)
    return [secret, secret.hex().encode(), encoded, encoded.rstrip(b"="), repr(secret).encode()]


def test_the_file_shows_no_key() -> None:
    """Whoever reads the shared directory can decrypt it."""
    for secret in (ROOT, *(key.material for key in KEYS.keys)):
        assert not [shape for shape in shapes(secret) if shape in RAW]


def test_no_representation_shows_a_key() -> None:
    """A log line or a traceback with a keyring in it shows the data key."""
    for key in KEYS.keys:
        key_set = KeySet((replace(key, state=State.ACTIVE),))
        for shown in (repr(KEYS), str(KEYS), repr(key), repr(key_set), str(key_set)):
            assert not [shape for shape in shapes(key.material) if shape in shown.encode()]


def test_every_changed_bit_of_the_file_is_refused() -> None:
    """Whoever can write the disk revives an old key, or makes the newest one be forgotten."""
    for what, changed in flipped_bits(RAW):
        with pytest.raises(IntegrityError):
            pytest.fail(
                f"{what}: opened, {'the same' if opened(changed) == KEYS else 'other'} keys"
            )


def test_every_other_value_of_the_mac_is_refused() -> None:
    """A changed byte of the file goes unnoticed: its MAC can be written in several ways."""
    begin = RAW.index(b'"mac": "') + len(b'"mac": "')
    for what, changed in replaced_bytes(RAW, begin, RAW.index(b'"', begin)):
        with pytest.raises(IntegrityError):
            pytest.fail(
                f"{what}: opened, {'the same' if opened(changed) == KEYS else 'other'} keys"
            )


def test_every_truncated_file_is_refused() -> None:
    """A keyring that was cut short opens with fewer keys."""
    for what, changed in truncations(RAW.rstrip(b"\n")):
        with pytest.raises(IntegrityError):
            pytest.fail(f"{what}: {opened(changed).generation}")


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"\xff", b"[]", b"{}", b"null", b'{"format": 1}', RAW + b"{}"),
        '{"format":1,"deployment":"d","generation":1,"root":"é","keys":[],"mac":""}'.encode(),
        '{"format":1,"deployment":"d","generation":1,"root":"","keys":[],"mac":"é"}'.encode(),
    ],
)
def test_what_is_no_keyring_is_refused(raw: bytes) -> None:
    """A foreign file in the keyring's place ends in an internal error."""
    with pytest.raises(IntegrityError):
        opened(raw)


def test_a_newer_format_is_refused_with_its_number() -> None:
    """After a downgrade nobody can tell why nothing starts."""
    with pytest.raises(IntegrityError, match=r"format 2 .*not known"):
        opened(RAW.replace(b'"format": 1', b'"format": 2'))


def with_mac(file: dict[str, Any], root: bytes = ROOT) -> bytes:
    """Return a keyring's file whose MAC is right, made from the documented format."""
    key = aead.subkey(root, b"strongroom/keyring-mac/v1", b"")
    signed = msgspec.json.encode({**file, "mac": ""})
    return msgspec.json.encode({**file, "mac": base64.b64encode(mac.tag(key, signed)).decode()})


def test_the_mac_made_here_is_the_right_one() -> None:
    """The tests below would be worth nothing."""
    assert opened(with_mac(json.loads(RAW))) == KEYS


def swapped(names: list[str]) -> dict[str, Any]:
    """Return the file with some members of its first two keys swapped."""
    file: dict[str, Any] = json.loads(RAW)
    one, other = file["keys"][:2]
    for name in names:
        one[name], other[name] = other[name], one[name]
    return file


@pytest.mark.parametrize(
    "names",
    [["iv", "wrapped"], ["purpose"], ["key_id"], ["wrapped"], ["key_id", "purpose"]],
    ids=str,
)
def test_a_key_is_bound_to_its_purpose_and_id(names: list[str]) -> None:
    """A data key becomes a token's signing key, or an old key gets a new one's id."""
    file = swapped(names)
    for raw in (msgspec.json.encode(file), with_mac(file)):
        with pytest.raises(IntegrityError):
            opened(raw)


def test_a_key_is_bound_to_its_deployment() -> None:
    """A key that was copied from a test deployment is used in production."""
    elsewhere = keyring.encode(replace(KEYS, deployment="elsewhere"), ROOT, MESSAGE)
    file = json.loads(RAW)
    file["keys"][0] = json.loads(elsewhere)["keys"][0]
    with pytest.raises(IntegrityError):
        opened(with_mac(file))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["keys"].pop(),
        lambda file: file["keys"].reverse(),
        lambda file: file["keys"].append(file["keys"][0]),
        lambda file: file.update(generation=file["generation"] - 1),
        lambda file: file["keys"][0].update(state="active"),
        lambda file: file["keys"][-1].update(state="decrypt-only"),
        lambda file: file["keys"][0].update(created_at="2027-01-01T00:00:00.000Z"),
    ],
)
def test_no_key_can_be_dropped_and_no_state_be_changed(change: Any) -> None:  # noqa: ANN401 - any
    """Whoever can write the disk makes a retired key active again."""
    file = json.loads(RAW)
    change(file)
    with pytest.raises(IntegrityError):
        opened(msgspec.json.encode(file))


def test_another_deployments_root_message_is_refused() -> None:
    """Whoever may use the KMS key puts a root of their own in place of the deployment's."""
    theirs = aead.new_key()
    raw = keyring.encode(KEYS, theirs, PROVIDER.wrap(theirs, "elsewhere"))
    with pytest.raises(IntegrityError):
        opened(raw)


def test_a_root_message_of_another_provider_is_refused() -> None:
    """A keyring opens under a master key that is not the deployment's."""
    with pytest.raises(IntegrityError):
        opened(keyring.encode(KEYS, ROOT, FakeKeyProvider().wrap(ROOT, "deployment")))


def test_another_root_of_the_same_deployment_is_refused() -> None:
    """A root that was put into an old file opens it."""
    file = json.loads(RAW)
    file["root"] = base64.b64encode(PROVIDER.wrap(aead.new_key(), "deployment")).decode()
    with pytest.raises(IntegrityError):
        opened(msgspec.json.encode(file))


def test_a_provider_that_is_down_is_no_integrity_error() -> None:
    """An outage of KMS looks like an attack."""
    provider = FakeKeyProvider()
    provider.down = True
    with pytest.raises(UnavailableError):
        keyring.decode(RAW, provider.unwrap)


def test_rotation_makes_one_key_active_and_keeps_the_former_one() -> None:
    """After a rotation old files do not open, or new ones are written under the old key."""
    before = keyring.new("deployment", AT)
    new = keyring.new_key(Purpose.DATA, AT)
    after = keyring.with_active(before, new)
    old = before.active(Purpose.DATA)
    assert after.active(Purpose.DATA) == new
    assert after.find(old.key_id, Purpose.DATA) == replace(old, state=State.DECRYPT_ONLY)
    assert after.generation == before.generation + 1
    assert [k for k in after.keys if k.purpose != Purpose.DATA] == [
        k for k in before.keys if k.purpose != Purpose.DATA
    ]


def test_a_file_of_before_there_was_escrow_is_as_it_was() -> None:
    """A deployment that was made by an earlier version does not start any more."""
    assert b"recovery" not in RAW
    assert opened(with_mac(json.loads(RAW))).recovery == ""
    named = keyring.with_recovery(KEYS, "SHA256:x")
    raw = keyring.encode(named, ROOT, MESSAGE)
    assert opened(raw) == named
    assert named.generation == KEYS.generation + 1
    assert list(json.loads(raw)) == [*list(json.loads(RAW))[:-1], "recovery", "mac"]
    assert keyring.with_active(named, keyring.new_key(Purpose.DATA, AT)).recovery == "SHA256:x"


def test_a_key_is_found_under_its_own_purpose_only() -> None:
    """A token that names the data key as its signing key is verified with it."""
    data = KEYS.active(Purpose.DATA)
    with pytest.raises(UnavailableError):
        KEYS.find(data.key_id, Purpose.TOKEN_SIGNING)
    with pytest.raises(UnavailableError):
        replace(KEYS, keys=()).active(Purpose.DATA)


def test_workers_get_no_key_that_makes_tokens_or_clients() -> None:
    """A Processing Worker that was broken into issues itself an administrator's token."""
    purposes = {key.purpose for key in KEYS.of(keyring.WORKER_PURPOSES)}
    assert purposes == {Purpose.DATA, Purpose.NAMING, Purpose.CONFIGURATION}


def test_a_key_set_knows_its_active_key_and_the_older_ones() -> None:
    """A reader cannot open what was written before the last rotation."""
    keys: tuple[Key, ...] = KEYS.of(frozenset({Purpose.DATA}))
    key_set = KeySet(keys)
    assert len(keys) == 2
    active = KEYS.active(Purpose.DATA)
    assert key_set.active() == (active.key_id, active.material)
    assert [key_set.material(key.key_id) for key in keys] == [key.material for key in keys]
    with pytest.raises(IntegrityError):
        key_set.material("0000000000000000")


def _with_destroyed_key() -> tuple[Keyring, str]:
    first = keyring.new("deployment", AT)
    old = first.active(Purpose.DATA).key_id
    rotated = keyring.with_active(first, keyring.new_key(Purpose.DATA, AT))
    return keyring.without(rotated, old), old


def test_a_destroyed_key_leaves_its_id_and_nothing_else() -> None:
    """A key that was destroyed can still be taken out of the keyring's file."""
    provider = FakeKeyProvider()
    destroyed, old = _with_destroyed_key()
    root = bytes(32)
    raw = keyring.encode(destroyed, root, provider.wrap(root, "deployment"))
    entry = next(entry for entry in msgspec.json.decode(raw)["keys"] if entry["key_id"] == old)
    assert (entry["iv"], entry["wrapped"], entry["state"]) == ("", "", "destroyed")
    reopened, _, _ = keyring.decode(raw, provider.unwrap)
    assert reopened == destroyed
    assert reopened.find(old, Purpose.DATA).material == b""


def test_what_lies_under_a_destroyed_key_says_so() -> None:
    """A shredded entity looks damaged, or its key is asked for again and again."""
    destroyed, old = _with_destroyed_key()
    keys = KeySet(destroyed.of(frozenset({Purpose.DATA})))
    assert keys.has(old)
    assert keys.destroyed() == {old}
    with pytest.raises(KeyDestroyedError, match=old):
        keys.material(old)


def test_a_destroyed_key_never_comes_back() -> None:
    """The next rotation makes a key without material one to decrypt with."""
    destroyed, old = _with_destroyed_key()
    rotated = keyring.with_active(destroyed, keyring.new_key(Purpose.DATA, AT))
    assert rotated.find(old, Purpose.DATA).state == State.DESTROYED
    assert [key.state for key in rotated.of(frozenset({Purpose.DATA}))] == [
        State.DESTROYED,
        State.DECRYPT_ONLY,
        State.ACTIVE,
    ]


def test_only_a_former_data_key_is_destroyed() -> None:
    """The active key, the naming key or one that is not there is destroyed."""
    destroyed, old = _with_destroyed_key()
    with pytest.raises(ConflictError, match="rotate first"):
        keyring.without(destroyed, destroyed.active(Purpose.DATA).key_id)
    with pytest.raises(ConflictError, match="already"):
        keyring.without(destroyed, old)
    for unknown in ("nonsense", destroyed.active(Purpose.NAMING).key_id):
        with pytest.raises(NotFoundError):
            keyring.without(destroyed, unknown)
