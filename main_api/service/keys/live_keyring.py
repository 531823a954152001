"""The keyring of a process, which follows its file (design.md section 4).

A rotation by any Main Worker, a Lambda too, is a new file of a higher generation. The root is kept
in memory, so that following costs no call to the key provider, and an outage of it stops nobody who
runs already.
"""

import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from main_api.service.keys.ports import KeyProvider, KeyringStore, RootWrapper
from strongroom import keyring
from strongroom.errors import IntegrityError, UnavailableError
from strongroom.keyring import Key, Keyring, Purpose


@dataclass(frozen=True, slots=True)
class _Opened:
    """A keyring's file, and what is in it."""

    raw: bytes
    keyring: Keyring
    root: bytes = field(repr=False)
    message: bytes


class LiveKeyring:
    """The keys as the file has them. Safe under threads.

    It answers as a `Keyring` does. Opening it costs one call to the key provider.
    """

    def __init__(self, store: KeyringStore, provider: KeyProvider) -> None:
        """Open the keyring.

        Raises:
            UnavailableError: There is none, or the provider does not open it.
            IntegrityError: It was changed, or is another deployment's.
        """
        self._store = store
        self._provider = provider
        self._changing = threading.Lock()
        raw = store.read()
        if raw is None:
            raise UnavailableError("there is no keyring; the deployment was never initialized")
        opened = _Opened(raw, *keyring.decode(raw, provider.unwrap))
        store.make_durable()
        self._opened = opened

    @property
    def current(self) -> Keyring:
        """The keyring of this moment."""
        return self._opened.keyring

    @property
    def deployment(self) -> str:
        """The deployment's id."""
        return self._opened.keyring.deployment

    @property
    def generation(self) -> int:
        """+1 with every change."""
        return self._opened.keyring.generation

    def active(self, purpose: Purpose) -> Key:
        """Return the key in use for a purpose; raises UnavailableError where there is none."""
        return self.current.active(purpose)

    def find(self, key_id: str, purpose: Purpose) -> Key:
        """Return a key by its id; raises UnavailableError where there is none."""
        return self.current.find(key_id, purpose)

    def of(self, purposes: frozenset[Purpose]) -> tuple[Key, ...]:
        """Return the keys of some purposes."""
        return self.current.of(purposes)

    def follow(self) -> bool:
        """Read the file once more; tell whether it has changed.

        Raises:
            IntegrityError: It was changed by somebody without the root, is missing, or was not made
                of what is in use; what is in use stays.
            UnavailableError: The disk refuses; the same.
        """
        with self._changing:
            # Read under the lock: what was read before another thread's look would be older.
            raw = self._store.read()
            if raw is None:
                raise IntegrityError("the keyring's file is missing: restore it from a backup")
            if raw == self._opened.raw:
                return False
            opened = self._successor(raw)
            # Whoever wrote it may not have come to its last sync, or have been killed before that;
            # what is written under a key must not outlive the key in a power cut.
            self._store.make_durable()
            self._opened = opened
        return True

    def check(self) -> None:
        """Open the file as a process that starts does, and compare it with what is in use.

        Raises:
            IntegrityError, UnavailableError: As for a new one; or it is not the one in use.
        """
        self.follow()
        before = self.current
        opened = LiveKeyring(self._store, self._provider).current
        self.follow()
        # Somebody may have changed it meanwhile: then it is one of those that were in use.
        is_between = before.generation < opened.generation < self.generation
        if not is_between and opened not in {before, self.current}:
            raise IntegrityError("it is not the keyring that is in use")

    def probe(self) -> None:
        """Have the key provider open the root's message in use, as a process that starts does.

        Raises:
            UnavailableError: It does not answer, or refuses.
            IntegrityError: It makes something else of it.
        """
        opened = self._opened
        root = self._provider.unwrap(opened.message, opened.keyring.deployment)
        if not hmac.compare_digest(root, opened.root):
            raise IntegrityError("the key provider opens another root")

    def change(self, edit: Callable[[Keyring], Keyring]) -> Keyring:
        """Write a keyring that is made of the newest one; return it.

        Raises:
            BusyError: Others change the configuration for too long.
            StrongroomError: As `follow`, or what `edit` raises; nothing was written.
        """
        with self._store.exclusive():
            self.follow()
            opened = self._opened
            edited = edit(opened.keyring)
            self._write(edited, opened.message)
        return edited

    def escrow(self) -> bool:
        """Wrap the root anew where the deployment names another recovery key; tell whether it did.

        Where it names none, the key of the last one stays: one process of several that was not told
        must not take the recovery away. Of several at once one wraps, the others find it done.

        Raises:
            UnavailableError: Disk or key provider refuse.
            StrongroomError: As `change`.
        """
        wanted = self._provider.recovery
        if wanted in {"", self.current.recovery}:
            return False
        with self._store.exclusive():
            self.follow()
            opened = self._opened
            if opened.keyring.recovery == wanted:
                return False
            message = self._provider.wrap(opened.root, opened.keyring.deployment)
            self._write(keyring.with_recovery(opened.keyring, wanted), message)
        return True

    def exported(self, wrapper: RootWrapper) -> tuple[Keyring, bytes]:
        """Return the keyring as its file has it now, and a file whose root is wrapped anew.

        Raises:
            UnavailableError: The disk refuses.
            IntegrityError: As `follow`.
        """
        self.follow()
        opened = self._opened
        copied = replace(opened.keyring, recovery=wrapper.recovery)
        message = wrapper.wrap(opened.root, copied.deployment)
        return opened.keyring, keyring.encode(copied, opened.root, message)

    def _write(self, changed: Keyring, message: bytes) -> None:
        """Write it; only under the store's lock."""
        raw = keyring.encode(changed, self._opened.root, message)
        self._store.write(raw)
        with self._changing:
            self._opened = self._successor(raw)

    def _successor(self, raw: bytes) -> _Opened:
        """Return what a file has that was made of the keyring in use."""
        before = self._opened
        # Under the root at hand the MAC holds, however the root was wrapped anew. So whoever writes
        # other files there has nobody call the key provider, four times a second.
        opened = _Opened(raw, *keyring.decode(raw, lambda *_: before.root))
        keyring.require_successor(before.keyring, opened.keyring)
        return opened
