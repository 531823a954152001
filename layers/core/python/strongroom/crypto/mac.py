"""HMAC-SHA256 (RFC 2104) over parts whose boundaries cannot be moved."""

import hmac
from typing import Final

from strongroom.crypto import secret
from strongroom.crypto.secret import Material
from strongroom.errors import IntegrityError

TAG_BYTES: Final = 32


def tag(key: Material, *parts: bytes) -> bytes:
    """Return the 32-byte tag over the parts, each preceded by its length in 4 bytes.

    Raises as `Secret.use`.
    """
    message = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return secret.use(key, lambda held: hmac.digest(held, message, "sha256"))


def verify(key: Material, expected: bytes, *parts: bytes) -> None:
    """Compare in constant time.

    Raises:
        IntegrityError: The tag is not that of the parts under this key.
    """
    if not hmac.compare_digest(tag(key, *parts), expected):
        raise IntegrityError("the authentication code does not verify")
