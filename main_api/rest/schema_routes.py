"""The paths of templates."""

from typing import Annotated, Final, Literal

import msgspec
from chalice.app import Response

from main_api.rest import problems
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
    Version,
    json_content,
)
from main_api.rest.requests import json_body
from main_api.service.admin.inspection import Trial
from main_api.service.listing import Listing
from strongroom import jsontext, limits
from strongroom.configuration import Template
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    InvalidDocumentError,
    NotFoundError,
)

Schema = Annotated[
    dict[str, msgspec.Raw] | bool,
    msgspec.Meta(
        description="A JSON Schema, draft-07 and later, by `$schema`; 2020-12 without one. `format`"
        ' is asserted, unless it says `"x-format": "annotate"`; a `default` is filled in only with'
        ' `"x-defaults": true`. `$ref` leads within it, or to the metaschema of a draft.'
    ),
]
_SCHEMA: Final = {
    "type": "object",
    "properties": {"chat": {"type": "array"}},
    "required": ["chat"],
}


class SchemaSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A template, without its schema."""

    schema_id: Name
    schema_version: Version
    created_at: Time
    updated_at: Time


class StoredSchema(SchemaSummary, frozen=True, kw_only=True):
    """A template."""

    schema: Annotated[msgspec.Raw, msgspec.Meta(description="As it was sent.")]


class SchemaPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the templates, by name; without `cursor` it is the last one."""

    schemas: list[SchemaSummary]
    cursor: Cursor | msgspec.UnsetType = msgspec.UNSET
    damaged: Count | msgspec.UnsetType = msgspec.UNSET


class RefusedEntity(msgspec.Struct, frozen=True, kw_only=True):
    """An entity that a template would refuse."""

    database: Name
    key: str
    version: Version
    detail: str
    errors: list[problems.ViolationMember]


class SchemaTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What a template would refuse of what is stored; without `cursor` all was looked at."""

    schema_id: Name
    schema_version: Version
    examined: Count
    refused: Count
    reasons: dict[str, Count]
    refusals: list[RefusedEntity]
    damaged: Count | msgspec.UnsetType = msgspec.UNSET
    cursor: str | msgspec.UnsetType = msgspec.UNSET


class PutSchemaQuery(msgspec.Struct, frozen=True):
    """The parameters of a template's PUT."""

    dry_run: Annotated[
        Literal["true"] | msgspec.UnsetType,
        msgspec.Meta(description="Only tell what it would refuse of what is stored."),
    ] = msgspec.UNSET
    cursor: Annotated[
        Annotated[
            str,
            msgspec.Meta(
                max_length=2 * limits.CURSOR_CHARS_MAX, extra_json_schema={"format": "cursor"}
            ),
        ]
        | msgspec.UnsetType,
        msgspec.Meta(description="Goes with `dry_run`: where the answer before has ended."),
    ] = msgspec.UNSET


_SUMMARY: Final = SchemaSummary(
    schema_id="chat.v1", schema_version=1, created_at=AN_INSTANT, updated_at=AN_INSTANT
)
_STORED: Final = StoredSchema(
    schema_id="chat.v1",
    schema_version=1,
    created_at=AN_INSTANT,
    updated_at=AN_INSTANT,
    schema=msgspec.Raw(jsontext.dump(_SCHEMA)),
)
_PUT: Final = Operation(
    tag=Tag.SCHEMAS,
    rights=(Right.EVERYWHERE,),
    query=PutSchemaQuery,
    holds_secret=True,
    body=json_content(Schema, _SCHEMA),
    answers=(
        Answer(201, "It is in force; there was none.", json_content(SchemaSummary, _SUMMARY)),
        Answer(
            200,
            "It is in force, as the next version. Or, with `dry_run`, what it would refuse.",
            json_content((SchemaSummary, SchemaTrial), _SUMMARY),
        ),
    ),
    errors=(InvalidDocumentError,),
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_writing(app)
    _add_reading(app)


def _add_writing(app: StrongroomApp) -> None:
    @app.route("/schemas/{schema_id}", methods=["PUT"], operation=_PUT)
    def put_schema(schema_id: str) -> Response:
        """Admit a JSON Schema template; the body is the schema."""
        given = app.query(PutSchemaQuery)
        if given.dry_run:
            return _trial(app, schema_id, given.cursor or "")
        if given.cursor is not msgspec.UNSET:
            raise InvalidArgumentError("cursor goes with dry_run=true")
        administration = app.main.administration
        template = administration.put_template(app.caller, schema_id, json_body(app.request))
        status = 201 if template.schema_version == 1 else 200
        return json_response(jsontext.dump(_summary(template)), status)

    @app.route(
        "/schemas/{schema_id}",
        methods=["DELETE"],
        operation=Operation(
            tag=Tag.SCHEMAS,
            rights=(Right.EVERYWHERE,),
            answers=(DELETED,),
            errors=(NotFoundError, ConflictError, IntegrityError),
        ),
    )
    def delete_schema(schema_id: str) -> Response:
        """Delete a template that no database is bound to."""
        app.main.administration.delete_template(app.caller, schema_id)
        return Response("", {}, 204)


def _add_reading(app: StrongroomApp) -> None:
    @app.route(
        "/schemas",
        methods=["GET"],
        operation=Operation(
            tag=Tag.SCHEMAS,
            rights=(Right.EVERYWHERE,),
            query=PageQuery,
            answers=(
                Answer(200, "A page.", json_content(SchemaPage, SchemaPage(schemas=[_SUMMARY]))),
            ),
        ),
    )
    def list_schemas() -> Response:
        """Answer a page of the templates."""
        asked = app.query(PageQuery)
        return _page(app.main.administration.templates(app.caller, asked.limit, asked.cursor))

    @app.route(
        "/schemas/{schema_id}",
        methods=["GET"],
        operation=Operation(
            tag=Tag.SCHEMAS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "The template.", json_content(StoredSchema, _STORED)),),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def get_schema(schema_id: str) -> Response:
        """Answer a template."""
        found = app.main.administration.template(app.caller, schema_id)
        return json_response(jsontext.dump(_stored(found)))


def _trial(app: StrongroomApp, schema_id: str, cursor: str) -> Response:
    """Answer what a template would refuse of what is stored."""
    schema = json_body(app.request)
    found = app.main.inspection.try_template(app.caller, schema_id, schema, cursor)
    return json_response(jsontext.dump(_trial_answer(found)))


def _trial_answer(found: Trial) -> SchemaTrial:
    return SchemaTrial(
        schema_id=found.template.schema_id,
        schema_version=found.template.schema_version,
        examined=found.examined,
        refused=found.refused,
        reasons=found.reasons,
        refusals=[
            RefusedEntity(
                database=one.database,
                key=one.key,
                version=one.version,
                detail=one.detail,
                errors=problems.violations(one.violations),
            )
            for one in found.refusals
        ],
        damaged=found.damaged or msgspec.UNSET,
        cursor=found.cursor or msgspec.UNSET,
    )


def _page(found: Listing[Template]) -> Response:
    page = SchemaPage(
        schemas=[_summary(one) for one in found.records],
        cursor=found.cursor or msgspec.UNSET,
        damaged=found.damaged or msgspec.UNSET,
    )
    return json_response(jsontext.dump(page))


def _summary(template: Template) -> SchemaSummary:
    return SchemaSummary(
        schema_id=template.schema_id,
        schema_version=template.schema_version,
        created_at=template.created_at,
        updated_at=template.updated_at,
    )


def _stored(template: Template) -> StoredSchema:
    return StoredSchema(
        schema_id=template.schema_id,
        schema_version=template.schema_version,
        created_at=template.created_at,
        updated_at=template.updated_at,
        schema=template.schema,
    )
