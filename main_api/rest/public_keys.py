"""Public keys as JWKs (RFC 7517), those of tokens and those of the audit log."""

import base64
from typing import Literal

import msgspec


class Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """A public key, as RFC 8037 section 2 has it."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    x: str
    kid: str
    alg: Literal["EdDSA"] = "EdDSA"
    use: Literal["sig"] = "sig"


class JwkSet(msgspec.Struct, frozen=True, kw_only=True):
    """Public keys (RFC 7517 section 5)."""

    keys: list[Jwk]


def jwk(key_id: str, public_key: bytes) -> Jwk:
    """Return an Ed25519 key, 32 bytes, as a JWK."""
    return Jwk(x=base64.urlsafe_b64encode(public_key).rstrip(b"=").decode(), kid=key_id)
