"""What responses over HTTP say of administration, as records."""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from strongroom_client.administration import (
    Issuer,
    KeyExport,
    Listing,
    RevokedWorker,
    SigningKey,
    Template,
    TrustedIssuer,
    Worker,
)
from strongroom_client.errors import Violation
from strongroom_client.oversight import AuditKey, RefusedEntity, SchemaTrial, Verification
from strongroom_client.rest.problems import ViolationMember


class _Template(msgspec.Struct, frozen=True):
    schema_id: str
    schema_version: int
    created_at: str
    updated_at: str
    schema: msgspec.Raw = msgspec.Raw()

    def to_template(self) -> Template:
        """Return it as callers have it."""
        return Template(
            schema_id=self.schema_id,
            schema_version=self.schema_version,
            created_at=self.created_at,
            updated_at=self.updated_at,
            text=bytes(self.schema),
        )


class _Templates(msgspec.Struct, frozen=True):
    schemas: list[_Template]
    cursor: str = ""


class _Registry(msgspec.Struct, frozen=True):
    workers: list[Worker]
    revoked: list[RevokedWorker]


class _KeyId(msgspec.Struct, frozen=True):
    key_id: str


class _JobId(msgspec.Struct, frozen=True):
    job_id: str


class _Keys(msgspec.Struct, frozen=True):
    signing_keys: list[SigningKey]
    recovery: str | None = None


class _Export(msgspec.Struct, frozen=True):
    keyring: str


class _Named(msgspec.Struct, frozen=True):
    name: str
    created_at: str
    updated_at: str


class _Issuers(msgspec.Struct, frozen=True):
    issuers: list[msgspec.Raw]


class _Jwk(msgspec.Struct, frozen=True):
    kid: str
    x: str
    crv: str


class _Jwks(msgspec.Struct, frozen=True):
    keys: list[_Jwk]


class _Progress(msgspec.Struct, frozen=True):
    done: int
    total: int


class _WithProgress(msgspec.Struct, frozen=True):
    progress: _Progress


class _RefusedEntity(msgspec.Struct, frozen=True):
    database: str
    key: str
    version: int
    detail: str
    errors: tuple[ViolationMember, ...] = ()


class _Trial(msgspec.Struct, frozen=True):
    refusals: list[_RefusedEntity]


def record(kind: type) -> Callable[[bytes], Any]:
    """Return what reads a record of a kind."""
    return msgspec.json.Decoder(kind).decode


def listing(member: str, kind: Any) -> Callable[[bytes], Any]:  # noqa: ANN401 - a type
    """Return what reads a page of records of a kind."""
    page = msgspec.defstruct("Page", [(member, list[kind]), ("cursor", str, "")])
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(page)

    def read_page(body: bytes) -> Listing[Any]:
        found = decoder.decode(body)
        return Listing(tuple(getattr(found, member)), found.cursor)

    return read_page


def template(body: bytes) -> Template:
    """Return a template."""
    return msgspec.json.decode(body, type=_Template).to_template()


def templates(body: bytes) -> Listing[Template]:
    """Return a page of templates."""
    found = msgspec.json.decode(body, type=_Templates)
    return Listing(tuple(one.to_template() for one in found.schemas), found.cursor)


def live(body: bytes) -> Listing[Worker]:
    """Return the workers that are available."""
    return Listing(tuple(msgspec.json.decode(body, type=_Registry).workers))


def revoked(body: bytes) -> Listing[RevokedWorker]:
    """Return those that are revoked."""
    return Listing(tuple(msgspec.json.decode(body, type=_Registry).revoked))


def key_id(body: bytes) -> str:
    """Return the id of a key."""
    return msgspec.json.decode(body, type=_KeyId).key_id


def job_id(body: bytes) -> str:
    """Return the id of a job."""
    return msgspec.json.decode(body, type=_JobId).job_id


def nothing(_: bytes) -> None:
    """Return nothing: there is nothing to say."""


def signing_keys(body: bytes) -> Listing[SigningKey]:
    """Return the keys of tokens."""
    return Listing(tuple(msgspec.json.decode(body, type=_Keys).signing_keys))


def recovery_key(body: bytes) -> str | None:
    """Return the fingerprint."""
    return msgspec.json.decode(body, type=_Keys).recovery


def export(body: bytes) -> KeyExport:
    """Return an export with its content, which is JSON text in a string."""
    content = msgspec.json.decode(body, type=_Export).keyring.encode()
    told = msgspec.json.decode(body, type=dict[str, Any])
    return replace(msgspec.convert({**told, "keyring": ""}, KeyExport), keyring=content)


def issuer(body: bytes) -> Issuer:
    """Return an issuer, of which REST tells in one object."""
    named = msgspec.json.decode(body, type=_Named)
    return Issuer(
        name=named.name,
        created_at=named.created_at,
        updated_at=named.updated_at,
        trusted=msgspec.json.decode(body, type=TrustedIssuer),
    )


def issuers(body: bytes) -> Listing[Issuer]:
    """Return the issuers."""
    found = msgspec.json.decode(body, type=_Issuers).issuers
    return Listing(tuple(issuer(bytes(one)) for one in found))


def audit_keys(body: bytes) -> Listing[AuditKey]:
    """Return public keys, of JWKs (RFC 8037)."""
    found = [one for one in msgspec.json.decode(body, type=_Jwks).keys if one.crv == "Ed25519"]
    return Listing(tuple(AuditKey(key_id=one.kid, public_key=_unpadded(one.x)) for one in found))


def verification(body: bytes) -> Verification:
    """Return what was looked at, and how far that is."""
    far = msgspec.json.decode(body, type=_WithProgress).progress
    part = msgspec.json.decode(body, type=Verification)
    return replace(part, done=far.done, total=far.total)


def trial(body: bytes) -> SchemaTrial:
    """Return what a template would refuse."""
    found = msgspec.json.decode(body, type=_Trial).refusals
    refusals = tuple(
        RefusedEntity(
            database=one.database,
            key=one.key,
            version=one.version,
            detail=one.detail,
            violations=tuple(Violation(v.pointer, v.keyword, v.detail) for v in one.errors),
        )
        for one in found
    )
    told = msgspec.json.decode(body, type=dict[str, Any])
    return replace(msgspec.convert({**told, "refusals": []}, SchemaTrial), refusals=refusals)


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
