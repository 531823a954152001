"""A mutex per key, which exists as long as somebody holds it or waits for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.errors import BusyError


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
        """
        with self._guard:
            mutex, users = self._held.get(key) or (threading.Lock(), 0)
            if users_max is not None and users >= users_max:
                raise BusyError("too many wait for this entity", retry_after_s=1)
            self._held[key] = (mutex, users + 1)
        try:
            if not mutex.acquire(timeout=wait_s):
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
