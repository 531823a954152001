"""The paths of the API's description."""

import hashlib
from functools import lru_cache
from typing import Final

from chalice.app import Response
from msgspec import Raw

from main_api.domain import conditions
from main_api.rest.answers import PartedResponse
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import JSON, Answer, Content, Operation, Right, Tag, json_content

_OPENAPI: Final = "/openapi.json"
_PAGE: Final = "/docs"
_PREFIXES_MAX: Final = 8
_TAG_CHARS: Final = 32


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_document(app)
    _add_page(app)


def _add_document(app: StrongroomApp) -> None:

    @lru_cache(_PREFIXES_MAX)
    def document(prefix: str) -> bytes:
        # A cold start does not pay for what it seldom needs.
        from main_api.rest import openapi  # noqa: PLC0415

        return openapi.text(app, prefix)

    @app.route(
        _OPENAPI,
        methods=["GET"],
        operation=Operation(
            tag=Tag.SERVICE,
            rights=(Right.PUBLIC,),
            headers=("If-None-Match",),
            answers=(
                Answer(200, "This document.", json_content(dict[str, Raw], None), ("ETag",)),
                Answer(304, "It is the one that is known.", headers=("ETag",)),
            ),
        ),
    )
    def get_openapi() -> Response:
        """Describe this API, by OpenAPI 3.1."""
        headers = {"Content-Type": JSON}
        return _revalidated(app, document(_prefix(app, _OPENAPI)), headers)


def _add_page(app: StrongroomApp) -> None:
    @lru_cache(_PREFIXES_MAX)
    def page(prefix: str) -> bytes:
        from main_api.rest import docs_page, openapi  # noqa: PLC0415 - as above

        return docs_page.html(openapi.document(app, prefix)).encode()

    @app.route(
        _PAGE,
        methods=["GET"],
        operation=Operation(
            tag=Tag.SERVICE,
            rights=(Right.PUBLIC,),
            headers=("If-None-Match",),
            answers=(
                Answer(200, "A page.", {"text/html": Content(None)}, headers=("ETag",)),
                Answer(304, "It is the one that is known.", headers=("ETag",)),
            ),
        ),
    )
    def get_docs() -> Response:
        """Describe this API, as a page to read: one file, which needs nothing else."""
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            # The page has one style and nothing else: no script, no picture, no address.
            "Content-Security-Policy": _policy(),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return _revalidated(app, page(_prefix(app, _PAGE)), headers)


def _policy() -> str:
    from main_api.rest import docs_page  # noqa: PLC0415 - as above

    return f"default-src 'none'; style-src '{docs_page.STYLE_HASH}'; frame-ancestors 'none'"


def _prefix(app: StrongroomApp, path: str) -> str:
    """Return what a gateway puts before the paths, as the client sees them."""
    seen: str = app.request.context.get("path") or path
    return seen.removesuffix(path) if seen.endswith(path) else ""


def _revalidated(app: StrongroomApp, content: bytes, headers: dict[str, str]) -> Response:
    """Answer what anybody may keep, if they ask each time whether it is still the same."""
    tag = hashlib.sha256(content).hexdigest()[:_TAG_CHARS]
    all_headers = {**headers, "ETag": conditions.etag(tag), "Cache-Control": "no-cache"}
    if conditions.is_known(app.request.headers.get("if-none-match"), tag):
        return Response("", dict(all_headers), 304)
    return PartedResponse([content], all_headers, 200)
