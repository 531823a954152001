"""The paths of the REST face: translate, call a use case, translate back."""

from typing import Final
from urllib.parse import urlencode

import msgspec
from chalice.app import Request, Response

from main_api.bootstrap import Current
from main_api.rest import admin_routes, conditions, problems
from main_api.rest.application import StrongroomApp, json_response
from main_api.rest.requests import (
    basic_credentials,
    decoded,
    form,
    json_body,
    parameters,
    single,
    ttl_seconds,
    whole_number,
)
from main_api.service.ports import Written
from strongroom import jsontext, limits
from strongroom.entity import Condition
from strongroom.errors import InvalidArgumentError, UnauthenticatedError, UnavailableError

PUBLIC: Final = frozenset({"/oauth/token", "/healthz", "/readyz"})
_WAYS_TO_READ: Final = frozenset({"key", "limit", "cursor", "prefix", "select"})
DAMAGED_HEADER: Final = "Strongroom-Damaged"
_KEY_ALONE: Final = frozenset({"key"})


class _QueryBody(msgspec.Struct, forbid_unknown_fields=True):
    filter: str = ""
    select: str = ""
    prefix: str = ""
    limit: int = limits.PAGE_SIZE
    cursor: str = ""


def build(current: Current) -> StrongroomApp:
    """Return the application with its routes."""
    app = StrongroomApp("strongroom", PUBLIC, current)
    _add_service_routes(app)
    _add_token_route(app)
    _add_entity_routes(app)
    admin_routes.add(app)
    return app


def _add_service_routes(app: StrongroomApp) -> None:
    @app.route("/healthz", methods=["GET"])
    def healthz() -> Response:
        """Say that the process answers."""
        return json_response(b'{"status":"ok"}')

    @app.route("/readyz", methods=["GET"])
    def readyz() -> Response:
        """Say whether requests can be served: keyring open, a worker available."""
        workers = app.main.dispatcher.live_workers()
        if not workers:
            raise UnavailableError("no worker is available", retry_after_s=1)
        return json_response(jsontext.dump({"status": "ok", "workers": len(workers)}))


def _add_token_route(app: StrongroomApp) -> None:
    @app.route("/oauth/token", methods=["POST"])
    def token() -> Response:
        """Issue an access token for client credentials (RFC 6749 section 4.4)."""
        fields = form(app.request)
        if fields.get("grant_type") != "client_credentials":
            error = InvalidArgumentError("grant_type is client_credentials")
            return problems.response(
                error, app.request_id, members={"error": "unsupported_grant_type"}
            )
        try:
            client_id, secret = basic_credentials(app.request.headers.get("authorization"))
            issued = app.main.access.issue_token(client_id, secret, fields.get("scope", ""))
        except UnauthenticatedError as error:
            challenge = {"WWW-Authenticate": 'Basic realm="strongroom", charset="UTF-8"'}
            return problems.response(error, app.request_id, challenge, {"error": "invalid_client"})
        except InvalidArgumentError as error:
            return problems.response(error, app.request_id, members={"error": "invalid_scope"})
        answer = {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in_s,
            "scope": " ".join(sorted(issued.scope)),
        }
        return json_response(jsontext.dump(answer))


def _add_entity_routes(app: StrongroomApp) -> None:
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
        known = conditions.known_version(app.request.headers.get("if-none-match"))
        found = entities.get(app.caller, database, keys[0], known)
        headers = {"ETag": conditions.etag(found.metadata.version)}
        if found.not_modified:
            return Response("", {**headers}, 304)
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
            idempotency_key=app.request.headers.get("idempotency-key", ""),
        )
        return Response("", {}, 204)

    @app.route("/entity/{database}", methods=["PUT"])
    def put_entities(database: str) -> Response:
        """Create or replace the entities of the body, a mapping."""
        request = app.request
        written = app.main.entities.put(
            app.caller,
            database,
            jsontext.split(json_body(request)),
            condition=_condition(request),
            idempotency_key=request.headers.get("idempotency-key", ""),
            ttl_seconds=ttl_seconds(request),
        )
        status = 201 if all(one.created for one in written) else 200
        headers = (
            {"ETag": conditions.etag(written[0].metadata.version)} if len(written) == 1 else {}
        )
        return json_response(
            _mapping([(one.key, _written(one)) for one in written]), status, headers
        )


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
