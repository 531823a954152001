"""The errors that a client can meet: one small tree, each with a stable code.

A `detail` is safe to show: it holds no document value, no secret and no path of the server. The
boundary that meets a library's exception translates it here with `raise ... from`. How a code looks
in HTTP stands in `main_api/rest/problems.py`, how in gRPC in `strongroom/rpc/status.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason why a schema refuses a document.

    Attributes:
        pointer: JSON Pointer (RFC 6901) to the offending value, "" for the document itself.
        keyword: The JSON Schema keyword that failed.
        detail: One sentence without the value.
    """

    pointer: str
    keyword: str
    detail: str


class StrongroomError(Exception):
    """Base of all errors that cross a boundary of the system."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        retry_after_s: int | None = None,
        current_version: int | None = None,
        entity_key: str | None = None,
        violations: Sequence[Violation] = (),
    ) -> None:
        """Keep a detail that is safe to show, and the few facts that some codes carry."""
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.current_version = current_version
        self.entity_key = entity_key
        self.violations = tuple(violations)


class InternalError(StrongroomError):
    """A defect of ours; the log has the rest."""


class InvalidArgumentError(StrongroomError):
    """A parameter, name, key or header that is not of its form."""

    code = "invalid-argument"
    title = "Invalid argument"


class InvalidDocumentError(StrongroomError):
    """A body that is not JSON as RFC 8259 and our bounds have it."""

    code = "invalid-json"
    title = "Not a JSON document that can be kept"


class UnauthenticatedError(StrongroomError):
    """No proof of identity, or one that does not hold."""

    code = "unauthenticated"
    title = "Authentication required"


class ForbiddenError(StrongroomError):
    """The identity is known and its grants do not name this."""

    code = "forbidden"
    title = "Not granted"


class NotFoundError(StrongroomError):
    """No such database, entity, schema or client."""

    code = "not-found"
    title = "Not found"


class MethodNotAllowedError(StrongroomError):
    """Not a method of this path."""

    code = "method-not-allowed"
    title = "Method not allowed"


class NotAcceptableError(StrongroomError):
    """Not in a form that the client takes."""

    code = "not-acceptable"
    title = "Not acceptable"


class ConflictError(StrongroomError):
    """Already there, or in use."""

    code = "conflict"
    title = "Conflict"


class PreconditionFailedError(StrongroomError):
    """If-Match or If-None-Match does not hold; `current_version` says what does (0: nothing)."""

    code = "precondition-failed"
    title = "Precondition failed"


class TimedOutError(StrongroomError):
    """The client did not send its request in time."""

    code = "request-timeout"
    title = "The request did not come in time"


class TooLargeError(StrongroomError):
    """Larger than a bound of `limits`."""

    code = "too-large"
    title = "Too large"


class UnsupportedMediaTypeError(StrongroomError):
    """Not the media type that this path takes."""

    code = "unsupported-media-type"
    title = "Unsupported media type"


class SchemaViolationError(StrongroomError):
    """The template refuses the document; `violations` says where and why."""

    code = "schema-violation"
    title = "The schema refuses the document"


class PatchFailedError(StrongroomError):
    """A patch does not fit the document."""

    code = "patch-failed"
    title = "The patch does not fit the document"


class IdempotencyMismatchError(StrongroomError):
    """A request id was used before, for another request."""

    code = "idempotency-mismatch"
    title = "Idempotency key reused"


class RateLimitedError(StrongroomError):
    """Past a limit; try again after `retry_after_s`."""

    code = "rate-limited"
    title = "Too many requests"
    retryable = True


class UnavailableError(StrongroomError):
    """Nothing was done; the same request may work later."""

    code = "unavailable"
    title = "Temporarily unavailable"
    retryable = True


class BusyError(UnavailableError):
    """Others hold the entity's lock; another worker would have to wait as well."""

    code = "busy"
    title = "The entity is busy"


class OutcomeUnknownError(StrongroomError):
    """A write may or may not have taken place."""

    code = "outcome-unknown"
    title = "The outcome of the write is unknown"


class IntegrityError(StrongroomError):
    """A stored file does not verify."""

    code = "integrity-error"
    title = "A stored file does not verify"


class KeyDestroyedError(IntegrityError):
    """The data key of a stored file was destroyed: nobody here can read it, ever."""

    code = "key-destroyed"
    title = "The key of this entity was destroyed"


class StaleBindingError(StrongroomError):
    """Between the two workers only: the request names another binding than the disk."""

    code = "stale-binding"
    title = "The database's binding has changed"
    retryable = True


def _tree(root: type[StrongroomError]) -> dict[str, type[StrongroomError]]:
    found = {root.code: root} if root is not StrongroomError else {}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE = _tree(StrongroomError)
"""Every error class by its code, for the boundary that has to make one out of an answer."""
