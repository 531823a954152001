"""Base64 (RFC 4648) where each value has one text: what is not canonical is refused."""

import base64


def encode(raw: bytes) -> str:
    """Return the text of some bytes."""
    return base64.b64encode(raw).decode()


def decode(text: str) -> bytes:
    """Return the bytes of a text.

    Raises:
        ValueError: It is not base64, or not as `encode` writes it.
    """
    raw = base64.b64decode(text, validate=True)
    if encode(raw) != text:
        raise ValueError("not canonical base64")
    return raw
