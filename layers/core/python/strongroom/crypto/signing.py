"""Ed25519 (RFC 8032): signatures that anybody can verify who has the public key."""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.errors import IntegrityError

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class SigningKey:
    """A private key."""

    __slots__ = ("_key",)

    def __init__(self, seed: bytes) -> None:
        """Take the 32 bytes that it is made of."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that verify what it signs."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of a signature."""
        return self._key.sign(message)


def verify(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Check a signature.

    Raises:
        IntegrityError: It is not that of the message under this key, or the key is none.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise IntegrityError("the signature does not verify") from error
