"""The paths of entities: get, list, query, put, patch, transform, delete."""

from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from chalice.app import Request, Response

from main_api.rest import conditions, problems
from main_api.rest.application import StrongroomApp, json_response
from main_api.rest.requests import (
    bounded_body,
    check_dry_run,
    decoded,
    idempotency_key,
    json_body,
    media_type,
    parameters,
    single,
    whole_number,
)
from main_api.service.ports import WriteKind, Written
from strongroom import jsontext, limits
from strongroom.entity import Condition
from strongroom.errors import InvalidArgumentError, StrongroomError

_PATCHES: Final = {
    "application/merge-patch+json": WriteKind.MERGE_PATCH,
    "application/json-patch+json": WriteKind.JSON_PATCH,
}
_WAYS_TO_READ: Final = frozenset({"key", "limit", "cursor", "prefix", "select"})
DAMAGED_HEADER: Final = "Strongroom-Damaged"
_WAYS_TO_PUT: Final = frozenset({"ttl_seconds", "dry_run"})
_KEY_ALONE: Final = frozenset({"key"})


class _TransformBody(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    expression: str
    store: bool = False


class _QueryBody(msgspec.Struct, forbid_unknown_fields=True):
    filter: str = ""
    select: str = ""
    prefix: str = ""
    limit: int = limits.PAGE_SIZE
    cursor: str = ""


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_reading(app)
    _add_put_and_delete(app)
    _add_patch(app)
    _add_transform(app)


def _add_reading(app: StrongroomApp) -> None:
    @app.route("/entity/{database}", methods=["GET"])
    def get_entities(database: str) -> Response:
        """Answer the entities of the `key` parameters, or a page of all, as a mapping."""
        given = parameters(app.request, _WAYS_TO_READ)
        keys = given.get("key", [])
        if not keys:
            return _listed(app, database, given)
        if len(given) > 1:
            raise InvalidArgumentError("key goes with no other parameter")
        entities = app.main.entities
        if len(set(keys)) > 1:
            many = entities.get_many(app.caller, database, keys)
            return json_response(_mapping([(found.key, found.document) for found in many]))
        if_none_match = app.request.headers.get("if-none-match")
        known = conditions.known_versions(if_none_match)
        # With one version the worker can leave the document out.
        (only,) = known if len(known) == 1 else (0,)
        found = entities.get(app.caller, database, keys[0], only)
        headers = {"ETag": conditions.etag(found.metadata.version)}
        if found.metadata.version in known or (if_none_match or "").strip() == "*":
            return Response("", {**headers, "Cache-Control": "no-store"}, 304)
        return json_response(_mapping([(found.key, found.document)]), headers=headers)

    @app.route("/entity/{database}/query", methods=["POST"])
    def query_entities(database: str) -> Response:
        """Answer a page of the entities for which the filter is true."""
        body = decoded(json_body(app.request), _QueryBody)
        page = app.main.entities.page(
            app.caller,
            database,
            prefix=body.prefix,
            filter_=body.filter,
            select=body.select,
            limit=body.limit,
            cursor=body.cursor,
        )
        items = b",".join(
            b'{"key":%s,"version":%d,"entity":%s}'
            % (jsontext.string(one.key), one.metadata.version, one.document)
            for one in page.entities
        )
        rest = {"examined": page.examined} | ({"cursor": page.cursor} if page.cursor else {})
        rest |= {"damaged": page.damaged} if page.damaged else {}
        return json_response(b'{"items":[' + items + b"]," + jsontext.dump(rest)[1:])


def _add_put_and_delete(app: StrongroomApp) -> None:
    @app.route("/entity/{database}", methods=["PUT"])
    def put_entities(database: str) -> Response:
        """Create or replace the entities of the body, a mapping."""
        request = app.request
        documents = jsontext.split(json_body(request))
        given = parameters(request, _WAYS_TO_PUT)
        if "dry_run" in given:
            check_dry_run(given)
            return _verdicts(app, database, documents)
        lifetime = given.get("ttl_seconds")
        written = app.main.entities.put(
            app.caller,
            database,
            documents,
            condition=_condition(request),
            idempotency_key=idempotency_key(request),
            ttl_seconds=(
                whole_number("ttl_seconds", single("ttl_seconds", lifetime)) if lifetime else None
            ),
        )
        return _put_answer(written)

    @app.route("/entity/{database}", methods=["DELETE"])
    def delete_entity(database: str) -> Response:
        """Delete the entity of the `key` parameter."""
        keys = parameters(app.request, _KEY_ALONE).get("key", [])
        if len(keys) != 1:
            raise InvalidArgumentError("name one entity: ?key=...")
        app.main.entities.delete(
            app.caller,
            database,
            keys[0],
            condition=_condition(app.request),
            idempotency_key=idempotency_key(app.request),
        )
        return Response("", {}, 204)


def _add_patch(app: StrongroomApp) -> None:
    @app.route("/entity/{database}", methods=["PATCH"])
    def patch_entity(database: str) -> Response:
        """Change a part of the entity of the body, a mapping of its key to a patch."""
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
        )
        return _put_answer([written])


def _add_transform(app: StrongroomApp) -> None:
    @app.route("/entity/{database}/transform", methods=["POST"])
    def transform_entity(database: str) -> Response:
        """Answer what an expression makes of an entity, or store it in its place."""
        request = app.request
        body = decoded(json_body(request), _TransformBody)
        entities = app.main.entities
        if not body.store:
            found = entities.transform(app.caller, database, body.key, body.expression)
            headers = {"ETag": conditions.etag(found.metadata.version)}
            return json_response(_mapping([(found.key, found.document)]), headers=headers)
        written = entities.store_transformed(
            app.caller,
            database,
            body.key,
            body.expression,
            condition=_condition(request),
            idempotency_key=idempotency_key(request),
        )
        return _put_answer([written])


def _put_answer(written: list[Written]) -> Response:
    status = 201 if all(one.created for one in written) else 200
    headers = {"ETag": conditions.etag(written[0].metadata.version)} if len(written) == 1 else {}
    return json_response(_mapping([(one.key, _written(one)) for one in written]), status, headers)


def _verdicts(app: StrongroomApp, database: str, documents: dict[str, bytes]) -> Response:
    """Answer what would refuse a put of each document."""
    verdicts = app.main.entities.validate(app.caller, database, documents)
    return json_response(
        _mapping([(key, jsontext.dump(_verdict(one))) for key, one in verdicts.items()])
    )


def _verdict(refusal: StrongroomError | None) -> dict[str, Any]:
    if refusal is None:
        return {"valid": True}
    return {
        "valid": False,
        "error": refusal.code,
        "detail": refusal.detail,
        "errors": problems.violations(refusal.violations),
    }


def _listed(app: StrongroomApp, database: str, given: dict[str, list[str]]) -> Response:
    """Answer a page; the next one is in `Link` (RFC 8288)."""
    wanted = {name: single(name, values) for name, values in given.items()}
    page = app.main.entities.page(
        app.caller,
        database,
        prefix=wanted.get("prefix", ""),
        select=wanted.get("select", ""),
        limit=whole_number("limit", wanted["limit"]) if "limit" in wanted else limits.PAGE_SIZE,
        cursor=wanted.get("cursor", ""),
    )
    headers = {}
    if page.cursor:
        query = urlencode({**wanted, "cursor": page.cursor})
        headers["Link"] = f'</entity/{database}?{query}>; rel="next"'
    if page.damaged:
        headers[DAMAGED_HEADER] = str(page.damaged)
    return json_response(_mapping([(f.key, f.document) for f in page.entities]), headers=headers)


def _condition(request: Request) -> Condition:
    headers = request.headers
    return conditions.for_write(headers.get("if-match"), headers.get("if-none-match"))


def _mapping(members: list[tuple[str, bytes]]) -> bytes:
    """Return a JSON object whose values are JSON text already."""
    return b"{" + b",".join(jsontext.string(k) + b":" + v for k, v in members) + b"}"


def _written(one: Written) -> bytes:
    return jsontext.dump(
        {
            "version": one.metadata.version,
            "created": one.created,
            "created_at": one.metadata.created_at,
            "updated_at": one.metadata.updated_at,
        }
        | ({"expires_at": one.metadata.expires_at} if one.metadata.expires_at else {})
    )
