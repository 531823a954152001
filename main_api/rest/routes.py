"""The paths of the REST face: translate, call a use case, translate back."""

import base64
import binascii
from typing import Final
from urllib.parse import parse_qs, unquote_plus

from chalice.app import Request, Response

from main_api.bootstrap import Current
from main_api.rest import conditions, problems
from main_api.rest.application import StrongroomApp, body_of, json_response
from main_api.service.ports import Written
from strongroom import jsontext, limits
from strongroom.errors import (
    InvalidArgumentError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedMediaTypeError,
)

PUBLIC: Final = frozenset({"/oauth/token", "/healthz", "/readyz"})
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_TOKEN_BODY_BYTES_MAX: Final = 16 * 1024
_WAYS_TO_READ: Final = frozenset({"key"})
_WAYS_TO_PUT: Final = frozenset({"ttl_seconds"})


def build(current: Current) -> StrongroomApp:
    """Return the application with its routes."""
    app = StrongroomApp("strongroom", PUBLIC, current)
    _add_service_routes(app)
    _add_token_route(app)
    _add_entity_routes(app)
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
        form = _form(app.request)
        if form.get("grant_type") != "client_credentials":
            error = InvalidArgumentError("grant_type is client_credentials")
            return problems.response(
                error, app.request_id, members={"error": "unsupported_grant_type"}
            )
        try:
            client_id, secret = _basic(app.request.headers.get("authorization"))
            issued = app.main.access.issue_token(client_id, secret, form.get("scope", ""))
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
        """Answer the entities of the `key` parameters, as a mapping."""
        keys = _parameters(app.request, _WAYS_TO_READ).get("key", [])
        if not keys:
            raise InvalidArgumentError("name an entity: ?key=...")
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

    @app.route("/entity/{database}", methods=["PUT"])
    def put_entities(database: str) -> Response:
        """Create or replace the entities of the body, a mapping."""
        request = app.request
        _require_media_type(request, _JSON)
        written = app.main.entities.put(
            app.caller,
            database,
            jsontext.split(_bounded_body(request, limits.MESSAGE_BYTES_MAX)),
            condition=conditions.for_write(
                request.headers.get("if-match"), request.headers.get("if-none-match")
            ),
            idempotency_key=request.headers.get("idempotency-key", ""),
            ttl_seconds=_ttl_seconds(request),
        )
        status = 201 if all(one.created for one in written) else 200
        headers = (
            {"ETag": conditions.etag(written[0].metadata.version)} if len(written) == 1 else {}
        )
        return json_response(
            _mapping([(one.key, _written(one)) for one in written]), status, headers
        )


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


def _parameters(request: Request, known: frozenset[str]) -> dict[str, list[str]]:
    """Return the query parameters; one that is not known is refused, not passed over."""
    query = request.query_params
    parameters = {name: query.getlist(name) for name in query} if query is not None else {}
    for name in parameters:
        if name not in known:
            raise InvalidArgumentError("known parameters here: " + ", ".join(sorted(known)))
    return parameters


def _ttl_seconds(request: Request) -> int | None:
    values = _parameters(request, _WAYS_TO_PUT).get("ttl_seconds")
    if values is None:
        return None
    text = values[0]
    if len(values) > 1 or not (text.isascii() and text.isdecimal() and len(text) <= len("9" * 10)):
        raise InvalidArgumentError("ttl_seconds is one whole number")
    return int(text)


def _require_media_type(request: Request, wanted: str) -> None:
    given = request.headers.get("content-type", wanted).partition(";")[0].strip().lower()
    if given != wanted:
        raise UnsupportedMediaTypeError(f"send {wanted}")


def _bounded_body(request: Request, bytes_max: int) -> bytes:
    body = body_of(request)
    if len(body) > bytes_max:
        raise TooLargeError(f"a request has at most {bytes_max} bytes")
    return body


def _form(request: Request) -> dict[str, str]:
    _require_media_type(request, _FORM)
    body = _bounded_body(request, _TOKEN_BODY_BYTES_MAX)
    try:
        fields = parse_qs(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
        )
    except ValueError as error:
        raise InvalidArgumentError("the form cannot be read") from error
    if any(len(values) > 1 for values in fields.values()):
        raise InvalidArgumentError("a parameter is repeated")
    return {name: values[0] for name, values in fields.items()}


def _basic(authorization: str | None) -> tuple[str, str]:
    """Return (client id, secret) of an `Authorization: Basic` header (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = (authorization or "").partition(" ")
    try:
        client_id, colon, secret = (
            base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError) as error:
        raise UnauthenticatedError("the Basic credentials cannot be read") from error
    if scheme.lower() != "basic" or not colon:
        raise UnauthenticatedError("send the client's credentials: HTTP Basic client_id:secret")
    return unquote_plus(client_id), unquote_plus(secret)
