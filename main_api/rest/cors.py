"""The header fields of the CORS protocol (Fetch standard, section 3.3)."""

from collections.abc import Collection, Mapping
from typing import Final

from main_api.domain.http_policy import ANY, HttpPolicy
from main_api.rest.parameters import HEADERS, REQUEST_HEADERS
from strongroom import limits
from strongroom.tracing import TRACEPARENT_KEY, TRACESTATE_KEY

_EXPOSED: Final = ", ".join(HEADERS)
_ALLOWED: Final = ", ".join(
    (
        "Accept",
        "Authorization",
        "Content-Encoding",
        "Content-Type",
        *REQUEST_HEADERS,
        TRACEPARENT_KEY,
        TRACESTATE_KEY,
    )
)


def fields(policy: HttpPolicy, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of an answer to a page; `headers` are the request's, in lower case."""
    allowed = policy.allowed(headers.get("origin", ""))
    varied = {"Vary": "Origin"} if policy.origins and ANY not in policy.origins else {}
    if not allowed:
        return varied
    return {
        **varied,
        "Access-Control-Allow-Origin": allowed,
        "Access-Control-Expose-Headers": _EXPOSED,
    }


def preflight_fields(headers: Mapping[str, str], methods: Collection[str]) -> dict[str, str]:
    """Return what is said beside that to a preflight request; nothing to any other one."""
    if "access-control-request-method" not in headers:
        return {}
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _ALLOWED,
        "Access-Control-Max-Age": str(limits.PREFLIGHT_SECONDS),
    }
