"""The sender's side of HPKE, base mode, written from RFC 9180 alone to check a library against.

Only DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256; the numbers in brackets are sections.
"""

import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

AES_128_GCM = 1
AES_256_GCM = 2
_KEY_BYTES = {AES_128_GCM: 16, AES_256_GCM: 32}
_KEM_X25519 = (0x20).to_bytes(2, "big")
_KDF_SHA256 = (1).to_bytes(2, "big")


def seal(
    public_key: bytes,
    info: bytes,
    aad: bytes,
    plaintext: bytes,
    *,
    ephemeral: X25519PrivateKey,
    aead_id: int = AES_256_GCM,
) -> bytes:
    """Return the encapsulated key and, behind it, the ciphertext [6.1]."""
    enc = ephemeral.public_key().public_bytes_raw()
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(public_key))
    shared = _shared_secret(dh, enc + public_key)
    suite = b"HPKE" + _KEM_X25519 + _KDF_SHA256 + aead_id.to_bytes(2, "big")
    context = (
        b"\x00"  # mode_base
        + _extract(suite, b"", b"psk_id_hash", b"")
        + _extract(suite, b"", b"info_hash", info)
    )
    secret = _extract(suite, shared, b"secret", b"")
    key = _expand(suite, secret, b"key", context, _KEY_BYTES[aead_id])
    base_nonce = _expand(suite, secret, b"base_nonce", context, 12)
    return enc + AESGCM(key).encrypt(base_nonce, plaintext, aad)


def _shared_secret(dh: bytes, kem_context: bytes) -> bytes:
    """ExtractAndExpand [4.1]."""
    suite = b"KEM" + _KEM_X25519
    return _expand(suite, _extract(suite, b"", b"eae_prk", dh), b"shared_secret", kem_context, 32)


def _extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """LabeledExtract [4]."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand [4]; one block is enough for all that is derived here."""
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labeled + b"\x01", "sha256")[:length]
