"""The paths of administrators: templates, databases, clients."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from chalice.app import Request, Response

from main_api.domain.grants import Grant
from main_api.domain.registry import Revocation, WorkerRecord
from main_api.rest import problems
from main_api.rest.application import StrongroomApp, json_response
from main_api.rest.requests import (
    body_of,
    check_dry_run,
    decoded,
    json_body,
    parameters,
    single,
    whole_number,
)
from main_api.service.listing import Listing
from main_api.service.ports import ClientRecord
from strongroom import jsontext, limits
from strongroom.clock import rfc3339
from strongroom.configuration import Database, Template
from strongroom.errors import InvalidArgumentError

T = TypeVar("T", Template, Database, ClientRecord)


class _DatabaseBody(msgspec.Struct, forbid_unknown_fields=True):
    schema_id: str
    ttl_seconds: int | None = None


class _VerifyBody(msgspec.Struct, forbid_unknown_fields=True):
    cursor: str = ""
    repair: bool = False


class _ClientBody(msgspec.Struct, forbid_unknown_fields=True):
    grants: Annotated[tuple[Grant, ...], msgspec.Meta(max_length=limits.GRANTS_MAX)]


class _RotateSecretBody(msgspec.Struct, forbid_unknown_fields=True):
    overlap_seconds: Annotated[int, msgspec.Meta(ge=0, le=limits.SECRET_OVERLAP_SECONDS_MAX)] = (
        limits.SECRET_OVERLAP_SECONDS
    )


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_templates(app)
    _add_databases(app)
    _add_clients(app)
    _add_workers(app)


def _add_templates(app: StrongroomApp) -> None:
    @app.route("/schemas/{schema_id}", methods=["PUT"])
    def put_schema(schema_id: str) -> Response:
        """Admit a JSON Schema template; the body is the schema."""
        given = parameters(app.request, frozenset({"dry_run", "cursor"}))
        if "dry_run" in given:
            return _trial(app, schema_id, given)
        if given:
            raise InvalidArgumentError("cursor goes with dry_run=true")
        administration = app.main.administration
        template = administration.put_template(app.caller, schema_id, json_body(app.request))
        status = 201 if template.schema_version == 1 else 200
        return json_response(jsontext.dump(_template(template)), status)

    @app.route("/schemas", methods=["GET"])
    def list_schemas() -> Response:
        """Answer a page of the templates."""
        found = app.main.administration.templates(app.caller, *_page(app.request))
        return _listing("schemas", found, _template)

    @app.route("/schemas/{schema_id}", methods=["DELETE"])
    def delete_schema(schema_id: str) -> Response:
        """Delete a template that no database is bound to."""
        _check_bare(app.request)
        app.main.administration.delete_template(app.caller, schema_id)
        return Response("", {}, 204)

    @app.route("/schemas/{schema_id}", methods=["GET"])
    def get_schema(schema_id: str) -> Response:
        """Answer a template."""
        _check_bare(app.request)
        template = app.main.administration.template(app.caller, schema_id)
        return json_response(jsontext.dump({**_template(template), "schema": template.schema}))


def _add_databases(app: StrongroomApp) -> None:
    @app.route("/databases/{database}", methods=["PUT"])
    def put_database(database: str) -> Response:
        """Make a database, or change it."""
        _check_bare(app.request)
        body = decoded(json_body(app.request), _DatabaseBody)
        made, is_new = app.main.administration.put_database(
            app.caller, database, body.schema_id, body.ttl_seconds
        )
        return json_response(jsontext.dump(_database(made)), 201 if is_new else 200)

    @app.route("/databases", methods=["GET"])
    def list_databases() -> Response:
        """Answer a page of the databases that the caller administers."""
        found = app.main.administration.databases(app.caller, *_page(app.request))
        return _listing("databases", found, _database)

    @app.route("/databases/{database}", methods=["DELETE"])
    def delete_database(database: str) -> Response:
        """Delete a database with all its entities."""
        _check_bare(app.request)
        app.main.administration.delete_database(app.caller, database)
        return Response("", {}, 204)

    @app.route("/databases/{database}", methods=["GET"])
    def get_database(database: str) -> Response:
        """Answer a database's configuration."""
        _check_bare(app.request)
        found = app.main.administration.database(app.caller, database)
        return json_response(jsontext.dump(_database(found)))


def _add_clients(app: StrongroomApp) -> None:
    @app.route("/clients/{client_id}", methods=["PUT"])
    def put_client(client_id: str) -> Response:
        """Make a client, its secret shown this once; or change a client's grants."""
        _check_bare(app.request)
        body = decoded(json_body(app.request), _ClientBody)
        client, secret = app.main.administration.put_client(app.caller, client_id, body.grants)
        answer = _client(client) | ({"client_secret": secret} if secret else {})
        return json_response(jsontext.dump(answer), 201 if secret else 200)

    @app.route("/clients", methods=["GET"])
    def list_clients() -> Response:
        """Answer a page of the clients, without their secrets."""
        found = app.main.administration.clients(app.caller, *_page(app.request))
        return _listing("clients", found, _client)

    @app.route("/clients/{client_id}", methods=["GET"])
    def get_client(client_id: str) -> Response:
        """Answer a client, without its secret."""
        _check_bare(app.request)
        client = app.main.administration.client(app.caller, client_id)
        return json_response(jsontext.dump(_client(client)))

    @app.route("/clients/{client_id}/rotate-secret", methods=["POST"])
    def rotate_secret(client_id: str) -> Response:
        """Give a client a new secret, shown this once."""
        _check_bare(app.request)
        given = json_body(app.request) if body_of(app.request) else b"{}"
        body = decoded(given, _RotateSecretBody)
        client, secret = app.main.administration.rotate_secret(
            app.caller, client_id, body.overlap_seconds
        )
        answer = _client(client) | {"client_secret": secret}
        return json_response(jsontext.dump(answer), 201)

    @app.route("/clients/{client_id}", methods=["DELETE"])
    def delete_client(client_id: str) -> Response:
        """Remove a client."""
        _check_bare(app.request)
        app.main.administration.delete_client(app.caller, client_id)
        return Response("", {}, 204)


def _add_workers(app: StrongroomApp) -> None:
    @app.route("/verify", methods=["POST"])
    def verify() -> Response:
        """Look at some of the files that are stored, and answer which are not as they should be."""
        _check_bare(app.request)
        body = decoded(json_body(app.request), _VerifyBody)
        found = app.main.inspection.verify(app.caller, body.cursor, repair=body.repair)
        answer: dict[str, Any] = {
            "findings": [
                {
                    "path": one.path,
                    "condition": one.condition.value,
                    "reason": one.reason,
                    "repaired": one.repaired,
                }
                for one in found.findings
            ],
            "examined": found.examined,
            "progress": {"done": found.done, "total": found.total},
        }
        answer |= {"cursor": found.cursor} if found.cursor else {}
        return json_response(jsontext.dump(answer))

    @app.route("/workers", methods=["GET"])
    def get_workers() -> Response:
        """Answer the registry: the Processing Workers whose lease runs."""
        _check_bare(app.request)
        workers = [_worker(one) for one in app.main.administration.workers(app.caller)]
        revoked = [_revoked(one) for one in app.main.administration.revoked_workers(app.caller)]
        return json_response(jsontext.dump({"workers": workers, "revoked": revoked}))

    @app.route("/workers/{worker_id}", methods=["DELETE"])
    def delete_worker(worker_id: str) -> Response:
        """Revoke a Processing Worker."""
        given = parameters(app.request, frozenset({"unseen"}))
        if given.get("unseen", ["true"]) != ["true"]:
            raise InvalidArgumentError("unseen is true, or is not said")
        app.main.administration.revoke_worker(app.caller, worker_id, unseen=bool(given))
        return Response("", {}, 204)

    @app.route("/workers/{worker_id}/reinstate", methods=["POST"])
    def reinstate_worker(worker_id: str) -> Response:
        """Let a revoked Processing Worker come into service again."""
        _check_bare(app.request)
        app.main.administration.reinstate_worker(app.caller, worker_id)
        return Response("", {}, 204)


def _trial(app: StrongroomApp, schema_id: str, given: dict[str, list[str]]) -> Response:
    """Answer what a template would refuse of what is stored."""
    check_dry_run(given)
    cursor = single("cursor", given["cursor"]) if "cursor" in given else ""
    schema = json_body(app.request)
    found = app.main.inspection.try_template(app.caller, schema_id, schema, cursor)
    answer: dict[str, Any] = {
        "schema_id": found.template.schema_id,
        "schema_version": found.template.schema_version,
        "examined": found.examined,
        "refused": found.refused,
        "reasons": found.reasons,
        "refusals": [
            {
                "database": one.database,
                "key": one.key,
                "version": one.version,
                "detail": one.detail,
                "errors": problems.violations(one.violations),
            }
            for one in found.refusals
        ],
    }
    answer |= {"damaged": found.damaged} if found.damaged else {}
    answer |= {"cursor": found.cursor} if found.cursor else {}
    return json_response(jsontext.dump(answer))


def _check_bare(request: Request) -> None:
    """Refuse parameters where there are none: nobody deletes for want of a `dry_run`."""
    parameters(request, frozenset())


def _page(request: Request) -> tuple[int, str]:
    """Return (limit, cursor) of a listing."""
    given = parameters(request, frozenset({"limit", "cursor"}))
    cursor = single("cursor", given["cursor"]) if "cursor" in given else ""
    if "limit" not in given:
        return limits.PAGE_SIZE, cursor
    return whole_number("limit", single("limit", given["limit"])), cursor


def _listing(name: str, found: Listing[T], shown: Callable[[T], dict[str, Any]]) -> Response:
    answer: dict[str, Any] = {name: [shown(record) for record in found.records]}
    answer |= {"cursor": found.cursor} if found.cursor else {}
    answer |= {"damaged": found.damaged} if found.damaged else {}
    return json_response(jsontext.dump(answer))


def _template(template: Template) -> dict[str, Any]:
    return {
        "schema_id": template.schema_id,
        "schema_version": template.schema_version,
        "created_at": template.created_at,
        "updated_at": template.updated_at,
    }


def _database(database: Database) -> dict[str, Any]:
    return {
        "name": database.name,
        "schema_id": database.schema_id,
        "created_at": database.created_at,
        **({"ttl_seconds": database.ttl_seconds} if database.ttl_seconds else {}),
    }


def _worker(worker: WorkerRecord) -> dict[str, Any]:
    return {
        "worker_id": worker.worker_id,
        "address": worker.address,
        "registered_at": worker.registered_at,
        "lease_until": rfc3339(worker.lease_until_ms),
    }


def _revoked(revocation: Revocation) -> dict[str, Any]:
    at = {"revoked_at": revocation.revoked_at} if revocation.revoked_at else {}
    return {"worker_id": revocation.worker_id, **at}


def _client(client: ClientRecord) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "grants": client.grants,
        "created_at": client.created_at,
        **({"old_secret_until": client.retiring.valid_until} if client.retiring else {}),
    }
