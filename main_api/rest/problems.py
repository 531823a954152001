"""Errors as RFC 9457 problem details: the one table between our codes and HTTP's."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec
from chalice.app import Response

from main_api.rest import rate_limit_fields
from main_api.rest.coding import UnsupportedCodingError
from main_api.service.buckets import QuotaExceededError
from main_api.service.requests.batches import Deleted, PartlyWrittenError
from main_api.service.workers.ports import Written
from strongroom import errors

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:strongroom:problem:"

_HTTP: Final[dict[type[errors.StrongroomError], int]] = {
    errors.InternalError: 500,
    errors.InvalidArgumentError: 400,
    errors.InvalidDocumentError: 400,
    errors.UnauthenticatedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.MethodNotAllowedError: 405,
    errors.NotAcceptableError: 406,
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
# RFC 6749 section 5.2: what does not stand in a description.
_INDESCRIBABLE: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


class ViolationMember(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a schema refuses a document."""

    pointer: Annotated[
        str, msgspec.Meta(description="JSON Pointer (RFC 6901) to the value that is refused.")
    ]
    keyword: Annotated[str, msgspec.Meta(description="The keyword of the schema.")]
    detail: Annotated[str, msgspec.Meta(description="One sentence, without the value.")]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one entity: written, deleted or not there, or which error."""

    version: int | msgspec.UnsetType = msgspec.UNSET
    created: bool | msgspec.UnsetType = msgspec.UNSET
    deleted: bool | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET


class Problem(msgspec.Struct, kw_only=True):
    """Problem details, RFC 9457."""

    type: Annotated[str, msgspec.Meta(description="Which kind of problem, as a URN.")]
    title: str
    status: int
    detail: Annotated[str, msgspec.Meta(description="Never a value of a document.")]
    request_id: Annotated[str, msgspec.Meta(description="As in `X-Request-ID`: the log has it.")]
    errors: Annotated[
        list[ViolationMember] | msgspec.UnsetType,
        msgspec.Meta(description="Where and why a schema refuses the document."),
    ] = msgspec.UNSET
    key: Annotated[
        str | msgspec.UnsetType, msgspec.Meta(description="Of several entities, which one.")
    ] = msgspec.UNSET
    current_version: Annotated[
        int | msgspec.UnsetType,
        msgspec.Meta(description="Where a condition does not hold: what is there; 0 for nothing."),
    ] = msgspec.UNSET
    outcomes: Annotated[
        dict[str, Outcome] | msgspec.UnsetType,
        msgspec.Meta(description="Of a write of several that failed midway: what became of each."),
    ] = msgspec.UNSET
    violated_policies: Annotated[
        list[str] | msgspec.UnsetType,
        msgspec.Meta(
            description="Which limits; draft-ietf-httpapi-ratelimit-headers-11 section 5.1."
        ),
    ] = msgspec.field(name="violated-policies", default=msgspec.UNSET)
    error: Annotated[
        str | msgspec.UnsetType, msgspec.Meta(description="What RFC 6749 section 5.2 calls it.")
    ] = msgspec.UNSET
    error_description: Annotated[
        str | msgspec.UnsetType, msgspec.Meta(description="As `detail`, where there is an `error`.")
    ] = msgspec.UNSET


def response(
    error: errors.StrongroomError,
    request_id: str,
    headers: Mapping[str, str] | None = None,
    oauth_error: str = "",
    members: Mapping[str, object] | None = None,
) -> Response:
    """Return the answer to a request that failed.

    Args:
        error: Why.
        request_id: Shown to the client, who can quote it.
        headers: Further headers.
        oauth_error: What RFC 6749 section 5.2 calls it.
        members: Further members of the document (RFC 9457 section 3.2).
    """
    status = status_of(type(error))
    problem = Problem(
        type=TYPE_PREFIX + error.code,
        title=error.title,
        status=status,
        detail=error.detail,
        request_id=request_id,
        error=oauth_error or msgspec.UNSET,
        error_description=_INDESCRIBABLE.sub(" ", error.detail) if oauth_error else msgspec.UNSET,
    )
    if error.violations:
        problem.errors = violations(error.violations)
    if error.entity_key is not None:
        problem.key = error.entity_key
    if error.current_version is not None:
        problem.current_version = error.current_version
    if isinstance(error, PartlyWrittenError):
        problem.outcomes = {key: _outcome(o) for key, o in error.outcomes.items()}
    all_headers: dict[str, str | list[str]] = {"Content-Type": MEDIA_TYPE, **(headers or {})}
    if isinstance(error, QuotaExceededError):
        problem.violated_policies = [standing.policy.name for standing in error.violated]
        all_headers.update(rate_limit_fields.of_refusal(error))
    if error.retry_after_s is not None:
        all_headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UnsupportedCodingError):
        all_headers["Accept-Encoding"] = "gzip"
    if status == _HTTP[errors.UnauthenticatedError]:
        all_headers.setdefault("WWW-Authenticate", 'Bearer realm="strongroom"')
    document = {**msgspec.to_builtins(problem), **members} if members else problem
    return Response(msgspec.json.encode(document).decode(), all_headers, status)


def status_of(kind: type[errors.StrongroomError]) -> int:
    """Return the status of an error; a subclass without a row of its own has its parent's."""
    return next(_HTTP[one] for one in kind.__mro__ if one in _HTTP)


def violations(found: Iterable[errors.Violation]) -> list[ViolationMember]:
    """Return the member `errors`: where and why a schema refuses a document."""
    return [
        ViolationMember(pointer=one.pointer, keyword=one.keyword, detail=one.detail)
        for one in found
    ]


def _outcome(outcome: Written | Deleted | errors.StrongroomError) -> Outcome:
    if isinstance(outcome, Written):
        return Outcome(version=outcome.metadata.version, created=outcome.created)
    if isinstance(outcome, Deleted):
        version = outcome.version if outcome.was_there else msgspec.UNSET
        return Outcome(deleted=outcome.was_there, version=version)
    return Outcome(error=outcome.code, detail=outcome.detail)
