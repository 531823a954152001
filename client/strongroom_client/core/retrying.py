"""When a call is tried again, after how long, and when no more."""

from dataclasses import dataclass
from typing import Any, Final

from strongroom_client import errors
from strongroom_client.calls import Call
from strongroom_client.core.steps import Broken

_ATTEMPTS_MAX: Final = 20
_BALANCE_MAX: Final = 10.0
_EARNED: Final = 0.1
_PASSING: Final = (errors.UnavailableError, errors.RateLimitedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How a call is tried again.

    Attributes:
        attempts: How often it is sent at the most; 1: never again. 1 to 20.
        first_pause_s: Up to how long to wait before the second attempt; each further one waits up
            to twice as long as the one before. How long is drawn anew each time, so that clients
            that failed together do not come back together.
        longest_pause_s: The bound of that. A server's own `Retry-After` is waited in any case.
    """

    attempts: int = 5
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= _ATTEMPTS_MAX:
            raise errors.ConfigurationError(f"attempts are 1 to {_ATTEMPTS_MAX}")
        if not 0 < self.first_pause_s <= self.longest_pause_s:
            raise errors.ConfigurationError("0 < first_pause_s <= longest_pause_s")

    def pause_s(self, attempts: int, retry_after_s: float | None, drawn: float) -> float:
        """Return how long to wait after a number of attempts.

        Args:
            attempts: How many there were.
            retry_after_s: What the server advises.
            drawn: A random number, 0 to 1.
        """
        widest = min(self.longest_pause_s, self.first_pause_s * 2.0 ** (attempts - 1))
        return max(0.0, retry_after_s or 0.0) + drawn * widest


class Budget:
    """How many further attempts a client has: ten, and one for ten calls that succeed.

    So a deployment that is down gets hardly more requests for being down (the retry throttling of
    gRFC A6). Threads share it without a lock: a count that is lost now and then does no harm.
    """

    def __init__(self) -> None:
        """Begin with all of it."""
        self._balance = _BALANCE_MAX

    def earn(self) -> None:
        """Count a call that succeeded."""
        self._balance = min(_BALANCE_MAX, self._balance + _EARNED)

    def spend(self) -> bool:
        """Take one attempt; the answer is whether there was one."""
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed.

    Attributes:
        error: What to raise for it.
        may_have_acted: A write may have taken place nevertheless.
        may_pass: The same request may work later.
    """

    error: errors.StrongroomClientError
    may_have_acted: bool
    may_pass: bool

    @classmethod
    def of(cls, cause: Broken | errors.StrongroomClientError, request_id: str) -> "Failure":
        """Judge a cause."""
        if isinstance(cause, Broken):
            facts = errors.Facts(request_id=request_id, retry_after_s=cause.retry_after_s)
            error = errors.UnavailableError(cause.detail, facts=facts)
            return cls(error, cause.may_have_acted, may_pass=True)
        cause.request_id = cause.request_id or request_id
        acted = isinstance(cause, errors.OutcomeUnknownError)
        return cls(cause, acted, may_pass=_may_pass(cause))

    def may_be_repeated(self, call: Call[Any]) -> bool:
        """Tell whether the call may be sent again after this."""
        return self.may_pass and (call.is_repeatable or not self.may_have_acted)


def _may_pass(error: errors.StrongroomClientError) -> bool:
    if isinstance(error, errors.PartlyWrittenError):
        failed = [one for one in error.outcomes.values() if isinstance(one, Exception)]
        return all(_may_pass(one) for one in failed)
    return isinstance(error, (*_PASSING, errors.OutcomeUnknownError))


_SETTLING: Final = (errors.ConflictError, errors.InvalidError, errors.NotFoundError)


def final_error(
    call: Call[Any], error: errors.StrongroomClientError, *, may_have_acted: bool
) -> errors.StrongroomClientError:
    """Return what to raise at the end, of attempts of which one may have acted.

    A refusal that a server can give only after it looked the idempotency key up shows that no
    earlier attempt took place. Any other one shows nothing.
    """
    known = isinstance(error, (*_SETTLING, errors.OutcomeUnknownError))
    if not (call.writes and may_have_acted) or known:
        return error
    facts = errors.Facts(request_id=error.request_id, retry_after_s=error.retry_after_s)
    detail = f"whether it was written is not known: {error.detail}"
    unknown = errors.OutcomeUnknownError(detail, facts=facts)
    unknown.__cause__ = error
    return unknown
