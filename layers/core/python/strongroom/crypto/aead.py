"""AES-256-GCM under derived subkeys: the only module that touches the AEAD primitives.

Every use derives its own subkey with HKDF-Expand-SHA256 (RFC 5869; the extract step is skipped as
its section 3.3 allows, because every input key is 256 uniformly random bits) over a purpose label
and a context. So the bound of 2^32 random 96-bit IVs per key (NIST SP 800-38D section 8.3) counts
per (purpose, context), not for the whole deployment.
"""

import os
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.crypto import secret
from strongroom.crypto.secret import Material
from strongroom.errors import IntegrityError

ALGORITHM: Final = "AES-256-GCM"
KEY_BYTES: Final = 32
IV_BYTES: Final = 12
TAG_BYTES: Final = 16


def new_key() -> bytes:
    """Return 256 random bits."""
    return os.urandom(KEY_BYTES)


def new_iv() -> bytes:
    """Return a random 96-bit IV."""
    return os.urandom(IV_BYTES)


def subkey(key: Material, purpose: bytes, context: bytes) -> bytes:
    """Return the 256-bit key for one purpose and context; raises as `Secret.use`."""
    # Section 2.3 of the RFC: 256 bits are T(1) alone, the tag of `info` and the number 1.
    return secret.hmac_sha256(key, _label(purpose) + context + b"\x01")


@cache
def _label(purpose: bytes) -> bytes:
    """Return a purpose, of which there are few, after its length."""
    return len(purpose).to_bytes(2, "big") + purpose


class Cipher:
    """AES-256-GCM under one subkey."""

    __slots__ = ("_aead",)

    def __init__(self, key: Material, purpose: bytes, context: bytes) -> None:
        """Derive the subkey of (purpose, context) from a 256-bit key; raises as `Secret.use`."""
        # As `subkey`: every file that is read or written comes through here.
        self._aead = AESGCM(secret.hmac_sha256(key, _label(purpose) + context + b"\x01"))

    def seal(self, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Return ciphertext and 16-byte tag; `iv` has to be fresh from `new_iv`."""
        return self._aead.encrypt(iv, plaintext, aad)

    def open(self, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            IntegrityError: Ciphertext, tag, IV, AAD or key are not those of the sealing.
        """
        try:
            return self._aead.decrypt(iv, ciphertext, aad)
        except (InvalidTag, ValueError) as error:
            raise IntegrityError("the authentication tag does not verify") from error
