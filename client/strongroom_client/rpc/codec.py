"""Calls as messages over gRPC, and responses as their answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from google.protobuf.message import DecodeError, Message

from strongroom_client import admin_calls, calls, errors
from strongroom_client.core.steps import Broken
from strongroom_client.rpc import admin
from strongroom_client.rpc.messages import RpcFailure, RpcRequest, RpcResponse
from strongroom_client.rpc.status import of_status, refusal
from strongroom_client.values import Condition, Entity, Page, Refusals
from strongroom_client.written import Written
from strongroom_pb.v1 import auth_pb2, common_pb2
from strongroom_pb.v1 import entity_pb2 as pb

T = TypeVar("T")
_AUTH: Final = "/strongroom_pb.v1.AuthService/"
_ENTITY: Final = "/strongroom_pb.v1.EntityService/"
_PARTLY: Final = "not all entities were written; see the outcome of each"


@dataclass(frozen=True, slots=True)
class _Way:
    """How a kind of call is asked for, and how its answer is read."""

    method: Callable[[Any], str]
    ask: Callable[[Any], Message]
    answer: type[Message] | Callable[[Any], type[Message]]
    read: Callable[[Any, Any], Any]


class RpcCodec:
    """Translates calls into gRPC and back (core.steps.Codec)."""

    def request(self, call: calls.Call[Any], token: str | None, request_id: str) -> RpcRequest:
        """Return the call as gRPC has it."""
        way = _WAYS[type(call)]
        metadata = [("x-request-id", request_id)]
        if token is not None:
            metadata.append(("authorization", f"Bearer {token}"))
        try:
            message = way.ask(call).SerializeToString()
        except (ValueError, TypeError) as error:
            # Protobuf has 64 bits and UTF-8; its error can quote a value.
            what = type(error).__name__
            raise errors.InvalidError(f"it does not fit into a message: {what}") from None
        return RpcRequest(way.method(call), message, tuple(metadata))

    def answer(self, call: calls.Call[T], response: RpcResponse) -> T | Broken:
        """Return what a response says."""
        if isinstance(response, RpcFailure):
            found = refusal(response)
            if isinstance(found, Broken):
                return found
            raise found
        way = _WAYS[type(call)]
        kind: type[Message] = way.answer if isinstance(way.answer, type) else way.answer(call)
        try:
            answered: T = way.read(call, kind.FromString(response.message))
        except (DecodeError, ValueError, msgspec.ValidationError) as error:
            raise errors.ServerError("the answer is none of Strongroom's") from error
        return answered


def _condition(condition: Condition) -> common_pb2.Condition | None:
    if condition.if_version is not None:
        return common_pb2.Condition(if_version=condition.if_version)
    if condition.if_absent:
        return common_pb2.Condition(if_absent=True)
    return common_pb2.Condition(if_present=True) if condition.if_present else None


def _documents(documents: Mapping[str, bytes]) -> list[pb.KeyedDocument]:
    return [pb.KeyedDocument(key=key, document=text) for key, text in documents.items()]


def _token_method(call: calls.IssueToken) -> str:
    return _AUTH + ("IssueToken" if call.credentials.user is None else "ExchangeToken")


def _ask_token(call: calls.IssueToken) -> Message:
    who = call.credentials
    if who.user is None:
        return auth_pb2.IssueTokenRequest(
            client_id=who.client_id, client_secret=who.client_secret, scope=who.scope
        )
    return auth_pb2.ExchangeTokenRequest(
        client_id=who.client_id,
        client_secret=who.client_secret,
        scope=who.scope,
        subject=who.user,
    )


def _read_token(_: calls.IssueToken, answer: auth_pb2.IssueTokenResponse) -> calls.Token:
    return calls.Token(answer.access_token, answer.expires_in)


def _ask_entity(call: calls.GetEntity) -> Message:
    return pb.GetEntityRequest(
        database=call.database, key=call.key, if_none_match_version=call.known
    )


def _read_entity(call: calls.GetEntity, answer: pb.Entity) -> Entity | None:
    if answer.not_modified and call.known > 0:
        return None
    if answer.not_modified or answer.key != call.key:
        raise ValueError("not what was asked for")
    return _entity(answer)


def _ask_several(call: calls.GetEntities) -> Message:
    return pb.BatchGetEntitiesRequest(database=call.database, keys=call.keys)


def _read_several(_: calls.GetEntities, answer: pb.BatchGetEntitiesResponse) -> list[Entity]:
    return [_entity(one) for one in answer.entities]


def _ask_page(call: calls.ReadPage) -> Message:
    return pb.ListEntitiesRequest(
        database=call.database,
        page_size=call.page_size,
        page_token=call.cursor,
        prefix=call.prefix,
        filter=call.filter,
        select=call.select,
    )


def _read_page(_: calls.ReadPage, answer: pb.ListEntitiesResponse) -> Page:
    entities = tuple(_entity(one) for one in answer.entities)
    return Page(entities, answer.next_page_token, answer.examined, answer.damaged)


def _ask_put(call: calls.PutEntity) -> Message:
    return pb.PutEntityRequest(
        database=call.database,
        key=call.key,
        document=call.document,
        condition=_condition(call.condition),
        request_id=call.idempotency_key,
        ttl_seconds=_ttl(call.ttl_seconds),
    )


def _ask_put_several(call: calls.PutEntities) -> Message:
    return pb.BatchPutEntitiesRequest(
        database=call.database,
        entities=_documents(call.documents),
        request_id=call.idempotency_key,
        ttl_seconds=_ttl(call.ttl_seconds),
    )


def _read_put_several(_: calls.PutEntities, answer: pb.BatchPutEntitiesResponse) -> list[Written]:
    if not any(one.HasField("status") for one in answer.results):
        return [_written(one) for one in answer.results]
    raise _partly_written(
        {
            one.key: of_status(one.status, one.key)
            if one.HasField("status")
            else Written(one.key, one.metadata.version, one.created)
            for one in answer.results
        }
    )


def _ask_patch(call: calls.PatchEntity) -> Message:
    message = pb.PatchEntityRequest(
        database=call.database,
        key=call.key,
        condition=_condition(call.condition),
        request_id=call.idempotency_key,
    )
    if call.is_json_patch:
        message.json_patch = call.patch
    else:
        message.merge_patch = call.patch
    return message


def _ask_transform(call: calls.TransformEntity) -> Message:
    return pb.TransformEntityRequest(
        database=call.database, key=call.key, expression=call.expression
    )


def _read_transformed(_: calls.TransformEntity, answer: pb.Entity) -> Entity:
    return _entity(answer)


def _ask_store(call: calls.StoreTransformedEntity) -> Message:
    return pb.TransformEntityRequest(
        database=call.database,
        key=call.key,
        expression=call.expression,
        condition=_condition(call.condition),
        request_id=call.idempotency_key,
    )


def _read_written(_: object, answer: pb.PutEntityResponse) -> Written:
    return _written(answer)


def _ask_verdicts(call: calls.ValidateEntities) -> Message:
    return pb.ValidateEntitiesRequest(database=call.database, entities=_documents(call.documents))


def _read_verdicts(_: calls.ValidateEntities, answer: pb.ValidateEntitiesResponse) -> Refusals:
    return {
        one.key: of_status(one.refusal, one.key) if one.HasField("refusal") else None
        for one in answer.verdicts
    }


def _ask_delete(call: calls.DeleteEntity) -> Message:
    return pb.DeleteEntityRequest(
        database=call.database,
        key=call.key,
        condition=_condition(call.condition),
        request_id=call.idempotency_key,
    )


def _ask_delete_several(call: calls.DeleteEntities) -> Message:
    return pb.BatchDeleteEntitiesRequest(
        database=call.database, keys=call.keys, request_id=call.idempotency_key
    )


def _read_deleted(
    _: calls.DeleteEntities, answer: pb.BatchDeleteEntitiesResponse
) -> dict[str, bool]:
    if not any(one.HasField("status") for one in answer.results):
        return {one.key: one.deleted for one in answer.results}
    raise _partly_written(
        {
            one.key: of_status(one.status, one.key) if one.HasField("status") else one.deleted
            for one in answer.results
        }
    )


def _partly_written(
    outcomes: Mapping[str, Written | bool | errors.StrongroomClientError],
) -> errors.PartlyWrittenError:
    """Return the error of an answer that has errors beside results: such a call is OK."""
    facts = errors.Facts(retry_after_s=1.0)
    return errors.PartlyWrittenError(_PARTLY, outcomes, facts)


def _read_nothing(_: object, __: Message) -> None:
    return None


def _ttl(seconds: int | None) -> int:
    if seconds == 0:
        # On the wire 0 is the database's own.
        raise errors.InvalidError("ttl_seconds is at least 1")
    return seconds or 0


def _entity(message: pb.Entity) -> Entity:
    return Entity(message.key, message.metadata.version, message.document)


def _written(message: pb.PutEntityResponse) -> Written:
    known = message.metadata
    return Written(
        message.key,
        known.version,
        message.created,
        known.created_at,
        known.updated_at,
        known.expires_at or None,
    )


def _named(method: str) -> Callable[[object], str]:
    return lambda _: _ENTITY + method


_ADMIN: Final = _Way(admin.method, admin.ask, admin.answer, admin.read)
_WAYS: Final[Mapping[type[calls.Call[Any]], _Way]] = {
    calls.IssueToken: _Way(_token_method, _ask_token, auth_pb2.IssueTokenResponse, _read_token),
    calls.GetEntity: _Way(_named("GetEntity"), _ask_entity, pb.Entity, _read_entity),
    calls.GetEntities: _Way(
        _named("BatchGetEntities"), _ask_several, pb.BatchGetEntitiesResponse, _read_several
    ),
    calls.ReadPage: _Way(_named("ListEntities"), _ask_page, pb.ListEntitiesResponse, _read_page),
    calls.PutEntity: _Way(_named("PutEntity"), _ask_put, pb.PutEntityResponse, _read_written),
    calls.PutEntities: _Way(
        _named("BatchPutEntities"),
        _ask_put_several,
        pb.BatchPutEntitiesResponse,
        _read_put_several,
    ),
    calls.PatchEntity: _Way(_named("PatchEntity"), _ask_patch, pb.PutEntityResponse, _read_written),
    calls.TransformEntity: _Way(
        _named("TransformEntity"), _ask_transform, pb.Entity, _read_transformed
    ),
    calls.StoreTransformedEntity: _Way(
        _named("StoreTransformedEntity"), _ask_store, pb.PutEntityResponse, _read_written
    ),
    calls.ValidateEntities: _Way(
        _named("ValidateEntities"), _ask_verdicts, pb.ValidateEntitiesResponse, _read_verdicts
    ),
    calls.DeleteEntity: _Way(
        _named("DeleteEntity"), _ask_delete, pb.DeleteEntityResponse, _read_nothing
    ),
    calls.DeleteEntities: _Way(
        _named("BatchDeleteEntities"),
        _ask_delete_several,
        pb.BatchDeleteEntitiesResponse,
        _read_deleted,
    ),
    admin_calls.AdminRead: _ADMIN,
    admin_calls.AdminWrite: _ADMIN,
}
