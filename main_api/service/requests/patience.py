"""How long somebody waits for the answer of the request that a thread serves, and whether still.

A face says so, on the thread that it serves the request with; the dispatcher and the calls to
workers ask. A client that has gone gives its request up: what is under way for it is cancelled.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from main_api.service.workers.ports import GivenUpError
from strongroom import limits
from strongroom.clock import Clock, SystemClock

_CLOCK: Final = SystemClock()


class Patience:
    """One request's. Safe under threads."""

    def __init__(self, left_s: float | None = None, clock: Clock = _CLOCK) -> None:
        """Begin; no request is waited for longer than `limits.REQUEST_SECONDS`."""
        self._clock = clock
        longest_s = limits.REQUEST_SECONDS
        self._ends_at_s = clock.boot_s() + (longest_s if left_s is None else min(left_s, longest_s))
        self._lock = threading.Lock()
        self._is_given_up = False
        self._cancels: list[Callable[[], object]] = []

    def left_s(self) -> float:
        """Return how long is waited yet, 0 at the end and after it was given up."""
        if self._is_given_up:
            return 0.0
        return max(0.0, self._ends_at_s - self._clock.boot_s())

    def require(self) -> None:
        """Go on with a request that somebody waits for.

        Raises:
            GivenUpError: Nobody does.
        """
        if self._is_given_up:
            raise GivenUpError

    def give_up(self) -> None:
        """Cancel what is under way for it; nothing more is begun."""
        with self._lock:
            self._is_given_up = True
            cancels, self._cancels = self._cancels, []
        for cancel in cancels:
            cancel()

    @contextmanager
    def cancelling(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Have something cancelled when the request is given up within this context.

        Raises:
            GivenUpError: It was given up before.
        """
        with self._lock:
            is_given_up = self._is_given_up
            if not is_given_up:
                self._cancels.append(cancel)
        if is_given_up:
            cancel()
            raise GivenUpError
        try:
            yield
        finally:
            with self._lock:
                if cancel in self._cancels:
                    self._cancels.remove(cancel)


_current: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def serving(patience: Patience) -> Iterator[None]:
    """Serve a request within this context."""
    token = _current.set(patience)
    try:
        yield
    finally:
        _current.reset(token)


def current(clock: Clock = _CLOCK) -> Patience:
    """Return that of the request which this thread serves; a fresh one where none is said."""
    return _current.get() or Patience(clock=clock)
