"""Keys sealed to a worker with HPKE, RFC 9180: base mode, HKDF-SHA256, AES-256-GCM.

Two suites differ in their KEM: X25519, and the hybrid of ML-KEM-768 (FIPS 203) and X25519, which
stays closed to somebody who records the traffic now and has a quantum computer later
(MLKEM768-X25519 of draft-irtf-cfrg-concrete-hybrid-kems, also known as X-Wing).

    suite             public key                             sealed key, in front of ciphertext, tag
    x25519              32 bytes                               32 bytes: X25519
    mlkem768-x25519   1216 bytes: ML-KEM 1184, X25519 32     1120 bytes: ML-KEM 1088, X25519 32

The `info` binds suite, deployment, worker, purpose and key id, so that a sealed key which is
replayed to another worker, or passed off as another key, does not open. Who sealed it is proven by
the mutual TLS of the subscription, not by HPKE.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from strongroom.errors import IntegrityError, InvalidArgumentError


class Suite(StrEnum):
    """How keys are sealed; the value is the name in settings and messages."""

    X25519 = "x25519"
    MLKEM768_X25519 = "mlkem768-x25519"


SEALING_VARIABLE: Final = "STRONGROOM_SEALING"
PUBLIC_KEY_BYTES: Final = {Suite.X25519: 32, Suite.MLKEM768_X25519: 1184 + 32}
_MLKEM_BYTES: Final = 1184
_HPKE: Final = {
    Suite.X25519: hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    Suite.MLKEM768_X25519: hpke.Suite(
        hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM
    ),
}
# The label tells the suites apart. That of X25519 is as old as the format: workers and Main Workers
# that know no other suite, and name none, go on understanding each other.
_LABELS: Final = {
    Suite.X25519: "strongroom/worker-key/v1",
    Suite.MLKEM768_X25519: "strongroom/worker-key/mlkem768-x25519/v1",
}


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key pair of one suite, made for one call; it lives in memory only."""

    suite: Suite
    public: bytes
    private: X25519PrivateKey | hpke.MLKEM768X25519PrivateKey = field(repr=False)


def suite(name: str) -> Suite:
    """Return the suite of a name; an empty one is that of a worker which knows X25519 alone.

    Raises:
        InvalidArgumentError: There is no such suite.
    """
    try:
        return Suite(name or Suite.X25519)
    except ValueError as error:
        raise InvalidArgumentError(
            f"keys are sealed with one of: {', '.join(Suite)}; nothing else is known"
        ) from error


def sealing(environment: Mapping[str, str]) -> Suite:
    """Return the suite that `STRONGROOM_SEALING` names, X25519 without it; raises as `suite`."""
    try:
        return suite(environment.get(SEALING_VARIABLE, ""))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{SEALING_VARIABLE}: {error.detail}") from error


def new_private_key(suite: Suite = Suite.X25519) -> PrivateKey:
    """Return a fresh key pair."""
    x25519 = X25519PrivateKey.generate()
    public = x25519.public_key().public_bytes_raw()
    if suite == Suite.X25519:
        return PrivateKey(suite, public, x25519)
    mlkem = MLKEM768PrivateKey.generate()
    hybrid = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
    return PrivateKey(suite, mlkem.public_key().public_bytes_raw() + public, hybrid)


def public_bytes(private_key: PrivateKey) -> bytes:
    """Return what the other side seals to, `PUBLIC_KEY_BYTES` of its suite."""
    return private_key.public


def info(
    deployment: str, worker_id: str, purpose: str, key_id: str, suite: Suite = Suite.X25519
) -> bytes:
    """Return the binding of one sealed key."""
    parts = (_LABELS[suite], deployment, worker_id, purpose, key_id)
    return b"".join([len(part.encode()).to_bytes(2, "big") + part.encode() for part in parts])


def seal(public_key: bytes, material: bytes, binding: bytes, suite: Suite = Suite.X25519) -> bytes:
    """Return the encapsulated key followed by the ciphertext.

    Raises:
        InvalidArgumentError: `public_key` is not one of the suite.
    """
    if len(public_key) != PUBLIC_KEY_BYTES[suite]:
        raise InvalidArgumentError(
            f"pubkey is {PUBLIC_KEY_BYTES[suite]} bytes for {suite}, not {len(public_key)}"
        )
    try:
        return _HPKE[suite].encrypt(material, _public_key(suite, public_key), binding)
    except ValueError as error:
        raise InvalidArgumentError(f"pubkey is not a public key of {suite}") from error


def unseal(private_key: PrivateKey, sealed: bytes, binding: bytes) -> bytes:
    """Return the key material.

    Raises:
        IntegrityError: Sealed to another key, for another binding, with another suite, or changed.
    """
    try:
        return _HPKE[private_key.suite].decrypt(sealed, private_key.private, binding)
    except (InvalidTag, ValueError) as error:
        raise IntegrityError("the sealed key does not open") from error


def _public_key(suite: Suite, raw: bytes) -> X25519PublicKey | hpke.MLKEM768X25519PublicKey:
    if suite == Suite.X25519:
        return X25519PublicKey.from_public_bytes(raw)
    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_BYTES]),
        X25519PublicKey.from_public_bytes(raw[_MLKEM_BYTES:]),
    )
