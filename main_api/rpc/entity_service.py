"""EntityService: what clients do with entities."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from google.rpc import status_pb2

from main_api.bootstrap import Main
from main_api.domain import conditions
from main_api.domain.caller import Caller
from main_api.rpc.methods import Who
from main_api.service.requests.batches import Deleted, PartlyWrittenError
from main_api.service.workers.ports import Found, WriteKind, Written
from strongroom import limits
from strongroom.entity import Condition
from strongroom.errors import InvalidArgumentError, StrongroomError
from strongroom.rpc import messages, status
from strongroom_pb.v1 import entity_pb2 as pb

DESCRIPTOR: Final = pb.DESCRIPTOR.services_by_name["EntityService"]


def get_entity(main: Main, caller: Caller, request: pb.GetEntityRequest) -> pb.Entity:
    """Read an entity."""
    known = request.if_none_match_version
    return _entity(main.entities.get(caller, request.database, request.key, known))


def batch_get_entities(
    main: Main, caller: Caller, request: pb.BatchGetEntitiesRequest
) -> pb.BatchGetEntitiesResponse:
    """Read several entities."""
    found = main.entities.get_many(caller, request.database, list(request.keys))
    return pb.BatchGetEntitiesResponse(entities=map(_entity, found))


def list_entities(
    main: Main, caller: Caller, request: pb.ListEntitiesRequest
) -> pb.ListEntitiesResponse:
    """Read a page."""
    return _page(main, caller, request, request.page_token)


def stream_entities(
    main: Main, who: Who, request: pb.ListEntitiesRequest
) -> Iterator[pb.ListEntitiesResponse]:
    """Read page after page."""
    page = _page(main, who(), request, request.page_token)
    yield page
    while page.next_page_token:
        page = _page(main, who(), request, page.next_page_token)
        yield page


def put_entity(main: Main, caller: Caller, request: pb.PutEntityRequest) -> pb.PutEntityResponse:
    """Create or replace an entity."""
    (written,) = main.entities.put(
        caller,
        request.database,
        {request.key: request.document},
        condition=_condition(request),
        idempotency_key=request.request_id,
        validate_only=request.validate_only,
        ttl_seconds=request.ttl_seconds or None,
    )
    return _written(written)


def patch_entity(
    main: Main, caller: Caller, request: pb.PatchEntityRequest
) -> pb.PutEntityResponse:
    """Change a part of an entity."""
    which = request.WhichOneof("patch")
    if which is None:
        raise InvalidArgumentError("merge_patch or json_patch is needed")
    written = main.entities.patch(
        caller,
        request.database,
        request.key,
        WriteKind.JSON_PATCH if which == "json_patch" else WriteKind.MERGE_PATCH,
        request.json_patch if which == "json_patch" else request.merge_patch,
        condition=_condition(request),
        idempotency_key=request.request_id,
        validate_only=request.validate_only,
    )
    return _written(written)


def transform_entity(main: Main, caller: Caller, request: pb.TransformEntityRequest) -> pb.Entity:
    """Return what an expression makes of an entity."""
    return _entity(
        main.entities.transform(caller, request.database, request.key, request.expression)
    )


def store_transformed_entity(
    main: Main, caller: Caller, request: pb.TransformEntityRequest
) -> pb.PutEntityResponse:
    """Replace an entity by what an expression makes of it."""
    written = main.entities.store_transformed(
        caller,
        request.database,
        request.key,
        request.expression,
        condition=_condition(request),
        idempotency_key=request.request_id,
        validate_only=request.validate_only,
    )
    return _written(written)


def validate_entities(
    main: Main, caller: Caller, request: pb.ValidateEntitiesRequest
) -> pb.ValidateEntitiesResponse:
    """Return what would refuse a put."""
    verdicts = main.entities.validate(caller, request.database, _documents(request.entities))
    return pb.ValidateEntitiesResponse(
        verdicts=[
            pb.Verdict(key=key, refusal=None if refusal is None else status.to_status(refusal))
            for key, refusal in verdicts.items()
        ]
    )


def delete_entity(
    main: Main, caller: Caller, request: pb.DeleteEntityRequest
) -> pb.DeleteEntityResponse:
    """Delete an entity."""
    main.entities.delete(
        caller,
        request.database,
        request.key,
        condition=_condition(request),
        idempotency_key=request.request_id,
        validate_only=request.validate_only,
    )
    return pb.DeleteEntityResponse()


def batch_put_entities(
    main: Main, caller: Caller, request: pb.BatchPutEntitiesRequest
) -> pb.BatchPutEntitiesResponse:
    """Create or replace several entities."""
    documents = _documents(request.entities)
    try:
        results = main.entities.put(
            caller,
            request.database,
            documents,
            idempotency_key=request.request_id,
            ttl_seconds=request.ttl_seconds or None,
            validate_only=request.validate_only,
        )
    except PartlyWrittenError as error:
        return _partly_written(error)
    return pb.BatchPutEntitiesResponse(results=map(_written, results))


def batch_delete_entities(
    main: Main, caller: Caller, request: pb.BatchDeleteEntitiesRequest
) -> pb.BatchDeleteEntitiesResponse:
    """Delete several entities."""
    keys = list(request.keys)
    outcomes: Mapping[str, Written | Deleted | StrongroomError]
    try:
        deleted = main.entities.delete_many(
            caller,
            request.database,
            keys,
            idempotency_key=request.request_id,
            validate_only=request.validate_only,
        )
        outcomes = {one.key: one for one in deleted}
    except PartlyWrittenError as error:
        outcomes = error.outcomes
    return pb.BatchDeleteEntitiesResponse(
        results=[_deleted(key, outcome) for key, outcome in outcomes.items()]
    )


METHODS: Final = (
    get_entity,
    batch_get_entities,
    list_entities,
    stream_entities,
    put_entity,
    patch_entity,
    transform_entity,
    store_transformed_entity,
    validate_entities,
    delete_entity,
    batch_put_entities,
    batch_delete_entities,
)


def _page(
    main: Main, caller: Caller, request: pb.ListEntitiesRequest, page_token: str
) -> pb.ListEntitiesResponse:
    page = main.entities.page(
        caller,
        request.database,
        prefix=request.prefix,
        filter_=request.filter,
        select=request.select,
        limit=request.page_size or limits.PAGE_SIZE,
        cursor=page_token,
    )
    return pb.ListEntitiesResponse(
        entities=map(_entity, page.entities),
        next_page_token=page.cursor,
        examined=page.examined,
        damaged=page.damaged,
    )


def _condition(
    request: pb.PutEntityRequest
    | pb.PatchEntityRequest
    | pb.TransformEntityRequest
    | pb.DeleteEntityRequest,
) -> Condition:
    """Return what a request demands, in the one way or the other."""
    if not request.etag:
        return messages.to_condition(request.condition)
    if request.HasField("condition"):
        raise InvalidArgumentError("give an etag or a condition, not both")
    return conditions.of_etag(request.etag)


def _documents(entities: Collection[pb.KeyedDocument]) -> dict[str, bytes]:
    documents = {one.key: one.document for one in entities}
    if len(documents) != len(entities):
        raise InvalidArgumentError("a key is repeated")
    return documents


def _entity(found: Found) -> pb.Entity:
    return pb.Entity(
        key=found.key,
        document=found.document,
        metadata=messages.from_metadata(found.metadata),
        not_modified=found.not_modified,
        etag=conditions.etag(found.metadata.version),
    )


def _written(written: Written) -> pb.PutEntityResponse:
    return pb.PutEntityResponse(
        key=written.key,
        created=written.created,
        metadata=messages.from_metadata(written.metadata),
        etag=conditions.etag(written.metadata.version),
    )


def _partly_written(error: PartlyWrittenError) -> pb.BatchPutEntitiesResponse:
    """Return one answer per key; gRPC can carry them beside each other, so the call is OK."""
    results = [
        _written(outcome)
        if isinstance(outcome, Written)
        else pb.PutEntityResponse(key=key, status=_status(outcome))
        for key, outcome in error.outcomes.items()
    ]
    return pb.BatchPutEntitiesResponse(results=results)


def _deleted(key: str, outcome: Written | Deleted | StrongroomError) -> pb.DeletedEntity:
    if isinstance(outcome, Deleted):
        return pb.DeletedEntity(key=key, deleted=outcome.was_there, version=outcome.version)
    return pb.DeletedEntity(key=key, status=_status(outcome))


def _status(outcome: Written | Deleted | StrongroomError) -> status_pb2.Status | None:
    return status.to_status(outcome) if isinstance(outcome, StrongroomError) else None
