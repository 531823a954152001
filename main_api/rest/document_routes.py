"""The path of the OpenAPI document."""

from functools import cache

from chalice.app import Response
from msgspec import Raw

from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import Answer, Operation, Right, Tag, json_content


def add(app: StrongroomApp) -> None:
    """Register the path."""

    @cache
    def document() -> bytes:
        # A cold start does not pay for what it seldom needs.
        from main_api.rest import openapi  # noqa: PLC0415

        return openapi.text(app)

    @app.route(
        "/openapi.json",
        methods=["GET"],
        operation=Operation(
            tag=Tag.SERVICE,
            rights=(Right.PUBLIC,),
            answers=(Answer(200, "This document.", json_content(dict[str, Raw], None)),),
        ),
    )
    def get_openapi() -> Response:
        """Describe this API, by OpenAPI 3.1."""
        return json_response(document())
