"""AEAD under derived subkeys, HMAC over parts: against the standards."""

import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from strongroom.crypto import aead, mac
from strongroom.errors import IntegrityError
from tests.support.bytes_changed import flipped_bits, truncations

KEY = bytes(range(32))
IV = bytes(range(12))

# -- aead ------------------------------------------------------------------------------------------


def hkdf_expand(key: bytes, info: bytes) -> bytes:
    """Return the first 32 bytes of HKDF-Expand-SHA256 (RFC 5869 section 2.3), computed here."""
    return hmac.digest(key, info + b"\x01", "sha256")


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=20), st.binary(max_size=40))
def test_a_subkey_is_hkdf_expand_over_purpose_and_context(
    key: bytes, purpose: bytes, context: bytes
) -> None:
    """A restored backup or another implementation cannot derive the keys of stored files."""
    info = len(purpose).to_bytes(2, "big") + purpose + context
    assert aead.subkey(key, purpose, context) == hkdf_expand(key, info)


def test_the_boundary_between_purpose_and_context_cannot_be_moved() -> None:
    """Two different uses of a key share a subkey."""
    uses = [(b"ab", b"c"), (b"a", b"bc"), (b"abc", b""), (b"", b"abc"), (b"", b"\0\2abc")]
    assert len({aead.subkey(KEY, *use) for use in uses}) == len(uses)


@given(st.binary(max_size=100), st.binary(max_size=50))
def test_sealing_is_aes_256_gcm(plaintext: bytes, aad: bytes) -> None:
    """What is stored is not what the header says it is (NIST SP 800-38D)."""
    subkey = hkdf_expand(KEY, b"\x00\x01pcontext")
    sealed = aead.Cipher(KEY, b"p", b"context").seal(IV, plaintext, aad)
    assert sealed == AESGCM(subkey).encrypt(IV, plaintext, aad)
    assert len(sealed) == len(plaintext) + aead.TAG_BYTES
    assert aead.Cipher(KEY, b"p", b"context").open(IV, sealed, aad) == plaintext


def test_whatever_is_not_as_it_was_sealed_does_not_open() -> None:
    """A changed byte goes unnoticed."""
    cipher = aead.Cipher(KEY, b"purpose", b"context")
    sealed = cipher.seal(IV, b"plaintext", b"aad")
    others: list[Callable[[], bytes]] = [
        lambda: aead.Cipher(bytes(32), b"purpose", b"context").open(IV, sealed, b"aad"),
        lambda: aead.Cipher(KEY, b"Purpose", b"context").open(IV, sealed, b"aad"),
        lambda: aead.Cipher(KEY, b"purpose", b"Context").open(IV, sealed, b"aad"),
        lambda: cipher.open(IV[:-1] + b"\xff", sealed, b"aad"),
        lambda: cipher.open(IV, sealed, b"aae"),
        lambda: cipher.open(IV, sealed, b""),
        lambda: cipher.open(IV, sealed + b"\0", b"aad"),
    ]
    for _, changed in [*flipped_bits(sealed), *truncations(sealed)]:
        others.append(lambda changed=changed: cipher.open(IV, changed, b"aad"))  # type: ignore[misc]
    for other in others:
        with pytest.raises(IntegrityError):
            other()


@pytest.mark.parametrize("size", [0, 1, 7, 11, 13, 16, 128, 129, 1_000])
def test_an_iv_of_another_length_is_an_integrity_error(size: int) -> None:
    """A header with a broken IV ends in an internal error."""
    cipher = aead.Cipher(KEY, b"purpose", b"context")
    with pytest.raises(IntegrityError):
        cipher.open(bytes(size), cipher.seal(IV, b"plaintext", b""), b"")


def test_keys_and_ivs_are_fresh() -> None:
    """Two files are encrypted under the same key and IV, and both can be read."""
    keys, ivs = {aead.new_key() for _ in range(1_000)}, {aead.new_iv() for _ in range(1_000)}
    assert (len(keys), {len(key) for key in keys}) == (1_000, {32})
    assert (len(ivs), {len(iv) for iv in ivs}) == (1_000, {12})


# -- mac -------------------------------------------------------------------------------------------

parts = st.lists(st.binary(max_size=6), max_size=4)


@given(parts)
def test_a_tag_is_hmac_sha256_over_length_and_content_of_each_part(some: list[bytes]) -> None:
    """File names and configuration MACs change with an update, and nothing verifies any more."""
    message = b"".join(len(part).to_bytes(4, "big") + part for part in some)
    assert mac.tag(KEY, *some) == hmac.digest(KEY, message, "sha256")
    mac.verify(KEY, mac.tag(KEY, *some), *some)


@given(parts, parts)
def test_boundaries_between_parts_cannot_be_moved(one: list[bytes], other: list[bytes]) -> None:
    """Database "a" with key "bc" and database "ab" with key "c" are one file."""
    assert (mac.tag(KEY, *one) == mac.tag(KEY, *other)) == (one == other)


def test_only_the_whole_tag_verifies() -> None:
    """A forged or cut tag passes."""
    tag = mac.tag(KEY, b"part")
    wrong = [changed for _, changed in [*flipped_bits(tag), *truncations(tag)]]
    for expected in [*wrong, tag + b"\0", bytes(32)]:
        with pytest.raises(IntegrityError):
            mac.verify(KEY, expected, b"part")
    for key, given_parts in [(bytes(32), (b"part",)), (KEY, (b"par", b"t")), (KEY, ())]:
        with pytest.raises(IntegrityError):
            mac.verify(key, tag, *given_parts)
