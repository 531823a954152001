"""A mutex per key, which exists as long as somebody holds it or waits for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from processing_fn.service import deadline
from strongroom.errors import BusyError

_LOOK_S = 0.1


class KeyedMutex:
    """Mutual exclusion between threads, key by key."""

    def __init__(self) -> None:
        """Start with no key held."""
        self._guard = threading.Lock()
        self._held: dict[bytes, tuple[threading.Lock, int]] = {}

    @contextmanager
    def exclusive(self, key: bytes, wait_s: float, users_max: int | None = None) -> Iterator[None]:
        """Hold a key.

        Args:
            key: Which.
            wait_s: How long to wait for it.
            users_max: How many may hold it or wait for it; None for any number.

        Raises:
            BusyError: Others hold it for longer, or too many wait already.
            UnavailableError: Whoever this is done for waits no longer.
        """
        with self._guard:
            mutex, users = self._held.get(key) or (threading.Lock(), 0)
            if users_max is not None and users >= users_max:
                raise BusyError("too many wait for this entity", retry_after_s=1)
            self._held[key] = (mutex, users + 1)
        try:
            if not _had(mutex, wait_s):
                raise BusyError("the entity is busy", retry_after_s=1)
            try:
                yield
            finally:
                mutex.release()
        finally:
            self._leave(key, mutex)

    def _leave(self, key: bytes, mutex: threading.Lock) -> None:
        with self._guard:
            _, users = self._held[key]
            if users == 1:
                del self._held[key]
            else:
                self._held[key] = (mutex, users - 1)


def _had(mutex: threading.Lock, wait_s: float) -> bool:
    """Wait for a mutex, for as long as anybody waits for what it is needed for."""
    left_s = deadline.within(wait_s)
    while not mutex.acquire(timeout=min(left_s, _LOOK_S)):
        left_s -= _LOOK_S
        if left_s <= 0:
            return False
        deadline.require()
    return True
