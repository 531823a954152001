"""What messages over gRPC say of administration, as records."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from strongroom_client.administration import (
    ClientRecord,
    Issuer,
    KeyExport,
    Listing,
    SigningKey,
    Template,
    Worker,
)
from strongroom_client.oversight import (
    AuditKey,
    AuditPage,
    RefusedEntity,
    SchemaTrial,
    Verification,
)
from strongroom_client.rpc.status import of_status
from strongroom_pb.v1 import admin_pb2 as pb

_WORD: Final = re.compile("(?<!^)(?=[A-Z])")


def members(message: Message) -> dict[str, Any]:
    """Return a message as REST would say it; what is not said is not there."""
    told: dict[str, Any] = {}
    for descriptor, value in message.ListFields():
        is_list = descriptor.is_repeated
        told[descriptor.name] = (
            dict(value)
            if isinstance(value, Mapping)
            else [_word(descriptor, one) for one in value]
            if is_list
            else _word(descriptor, value)
        )
    return told


def _word(descriptor: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - of the field's type
    if isinstance(value, Message):
        return members(value)
    kind: EnumDescriptor | None = descriptor.enum_type
    if kind is None:
        return value
    prefix = _WORD.sub("_", kind.name).upper() + "_"
    name = kind.values_by_number[value].name
    return name.removeprefix(prefix).lower().replace("_", "-")


def record(kind: type, **nothing: Any) -> Callable[[Message], Any]:  # noqa: ANN401 - defaults
    """Return what makes a record of a message; `nothing` is what is meant where nothing is said."""
    return lambda message: msgspec.convert(nothing | members(message), kind)


def of(member: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what reads a member of a message."""
    return lambda message: make(getattr(message, member))


def listing(member: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what reads a page of records."""
    return lambda message: Listing(
        tuple(make(one) for one in getattr(message, member)), message.next_page_token
    )


def template(message: pb.Template) -> Template:
    """Return a template."""
    return Template(
        schema_id=message.schema_id,
        schema_version=message.schema_version,
        created_at=message.created_at,
        updated_at=message.updated_at,
        text=message.schema,
    )


def client(message: pb.PutClientResponse | pb.RotateClientSecretResponse) -> ClientRecord:
    """Return a client, with its secret where there is one."""
    told = members(message.client) | {"client_secret": message.client_secret or None}
    return msgspec.convert(told, ClientRecord)


def worker(message: pb.Worker) -> Worker:
    """Return a worker."""
    nothing = {"load": 0.0, "cache_entries": 0, "cache_bytes": 0}
    state = "draining" if message.draining else "live"
    return msgspec.convert({**nothing, **members(message), "state": state}, Worker)


def job_id(message: pb.Job) -> str:
    """Return the id of a job."""
    return message.job_id


def key_id(message: pb.RotateKeysResponse) -> str:
    """Return the id of a key."""
    return message.key_id


def nothing(_: Message) -> None:
    """Return nothing: there is nothing to say."""


def whole(member: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what reads a listing that has one page."""
    return lambda message: Listing(tuple(make(one) for one in getattr(message, member)))


def recovery_key(message: pb.ListKeysResponse) -> str | None:
    """Return the fingerprint."""
    return message.recovery or None


def signing_keys(message: pb.ListKeysResponse) -> Listing[SigningKey]:
    """Return the keys of tokens, all of which are on every page."""
    return Listing(tuple(map(record(SigningKey), message.signing_keys)))


def export(message: pb.ExportKeysResponse) -> KeyExport:
    """Return an export with its content."""
    told = members(message.export) | {"keyring": message.keyring}
    return msgspec.convert(told, KeyExport, builtin_types=(bytes,))


def issuer(message: pb.Issuer) -> Issuer:
    """Return an issuer."""
    told = members(message)
    told["trusted"] = members(message.trusted) | {"rules": list(map(_rule, message.trusted.rules))}
    return msgspec.convert(told, Issuer)


def audit_key(message: pb.AuditKey) -> AuditKey:
    """Return a public key."""
    return AuditKey(key_id=message.key_id, public_key=message.public_key)


def audit_page(message: pb.ListAuditRecordsResponse) -> AuditPage:
    """Return a page of the audit log."""
    told = members(message)
    found = {"records": told.get("records", []), "cursor": message.next_page_token}
    return msgspec.convert(found | {"damaged": message.damaged}, AuditPage)


def verification(message: pb.VerifyResponse) -> Verification:
    """Return what was looked at, and how far that is."""
    return msgspec.convert(members(message) | {"cursor": message.next_page_token}, Verification)


def trial(message: pb.DryRunTemplateResponse) -> SchemaTrial:
    """Return what a template would refuse."""
    return SchemaTrial(
        examined=message.examined,
        refused=message.refused,
        damaged=message.damaged,
        reasons=dict(message.reasons),
        refusals=tuple(map(_refused, message.refusals)),
        cursor=message.next_page_token,
    )


def _refused(message: pb.RefusedEntity) -> RefusedEntity:
    refusal = of_status(message.refusal, message.key)
    return RefusedEntity(
        database=message.database,
        key=message.key,
        version=message.version,
        detail=refusal.detail,
        violations=refusal.violations,
    )


def _rule(message: pb.ClaimRule) -> dict[str, Any]:
    claims = {one.claim: [_value(value) for value in one.values] for one in message.claims}
    return {"claims": claims, "grants": [members(one) for one in message.grants]}


def _value(message: pb.ClaimValue) -> str | int | bool:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise ValueError("a claim has no value")
    value: str | int | bool = getattr(message, kind)
    return value
