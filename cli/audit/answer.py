"""What the paths of the audit log answer."""

import msgspec


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record, with the members that are printed for eyes."""

    at: str
    act: str
    intent: bool = False
    outcome: str = ""
    face: str = ""
    client: str = ""
    subject: str = ""
    worker: str = ""
    claimed: str = ""
    address: str = ""
    database: str = ""
    keys: tuple[str, ...] = ()
    target: dict[str, str] = {}
    detail: dict[str, str] = {}
    request_id: str = ""
    count: int = 1


class Page(msgspec.Struct, frozen=True):
    """A page of records, each as it was answered."""

    records: list[msgspec.Raw]
    cursor: str
    damaged: int = 0


class KeptHead(msgspec.Struct, frozen=True):
    """How far a chain has come."""

    chain: str
    block: int
    at: str
    head: str


class Heads(msgspec.Struct, frozen=True):
    """Heads, as `audit heads --json` and `audit verify --json` print them, and REST answers."""

    heads: list[KeptHead]


class PublicKey(msgspec.Struct, frozen=True):
    """A JWK (RFC 8037)."""

    kty: str
    crv: str
    kid: str
    x: str


class PublicKeys(msgspec.Struct, frozen=True):
    """JWKs."""

    keys: list[PublicKey]


class Removal(msgspec.Struct, frozen=True):
    """What was removed."""

    segments: int
    before: str
