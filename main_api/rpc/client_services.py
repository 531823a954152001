"""AuthService and EntityService: what clients call.

A handler gets at the use cases only through a `Caller`, and a `Caller` comes only out of a
verified token; so no method can be served without one. Handlers are plain functions on a thread
pool: the use cases block, and asyncio is left to what is held open for long.
"""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import grpc

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.service.entities import PartlyWrittenError
from main_api.service.ports import Found, WriteKind, Written
from strongroom import limits, logs
from strongroom.errors import InternalError, InvalidArgumentError, StrongroomError
from strongroom.rpc import messages, status
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2, entity_pb2_grpc

T = TypeVar("T")
_log = logs.logger()


def serve(context: grpc.ServicerContext, work: Callable[[], T]) -> T:
    """Run a handler; its errors become google.rpc.Status."""
    failure: StrongroomError
    try:
        return work()
    except StrongroomError as error:
        failure = error
    except Exception:  # noqa: BLE001 - the boundary: what nobody foresaw is logged, not shown
        _log.exception("call-failed")
        failure = InternalError("an internal error; the log has more")
    return status.abort(context, failure)


def authorization(
    context: grpc.ServicerContext | grpc.aio.ServicerContext[Any, Any],
) -> str | None:
    """Return the `authorization` of a call's metadata."""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            return value if isinstance(value, str) else None
    return None


class AuthService(auth_pb2_grpc.AuthServiceServicer):
    """Issues access tokens."""

    def __init__(self, main: Main) -> None:
        """Take the use cases."""
        self._access = main.access

    def IssueToken(  # noqa: N802 - named by gRPC
        self, request: auth_pb2.IssueTokenRequest, context: grpc.ServicerContext
    ) -> auth_pb2.IssueTokenResponse:
        """Issue a token for client credentials."""

        def work() -> auth_pb2.IssueTokenResponse:
            issued = self._access.issue_token(
                request.client_id, request.client_secret, request.scope
            )
            return auth_pb2.IssueTokenResponse(
                access_token=issued.access_token,
                token_type="Bearer",  # noqa: S106 - the kind of token
                expires_in=issued.expires_in_s,
                scope=" ".join(sorted(issued.scope)),
            )

        return serve(context, work)


class EntityService(entity_pb2_grpc.EntityServiceServicer):
    """Get and put."""

    def __init__(self, main: Main) -> None:
        """Take the use cases."""
        self._access = main.access
        self._entities = main.entities

    def GetEntity(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.GetEntityRequest, context: grpc.ServicerContext
    ) -> entity_pb2.Entity:
        """Read an entity."""
        known = request.if_none_match_version

        def work(caller: Caller) -> entity_pb2.Entity:
            return _entity(self._entities.get(caller, request.database, request.key, known))

        return self._authenticated(context, work)

    def BatchGetEntities(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.BatchGetEntitiesRequest, context: grpc.ServicerContext
    ) -> entity_pb2.BatchGetEntitiesResponse:
        """Read several entities."""

        def work(caller: Caller) -> entity_pb2.BatchGetEntitiesResponse:
            found = self._entities.get_many(caller, request.database, list(request.keys))
            return entity_pb2.BatchGetEntitiesResponse(entities=map(_entity, found))

        return self._authenticated(context, work)

    def ListEntities(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.ListEntitiesRequest, context: grpc.ServicerContext
    ) -> entity_pb2.ListEntitiesResponse:
        """Read a page."""

        def work(caller: Caller) -> entity_pb2.ListEntitiesResponse:
            page = self._entities.page(
                caller,
                request.database,
                prefix=request.prefix,
                filter_=request.filter,
                select=request.select,
                limit=request.page_size or limits.PAGE_SIZE,
                cursor=request.page_token,
            )
            return entity_pb2.ListEntitiesResponse(
                entities=map(_entity, page.entities),
                next_page_token=page.cursor,
                examined=page.examined,
                damaged=page.damaged,
            )

        return self._authenticated(context, work)

    def PutEntity(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.PutEntityRequest, context: grpc.ServicerContext
    ) -> entity_pb2.PutEntityResponse:
        """Create or replace an entity."""

        def work(caller: Caller) -> entity_pb2.PutEntityResponse:
            (written,) = self._entities.put(
                caller,
                request.database,
                {request.key: request.document},
                condition=messages.to_condition(request.condition),
                idempotency_key=request.request_id,
                ttl_seconds=request.ttl_seconds or None,
            )
            return _written(written)

        return self._authenticated(context, work)

    def PatchEntity(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.PatchEntityRequest, context: grpc.ServicerContext
    ) -> entity_pb2.PutEntityResponse:
        """Change a part of an entity."""

        def work(caller: Caller) -> entity_pb2.PutEntityResponse:
            which = request.WhichOneof("patch")
            if which is None:
                raise InvalidArgumentError("merge_patch or json_patch is needed")
            kind = WriteKind.JSON_PATCH if which == "json_patch" else WriteKind.MERGE_PATCH
            patch = request.json_patch if which == "json_patch" else request.merge_patch
            written = self._entities.patch(
                caller,
                request.database,
                request.key,
                kind,
                patch,
                condition=messages.to_condition(request.condition),
                idempotency_key=request.request_id,
            )
            return _written(written)

        return self._authenticated(context, work)

    def TransformEntity(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.TransformEntityRequest, context: grpc.ServicerContext
    ) -> entity_pb2.Entity:
        """Return what an expression makes of an entity."""

        def work(caller: Caller) -> entity_pb2.Entity:
            found = self._entities.transform(
                caller, request.database, request.key, request.expression
            )
            return _entity(found)

        return self._authenticated(context, work)

    def StoreTransformedEntity(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.TransformEntityRequest, context: grpc.ServicerContext
    ) -> entity_pb2.PutEntityResponse:
        """Replace an entity by what an expression makes of it."""

        def work(caller: Caller) -> entity_pb2.PutEntityResponse:
            written = self._entities.store_transformed(
                caller,
                request.database,
                request.key,
                request.expression,
                condition=messages.to_condition(request.condition),
                idempotency_key=request.request_id,
            )
            return _written(written)

        return self._authenticated(context, work)

    def ValidateEntities(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.ValidateEntitiesRequest, context: grpc.ServicerContext
    ) -> entity_pb2.ValidateEntitiesResponse:
        """Return what would refuse a put."""

        def work(caller: Caller) -> entity_pb2.ValidateEntitiesResponse:
            verdicts = self._entities.validate(
                caller, request.database, _documents(request.entities)
            )
            return entity_pb2.ValidateEntitiesResponse(
                verdicts=[
                    entity_pb2.Verdict(
                        key=key, refusal=None if refusal is None else status.to_status(refusal)
                    )
                    for key, refusal in verdicts.items()
                ]
            )

        return self._authenticated(context, work)

    def DeleteEntity(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.DeleteEntityRequest, context: grpc.ServicerContext
    ) -> entity_pb2.DeleteEntityResponse:
        """Delete an entity."""

        def work(caller: Caller) -> entity_pb2.DeleteEntityResponse:
            self._entities.delete(
                caller,
                request.database,
                request.key,
                condition=messages.to_condition(request.condition),
                idempotency_key=request.request_id,
            )
            return entity_pb2.DeleteEntityResponse()

        return self._authenticated(context, work)

    def BatchPutEntities(  # noqa: N802 - named by gRPC
        self, request: entity_pb2.BatchPutEntitiesRequest, context: grpc.ServicerContext
    ) -> entity_pb2.BatchPutEntitiesResponse:
        """Create or replace several entities."""

        def work(caller: Caller) -> entity_pb2.BatchPutEntitiesResponse:
            documents = _documents(request.entities)
            try:
                results = self._entities.put(
                    caller,
                    request.database,
                    documents,
                    idempotency_key=request.request_id,
                    ttl_seconds=request.ttl_seconds or None,
                )
            except PartlyWrittenError as error:
                return _partly_written(error)
            return entity_pb2.BatchPutEntitiesResponse(results=map(_written, results))

        return self._authenticated(context, work)

    def _authenticated(self, context: grpc.ServicerContext, work: Callable[[Caller], T]) -> T:
        return serve(context, lambda: work(self._access.authenticate(authorization(context))))


def _documents(entities: Collection[entity_pb2.KeyedDocument]) -> dict[str, bytes]:
    documents = {one.key: one.document for one in entities}
    if len(documents) != len(entities):
        raise InvalidArgumentError("a key is repeated")
    return documents


def _entity(found: Found) -> entity_pb2.Entity:
    return entity_pb2.Entity(
        key=found.key,
        document=found.document,
        metadata=messages.from_metadata(found.metadata),
        not_modified=found.not_modified,
    )


def _written(written: Written) -> entity_pb2.PutEntityResponse:
    return entity_pb2.PutEntityResponse(
        key=written.key,
        created=written.created,
        metadata=messages.from_metadata(written.metadata),
    )


def _partly_written(error: PartlyWrittenError) -> entity_pb2.BatchPutEntitiesResponse:
    """Return one answer per key; gRPC can carry them beside each other, so the call is OK."""
    results = [
        _written(outcome)
        if isinstance(outcome, Written)
        else entity_pb2.PutEntityResponse(key=key, status=status.to_status(outcome))
        for key, outcome in error.outcomes.items()
    ]
    return entity_pb2.BatchPutEntitiesResponse(results=results)
