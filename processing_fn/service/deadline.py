"""Whether somebody still waits for the answer of the call that a thread is serving, and how long.

A call that its caller has given up is not begun, waits for no lock, and must not commit any more:
the caller may have gone to another worker and told its client what that one said.
"""

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Protocol

from strongroom.errors import UnavailableError


class Call(Protocol):
    """A call under way, as its server knows it."""

    def is_active(self) -> bool:
        """Tell whether its answer would reach anybody."""
        ...

    def time_remaining(self) -> float | None:
        """Return how long its caller waits, in seconds; None, or something large, for no end."""
        ...


_current: ContextVar[Call | None] = ContextVar("call", default=None)


class Serving:
    """Serve a call within this context. Every read enters it: a generator would take twice as long.

    Raises:
        UnavailableError: Nobody waits for the call any more.
    """

    __slots__ = ("_call", "_token")

    def __init__(self, call: Call) -> None:
        """Take the call."""
        self._call = call
        self._token: Token[Call | None] | None = None

    def __enter__(self) -> None:
        """Begin."""
        if not self._call.is_active():
            raise _given_up()
        self._token = _current.set(self._call)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        if self._token is not None:
            _current.reset(self._token)


def require() -> None:
    """Refuse to go on with a call that nobody waits for.

    Raises:
        UnavailableError: The caller has gone, or its time is over. Without a call, nothing.
    """
    call = _current.get()
    if call is not None and not call.is_active():
        raise _given_up()


def within(patience_s: float) -> float:
    """Return how long something may be waited for that is not worth more than `patience_s`."""
    call = _current.get()
    left_s = None if call is None else call.time_remaining()
    return patience_s if left_s is None else min(patience_s, left_s)


def _given_up() -> UnavailableError:
    return UnavailableError("the caller has given the request up", retry_after_s=1)
