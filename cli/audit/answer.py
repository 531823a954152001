"""What the commands print of the audit log, so that it can be read again."""

import msgspec

from strongroom_client.oversight import AuditHead


class Heads(msgspec.Struct, frozen=True):
    """Heads, as `audit heads --json` and `audit verify --json` print them, and REST answers."""

    heads: list[AuditHead]


class PublicKey(msgspec.Struct, frozen=True):
    """A JWK (RFC 8037)."""

    kty: str
    crv: str
    kid: str
    x: str


class PublicKeys(msgspec.Struct, frozen=True):
    """JWKs."""

    keys: list[PublicKey]
