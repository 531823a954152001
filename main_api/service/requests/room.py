"""How many bytes of requests and answers a process may hold at once.

Small ones are bounded by their number, `limits.MAIN_CONCURRENT_REQUESTS_MAX`. Larger ones are
counted here by their bytes: 32 clients may send 4 MiB at the same time, or a thousand 128 KiB.
"""

from collections.abc import Callable

from strongroom import limits
from strongroom.errors import RateLimitedError


class Room:
    """Room for large messages; used from one event loop, and no other thread."""

    def __init__(self, bytes_max: int = limits.LARGE_BYTES_IN_FLIGHT_MAX) -> None:
        """Start empty."""
        self._left_bytes = bytes_max

    def take(self, size_bytes: int) -> Callable[[], None]:
        """Take room for a message, and return what gives it back; that may be called twice.

        Raises:
            RateLimitedError: There is not enough now. Nobody waits for it: who waits holds memory.
        """
        if size_bytes <= limits.SMALL_BYTES_MAX:
            return _nothing
        if size_bytes > self._left_bytes:
            raise RateLimitedError("too many large messages at once", retry_after_s=1)
        self._left_bytes -= size_bytes
        taken = [size_bytes]

        def give_back() -> None:
            if taken:
                self._left_bytes += taken.pop()

        return give_back


def _nothing() -> None:
    """Give back what was not taken."""
