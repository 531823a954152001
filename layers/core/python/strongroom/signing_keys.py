"""Which key signs tokens, and which ones verify them, by their age: the same in every process.

made     +10 s: signs                    the next one signs     +600 s: its last token has ended
  |---------|-------------------------------------|-------------------------|
  |                       verifies, and is published as a JWK               |  is destroyed

A key is known everywhere before it signs, and verifies until its last token has ended. So no
request fails for a rotation, and nobody has to be told of it in time: the file says it all.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from strongroom import limits
from strongroom.clock import from_rfc3339
from strongroom.errors import ConflictError, UnavailableError
from strongroom.keyring import Key, Keyring, Purpose, State, with_active

PURPOSE: Final = frozenset({Purpose.TOKEN_SIGNING})
_PUBLISHED_MS: Final = limits.SIGNING_KEY_PUBLISHED_SECONDS * 1000
_TOKEN_MS: Final = limits.ACCESS_TOKEN_SECONDS * 1000


def signs_from_ms(key: Key) -> int:
    """Return when a key begins to sign, unless it is the only one: wall time, ms since 1970."""
    return from_rfc3339(key.created_at) + _PUBLISHED_MS


def signing(keys: Sequence[Key], now_ms: int) -> Key:
    """Return the key that signs now.

    Args:
        keys: The signing keys, oldest first, as the keyring has them.
        now_ms: Wall time.

    Raises:
        UnavailableError: There is none.
    """
    there = _there(keys)
    if not there:
        raise UnavailableError("the keyring has no key that signs tokens")
    known = [key for key in there if signs_from_ms(key) <= now_ms]
    return known[-1] if known else there[0]


def verifying(keys: Sequence[Key], now_ms: int) -> tuple[Key, ...]:
    """Return the keys that verify now, those that do not sign yet too; arguments as `signing`."""
    there = _there(keys)
    return tuple(
        key
        for key, successor in zip(there, [*there[1:], None], strict=True)
        if successor is None or now_ms < _last_token_ends_ms(successor)
    )


def rotated(keyring: Keyring, made: Key, now_ms: int) -> Keyring:
    """Return the keyring with one more signing key; those of no use any more are destroyed.

    Raises:
        ConflictError: The newest one does not sign yet: one more would only pile up.
    """
    there = _there(keyring.of(PURPOSE))
    newest = there[-1]
    if len(there) > 1 and now_ms < signs_from_ms(newest):
        raise ConflictError(
            f"the signing key {newest.key_id} was made less than"
            f" {limits.SIGNING_KEY_PUBLISHED_SECONDS} s ago, and does not sign yet"
        )
    return with_active(without_spent(keyring, now_ms), made)


def without_spent(keyring: Keyring, now_ms: int) -> Keyring:
    """Return the keyring with those signing keys destroyed that are of no use; else as it is."""
    keys = _there(keyring.of(PURPOSE))
    spent = set(keys) - set(verifying(keys, now_ms))
    if not spent:
        return keyring
    # The id stays: a process that has slept for long must see that no key was lost.
    kept = tuple(
        replace(key, state=State.DESTROYED, material=b"") if key in spent else key
        for key in keyring.keys
    )
    return replace(keyring, generation=keyring.generation + 1, keys=kept)


def _there(keys: Sequence[Key]) -> list[Key]:
    return [key for key in keys if key.state != State.DESTROYED]


def _last_token_ends_ms(successor: Key) -> int:
    """Return when the last token has ended that the key before this one has signed."""
    return signs_from_ms(successor) + _TOKEN_MS + 2 * limits.CLOCK_SKEW_MS_MAX
