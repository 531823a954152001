"""What can go wrong: one small tree, the same over REST and gRPC.

Each error has the stable `code` that the server names (the `type` of RFC 9457, the `reason` of an
ErrorInfo) and a `detail` that is safe to show: it holds no value of a document, and no secret.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from strongroom_client.written import Written


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason why a template refuses a document.

    Attributes:
        pointer: JSON Pointer (RFC 6901) to the offending value, "" for the document itself.
        keyword: The JSON Schema keyword that failed.
        detail: One sentence without the value.
    """

    pointer: str
    keyword: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an answer tells of an error beside its code and its detail; an error has all of it.

    Attributes:
        request_id: What the logs of the servers have the request under; "" where it was not sent.
        retry_after_s: The server's own advice, seconds.
        current_version: Of a condition that does not hold: what is there, 0 for nothing.
        key: Of several entities, which one.
        violations: Where and why a template refuses a document.
    """

    request_id: str = ""
    retry_after_s: float | None = None
    current_version: int | None = None
    key: str | None = None
    violations: Sequence[Violation] = ()


_NOTHING: Final = Facts()


class StrongroomClientError(Exception):
    """Base of everything that this package raises on purpose."""

    default_code: ClassVar[str] = "client"

    def __init__(self, detail: str, code: str = "", facts: Facts = _NOTHING) -> None:
        """Keep what is known."""
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.request_id = facts.request_id
        self.retry_after_s = facts.retry_after_s
        self.current_version = facts.current_version
        self.key = facts.key
        self.violations = tuple(facts.violations)


class ConfigurationError(StrongroomClientError):
    """The client was made with something that cannot be used: an address, a file, credentials."""

    default_code = "configuration"


class InvalidError(StrongroomClientError):
    """The request is refused for what it is; to send it again changes nothing."""

    default_code = "invalid-argument"


class SchemaViolationError(InvalidError):
    """The template refuses the document; `violations` says where and why."""

    default_code = "schema-violation"


class TooLargeError(InvalidError):
    """A document, a request or an answer is larger than a bound."""

    default_code = "too-large"


class UnauthenticatedError(StrongroomClientError):
    """The server does not take the credentials, or the token."""

    default_code = "unauthenticated"


class ForbiddenError(StrongroomClientError):
    """No grant allows it."""

    default_code = "forbidden"


class NotFoundError(StrongroomClientError):
    """No such database, entity, template, client or the like."""

    default_code = "not-found"


class ConflictError(StrongroomClientError):
    """What is there stands in the way: already there, in use, a patch's `test` that fails."""

    default_code = "conflict"


class PreconditionFailedError(ConflictError):
    """The condition of the write does not hold; `current_version` says what is there."""

    default_code = "precondition-failed"


class GoneError(StrongroomClientError):
    """The key of the entity was destroyed: nobody can read it any more."""

    default_code = "key-destroyed"


class DamagedError(StrongroomClientError):
    """The entity's file does not verify: somebody has changed it, or a disk has."""

    default_code = "integrity-error"


class RateLimitedError(StrongroomClientError):
    """Past a limit, and past what this client waits by itself; nothing was done."""

    default_code = "rate-limited"


class UnavailableError(StrongroomClientError):
    """No answer could be had in time; nothing was done."""

    default_code = "unavailable"


class OutcomeUnknownError(StrongroomClientError):
    """A write may have taken place, or not: read, or send it again with its idempotency key."""

    default_code = "outcome-unknown"


class PartlyWrittenError(OutcomeUnknownError):
    """A write of several entities failed midway; `outcomes` says of each what became of it."""

    def __init__(
        self,
        detail: str,
        outcomes: Mapping[str, Written | bool | StrongroomClientError],
        facts: Facts = _NOTHING,
    ) -> None:
        """Keep the outcomes, by key.

        Args:
            detail: What happened.
            outcomes: What was written; of a deletion whether the entity was there; or the error.
            facts: What else is known.
        """
        super().__init__(detail, facts=facts)
        self.outcomes = dict(outcomes)


class ServerError(StrongroomClientError):
    """The server failed in a way of its own, or whoever answered is no Strongroom."""

    default_code = "internal"


BY_CODE: Final[Mapping[str, type[StrongroomClientError]]] = {
    "internal": ServerError,
    "invalid-argument": InvalidError,
    "invalid-json": InvalidError,
    "method-not-allowed": InvalidError,
    "not-acceptable": InvalidError,
    "unsupported-media-type": InvalidError,
    "patch-failed": InvalidError,
    "idempotency-mismatch": InvalidError,
    "schema-violation": SchemaViolationError,
    "too-large": TooLargeError,
    "unauthenticated": UnauthenticatedError,
    "forbidden": ForbiddenError,
    "not-found": NotFoundError,
    "conflict": ConflictError,
    "precondition-failed": PreconditionFailedError,
    "key-destroyed": GoneError,
    "integrity-error": DamagedError,
    "rate-limited": RateLimitedError,
    "unavailable": UnavailableError,
    "busy": UnavailableError,
    "request-timeout": UnavailableError,
    "stale-binding": UnavailableError,
    "outcome-unknown": OutcomeUnknownError,
}
"""The class of each code that a server names."""


def of_code(code: str, detail: str, facts: Facts = _NOTHING) -> StrongroomClientError:
    """Return the error of a server's code; a ServerError of one that is not known here."""
    return BY_CODE.get(code, ServerError)(detail, code, facts)
