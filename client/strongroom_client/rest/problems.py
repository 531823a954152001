"""What an answer says that is no success: problem details (RFC 9457), or what a gateway says."""

from typing import Final

import msgspec

from strongroom_client import errors
from strongroom_client.core.steps import Broken
from strongroom_client.rest.messages import HttpResponse
from strongroom_client.written import Written

_MEDIA_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:strongroom:problem:"
_BAD_GATEWAY: Final = 502
_GATEWAY: Final = frozenset({_BAD_GATEWAY, 503, 504})
# What stands before a deployment (an API gateway, a proxy) refuses in words of its own.
_BY_STATUS: Final[dict[int, type[errors.StrongroomClientError]]] = {
    401: errors.UnauthenticatedError,
    403: errors.ForbiddenError,
    413: errors.TooLargeError,
    429: errors.RateLimitedError,
}
_SECONDS_DIGITS_MAX: Final = 6


class ViolationMember(msgspec.Struct, frozen=True):
    """One of the reasons why a template refuses a document."""

    pointer: str
    keyword: str
    detail: str


class _Outcome(msgspec.Struct, frozen=True):
    version: int | None = None
    created: bool = False
    deleted: bool | None = None
    error: str = ""
    detail: str = ""


class _Problem(msgspec.Struct, frozen=True):
    type: str
    detail: str
    request_id: str = ""
    errors: tuple[ViolationMember, ...] = ()
    key: str | None = None
    current_version: int | None = None
    outcomes: dict[str, _Outcome] | None = None


def refused(
    key: str, code: str, detail: str, found: tuple[ViolationMember, ...] = ()
) -> errors.StrongroomClientError:
    """Return what an answer says of one entity that is refused, or would be."""
    return errors.of_code(code, detail, errors.Facts(key=key, violations=_violations(found)))


def refusal(response: HttpResponse) -> Broken | errors.StrongroomClientError:
    """Return what an answer says that is no success."""
    retry_after_s = _seconds(response.headers.get("retry-after", ""))
    problem = _problem(response)
    if problem is None:
        return _of_a_stranger(response, retry_after_s)
    facts = errors.Facts(
        request_id=problem.request_id,
        retry_after_s=retry_after_s,
        current_version=problem.current_version,
        key=problem.key,
        violations=_violations(problem.errors),
    )
    if problem.outcomes is not None:
        outcomes = {key: _outcome(key, one) for key, one in problem.outcomes.items()}
        return errors.PartlyWrittenError(problem.detail, outcomes, facts)
    return errors.of_code(problem.type.removeprefix(_TYPE_PREFIX), problem.detail, facts)


def _problem(response: HttpResponse) -> _Problem | None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if kind != _MEDIA_TYPE:
        return None
    try:
        problem = msgspec.json.decode(response.body, type=_Problem)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return problem if problem.type.startswith(_TYPE_PREFIX) else None


def _of_a_stranger(
    response: HttpResponse, retry_after_s: float | None
) -> Broken | errors.StrongroomClientError:
    detail = f"the answer, of status {response.status}, is none of Strongroom's"
    facts = errors.Facts(retry_after_s=retry_after_s)
    if response.status in _GATEWAY:
        return Broken(detail, may_have_acted=True, retry_after_s=retry_after_s)
    return _BY_STATUS.get(response.status, errors.ServerError)(detail, facts=facts)


def _outcome(key: str, one: _Outcome) -> Written | bool | errors.StrongroomClientError:
    if one.deleted is not None:
        return one.deleted
    if one.version is not None:
        return Written(key, one.version, one.created)
    return refused(key, one.error, one.detail)


def _violations(found: tuple[ViolationMember, ...]) -> list[errors.Violation]:
    return [errors.Violation(one.pointer, one.keyword, one.detail) for one in found]


def _seconds(text: str) -> float | None:
    """Return a delay in seconds; a date (RFC 9110 section 10.2.3) is passed over."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _SECONDS_DIGITS_MAX
    return float(text) if is_number else None
