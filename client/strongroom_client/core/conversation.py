"""The course of a call: a token, attempts within a deadline, and what is raised at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from strongroom_client.calls import Call, IssueToken
from strongroom_client.core.retrying import Budget, Failure, Retries, final_error
from strongroom_client.core.steps import Alone, AskSource, Broken, Codec, Exchange, Pause, Steps
from strongroom_client.core.tokens import TokenKeeper
from strongroom_client.credentials import ClientCredentials, StaticToken, checked
from strongroom_client.errors import (
    RateLimitedError,
    StrongroomClientError,
    UnauthenticatedError,
    UnavailableError,
)

T = TypeVar("T")
_NO_TIME: Final = "there is no answer within the time that was given"
_NO_TOKEN: Final = "no access token could be had in time"  # noqa: S105 - it says what happened


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the core needs of the world.

    Attributes:
        now: A monotonic clock, seconds.
        drawn: A random number, 0 to 1.
        new_id: An id that nobody else makes, 1 to 128 token characters.
    """

    now: Callable[[], float]
    drawn: Callable[[], float]
    new_id: Callable[[], str]


class Conversation:
    """Decides what is sent, when, and what comes of it. One for each client."""

    def __init__(
        self,
        codec: Codec,
        credentials: ClientCredentials | StaticToken | None,
        retries: Retries,
        attempt_s: float,
        surroundings: Surroundings,
    ) -> None:
        """Take the parts.

        Args:
            codec: Of the transport.
            credentials: As whom; None: the driver has a source of tokens.
            retries: How a call is tried again.
            attempt_s: How long one attempt may take.
            surroundings: The clock and the like.
        """
        self._codec = codec
        self._credentials = credentials
        self._retries = retries
        self._attempt_s = attempt_s
        self._world = surroundings
        self._tokens = TokenKeeper()
        self._budget = Budget()

    def deadline(self, timeout_s: float) -> float:
        """Return the instant after which a call that begins now is given up."""
        return self._world.now() + timeout_s

    def perform(self, call: Call[T], timeout_s: float) -> Steps[T]:
        """Return the steps of a call; they raise StrongroomClientError."""
        return self.perform_until(call, self.deadline(timeout_s))

    def perform_until(self, call: Call[T], ends_at: float) -> Steps[T]:
        """Return the steps of a call that is a part of something with a deadline."""
        request_id = self._world.new_id()
        attempts, may_have_acted, may_ask_again = 0, False, call.needs_token
        while True:
            try:
                token = (yield from self._token(ends_at)) if call.needs_token else None
            except StrongroomClientError as error:
                raise final_error(call, error, may_have_acted=may_have_acted) from error.__cause__
            try:
                answer = yield from self._attempt(call, token, request_id, ends_at)
            except StrongroomClientError as error:
                if (
                    isinstance(error, UnauthenticatedError)
                    and may_ask_again
                    and self._forget(token)
                ):
                    may_ask_again = False
                    continue
                failure = Failure.of(error, request_id)
            else:
                if not isinstance(answer, Broken):
                    self._budget.earn()
                    return answer
                failure = Failure.of(answer, request_id)
            attempts += 1
            may_have_acted |= failure.may_have_acted
            pause_s = self._pause_s(call, failure, attempts, ends_at)
            if pause_s is None:
                raise final_error(call, failure.error, may_have_acted=may_have_acted)
            yield Pause(pause_s)

    def _attempt(
        self, call: Call[T], token: str | None, request_id: str, ends_at: float
    ) -> Steps[T | Broken]:
        left_s = ends_at - self._world.now()
        if left_s <= 0:
            return Broken(_NO_TIME, may_have_acted=False)
        request = self._codec.request(call, token, request_id)
        response = yield Exchange(request, min(left_s, self._attempt_s))
        return response if isinstance(response, Broken) else self._codec.answer(call, response)

    def _pause_s(
        self, call: Call[Any], failure: Failure, attempts: int, ends_at: float
    ) -> float | None:
        """Return how long to wait for the next attempt; None: there is none."""
        if attempts >= self._retries.attempts or not failure.may_be_repeated(call):
            return None
        advice_s = failure.error.retry_after_s
        pause_s = self._retries.pause_s(attempts, advice_s, self._world.drawn())
        if self._world.now() + pause_s >= ends_at or not self._budget.spend():
            return None
        return pause_s

    def _forget(self, token: str | None) -> bool:
        """Forget a token that was refused; the answer is whether there can be another one."""
        if isinstance(self._credentials, StaticToken) or token is None:
            return False
        self._tokens.refuse(token)
        return True

    def _token(self, ends_at: float) -> Steps[str]:
        left_s = max(0.0, ends_at - self._world.now())
        match self._credentials:
            case StaticToken(text):
                return text
            case None:
                try:
                    return checked((yield AskSource(left_s)))
                except TimeoutError:
                    raise UnavailableError(_NO_TOKEN) from None
            case ClientCredentials() as credentials:
                if usable := self._tokens.usable(self._world.now()):
                    return usable
                try:
                    token: str = yield Alone(self._renewed(credentials, ends_at), left_s)
                except TimeoutError:
                    raise UnavailableError(_NO_TOKEN) from None
                return token

    def _renewed(self, credentials: ClientCredentials, ends_at: float) -> Steps[str]:
        """Return a token; of those that wait here one fetches it for all."""
        asked_at = self._world.now()
        if usable := self._tokens.usable(asked_at):
            return usable
        self._tokens.renewing(asked_at)
        try:
            token = yield from self.perform_until(IssueToken(credentials=credentials), ends_at)
        except (UnavailableError, RateLimitedError):
            if spare := self._tokens.last_resort(self._world.now()):
                return spare
            raise
        return self._tokens.accept(token, asked_at)
