"""The paths of databases."""

from typing import Annotated, Final

import msgspec
from chalice.app import Response

from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import (
    AN_INSTANT,
    DELETED,
    Answer,
    Count,
    Cursor,
    Name,
    Operation,
    PageQuery,
    Right,
    Tag,
    Time,
    json_content,
)
from main_api.rest.requests import decoded, json_body
from strongroom import jsontext, limits
from strongroom.configuration import Database
from strongroom.errors import IntegrityError, NotFoundError

TtlSeconds = Annotated[
    int,
    msgspec.Meta(
        ge=1, le=limits.TTL_SECONDS_MAX, description="How long an entity lives after a PUT."
    ),
]


class DatabaseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a database is to be."""

    schema_id: Annotated[Name, msgspec.Meta(description="The template of its entities.")]
    ttl_seconds: TtlSeconds | None = None


class DatabaseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A database's configuration."""

    name: Name
    schema_id: Name
    created_at: Time
    ttl_seconds: TtlSeconds | msgspec.UnsetType = msgspec.UNSET


class DatabasePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of databases, by name; without `cursor` it is the last one."""

    databases: list[DatabaseAnswer]
    cursor: Cursor | msgspec.UnsetType = msgspec.UNSET
    damaged: Count | msgspec.UnsetType = msgspec.UNSET


_DATABASE: Final = DatabaseAnswer(name="chatdb", schema_id="chat.v1", created_at=AN_INSTANT)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_writing(app)
    _add_reading(app)


def _add_writing(app: StrongroomApp) -> None:
    @app.route(
        "/databases/{database}",
        methods=["PUT"],
        operation=Operation(
            tag=Tag.DATABASES,
            rights=(Right.ADMIN,),
            body=json_content(DatabaseBody, DatabaseBody(schema_id="chat.v1")),
            answers=(
                Answer(201, "It is made.", json_content(DatabaseAnswer, _DATABASE)),
                Answer(200, "It is changed.", json_content(DatabaseAnswer, _DATABASE)),
            ),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def put_database(database: str) -> Response:
        """Make a database, or change it."""
        body = decoded(json_body(app.request), DatabaseBody)
        made, is_new = app.main.administration.put_database(
            app.caller, database, body.schema_id, body.ttl_seconds
        )
        return json_response(jsontext.dump(_shown(made)), 201 if is_new else 200)

    @app.route(
        "/databases/{database}",
        methods=["DELETE"],
        operation=Operation(
            tag=Tag.DATABASES,
            rights=(Right.ADMIN, Right.DELETE),
            answers=(DELETED,),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def delete_database(database: str) -> Response:
        """Delete a database with all its entities."""
        app.main.administration.delete_database(app.caller, database)
        return Response("", {}, 204)


def _add_reading(app: StrongroomApp) -> None:
    @app.route(
        "/databases",
        methods=["GET"],
        operation=Operation(
            tag=Tag.DATABASES,
            rights=(Right.ADMIN,),
            query=PageQuery,
            answers=(
                Answer(
                    200,
                    "A page.",
                    json_content(DatabasePage, DatabasePage(databases=[_DATABASE])),
                ),
            ),
        ),
    )
    def list_databases() -> Response:
        """Answer a page of the databases that the caller administers."""
        asked = app.query(PageQuery)
        found = app.main.administration.databases(app.caller, asked.limit, asked.cursor)
        page = DatabasePage(
            databases=[_shown(one) for one in found.records],
            cursor=found.cursor or msgspec.UNSET,
            damaged=found.damaged or msgspec.UNSET,
        )
        return json_response(jsontext.dump(page))

    @app.route(
        "/databases/{database}",
        methods=["GET"],
        operation=Operation(
            tag=Tag.DATABASES,
            rights=(Right.ADMIN,),
            answers=(Answer(200, "Its configuration.", json_content(DatabaseAnswer, _DATABASE)),),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def get_database(database: str) -> Response:
        """Answer a database's configuration."""
        found = app.main.administration.database(app.caller, database)
        return json_response(jsontext.dump(_shown(found)))


def _shown(database: Database) -> DatabaseAnswer:
    return DatabaseAnswer(
        name=database.name,
        schema_id=database.schema_id,
        created_at=database.created_at,
        ttl_seconds=database.ttl_seconds or msgspec.UNSET,
    )
