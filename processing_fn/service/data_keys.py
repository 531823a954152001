"""The data keys of a worker, which change while it works (design.md section 4).

New writes take the active key. Once `settle` has returned True, no write under an older key is
under way in this process and none will begin: that is what a worker confirms.

Each key is held once, as a `Secret`, for as long as the deployment has it: a key that is fetched
again changes nothing for who uses it, one that is no longer there is overwritten, and so are all
when the worker forgets.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from cachetools import LRUCache

from strongroom import limits
from strongroom.crypto.secret import Material, Secret
from strongroom.errors import IntegrityError, KeyDestroyedError, UnavailableError
from strongroom.keyring import Key, KeySet

_UNKNOWN_REMEMBERED: Final = 1_000


class DataKeys:
    """The data keys in memory. Safe under threads."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        """Take the keys of a subscription."""
        self._secrets: dict[str, Secret] = {}
        self._is_forgotten = False
        self._keys = KeySet(keys, self._hold)
        self._writers: dict[str, int] = {}
        self._changed = threading.Condition()
        self._asking = threading.Lock()
        self._ask: Callable[[], object] | None = None
        self._unknown: LRUCache[str, None] = LRUCache(_UNKNOWN_REMEMBERED)
        self._forget: Callable[[], object] | None = None

    def asks(self, ask: Callable[[], object]) -> None:
        """Take the way to newer keys: `ask` fetches them and calls `replace`."""
        self._ask = ask

    def when_destroyed(self, forget: Callable[[], object]) -> None:
        """Take what forgets the documents that lay under a key, once it was destroyed."""
        self._forget = forget

    def is_destroyed(self, key_id: str) -> bool:
        """Tell whether a key was destroyed."""
        return key_id in self._keys.destroyed()

    def is_known(self, key_id: str) -> bool:
        """Tell whether a key is or was one of the deployment's; it may be asked for as `material`.

        Raises:
            UnavailableError: The Main Worker does not answer.
        """
        if not self._keys.has(key_id):
            self._ask_for(key_id)
        return self._keys.has(key_id)

    def active(self) -> tuple[str, Material]:
        """Return id and material of the key for new files."""
        return self._keys.active()

    def active_made_at(self) -> str:
        """Return when the key for new files was made, in RFC 3339."""
        return self._keys.active_made_at

    def material(self, key_id: str) -> Material:
        """Return a key; for an unknown one the Main Worker is asked, once for all who wait.

        Raises:
            KeyDestroyedError: It was destroyed.
            IntegrityError: The deployment has no such key; a changed header may name one.
            UnavailableError: The Main Worker does not answer.
        """
        try:
            return self._keys.material(key_id)
        except KeyDestroyedError:
            raise
        except IntegrityError:
            self._ask_for(key_id)
            return self._keys.material(key_id)

    @contextmanager
    def writing(self) -> Iterator[str]:
        """Hold the active key for one write; the value is its id."""
        with self._changed:
            key_id, _ = self._keys.active()
            self._writers[key_id] = self._writers.get(key_id, 0) + 1
        try:
            yield key_id
        finally:
            with self._changed:
                self._writers[key_id] -= 1
                if not self._writers[key_id]:
                    del self._writers[key_id]
                self._changed.notify_all()

    def replace(self, keys: tuple[Key, ...]) -> str:
        """Take other keys, for every write that begins from now on; return the active one's id.

        Raises:
            UnavailableError: They were fetched too late: this worker has forgotten its keys.
        """
        with self._changed:
            if self._is_forgotten:
                raise UnavailableError("this worker has forgotten its keys", retry_after_s=1)
            before, self._keys = self._keys, KeySet(keys, self._hold)
            key_id, _ = self._keys.active()
            for gone in self._secrets.keys() - {k.key_id for k in keys if k.material}:
                self._secrets.pop(gone).overwrite()
        if self._forget is not None and self._keys.destroyed() - before.destroyed():
            self._forget()
        return key_id

    def forget(self) -> None:
        """Overwrite the keys; who still uses one fails, or has derived from it what it needs."""
        with self._changed:
            self._is_forgotten = True
            for held in self._secrets.values():
                held.overwrite()

    def settle(self, key_id: str, wait_s: float) -> bool:
        """Wait for the writes under other keys; tell whether `key_id` is the only one in use."""
        with self._changed:
            self._changed.wait_for(lambda: set(self._writers) <= {key_id}, wait_s)
            return set(self._writers) <= {key_id} and self._keys.active()[0] == key_id

    def _hold(self, key: Key) -> Secret:
        # Who took it before a fetch goes on using it after that.
        return self._secrets.setdefault(key.key_id, Secret(key.material))

    def _ask_for(self, key_id: str) -> None:
        """Ask for newer keys, once for each id: one that is not there then never will be."""
        # While nobody answers, those who wait must not ask one after the other.
        if not self._asking.acquire(timeout=limits.READ_ATTEMPT_SECONDS):
            raise UnavailableError("the Main Worker does not answer in time", retry_after_s=1)
        try:
            if self._ask is not None and not self._keys.has(key_id) and key_id not in self._unknown:
                self._ask()
                if not self._keys.has(key_id):
                    self._unknown[key_id] = None
        finally:
            self._asking.release()
