"""HPKE, base mode, written from RFC 9180 alone to check a library against.

DHKEM(X25519, HKDF-SHA256), and the hybrid of ML-KEM-768 and X25519, MLKEM768-X25519 of
draft-irtf-cfrg-concrete-hybrid-kems, known as X-Wing (draft-connolly-cfrg-xwing-kem); both with
HKDF-SHA256. The numbers in brackets are sections of the RFC.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

AES_128_GCM = 1
AES_256_GCM = 2
_KEY_BYTES = {AES_128_GCM: 16, AES_256_GCM: 32}
_KEM_X25519 = (0x20).to_bytes(2, "big")
_KEM_HYBRID = (0x647A).to_bytes(2, "big")
_KDF_SHA256 = (1).to_bytes(2, "big")
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_CIPHERTEXT_BYTES = 1088
_X25519_BYTES = 32
_HYBRID_LABEL = rb"\./" + rb"/^" + b"\\"


def seal(
    public_key: bytes,
    info: bytes,
    aad: bytes,
    plaintext: bytes,
    *,
    ephemeral: X25519PrivateKey,
    aead_id: int = AES_256_GCM,
) -> bytes:
    """Return the encapsulated key of X25519 and, behind it, the ciphertext [6.1]."""
    enc = ephemeral.public_key().public_bytes_raw()
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(public_key))
    shared = _shared_secret(dh, enc + public_key)
    key, nonce = _schedule(_KEM_X25519, shared, info, aead_id)
    return enc + AESGCM(key).encrypt(nonce, plaintext, aad)


def seal_hybrid(
    public_key: bytes, info: bytes, plaintext: bytes, *, ephemeral: X25519PrivateKey
) -> bytes:
    """Return the encapsulated key of the hybrid and, behind it, the ciphertext."""
    mlkem, x25519 = public_key[:_MLKEM_PUBLIC_BYTES], public_key[_MLKEM_PUBLIC_BYTES:]
    mlkem_secret, mlkem_enc = MLKEM768PublicKey.from_public_bytes(mlkem).encapsulate()
    enc = ephemeral.public_key().public_bytes_raw()
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(x25519))
    key, nonce = _schedule(_KEM_HYBRID, _combined(mlkem_secret, dh, enc, x25519), info, AES_256_GCM)
    return mlkem_enc + enc + AESGCM(key).encrypt(nonce, plaintext, b"")


def hybrid_key_pair(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    """Return the key pairs that a 32-byte seed expands to."""
    expanded = hashlib.shake_256(seed).digest(96)
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


def decapsulate_hybrid(mlkem: MLKEM768PrivateKey, x25519: X25519PrivateKey, enc: bytes) -> bytes:
    """Return the shared secret of an encapsulated key of the hybrid."""
    mlkem_enc, x25519_enc = enc[:_MLKEM_CIPHERTEXT_BYTES], enc[_MLKEM_CIPHERTEXT_BYTES:]
    dh = x25519.exchange(X25519PublicKey.from_public_bytes(x25519_enc))
    public = x25519.public_key().public_bytes_raw()
    return _combined(mlkem.decapsulate(mlkem_enc), dh, x25519_enc, public)


def open_hybrid(
    mlkem: MLKEM768PrivateKey, x25519: X25519PrivateKey, sealed: bytes, info: bytes
) -> bytes:
    """Return what was sealed with the hybrid."""
    size = _MLKEM_CIPHERTEXT_BYTES + _X25519_BYTES
    shared = decapsulate_hybrid(mlkem, x25519, sealed[:size])
    key, nonce = _schedule(_KEM_HYBRID, shared, info, AES_256_GCM)
    return AESGCM(key).decrypt(nonce, sealed[size:], b"")


def _combined(mlkem_secret: bytes, dh: bytes, enc: bytes, public_key: bytes) -> bytes:
    return hashlib.sha3_256(mlkem_secret + dh + enc + public_key + _HYBRID_LABEL).digest()


def _schedule(kem_id: bytes, shared: bytes, info: bytes, aead_id: int) -> tuple[bytes, bytes]:
    """Return key and nonce of the first message [5.1]."""
    suite = b"HPKE" + kem_id + _KDF_SHA256 + aead_id.to_bytes(2, "big")
    context = (
        b"\x00"  # mode_base
        + _extract(suite, b"", b"psk_id_hash", b"")
        + _extract(suite, b"", b"info_hash", info)
    )
    secret = _extract(suite, shared, b"secret", b"")
    key = _expand(suite, secret, b"key", context, _KEY_BYTES[aead_id])
    return key, _expand(suite, secret, b"base_nonce", context, 12)


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
