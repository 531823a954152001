"""The offline recovery key: RSA-4096, of which a deployment knows the public half alone.

Whoever has the private half opens every root message that was made for it, without the key
provider. It is made on an administrator's machine and never sent anywhere (docs/adr/0012).
"""

import base64
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from strongroom.errors import InvalidArgumentError

BITS: Final = 4096
_EXPONENT: Final = 65_537
_PEM_BYTES_MAX: Final = 16 * 1024
_MAKE_ONE: Final = " make one with `strongroom keys make-recovery`"


@dataclass(frozen=True, slots=True)
class RecoveryPublicKey:
    """The public half.

    Attributes:
        pem: SubjectPublicKeyInfo.
        fingerprint: "SHA256:" and the base64 of its digest, as of DER, without padding.
    """

    pem: bytes
    fingerprint: str


@dataclass(frozen=True, slots=True)
class RecoveryPrivateKey:
    """The private half; it never leaves the process of the command that uses it."""

    pem: bytes = field(repr=False)
    public: RecoveryPublicKey


def make() -> RecoveryPrivateKey:
    """Return a new key pair; this takes a second or two."""
    return _private(rsa.generate_private_key(public_exponent=_EXPONENT, key_size=BITS))


def encrypted(key: RecoveryPrivateKey, passphrase: str) -> bytes:
    """Return the private half as PKCS#8 for a file; without a passphrase it is in plaintext."""
    loaded = serialization.load_pem_private_key(key.pem, None)
    return _pem(loaded, passphrase)


def read_public(path: Path) -> RecoveryPublicKey:
    """Read the public half.

    Raises:
        InvalidArgumentError: It cannot be read, or is no RSA public key of 4096 bits or more.
    """
    raw = _read(path)
    if b"PRIVATE KEY" in raw:
        raise InvalidArgumentError(
            f"{path} is a private key: keep it offline, and name the public half here"
        )
    try:
        key = serialization.load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidArgumentError(f"{path} is not a public key in PEM") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise InvalidArgumentError(f"{path} is not an RSA key:{_MAKE_ONE}")
    _require_long(path, key.key_size)
    return _public(key)


def read_private(path: Path, passphrase: str) -> RecoveryPrivateKey:
    """Read the private half.

    Args:
        path: Where.
        passphrase: Empty where it has none.

    Raises:
        InvalidArgumentError: It cannot be read, is no such key, or the passphrase is not its own.
    """
    raw = _read(path)
    try:
        key = serialization.load_pem_private_key(raw, passphrase.encode() or None)
    except TypeError as error:
        told = "has no passphrase, but one was given" if passphrase else "needs its passphrase"
        raise InvalidArgumentError(f"{path} {told}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidArgumentError(
            f"{path} is not a private key in PEM, or the passphrase is not its own"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidArgumentError(f"{path} is not an RSA key:{_MAKE_ONE}")
    _require_long(path, key.key_size)
    return _private(key)


def _require_long(path: Path, size_bits: int) -> None:
    if size_bits < BITS:
        raise InvalidArgumentError(
            f"{path} has {size_bits} bits, a recovery key has {BITS} or more:{_MAKE_ONE}"
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_PEM_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidArgumentError(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > _PEM_BYTES_MAX:
        raise InvalidArgumentError(f"{path} is longer than any key")
    return raw


def _private(key: rsa.RSAPrivateKey) -> RecoveryPrivateKey:
    return RecoveryPrivateKey(_pem(key, ""), _public(key.public_key()))


def _public(key: rsa.RSAPublicKey) -> RecoveryPublicKey:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    digest = hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).digest()
    return RecoveryPublicKey(
        pem=key.public_bytes(serialization.Encoding.PEM, form),
        fingerprint="SHA256:" + base64.b64encode(digest).decode().rstrip("="),
    )


def _pem(key: PrivateKeyTypes, passphrase: str) -> bytes:
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
