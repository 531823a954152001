"""Whether somebody still waits for the answer of the call that a thread is serving.

A call that its caller has given up must not commit any more: the caller may have gone to another
worker and told its client what that one said.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from strongroom.errors import UnavailableError

_still_wanted: ContextVar[Callable[[], bool] | None] = ContextVar("still_wanted", default=None)


@contextmanager
def watched(still_wanted: Callable[[], bool]) -> Iterator[None]:
    """Serve a call within this context."""
    token = _still_wanted.set(still_wanted)
    try:
        yield
    finally:
        _still_wanted.reset(token)


def require() -> None:
    """Refuse to go on with a call that nobody waits for.

    Raises:
        UnavailableError: The caller has gone, or its time is over. Without a call, nothing.
    """
    still_wanted = _still_wanted.get()
    if still_wanted is not None and not still_wanted():
        raise UnavailableError("the caller has given the request up", retry_after_s=1)
