"""Operations of administrators as messages over gRPC, and responses as their answers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from strongroom_client.admin_calls import AdminRead
from strongroom_client.administration import (
    ClientRecord,
    Database,
    Grant,
    Job,
    Key,
    Listing,
    RevokedWorker,
    Template,
    Worker,
)
from strongroom_client.errors import InvalidError
from strongroom_pb.v1 import admin_pb2 as pb

_SERVICE: Final = "/strongroom_pb.v1.AdminService/"
_RENAMED: Final = {"cursor": "page_token"}
_WORD: Final = re.compile("(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class _Method:
    """An operation over gRPC.

    Attributes:
        name: Its name in the service.
        asked: The class of its request; what is given are its fields.
        answer: The class of its response.
        read: Makes the answer of a response.
    """

    name: str
    asked: type[Message]
    answer: type[Message]
    read: Callable[[Any], Any]


def method(call: AdminRead[Any]) -> str:
    """Return the full name of a call's method."""
    return _SERVICE + _METHODS[call.name].name


def ask(call: AdminRead[Any]) -> Message:
    """Return the message of a call."""
    row = _METHODS[call.name]
    said = {
        _RENAMED.get(name, name): [_grant(one) for one in value]
        if isinstance(value, tuple)
        else value
        for name, value in call.given.items()
        if value is not None
    }
    return row.asked(**said)


def answer(call: AdminRead[Any]) -> type[Message]:
    """Return the class of a call's response."""
    return _METHODS[call.name].answer


def read(call: AdminRead[Any], message: Any) -> Any:  # noqa: ANN401 - the call's own type
    """Return what a response says."""
    return _METHODS[call.name].read(message)


def _grant(one: Grant) -> pb.Grant:
    try:
        actions = [pb.Action.Value(f"ACTION_{action.upper()}") for action in sorted(one.actions)]
    except ValueError:
        raise InvalidError("actions are read, write, delete and admin") from None
    return pb.Grant(database=one.database, actions=actions, key_prefix=one.key_prefix)


def _members(message: Message) -> dict[str, Any]:
    """Return a message as REST would say it; what is not said is not there."""
    told: dict[str, Any] = {}
    for descriptor, value in message.ListFields():
        is_list = descriptor.is_repeated
        told[descriptor.name] = (
            [_word(descriptor, one) for one in value] if is_list else _word(descriptor, value)
        )
    return told


def _word(descriptor: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - of the field's type
    if isinstance(value, Message):
        return _members(value)
    kind: EnumDescriptor | None = descriptor.enum_type
    if kind is None:
        return value
    prefix = _WORD.sub("_", kind.name).upper() + "_"
    name = kind.values_by_number[value].name
    return name.removeprefix(prefix).lower().replace("_", "-")


def _record(kind: type) -> Callable[[Message], Any]:
    """Return what makes a record of a message."""
    return lambda message: msgspec.convert(_members(message), kind)


def _of(member: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda message: make(getattr(message, member))


def _listing(member: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda message: Listing(
        tuple(make(one) for one in getattr(message, member)), message.next_page_token
    )


def _template(message: pb.Template) -> Template:
    return Template(
        schema_id=message.schema_id,
        schema_version=message.schema_version,
        created_at=message.created_at,
        updated_at=message.updated_at,
        text=message.schema,
    )


def _client(message: pb.PutClientResponse | pb.RotateClientSecretResponse) -> ClientRecord:
    told = _members(message.client) | {"client_secret": message.client_secret or None}
    return msgspec.convert(told, ClientRecord)


def _worker(message: pb.Worker) -> Worker:
    nothing = {"load": 0.0, "cache_entries": 0, "cache_bytes": 0}
    state = "draining" if message.draining else "live"
    return msgspec.convert({**nothing, **_members(message), "state": state}, Worker)


def _job_id(message: pb.Job) -> str:
    return message.job_id


def _key_id(message: pb.RotateKeysResponse) -> str:
    return message.key_id


def _nothing(_: Message) -> None:
    return None


_DATABASE: Final = _record(Database)
_METHODS: Final[Mapping[str, _Method]] = {
    "put_schema": _Method(
        "PutTemplate", pb.PutTemplateRequest, pb.PutTemplateResponse, _of("template", _template)
    ),
    "schema": _Method("GetTemplate", pb.GetTemplateRequest, pb.Template, _template),
    "schemas": _Method(
        "ListTemplates",
        pb.ListTemplatesRequest,
        pb.ListTemplatesResponse,
        _listing("templates", _template),
    ),
    "delete_schema": _Method(
        "DeleteTemplate", pb.DeleteTemplateRequest, pb.DeleteTemplateResponse, _nothing
    ),
    "put_database": _Method(
        "PutDatabase", pb.PutDatabaseRequest, pb.PutDatabaseResponse, _of("database", _DATABASE)
    ),
    "database": _Method("GetDatabase", pb.GetDatabaseRequest, pb.Database, _DATABASE),
    "databases": _Method(
        "ListDatabases",
        pb.ListDatabasesRequest,
        pb.ListDatabasesResponse,
        _listing("databases", _DATABASE),
    ),
    "delete_database": _Method(
        "DeleteDatabase", pb.DeleteDatabaseRequest, pb.DeleteDatabaseResponse, _nothing
    ),
    "put_client": _Method("PutClient", pb.PutClientRequest, pb.PutClientResponse, _client),
    "client": _Method("GetClient", pb.GetClientRequest, pb.Client, _record(ClientRecord)),
    "clients": _Method(
        "ListClients",
        pb.ListClientsRequest,
        pb.ListClientsResponse,
        _listing("clients", _record(ClientRecord)),
    ),
    "delete_client": _Method(
        "DeleteClient", pb.DeleteClientRequest, pb.DeleteClientResponse, _nothing
    ),
    "rotate_secret": _Method(
        "RotateClientSecret",
        pb.RotateClientSecretRequest,
        pb.RotateClientSecretResponse,
        _client,
    ),
    "workers": _Method(
        "ListWorkers", pb.ListWorkersRequest, pb.ListWorkersResponse, _listing("workers", _worker)
    ),
    "revoked_workers": _Method(
        "ListRevokedWorkers",
        pb.ListRevokedWorkersRequest,
        pb.ListRevokedWorkersResponse,
        _listing("workers", _record(RevokedWorker)),
    ),
    "revoke_worker": _Method(
        "RevokeWorker", pb.RevokeWorkerRequest, pb.RevokeWorkerResponse, _nothing
    ),
    "reinstate_worker": _Method(
        "ReinstateWorker", pb.ReinstateWorkerRequest, pb.ReinstateWorkerResponse, _nothing
    ),
    "data_keys": _Method(
        "ListKeys", pb.ListKeysRequest, pb.ListKeysResponse, _listing("keys", _record(Key))
    ),
    "rotate_keys": _Method("RotateKeys", pb.RotateKeysRequest, pb.RotateKeysResponse, _key_id),
    "rewrap_keys": _Method("RewrapKeys", pb.RewrapKeysRequest, pb.Job, _job_id),
    "destroy_key": _Method("DestroyKey", pb.DestroyKeyRequest, pb.Job, _job_id),
    "job": _Method("GetJob", pb.GetJobRequest, pb.Job, _record(Job)),
    "jobs": _Method(
        "ListJobs", pb.ListJobsRequest, pb.ListJobsResponse, _listing("jobs", _record(Job))
    ),
    "cancel_job": _Method("CancelJob", pb.CancelJobRequest, pb.Job, _nothing),
}
OPERATIONS: Final = frozenset(_METHODS)
