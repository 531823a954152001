"""What the core asks of a driver: values that a generator yields, each answered by what came of it.

A driver performs them, blocking or on an event loop, and decides nothing.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from strongroom_client.calls import Call

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send a request; the answer is a response of the transport's, or `Broken`."""

    request: Any
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AskSource:
    """Call the application's own source of tokens; the answer is what it returns."""

    timeout_s: float


@dataclass(frozen=True, slots=True)
class Alone:
    """Perform steps while nobody else of this client does so; the answer is their result.

    Where that takes longer than the time given, the driver throws TimeoutError into the generator.
    """

    steps: "Steps[Any]"
    timeout_s: float


Step = Exchange | Pause | AskSource | Alone
Steps = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Broken:
    """There is no answer of Strongroom's.

    Attributes:
        detail: Why, safe to show.
        may_have_acted: The request may have reached a server that did what it asks.
        retry_after_s: What a gateway advises.
    """

    detail: str
    may_have_acted: bool
    retry_after_s: float | None = None


class Codec(Protocol):
    """Translates calls into requests of a transport, and its responses back."""

    def request(self, call: Call[Any], token: str | None, request_id: str) -> Any:  # noqa: ANN401
        """Return the request that asks for a call.

        Raises:
            InvalidError: It cannot be sent.
        """

    def answer(self, call: Call[T], response: Any) -> T | Broken:  # noqa: ANN401 - a transport's
        """Return what a response says.

        Raises:
            StrongroomClientError: A server refuses the call.
        """
