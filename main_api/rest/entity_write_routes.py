"""The paths that write entities: put, patch, transform, delete."""

from typing import Final

import msgspec
from chalice.app import Request, Response

from main_api.domain import conditions
from main_api.rest import problems
from main_api.rest.answers import json_object, json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.entity_models import (
    DELETED_MAP,
    ERRORS_OF_WRITING,
    EXAMPLE,
    JSON_PATCH,
    MERGE_PATCH,
    WRITTEN,
    ChangeQuery,
    DeletedEntity,
    DeletedMap,
    DeleteQuery,
    Documents,
    Entities,
    JsonPatches,
    MergePatches,
    PutQuery,
    TransformBody,
    Verdict,
    Verdicts,
    WrittenEntity,
    WrittenMap,
)
from main_api.rest.operations import (
    DELETED,
    Answer,
    Content,
    Operation,
    Right,
    Tag,
    json_content,
)
from main_api.rest.requests import (
    bounded_body,
    decoded,
    idempotency_key,
    json_body,
    media_type,
)
from main_api.service.requests.batches import Deleted
from main_api.service.workers.ports import WriteKind, Written
from strongroom import jsontext, limits
from strongroom.entity import UNCONDITIONAL, Condition
from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    PatchFailedError,
    SchemaViolationError,
    StrongroomError,
)

_PATCHES: Final = {
    "application/merge-patch+json": WriteKind.MERGE_PATCH,
    "application/json-patch+json": WriteKind.JSON_PATCH,
}


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_put(app)
    _add_delete(app)
    _add_patch(app)
    _add_transform(app)


def _add_put(app: StrongroomApp) -> None:
    @app.route(
        "/entity/{database}",
        methods=["PUT"],
        operation=Operation(
            tag=Tag.ENTITIES,
            rights=(Right.WRITE,),
            query=PutQuery,
            headers=("If-Match", "If-None-Match", "Idempotency-Key"),
            body=json_content(Documents, EXAMPLE),
            answers=(
                Answer(201, "All are new.", json_content(WrittenMap, WRITTEN), headers=("ETag?",)),
                Answer(
                    200,
                    "They are written; not all are new. With `dry_run`: what would refuse each.",
                    json_content((WrittenMap, Verdicts), WRITTEN),
                    headers=("ETag?",),
                ),
            ),
            errors=(*ERRORS_OF_WRITING, SchemaViolationError),
        ),
    )
    def put_entities(database: str) -> Response:
        """Create or replace the entities of the body, a mapping.

        All are validated before any is written. A failure after that is told with one outcome for
        each. `If-Match` and `If-None-Match` are for a single one, and not with `dry_run`.
        """
        request = app.request
        documents = jsontext.split(json_body(request))
        given = app.query(PutQuery)
        if given.dry_run:
            if _condition(request) != UNCONDITIONAL:
                raise InvalidArgumentError("with dry_run the documents alone are looked at")
            return _verdicts(app, database, documents)
        written = app.main.entities.put(
            app.caller,
            database,
            documents,
            condition=_condition(request),
            idempotency_key=idempotency_key(request),
            ttl_seconds=None if given.ttl_seconds is msgspec.UNSET else given.ttl_seconds,
        )
        return _put_answer(written)


def _add_delete(app: StrongroomApp) -> None:
    @app.route(
        "/entity/{database}",
        methods=["DELETE"],
        operation=Operation(
            tag=Tag.ENTITIES,
            rights=(Right.DELETE,),
            query=DeleteQuery,
            headers=("If-Match", "If-None-Match", "Idempotency-Key"),
            answers=(
                DELETED,
                Answer(
                    200,
                    "Of several keys: which were there, and are deleted.",
                    json_content(DeletedMap, DELETED_MAP),
                ),
            ),
            errors=ERRORS_OF_WRITING,
        ),
    )
    def delete_entity(database: str) -> Response:
        """Delete the entities of the `key` parameters.

        A single one that is not there is 404. Of several, that one is not there is its outcome, and
        stops no other. `If-Match` and `If-None-Match` are for a single one. These, and `dry_run`,
        take the right to read or to write too.
        """
        given = app.query(DeleteQuery)
        keys, is_trial = list(dict.fromkeys(given.key)), bool(given.dry_run)
        condition, request_id = _condition(app.request), idempotency_key(app.request)
        if len(keys) == 1:
            app.main.entities.delete(
                app.caller,
                database,
                keys[0],
                condition=condition,
                idempotency_key=request_id,
                validate_only=is_trial,
            )
            return Response("", {}, 204)
        if condition != UNCONDITIONAL:
            raise InvalidArgumentError("a condition is for a single entity")
        app.require_acceptable()
        deleted = app.main.entities.delete_many(
            app.caller,
            database,
            keys,
            idempotency_key=request_id,
            validate_only=is_trial,
        )
        return json_response(jsontext.dump({one.key: _deleted(one) for one in deleted}))


def _add_patch(app: StrongroomApp) -> None:
    @app.route(
        "/entity/{database}",
        methods=["PATCH"],
        operation=Operation(
            tag=Tag.ENTITIES,
            rights=(Right.WRITE,),
            further_rights={"the body is a JSON Patch": Right.READ},
            query=ChangeQuery,
            headers=("If-Match", "If-None-Match", "Idempotency-Key"),
            body={
                "application/merge-patch+json": Content(MergePatches, MERGE_PATCH),
                "application/json-patch+json": Content(JsonPatches, JSON_PATCH),
            },
            answers=(
                Answer(200, "It is changed.", json_content(WrittenMap, WRITTEN), headers=("ETag",)),
            ),
            errors=(*ERRORS_OF_WRITING, ConflictError, SchemaViolationError, PatchFailedError),
        ),
    )
    def patch_entity(database: str) -> Response:
        """Change a part of the entity of the body, a mapping of its key to a patch.

        A merge patch is RFC 7396, a JSON Patch RFC 6902. What comes of it is validated as a PUT;
        the entity's expiry stays.
        """
        request = app.request
        kind = _PATCHES[media_type(request, tuple(_PATCHES))]
        members = jsontext.split(bounded_body(request, limits.MESSAGE_BYTES_MAX))
        if len(members) != 1:
            raise InvalidArgumentError("a patch is for one entity")
        ((key, patch),) = members.items()
        written = app.main.entities.patch(
            app.caller,
            database,
            key,
            kind,
            patch,
            condition=_condition(request),
            idempotency_key=idempotency_key(request),
            validate_only=bool(app.query(ChangeQuery).dry_run),
        )
        return _put_answer([written])


def _add_transform(app: StrongroomApp) -> None:
    @app.route(
        "/entity/{database}/transform",
        methods=["POST"],
        operation=Operation(
            tag=Tag.ENTITIES,
            rights=(Right.READ,),
            further_rights={"`store` is true": Right.WRITE},
            query=ChangeQuery,
            headers=("If-Match", "If-None-Match", "Idempotency-Key"),
            body=json_content(TransformBody, TransformBody(key="Chat_id", expression="chat[0]")),
            answers=(
                Answer(
                    200,
                    "What the expression makes of it, by key. With `store`: that it is written.",
                    json_content((Entities, WrittenMap), EXAMPLE),
                    headers=("ETag",),
                ),
            ),
            errors=(*ERRORS_OF_WRITING, SchemaViolationError),
        ),
    )
    def transform_entity(database: str) -> Response:
        """Answer what an expression makes of an entity, or store it in its place.

        What is stored is validated as a PUT.
        """
        request = app.request
        body = decoded(json_body(request), TransformBody)
        entities = app.main.entities
        if not body.store:
            found = entities.transform(app.caller, database, body.key, body.expression)
            _condition(request).check(found.metadata.version)
            fields = {"ETag": conditions.etag(found.metadata.version)}
            return json_object([(jsontext.string(found.key), found.document)], fields)
        written = entities.store_transformed(
            app.caller,
            database,
            body.key,
            body.expression,
            condition=_condition(request),
            idempotency_key=idempotency_key(request),
            validate_only=bool(app.query(ChangeQuery).dry_run),
        )
        return _put_answer([written])


def _put_answer(written: list[Written]) -> Response:
    status = 201 if all(one.created for one in written) else 200
    headers = {"ETag": conditions.etag(written[0].metadata.version)} if len(written) == 1 else {}
    answer = {one.key: _written(one) for one in written}
    return json_response(jsontext.dump(answer), status, headers)


def _deleted(one: Deleted) -> DeletedEntity:
    version = one.version if one.was_there else msgspec.UNSET
    return DeletedEntity(deleted=one.was_there, version=version)


def _verdicts(app: StrongroomApp, database: str, documents: dict[str, bytes]) -> Response:
    """Answer what would refuse a put of each document."""
    verdicts = app.main.entities.validate(app.caller, database, documents)
    return json_response(jsontext.dump({key: _verdict(one) for key, one in verdicts.items()}))


def _verdict(refusal: StrongroomError | None) -> Verdict:
    if refusal is None:
        return Verdict(valid=True)
    return Verdict(
        valid=False,
        error=refusal.code,
        detail=refusal.detail,
        errors=problems.violations(refusal.violations),
    )


def _condition(request: Request) -> Condition:
    headers = request.headers
    return conditions.of_request(headers.get("if-match"), headers.get("if-none-match"))


def _written(one: Written) -> WrittenEntity:
    return WrittenEntity(
        version=one.metadata.version,
        created=one.created,
        created_at=one.metadata.created_at,
        updated_at=one.metadata.updated_at,
        expires_at=one.metadata.expires_at or msgspec.UNSET,
    )
