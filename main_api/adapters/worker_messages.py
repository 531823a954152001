"""What is asked of a Processing Worker and what it answers, between its messages and the ports."""

from collections.abc import Sequence
from typing import Final

from main_api.service.workers.ports import Found, PageRequest, WriteItem, WriteKind, Written
from strongroom.configuration import Database
from strongroom.errors import StrongroomError
from strongroom.rpc import messages, status
from strongroom_pb.v1 import processing_pb2 as pb

_OPERATIONS: Final = {
    WriteKind.PUT: pb.OPERATION_PUT,
    WriteKind.DELETE: pb.OPERATION_DELETE,
    WriteKind.MERGE_PATCH: pb.OPERATION_MERGE_PATCH,
    WriteKind.JSON_PATCH: pb.OPERATION_JSON_PATCH,
    WriteKind.STORE_TRANSFORMED: pb.OPERATION_STORE_TRANSFORMED,
}


def answers(answer: pb.ProcessBatchResponse) -> Sequence[pb.ProcessResponse]:
    """Return the answer of each item; raises what refuses all of them."""
    if answer.HasField("status"):
        raise status.from_status(answer.status)
    return answer.responses


def request(
    database: Database, key: str, operation: pb.Operation.ValueType, params: pb.Params
) -> pb.ProcessRequest:
    """Return what is asked of one entity."""
    return pb.ProcessRequest(
        database_name=database.name,
        entity_key=key,
        schema_id=database.schema_id,
        operation=operation,
        params=params,
        incarnation=database.incarnation,
    )


def write(database: Database, item: WriteItem) -> pb.ProcessRequest:
    """Return a write of one entity."""
    return request(database, item.key, _OPERATIONS[item.kind], _params(item))


def reads(database: Database, keys: Sequence[str]) -> pb.ProcessBatchRequest:
    """Return a read of several entities."""
    items = [pb.BatchItem(entity_key=key) for key in keys]
    return _batch(database, pb.OPERATION_GET, items)


def writes(
    database: Database, operation: pb.Operation.ValueType, items: Sequence[WriteItem]
) -> pb.ProcessBatchRequest:
    """Return one operation on several entities."""
    told = [pb.BatchItem(entity_key=item.key, params=_params(item)) for item in items]
    return _batch(database, operation, told)


def _batch(
    database: Database, operation: pb.Operation.ValueType, items: list[pb.BatchItem]
) -> pb.ProcessBatchRequest:
    return pb.ProcessBatchRequest(
        database_name=database.name,
        schema_id=database.schema_id,
        operation=operation,
        incarnation=database.incarnation,
        items=items,
    )


def query(request: PageRequest) -> pb.Query:
    """Return which page is asked for."""
    return pb.Query(
        prefix=request.prefix,
        key_prefixes=request.key_prefixes,
        filter=request.filter,
        select=request.select,
        limit=request.limit,
        cursor=request.cursor,
        scope=request.scope,
    )


def _params(item: WriteItem) -> pb.Params:
    return pb.Params(
        document=item.document,
        expression=item.expression,
        condition=messages.from_condition(item.condition),
        request_id=item.request_id,
        ttl_seconds=item.ttl_seconds or 0,
        validate_only=item.validate_only,
    )


def found(key: str, response: pb.ProcessResponse) -> Found | StrongroomError:
    """Return what a read has found, or why it was refused."""
    if response.HasField("status"):
        return status.from_status(response.status)
    result = response.result
    metadata = messages.to_metadata(result.metadata)
    return Found(key, result.document, metadata, result.not_modified)


def written(key: str, response: pb.ProcessResponse) -> Written | StrongroomError:
    """Return what a write has done, or why it was refused."""
    if response.HasField("status"):
        return status.from_status(response.status)
    result = response.result
    return Written(key, result.created, messages.to_metadata(result.metadata))
