"""A world for the client library's core: a clock, a script of answers, and no input or output."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from strongroom_client.calls import Call, IssueToken, Token
from strongroom_client.core.conversation import Conversation, Surroundings
from strongroom_client.core.retrying import Retries
from strongroom_client.core.steps import Alone, AskSource, Broken, Exchange, Pause, Step, Steps
from strongroom_client.credentials import ClientCredentials, StaticToken
from strongroom_client.errors import StrongroomClientError

T = TypeVar("T")
ME = ClientCredentials("me", "secret")
TOKEN_S = 600.0


@dataclass(frozen=True)
class Sent:
    """A request that was sent, and when."""

    call: Call[Any]
    token: str | None
    request_id: str
    timeout_s: float
    at: float


class ScriptedCodec:
    """Makes of a call itself and of a response what the script has there."""

    def request(self, call: Call[Any], token: str | None, request_id: str) -> Any:  # noqa: ANN401
        """Return what is sent."""
        return call, token, request_id

    def answer(self, call: Call[T], response: Any) -> T | Broken:  # noqa: ANN401, ARG002
        """Return or raise what the script has."""
        if isinstance(response, StrongroomClientError):
            raise response
        answered: T | Broken = response
        return answered


@dataclass
class World:
    """Performs steps at once; only its own clock goes on.

    Attributes:
        script: What each request but those for tokens is answered, the last one again and again.
        tokens: The same for tokens; numbered ones without it.
        takes_s: How long an exchange takes; no longer than it may.
        drawn: What is drawn.
    """

    script: list[Any] = field(default_factory=lambda: ["done"])
    tokens: list[Any] = field(default_factory=list)
    takes_s: float = 0.0
    drawn: float = 1.0
    now: float = 1_000.0
    sent: list[Sent] = field(default_factory=list)
    token_requests: list[Sent] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    source: Callable[[], str] | None = None
    _ids: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    def conversation(
        self,
        credentials: ClientCredentials | StaticToken | None = ME,
        retries: Retries | None = None,
        attempt_s: float = 10.0,
    ) -> Conversation:
        """Return a conversation in this world."""
        surroundings = Surroundings(
            now=lambda: self.now, drawn=lambda: self.drawn, new_id=self._new_id
        )
        return Conversation(
            ScriptedCodec(), credentials, retries or Retries(), attempt_s, surroundings
        )

    def run(self, steps: Steps[Any]) -> Any:  # noqa: ANN401 - whatever the script has
        """Perform steps to their end."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = self._do(step)
                except Exception as error:  # noqa: BLE001 - whatever it is, the core decides
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            return end.value

    def _do(self, step: Step) -> Any:  # noqa: ANN401 - of the step's own type
        match step:
            case Exchange((call, token, request_id), timeout_s):
                sent = Sent(call, token, request_id, timeout_s, self.now)
                self.now += min(self.takes_s, timeout_s)
                return self._answer(sent)
            case Pause(seconds):
                self.pauses.append(seconds)
                self.now += seconds
            case AskSource():
                assert self.source is not None
                return self.source()
            case Alone(steps, _):
                return self.run(steps)
        return None

    def _answer(self, sent: Sent) -> Any:  # noqa: ANN401 - whatever the script has
        if isinstance(sent.call, IssueToken):
            self.token_requests.append(sent)
            if self.tokens:
                return self.tokens[0] if len(self.tokens) == 1 else self.tokens.pop(0)
            return Token(f"token-{len(self.token_requests)}", TOKEN_S)
        self.sent.append(sent)
        return self.script[0] if len(self.script) == 1 else self.script.pop(0)

    def _new_id(self) -> str:
        return f"id-{next(iter(self._ids))}"
