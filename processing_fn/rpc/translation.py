"""Between protobuf messages and the engine's own types."""

from processing_fn.domain.entity import Outcome
from processing_fn.service.bindings import Binding
from processing_fn.service.inspection import Report
from processing_fn.service.patching import PatchKind
from processing_fn.service.requests import Delete, PatchRequest, Put, Snapshot, TransformRequest
from processing_fn.service.rewrapping import Census
from processing_fn.service.scanning import Page, Query
from strongroom import limits
from strongroom.errors import InvalidArgumentError, StrongroomError
from strongroom.rpc import messages, status
from strongroom_pb.v1 import common_pb2, processing_pb2


def binding(
    request: processing_pb2.ProcessRequest
    | processing_pb2.ProcessBatchRequest
    | processing_pb2.ScanRequest
    | processing_pb2.TryTemplateRequest,
) -> Binding:
    """Return the database that a request means."""
    return Binding(request.database_name, request.incarnation, request.schema_id)


def put(entity_key: str, params: processing_pb2.Params) -> Put:
    """Return a put.

    Raises:
        InvalidArgumentError: A parameter is out of its bounds.
    """
    if not 0 <= params.ttl_seconds <= limits.TTL_SECONDS_MAX:
        raise InvalidArgumentError(f"ttl_seconds is 1 to {limits.TTL_SECONDS_MAX}")
    return Put(
        entity_key=entity_key,
        document=params.document,
        condition=messages.to_condition(params.condition),
        request_id=params.request_id,
        ttl_seconds=params.ttl_seconds or None,
        validate_only=params.validate_only,
    )


def delete(entity_key: str, params: processing_pb2.Params) -> Delete:
    """Return a delete."""
    condition = messages.to_condition(params.condition)
    return Delete(entity_key, condition, params.request_id, params.validate_only)


def patch(entity_key: str, kind: PatchKind, params: processing_pb2.Params) -> PatchRequest:
    """Return a patch."""
    condition = messages.to_condition(params.condition)
    return PatchRequest(
        entity_key, kind, params.document, condition, params.request_id, params.validate_only
    )


def transform(entity_key: str, params: processing_pb2.Params) -> TransformRequest:
    """Return a transformation that is to be stored."""
    condition = messages.to_condition(params.condition)
    return TransformRequest(
        entity_key, params.expression, condition, params.request_id, params.validate_only
    )


def query(message: processing_pb2.Query) -> Query:
    """Return a query."""
    return Query(
        prefix=message.prefix,
        key_prefixes=tuple(message.key_prefixes),
        filter=message.filter,
        select=message.select,
        limit=message.limit,
        cursor=message.cursor,
        scope=message.scope,
    )


def page(answer: Page) -> processing_pb2.ScanResponse:
    """Return the message of a page."""
    return processing_pb2.ScanResponse(
        entities=[
            processing_pb2.ScannedEntity(
                entity_key=item.entity_key,
                metadata=messages.from_metadata(item.metadata),
                document=item.document,
                refusal=status.to_status(item.refusal) if item.refusal else None,
            )
            for item in answer.items
        ],
        cursor=answer.cursor,
        examined=answer.examined,
        damaged=answer.damaged,
    )


def census(seen: Census) -> processing_pb2.RewrapResponse:
    """Return what a call of a rewrap has seen."""
    return processing_pb2.RewrapResponse(
        cursor=seen.cursor,
        files=seen.files,
        rewrapped=seen.rewrapped,
        by_key={
            key_id: processing_pb2.KeyUse(files=use.files, entities=use.entities)
            for key_id, use in seen.by_key.items()
        },
        unreadable=seen.unreadable,
        keyless=seen.keyless,
    )


def report(answer: Report) -> processing_pb2.InspectResponse:
    """Return the message of an inspection."""
    return processing_pb2.InspectResponse(
        findings=[
            common_pb2.Finding(
                path=found.path,
                condition=found.condition.value,
                reason=found.reason,
                repaired=found.repaired,
            )
            for found in answer.findings
        ],
        cursor=answer.cursor,
        examined=answer.examined,
        done=answer.done,
        total=answer.total,
    )


def response(
    answer: Snapshot | Outcome | StrongroomError | None, if_none_match: int = 0
) -> processing_pb2.ProcessResponse:
    """Return the message of an answer."""
    if answer is None:
        return processing_pb2.ProcessResponse()
    if isinstance(answer, StrongroomError):
        return processing_pb2.ProcessResponse(status=status.to_status(answer))
    if isinstance(answer, Outcome):
        result = processing_pb2.Result(
            metadata=messages.from_metadata(answer.metadata), created=answer.created
        )
        return processing_pb2.ProcessResponse(result=result)
    # Member by member: half the time of the constructors, and every read comes through here.
    told = processing_pb2.ProcessResponse()
    result = told.result
    if answer.metadata.version == if_none_match:
        result.not_modified = True
    else:
        result.document = answer.document
    messages.fill_metadata(result.metadata, answer.metadata)
    return told
