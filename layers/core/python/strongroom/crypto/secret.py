"""A key that can be forgotten: held once, overwritten in place, never used after that.

Python copies and frees `bytes` as it likes, and never overwrites them. A `Secret` holds a key in a
`bytearray` that nobody else has. Who uses the key does so while the secret is locked, so that it is
overwritten before a use or after it, never in between: nothing is ever encrypted, derived or
verified under a key of zeros. What a use derives (a subkey, a tag) outlives the secret.

A `Secret` also remembers the state that every HMAC-SHA256 under it begins with, in a context of
OpenSSL's, which clears it when the secret lets go of it.

What this cannot reach: OpenSSL copies a key into its own contexts for as long as an operation takes
(and clears them), and what a key was made from (the `bytes` that HPKE returns) is freed memory that
waits to be used again.
"""

import hmac
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from strongroom.errors import UnavailableError

T = TypeVar("T")
_SHA256: Final = hashes.SHA256()


class Secret:
    """A key in memory. Safe under threads; equal to bytes of the same key."""

    __slots__ = ("_begun", "_buffer", "_is_overwritten", "_lock")

    def __init__(self, material: bytes) -> None:
        """Take a copy."""
        self._lock = threading.Lock()
        self._is_overwritten = False
        self._buffer = bytearray(material)
        self._begun: HMAC | None = None

    def use(self, work: Callable[[bytearray], T]) -> T:
        """Return what `work` makes of the key; it must not keep the buffer.

        Raises:
            UnavailableError: The key was overwritten.
        """
        with self._lock:
            if self._is_overwritten:
                raise _forgotten()
            return work(self._buffer)

    def hmac_sha256(self, message: bytes) -> bytes:
        """Return the 32-byte tag of a message under this key; raises as `use`.

        Every file that is read or written takes one to begin with. To go on from a copy of the
        state that both of its hashes have after the key takes a third of the time.
        """
        with self._lock:
            if self._is_overwritten:
                raise _forgotten()
            if self._begun is None:
                self._begun = HMAC(self._buffer, _SHA256)
            state = self._begun.copy()
            state.update(message)
            return state.finalize()

    def overwrite(self) -> None:
        """Forget the key, for good; waits for a use that is under way."""
        with self._lock:
            self._is_overwritten = True
            self._begun = None
            self._buffer[:] = bytes(len(self._buffer))

    def __del__(self) -> None:
        """Leave nothing behind where nobody has called `overwrite`."""
        self._buffer[:] = bytes(len(self._buffer))

    def __eq__(self, other: object) -> bool:
        """Compare in constant time; raises as `use`."""
        if isinstance(other, bytes):
            return self.use(lambda key: hmac.compare_digest(key, other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show nothing."""
        return "Secret()"


Material = bytes | Secret
"""A key: `bytes` where a process holds it for as long as it lives."""


def _forgotten() -> UnavailableError:
    return UnavailableError("this process has forgotten its keys", retry_after_s=1)


def hmac_sha256(key: Material, message: bytes) -> bytes:
    """Return the 32-byte tag (RFC 2104) under a key of either kind; raises as `Secret.use`."""
    if isinstance(key, Secret):
        return key.hmac_sha256(message)
    return hmac.digest(key, message, "sha256")


def use(key: Material, work: Callable[[bytes | bytearray], T]) -> T:
    """Return what `work` makes of a key of either kind; raises as `Secret.use`."""
    return key.use(work) if isinstance(key, Secret) else work(key)
