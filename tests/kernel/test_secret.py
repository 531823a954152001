"""A key that is forgotten: never used again, and never used as zeros."""

import gc
import hmac
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.crypto import aead, mac, secret
from strongroom.crypto.secret import Secret
from strongroom.errors import UnavailableError

KEY = bytes(range(32))
ZEROS = bytes(32)
IV = bytes(12)


def test_a_secret_is_as_good_as_its_key() -> None:
    """What a worker encrypts, derives or verifies is not what everybody else does."""
    held = Secret(KEY)
    assert held == KEY
    assert held != ZEROS
    assert aead.subkey(held, b"p", b"c") == aead.subkey(KEY, b"p", b"c")
    sealed = aead.Cipher(held, b"p", b"c").seal(IV, b"plaintext", b"")
    assert aead.Cipher(KEY, b"p", b"c").open(IV, sealed, b"") == b"plaintext"
    assert mac.tag(held, b"part") == mac.tag(KEY, b"part")
    mac.verify(held, mac.tag(KEY, b"part"), b"part")
    assert secret.use(held, bytes) == secret.use(KEY, bytes) == KEY
    with pytest.raises(TypeError):
        hash(held)


@given(key=st.binary(min_size=1, max_size=100), messages=st.lists(st.binary(max_size=200)))
def test_every_tag_of_a_secret_is_that_of_its_key(key: bytes, messages: list[bytes]) -> None:
    """The second file that a worker reads is decrypted under a subkey of the first one's."""
    held = Secret(key)
    for message in messages:
        assert held.hmac_sha256(message) == hmac.digest(key, message, "sha256")


def test_a_secret_shows_nothing_of_itself() -> None:
    """A log line or a traceback shows a key."""
    shown = f"{Secret(KEY)} {Secret(KEY)!r} {[Secret(KEY)]}"
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown
    assert "0001" not in shown


def test_it_is_a_copy_of_its_own() -> None:
    """One worker's end overwrites the keys of another."""
    source = bytearray(KEY)
    one, two = Secret(bytes(source)), Secret(bytes(source))
    one.overwrite()
    assert two == KEY


def test_what_is_overwritten_is_used_for_nothing() -> None:
    """An entity is encrypted under a key of zeros, which everybody has."""
    held = Secret(KEY)
    buffers: list[bytearray] = []
    held.use(buffers.append)
    mac.tag(held, b"part")
    held.overwrite()
    held.overwrite()
    assert buffers == [bytearray(32)]
    tag = mac.tag(ZEROS, b"part")
    for use in (
        lambda: held.use(bytes),
        lambda: held.hmac_sha256(b"p"),
        lambda: aead.subkey(held, b"p", b"c"),
        lambda: aead.Cipher(held, b"p", b"c"),
        lambda: mac.tag(held, b"part"),
        lambda: mac.verify(held, tag, b"part"),
        lambda: held == ZEROS,
    ):
        with pytest.raises(UnavailableError):
            use()


def test_a_secret_that_nobody_has_any_more_is_overwritten() -> None:
    """Where nobody thought of it, a key stays in memory."""
    held = Secret(KEY)
    buffers: list[bytearray] = []
    held.use(buffers.append)
    mac.tag(held, b"part")
    del held
    gc.collect()
    assert buffers == [bytearray(32)]


def test_a_use_is_before_or_after_never_in_between() -> None:
    """A key is overwritten in the middle of an encryption."""
    for _ in range(300):
        held = Secret(KEY)
        started = threading.Barrier(4)
        found: list[bytes] = []

        def derive(
            held: Secret = held,
            started: threading.Barrier = started,
            found: list[bytes] = found,
        ) -> None:
            started.wait(30)
            try:
                while True:
                    found.append(aead.subkey(held, b"p", b"c"))
            except UnavailableError:
                return

        threads = [threading.Thread(target=derive) for _ in range(3)]
        for thread in threads:
            thread.start()
        started.wait(30)
        held.overwrite()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert set(found) <= {aead.subkey(KEY, b"p", b"c")}


def test_overwriting_waits_for_a_use_under_way() -> None:
    """The same, with the overwriting held at the very moment."""
    held = Secret(KEY)
    in_use, goes_on, overwritten = threading.Event(), threading.Event(), threading.Event()
    seen: list[bytes] = []

    def slowly(key: bytearray) -> None:
        in_use.set()
        goes_on.wait(30)
        seen.append(bytes(key))

    def overwrite() -> None:
        held.overwrite()
        overwritten.set()

    user = threading.Thread(target=lambda: held.use(slowly))
    user.start()
    in_use.wait(30)
    other = threading.Thread(target=overwrite)
    other.start()
    assert not overwritten.wait(0.05)
    goes_on.set()
    user.join(30)
    other.join(30)
    assert seen == [KEY]
    assert overwritten.is_set()


def test_a_forgotten_key_is_no_damage() -> None:
    """A worker that has lost its lease tells clients that their data is damaged."""
    held = Secret(KEY)
    sealed = aead.Cipher(held, b"p", b"c").seal(IV, b"plaintext", b"")
    opener = aead.Cipher(held, b"p", b"c")
    held.overwrite()
    # What was derived before goes on working: a request under way ends, or fails by its lease.
    assert opener.open(IV, sealed, b"") == b"plaintext"
    with pytest.raises(UnavailableError):
        aead.Cipher(held, b"p", b"c").open(IV, sealed, b"")
