"""HMAC-SHA256 (RFC 2104) over parts whose boundaries cannot be moved."""

import hmac
from typing import Final

from strongroom.crypto import secret
from strongroom.crypto.secret import Material
from strongroom.errors import IntegrityError

TAG_BYTES: Final = 32


def tag(key: Material, *parts: bytes) -> bytes:
    """Return the 32-byte tag over the parts; raises as `Secret.use`."""
    return tag_of_joined(key, joined(*parts))


def joined(*parts: bytes) -> bytes:
    """Return parts one after the other, each preceded by its length in 4 bytes."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def tag_of_joined(key: Material, message: bytes) -> bytes:
    """Return the 32-byte tag over parts that were `joined`, some of them before."""
    return secret.hmac_sha256(key, message)


def verify(key: Material, expected: bytes, *parts: bytes) -> None:
    """Compare in constant time.

    Raises:
        IntegrityError: The tag is not that of the parts under this key.
    """
    if not hmac.compare_digest(tag(key, *parts), expected):
        raise IntegrityError("the authentication code does not verify")
