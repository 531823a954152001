"""The answer to OPTIONS: what a path takes (RFC 9110 section 9.3.7), and to a page's preflight."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from chalice.app import Response

from main_api.rest import cors
from main_api.rest.operations import Operation

METHOD: Final = "OPTIONS"


def allowed(methods: Iterable[str]) -> list[str]:
    """Return the methods of a path, those of every one among them."""
    implied = {METHOD, *(["HEAD"] if "GET" in methods else [])}
    return sorted({*methods, *implied})


def response(
    methods: Sequence[str],
    patch: Operation | None,
    headers: Mapping[str, str],
    of_page: Mapping[str, str],
) -> Response:
    """Return the answer.

    Args:
        methods: Those that are allowed.
        patch: The path's PATCH.
        headers: The request's, by names in lower case.
        of_page: What is said to a web page of another origin (`cors.fields`).
    """
    fields: dict[str, str | list[str]] = {"Allow": ", ".join(methods)}
    if patch is not None:
        fields["Accept-Patch"] = ", ".join(patch.body)
    if of_page.get("Access-Control-Allow-Origin"):
        fields |= cors.preflight_fields(headers, methods)
    return Response("", fields, 204)
