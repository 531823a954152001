"""The paths that read entities: get, list, query."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from chalice.app import Response

from main_api.domain import conditions
from main_api.rest.answers import json_lines, json_list, json_object
from main_api.rest.application import StrongroomApp
from main_api.rest.entity_models import (
    ERRORS_OF_READING,
    EXAMPLE,
    LINES,
    PAGE_HEADERS,
    QUERY,
    QUERY_PAGE,
    Entities,
    QueryBody,
    QueryPage,
    ReadQuery,
)
from main_api.rest.operations import (
    NDJSON,
    Answer,
    Operation,
    Right,
    Tag,
    json_content,
)
from main_api.rest.requests import (
    decoded,
    json_body,
    parameters,
)
from main_api.service.workers.ports import EntityPage, Found
from strongroom import jsontext
from strongroom.errors import (
    InvalidArgumentError,
    PreconditionFailedError,
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_reading(app)
    _add_query(app)


def _add_reading(app: StrongroomApp) -> None:
    @app.route(
        "/entity/{database}",
        methods=["GET"],
        operation=Operation(
            tag=Tag.ENTITIES,
            rights=(Right.READ,),
            query=ReadQuery,
            headers=("If-Match", "If-None-Match"),
            answers=(
                Answer(
                    200,
                    "The entities, by key.",
                    json_content(Entities, EXAMPLE) | LINES,
                    headers=("ETag?", "Link?", *PAGE_HEADERS),
                ),
                Answer(304, "Of a single one: it is the one that is known.", headers=("ETag",)),
            ),
            errors=(*ERRORS_OF_READING, PreconditionFailedError),
        ),
    )
    def get_entities(database: str) -> Response:
        """Answer the entities of the `key` parameters, or a page of all, as a mapping.

        Of several keys, those that are not there are left out; a single one that is not there is
        an error. `key` goes with no other parameter.
        """
        given = app.query(ReadQuery)
        if len(set(given.key)) != 1 and "if-match" in app.request.headers:
            raise InvalidArgumentError("a condition is for a single entity")
        if not given.key:
            return _listed(app, database, given)
        if given != ReadQuery(key=given.key):
            raise InvalidArgumentError("key goes with no other parameter")
        if len(set(given.key)) > 1:
            return _entities(app, app.main.entities.get_many(app.caller, database, given.key), {})
        return _only_entity(app, database, given.key[0])


def _add_query(app: StrongroomApp) -> None:
    @app.route(
        "/entity/{database}/query",
        methods=["POST"],
        operation=Operation(
            tag=Tag.ENTITIES,
            rights=(Right.READ,),
            body=json_content(QueryBody, QUERY),
            answers=(
                Answer(
                    200,
                    "A page.",
                    json_content(QueryPage, QUERY_PAGE) | LINES,
                    headers=PAGE_HEADERS,
                ),
            ),
            errors=ERRORS_OF_READING,
        ),
    )
    def query_entities(database: str) -> Response:
        """Answer a page of the entities for which the filter is true.

        There is no index: every entity is looked at. A page may have none at all; without `cursor`
        it is the last one.
        """
        body = decoded(json_body(app.request), QueryBody)
        page = app.main.entities.page(
            app.caller,
            database,
            prefix=body.prefix,
            filter_=body.filter,
            select=body.select,
            limit=body.limit,
            cursor=body.cursor,
        )
        if app.media_type == NDJSON:
            return json_lines([_item(one) for one in page.entities], _page_fields(page))
        rest = {"examined": page.examined} | ({"cursor": page.cursor} if page.cursor else {})
        rest |= {"damaged": page.damaged} if page.damaged else {}
        return json_list("items", [_item(one) for one in page.entities], rest)


def _only_entity(app: StrongroomApp, database: str, key: str) -> Response:
    """Answer one entity, or that the version of it that is known is the one."""
    headers = app.request.headers
    unwanted = headers.get("if-none-match")
    # With one version the worker can leave the document out.
    known = conditions.one_known(unwanted)
    found = app.main.entities.get(app.caller, database, key, known)
    version = found.metadata.version
    conditions.of_request(headers.get("if-match"), None).check(version)
    fields = {"ETag": conditions.etag(version)}
    if conditions.is_known(unwanted, version):
        return Response("", dict(fields), 304)
    return _entities(app, [found], fields)


def _listed(app: StrongroomApp, database: str, given: ReadQuery) -> Response:
    """Answer a page; the next one is in `Link` (RFC 8288)."""
    page = app.main.entities.page(
        app.caller,
        database,
        prefix=given.prefix,
        select=given.select,
        limit=given.limit,
        cursor=given.cursor,
    )
    headers = _page_fields(page)
    if page.cursor:
        asked = parameters(app.request, frozenset(ReadQuery.__struct_fields__))
        query = urlencode({name: one for name, (one,) in asked.items()} | {"cursor": page.cursor})
        # As the client sees the path: with the stage that a gateway puts before it.
        path = quote(app.request.context.get("path") or f"/entity/{database}")
        headers["Link"] = f'<{path}?{query}>; rel="next"'
    return _entities(app, page.entities, headers)


def _entities(app: StrongroomApp, found: Sequence[Found], headers: dict[str, str]) -> Response:
    """Answer entities: one JSON object of all, or a JSON text a line."""
    if app.media_type == NDJSON:
        return json_lines([_item(one) for one in found], headers)
    return json_object([(jsontext.string(one.key), one.document) for one in found], headers)


def _item(one: Found) -> bytes:
    head = (jsontext.string(one.key), one.metadata.version, one.document)
    return b'{"key":%s,"version":%d,"entity":%s}' % head


def _page_fields(page: EntityPage) -> dict[str, str]:
    """Return what is told of a page beside its entities, where these are lines."""
    fields = {"Strongroom-Examined": str(page.examined)}
    if page.cursor:
        fields["Strongroom-Cursor"] = page.cursor
    if page.damaged:
        fields["Strongroom-Damaged"] = str(page.damaged)
    return fields
