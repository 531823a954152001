"""Errors as RFC 9457 problem details: the one table between our codes and HTTP's."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from chalice.app import Response

from main_api.rest import rate_limit_fields
from main_api.service.buckets import QuotaExceededError
from main_api.service.entities import PartlyWrittenError
from main_api.service.ports import Written
from strongroom import errors

MEDIA_TYPE: Final = "application/problem+json"
_TYPE: Final = "urn:strongroom:problem:"

_HTTP: Final[dict[type[errors.StrongroomError], int]] = {
    errors.InternalError: 500,
    errors.InvalidArgumentError: 400,
    errors.InvalidDocumentError: 400,
    errors.UnauthenticatedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.MethodNotAllowedError: 405,
    errors.ConflictError: 409,
    errors.PreconditionFailedError: 412,
    errors.TimedOutError: 408,
    errors.TooLargeError: 413,
    errors.UnsupportedMediaTypeError: 415,
    errors.SchemaViolationError: 422,
    errors.PatchFailedError: 422,
    errors.IdempotencyMismatchError: 422,
    errors.RateLimitedError: 429,
    errors.UnavailableError: 503,
    errors.BusyError: 503,
    errors.OutcomeUnknownError: 503,
    PartlyWrittenError: 503,
    errors.IntegrityError: 500,
    errors.KeyDestroyedError: 410,
    errors.StaleBindingError: 503,
}


def response(
    error: errors.StrongroomError,
    request_id: str,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """Return the answer to a request that failed.

    Args:
        error: Why.
        request_id: Shown to the client, who can quote it.
        headers: Further headers.
        members: Further members of the problem (RFC 9457 section 3.2).
    """
    # A subclass without a row of its own is answered as its parent is.
    status = next(_HTTP[kind] for kind in type(error).__mro__ if kind in _HTTP)
    problem: dict[str, Any] = {
        "type": _TYPE + error.code,
        "title": error.title,
        "status": status,
        "detail": error.detail,
        "request_id": request_id,
        **(members or {}),
    }
    if error.violations:
        problem["errors"] = violations(error.violations)
    if error.entity_key is not None:
        problem["key"] = error.entity_key
    if error.current_version is not None:
        problem["current_version"] = error.current_version
    if isinstance(error, PartlyWrittenError):
        problem["outcomes"] = {key: _outcome(o) for key, o in error.outcomes.items()}
    all_headers: dict[str, str | list[str]] = {"Content-Type": MEDIA_TYPE, **(headers or {})}
    if isinstance(error, QuotaExceededError):
        # draft-ietf-httpapi-ratelimit-headers-11 section 5.1.
        problem["violated-policies"] = [standing.policy.name for standing in error.violated]
        all_headers.update(rate_limit_fields.of_refusal(error))
    if error.retry_after_s is not None:
        all_headers["Retry-After"] = str(error.retry_after_s)
    if status == _HTTP[errors.UnauthenticatedError]:
        all_headers.setdefault("WWW-Authenticate", 'Bearer realm="strongroom"')
    return Response(msgspec.json.encode(problem).decode(), all_headers, status)


def violations(found: Iterable[errors.Violation]) -> list[dict[str, str]]:
    """Return the member `errors`: where and why a schema refuses a document."""
    return [{"pointer": v.pointer, "keyword": v.keyword, "detail": v.detail} for v in found]


def _outcome(outcome: Written | errors.StrongroomError) -> dict[str, Any]:
    if isinstance(outcome, Written):
        return {"version": outcome.metadata.version, "created": outcome.created}
    return {"error": outcome.code, "detail": outcome.detail}
