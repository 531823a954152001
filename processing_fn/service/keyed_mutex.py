"""A mutex per key, which exists as long as somebody holds it or waits for it."""

import threading

from processing_fn.service import deadline
from strongroom.errors import BusyError

_LOOK_S = 0.1


class KeyedMutex:
    """Mutual exclusion between threads, key by key."""

    def __init__(self) -> None:
        """Start with no key held."""
        self._guard = threading.Lock()
        self._held: dict[bytes, tuple[threading.Lock, int]] = {}

    def exclusive(self, key: bytes, wait_s: float, users_max: int | None = None) -> "_Turn":
        """Return a context that holds a key.

        Args:
            key: Which.
            wait_s: How long to wait for it.
            users_max: How many may hold it or wait for it; None for any number.

        Raises, as it is entered:
            BusyError: Others hold it for longer, or too many wait already.
            UnavailableError: Whoever this is done for waits no longer.
        """
        return _Turn(self, key, wait_s, users_max)

    def enter(self, key: bytes, wait_s: float, users_max: int | None = None) -> threading.Lock:
        """Have a key's mutex, until `leave` is called with it; raises as `exclusive`."""
        with self._guard:
            held = self._held.get(key)
            if held is None:
                mutex = threading.Lock()
                mutex.acquire()
                self._held[key] = (mutex, 1)
                return mutex
            mutex, users = held
            if users_max is not None and users >= users_max:
                raise BusyError("too many wait for this entity", retry_after_s=1)
            self._held[key] = (mutex, users + 1)
        try:
            if not _had(mutex, wait_s):
                raise BusyError("the entity is busy", retry_after_s=1)
        except BaseException:
            self._go(key, mutex)
            raise
        return mutex

    def leave(self, key: bytes, mutex: threading.Lock) -> None:
        """Hold a key no longer."""
        mutex.release()
        self._go(key, mutex)

    def _go(self, key: bytes, mutex: threading.Lock) -> None:
        """Be no user of a key any more."""
        with self._guard:
            _, users = self._held[key]
            if users == 1:
                del self._held[key]
            else:
                self._held[key] = (mutex, users - 1)


class _Turn:
    """Holds a key."""

    __slots__ = ("_key", "_mutex", "_of", "_users_max", "_wait_s")

    def __init__(self, of: KeyedMutex, key: bytes, wait_s: float, users_max: int | None) -> None:
        self._of = of
        self._key = key
        self._wait_s = wait_s
        self._users_max = users_max

    def __enter__(self) -> None:
        self._mutex = self._of.enter(self._key, self._wait_s, self._users_max)

    def __exit__(self, *_: object) -> None:
        self._of.leave(self._key, self._mutex)


def _had(mutex: threading.Lock, wait_s: float) -> bool:
    """Wait for a mutex, for as long as anybody waits for what it is needed for."""
    if mutex.acquire(blocking=False):
        return True
    left_s = deadline.within(wait_s)
    while not mutex.acquire(timeout=min(left_s, _LOOK_S)):
        left_s -= _LOOK_S
        if left_s <= 0:
            return False
        deadline.require()
    return True
