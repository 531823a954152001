"""Base64 (RFC 4648) where each value has one text: what is not canonical is refused."""

import binascii


def encode(raw: bytes) -> str:
    """Return the text of some bytes."""
    return binascii.b2a_base64(raw, newline=False).decode()


def decode(text: str) -> bytes:
    """Return the bytes of a text.

    Raises:
        ValueError: It is not base64, or not as `encode` writes it.
    """
    raw = binascii.a2b_base64(text, strict_mode=True)
    if encode(raw) != text:
        raise ValueError("not canonical base64")
    return raw
