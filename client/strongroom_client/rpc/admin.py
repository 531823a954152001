"""Operations of administrators as messages over gRPC, and responses as their answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from google.protobuf.message import Message

from strongroom_client.admin_calls import AdminRead
from strongroom_client.administration import (
    Backup,
    ClientRecord,
    Database,
    Explanation,
    Grant,
    Job,
    Key,
    KeyExport,
    PublishedKeys,
    RevokedWorker,
    WorkerCredential,
)
from strongroom_client.errors import InvalidError
from strongroom_client.oversight import AuditHead, Removal
from strongroom_client.rpc import records
from strongroom_pb.v1 import admin_pb2 as pb

_SERVICE: Final = "/strongroom_pb.v1.AdminService/"


@dataclass(frozen=True, slots=True)
class _Method:
    """An operation over gRPC.

    Attributes:
        name: Its name in the service.
        asked: The class of its request; what is given are its fields.
        answer: The class of its response.
        read: Makes the answer of a response.
        ask: Makes the fields of what is given; None: it is what they are.
    """

    name: str
    asked: type[Message]
    answer: type[Message]
    read: Callable[[Any], Any]
    ask: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None


def method(call: AdminRead[Any]) -> str:
    """Return the full name of a call's method."""
    return _SERVICE + _METHODS[call.name].name


def ask(call: AdminRead[Any]) -> Message:
    """Return the message of a call."""
    row = _METHODS[call.name]
    given = _fields(call.given) if row.ask is None else row.ask(call.given)
    cursor = {"page_token": given.pop("cursor")} if "cursor" in given else {}
    return row.asked(**given, **cursor)


def answer(call: AdminRead[Any]) -> type[Message]:
    """Return the class of a call's response."""
    return _METHODS[call.name].answer


def read(call: AdminRead[Any], message: Any) -> Any:  # noqa: ANN401 - the call's own type
    """Return what a response says."""
    return _METHODS[call.name].read(message)


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [_grant(one) for one in value] if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None
    }


def _grant(one: Grant) -> pb.Grant:
    actions = [_action(action) for action in sorted(one.actions)]
    return pb.Grant(database=one.database, actions=actions, key_prefix=one.key_prefix)


def _action(name: str) -> pb.Action.ValueType:
    try:
        return pb.Action.Value(f"ACTION_{name.upper()}")
    except ValueError:
        raise InvalidError("actions are read, write, delete and admin") from None


def _trial(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "dry_run"}


def _question(given: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in given.items() if name != "user"}
    return _fields({**told, "action": _action(given["action"]), "subject": given["user"]})


def _for_tokens(_: Mapping[str, Any]) -> dict[str, Any]:
    return {"purpose": pb.KEY_PURPOSE_TOKEN_SIGNING}


class _GrantMember(msgspec.Struct, forbid_unknown_fields=True):
    database: str
    actions: list[str]
    key_prefix: str = ""


class _RuleMember(msgspec.Struct, forbid_unknown_fields=True):
    claims: dict[str, list[str | int | bool]]
    grants: list[_GrantMember]


def _issuer(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an issuer that stands in JSON.

    Raises:
        InvalidError: It is none.
    """
    try:
        told = msgspec.json.decode(given["trusted"], type=dict[str, Any])
        rules = msgspec.convert(told.pop("rules", []), list[_RuleMember])
        trusted = pb.TrustedIssuer(**told, rules=map(_rule, rules))
    except (ValueError, TypeError) as error:
        # Without its text, which can quote a value.
        what = type(error).__name__
        raise InvalidError(f"this does not say what an issuer is trusted for: {what}") from None
    return {"name": given["name"], "trusted": trusted}


def _rule(rule: _RuleMember) -> pb.ClaimRule:
    claims = [
        pb.ClaimCondition(claim=name, values=map(_value, values))
        for name, values in rule.claims.items()
    ]
    grants = [
        _grant(Grant(one.database, frozenset(one.actions), one.key_prefix)) for one in rule.grants
    ]
    return pb.ClaimRule(claims=claims, grants=grants)


def _value(value: str | int | bool) -> pb.ClaimValue:  # noqa: FBT001 - a JSON value
    if isinstance(value, bool):
        return pb.ClaimValue(flag=value)
    return pb.ClaimValue(number=value) if isinstance(value, int) else pb.ClaimValue(text=value)


_DATABASE: Final = records.record(Database)
_METHODS: Final[Mapping[str, _Method]] = {
    "put_schema": _Method(
        "PutTemplate",
        pb.PutTemplateRequest,
        pb.PutTemplateResponse,
        records.of("template", records.template),
    ),
    "schema": _Method("GetTemplate", pb.GetTemplateRequest, pb.Template, records.template),
    "schemas": _Method(
        "ListTemplates",
        pb.ListTemplatesRequest,
        pb.ListTemplatesResponse,
        records.listing("templates", records.template),
    ),
    "delete_schema": _Method(
        "DeleteTemplate", pb.DeleteTemplateRequest, pb.DeleteTemplateResponse, records.nothing
    ),
    "put_database": _Method(
        "PutDatabase",
        pb.PutDatabaseRequest,
        pb.PutDatabaseResponse,
        records.of("database", _DATABASE),
    ),
    "database": _Method("GetDatabase", pb.GetDatabaseRequest, pb.Database, _DATABASE),
    "databases": _Method(
        "ListDatabases",
        pb.ListDatabasesRequest,
        pb.ListDatabasesResponse,
        records.listing("databases", _DATABASE),
    ),
    "delete_database": _Method(
        "DeleteDatabase", pb.DeleteDatabaseRequest, pb.DeleteDatabaseResponse, records.nothing
    ),
    "put_client": _Method("PutClient", pb.PutClientRequest, pb.PutClientResponse, records.client),
    "client": _Method("GetClient", pb.GetClientRequest, pb.Client, records.record(ClientRecord)),
    "clients": _Method(
        "ListClients",
        pb.ListClientsRequest,
        pb.ListClientsResponse,
        records.listing("clients", records.record(ClientRecord)),
    ),
    "delete_client": _Method(
        "DeleteClient", pb.DeleteClientRequest, pb.DeleteClientResponse, records.nothing
    ),
    "rotate_secret": _Method(
        "RotateClientSecret",
        pb.RotateClientSecretRequest,
        pb.RotateClientSecretResponse,
        records.client,
    ),
    "workers": _Method(
        "ListWorkers",
        pb.ListWorkersRequest,
        pb.ListWorkersResponse,
        records.listing("workers", records.worker),
    ),
    "revoked_workers": _Method(
        "ListRevokedWorkers",
        pb.ListRevokedWorkersRequest,
        pb.ListRevokedWorkersResponse,
        records.listing("workers", records.record(RevokedWorker)),
    ),
    "revoke_worker": _Method(
        "RevokeWorker", pb.RevokeWorkerRequest, pb.RevokeWorkerResponse, records.nothing
    ),
    "reinstate_worker": _Method(
        "ReinstateWorker", pb.ReinstateWorkerRequest, pb.ReinstateWorkerResponse, records.nothing
    ),
    "data_keys": _Method(
        "ListKeys",
        pb.ListKeysRequest,
        pb.ListKeysResponse,
        records.listing("keys", records.record(Key)),
    ),
    "rotate_keys": _Method(
        "RotateKeys", pb.RotateKeysRequest, pb.RotateKeysResponse, records.key_id
    ),
    "rewrap_keys": _Method("RewrapKeys", pb.RewrapKeysRequest, pb.Job, records.job_id),
    "destroy_key": _Method("DestroyKey", pb.DestroyKeyRequest, pb.Job, records.job_id),
    "job": _Method("GetJob", pb.GetJobRequest, pb.Job, records.record(Job)),
    "jobs": _Method(
        "ListJobs",
        pb.ListJobsRequest,
        pb.ListJobsResponse,
        records.listing("jobs", records.record(Job)),
    ),
    "dry_run_schema": _Method(
        "DryRunTemplate",
        pb.DryRunTemplateRequest,
        pb.DryRunTemplateResponse,
        records.trial,
        _trial,
    ),
    "explain_client": _Method(
        "ExplainClient",
        pb.ExplainClientRequest,
        pb.ExplainClientResponse,
        records.record(Explanation, allowed=False),
        _question,
    ),
    "put_issuer": _Method(
        "PutIssuer",
        pb.PutIssuerRequest,
        pb.PutIssuerResponse,
        records.of("issuer", records.issuer),
        _issuer,
    ),
    "issuer": _Method("GetIssuer", pb.GetIssuerRequest, pb.Issuer, records.issuer),
    "issuers": _Method(
        "ListIssuers",
        pb.ListIssuersRequest,
        pb.ListIssuersResponse,
        records.whole("issuers", records.issuer),
    ),
    "delete_issuer": _Method(
        "DeleteIssuer", pb.DeleteIssuerRequest, pb.DeleteIssuerResponse, records.nothing
    ),
    "ask_issuer": _Method(
        "AskIssuer", pb.AskIssuerRequest, pb.AskIssuerResponse, records.record(PublishedKeys)
    ),
    "put_worker_credential": _Method(
        "PutWorkerCredential",
        pb.PutWorkerCredentialRequest,
        pb.PutWorkerCredentialResponse,
        records.record(WorkerCredential),
    ),
    "signing_keys": _Method(
        "ListKeys", pb.ListKeysRequest, pb.ListKeysResponse, records.signing_keys
    ),
    "recovery_key": _Method(
        "ListKeys", pb.ListKeysRequest, pb.ListKeysResponse, records.recovery_key
    ),
    "rotate_signing_keys": _Method(
        "RotateKeys", pb.RotateKeysRequest, pb.RotateKeysResponse, records.key_id, _for_tokens
    ),
    "export_keys": _Method(
        "ExportKeys", pb.ExportKeysRequest, pb.ExportKeysResponse, records.export
    ),
    "key_exports": _Method(
        "ListKeyExports",
        pb.ListKeyExportsRequest,
        pb.ListKeyExportsResponse,
        records.listing("exports", records.record(KeyExport)),
    ),
    "delete_key_export": _Method(
        "DeleteKeyExport",
        pb.DeleteKeyExportRequest,
        pb.DeleteKeyExportResponse,
        records.nothing,
    ),
    "record_backup": _Method(
        "CreateBackup", pb.CreateBackupRequest, pb.Backup, records.record(Backup)
    ),
    "backups": _Method(
        "ListBackups",
        pb.ListBackupsRequest,
        pb.ListBackupsResponse,
        records.listing("backups", records.record(Backup)),
    ),
    "delete_backup": _Method(
        "DeleteBackup", pb.DeleteBackupRequest, pb.DeleteBackupResponse, records.nothing
    ),
    "audit_page": _Method(
        "ListAuditRecords",
        pb.ListAuditRecordsRequest,
        pb.ListAuditRecordsResponse,
        records.audit_page,
    ),
    "audit_heads": _Method(
        "ListAuditHeads",
        pb.ListAuditHeadsRequest,
        pb.ListAuditHeadsResponse,
        records.whole("heads", records.record(AuditHead, block=0)),
    ),
    "audit_keys": _Method(
        "ListAuditKeys",
        pb.ListAuditKeysRequest,
        pb.ListAuditKeysResponse,
        records.whole("keys", records.audit_key),
    ),
    "remove_audit": _Method(
        "RemoveAuditSegments",
        pb.RemoveAuditSegmentsRequest,
        pb.RemoveAuditSegmentsResponse,
        records.record(Removal),
    ),
    "verify": _Method("Verify", pb.VerifyRequest, pb.VerifyResponse, records.verification),
    "cancel_job": _Method("CancelJob", pb.CancelJobRequest, pb.Job, records.nothing),
}
OPERATIONS: Final = frozenset(_METHODS)
METHODS: Final = frozenset(one.name for one in _METHODS.values())
