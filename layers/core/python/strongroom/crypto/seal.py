"""Keys sealed to a worker with HPKE, RFC 9180: base mode, X25519, HKDF-SHA256, AES-256-GCM.

The `info` binds deployment, worker, purpose and key id, so that a sealed key which is replayed to
another worker, or passed off as another key, does not open. Who sealed it is proven by the mutual
TLS of the subscription, not by HPKE.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from strongroom.errors import IntegrityError, InvalidArgumentError

PUBLIC_KEY_BYTES: Final = 32
_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def new_private_key() -> X25519PrivateKey:
    """Return a fresh private key; it lives in memory only."""
    return X25519PrivateKey.generate()


def public_bytes(private_key: X25519PrivateKey) -> bytes:
    """Return the 32 bytes that the other side seals to."""
    return private_key.public_key().public_bytes_raw()


def info(deployment: str, worker_id: str, purpose: str, key_id: str) -> bytes:
    """Return the binding of one sealed key."""
    parts = ("strongroom/worker-key/v1", deployment, worker_id, purpose, key_id)
    return b"".join([len(part.encode()).to_bytes(2, "big") + part.encode() for part in parts])


def seal(public_key: bytes, material: bytes, binding: bytes) -> bytes:
    """Return the encapsulated key followed by the ciphertext.

    Raises:
        InvalidArgumentError: `public_key` is not an X25519 public key.
    """
    try:
        return _SUITE.encrypt(material, X25519PublicKey.from_public_bytes(public_key), binding)
    except ValueError as error:
        raise InvalidArgumentError("pubkey is the 32 bytes of an X25519 public key") from error


def unseal(private_key: X25519PrivateKey, sealed: bytes, binding: bytes) -> bytes:
    """Return the key material.

    Raises:
        IntegrityError: Sealed to another key, for another binding, or changed.
    """
    try:
        return _SUITE.decrypt(sealed, private_key, binding)
    except (InvalidTag, ValueError) as error:
        raise IntegrityError("the sealed key does not open") from error
