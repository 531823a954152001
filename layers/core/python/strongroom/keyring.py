"""The keyring: every key of a deployment under one root (design.md section 4).

The root is 256 random bits, wrapped by the key provider (KMS); who holds the root holds everything.
`control/keyring.json` is readable, so that one can see which keys exist, and is protected twice:
each key is wrapped under a subkey of the root that is bound to (deployment, purpose, key id), and
a MAC under the root covers the whole file, so that no state can be changed and no key be dropped.

    {"format": 1, "deployment": "...", "generation": 3, "root": "<base64: the provider's message>",
     "keys": [{"key_id", "purpose", "state", "created_at", "iv", "wrapped"}, ...],
     "recovery": "<fingerprint>", "mac": "<base64>"}

`recovery` is there where the message opens with an offline recovery key too, and says with which.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from strongroom import base64text, ids, jsontext, limits
from strongroom.crypto import aead, mac
from strongroom.crypto.secret import Material
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    KeyDestroyedError,
    NotFoundError,
    UnavailableError,
)

FORMAT_VERSION: Final = 1


class Purpose(StrEnum):
    """What a key is for; a key never serves two purposes."""

    DATA = "data"
    NAMING = "naming"
    CONFIGURATION = "configuration"
    CONTROL = "control"
    CLIENT_SECRET = "client-secret"  # noqa: S105 - the name of a purpose
    TOKEN_SIGNING = "token-signing"  # noqa: S105 - the name of a purpose


WORKER_PURPOSES: Final = frozenset({Purpose.DATA, Purpose.NAMING, Purpose.CONFIGURATION})
"""The keys that a Processing Worker gets: to read and write entities, and to verify templates."""


class State(StrEnum):
    """What a key may still be used for."""

    ACTIVE = "active"
    DECRYPT_ONLY = "decrypt-only"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True)
class Key:
    """One key; `material` is 32 bytes and never shown, and nothing once it was destroyed."""

    key_id: str
    purpose: Purpose
    state: State
    created_at: str
    material: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys of a deployment, in plaintext, in memory only.

    Attributes:
        deployment: Its id.
        generation: +1 with every change.
        keys: The keys.
        recovery: The fingerprint of the recovery key that opens the root's message too; empty for
            none.
    """

    deployment: str
    generation: int
    keys: tuple[Key, ...]
    recovery: str = ""

    def active(self, purpose: Purpose) -> Key:
        """Return the key in use for a purpose.

        Raises:
            UnavailableError: There is none.
        """
        for key in self.keys:
            if key.purpose == purpose and key.state == State.ACTIVE:
                return key
        raise UnavailableError(f"the keyring has no active key for {purpose}")

    def find(self, key_id: str, purpose: Purpose) -> Key:
        """Return a key by its id.

        Raises:
            UnavailableError: There is none of this id and purpose.
        """
        for key in self.keys:
            if key.key_id == key_id and key.purpose == purpose:
                return key
        raise UnavailableError(f"the keyring has no key {key_id} for {purpose}")

    def of(self, purposes: frozenset[Purpose]) -> tuple[Key, ...]:
        """Return the keys of some purposes."""
        return tuple(key for key in self.keys if key.purpose in purposes)


class Keys(Protocol):
    """The keys of a deployment, whether they stay as they are or follow their file."""

    @property
    def deployment(self) -> str:
        """The deployment's id."""
        ...

    def active(self, purpose: Purpose) -> Key:
        """Return the key in use for a purpose; raises UnavailableError where there is none."""
        ...

    def find(self, key_id: str, purpose: Purpose) -> Key:
        """Return a key by its id; raises UnavailableError where there is none."""
        ...

    def of(self, purposes: frozenset[Purpose]) -> tuple[Key, ...]:
        """Return the keys of some purposes."""
        ...


class KeySet:
    """The keys of one purpose as `blob.DataKeys`."""

    def __init__(
        self, keys: tuple[Key, ...], hold: Callable[[Key], Material] = lambda key: key.material
    ) -> None:
        """Take keys of one purpose, one of them active; `hold` says how each is kept."""
        kept = [key for key in keys if key.state != State.DESTROYED]
        self._material = {key.key_id: hold(key) for key in kept}
        self._destroyed = frozenset(key.key_id for key in keys) - self._material.keys()
        active = next(key for key in keys if key.state == State.ACTIVE)
        self._active, self.active_made_at = active.key_id, active.created_at

    def active(self) -> tuple[str, Material]:
        """Return id and material of the key for new files."""
        return self._active, self._material[self._active]

    def has(self, key_id: str) -> bool:
        """Tell whether a key is among them, destroyed ones included."""
        return key_id in self._material or key_id in self._destroyed

    def destroyed(self) -> frozenset[str]:
        """Return the ids of those that were destroyed."""
        return self._destroyed

    def material(self, key_id: str) -> Material:
        """Return a key.

        Raises:
            KeyDestroyedError: It was destroyed.
            IntegrityError: The deployment has no such key; a changed header may name one.
        """
        try:
            return self._material[key_id]
        except KeyError:
            if key_id in self._destroyed:
                raise KeyDestroyedError(
                    f"the key {key_id} that it was encrypted under was destroyed by an"
                    " administrator: it cannot be read any more"
                ) from None
            raise IntegrityError(f"a key {key_id} is not known") from None


def new(deployment: str, created_at: str, recovery: str = "") -> Keyring:
    """Return a keyring with one fresh key for each purpose."""
    keys = tuple(new_key(purpose, created_at) for purpose in Purpose)
    return Keyring(deployment=deployment, generation=1, keys=keys, recovery=recovery)


def new_key(purpose: Purpose, created_at: str) -> Key:
    """Return a fresh active key."""
    return Key(ids.new_id(64), purpose, State.ACTIVE, created_at, aead.new_key())


def with_active(keyring: Keyring, key: Key) -> Keyring:
    """Return the keyring with a new active key; the former one of its purpose still decrypts.

    Raises:
        ConflictError: With one more, a worker could not be given them all any more.
    """
    _require_room(keyring, key.purpose)
    others = tuple(
        replace(other, state=State.DECRYPT_ONLY)
        if other.purpose == key.purpose and other.state == State.ACTIVE
        else other
        for other in keyring.keys
    )
    return replace(keyring, generation=keyring.generation + 1, keys=(*others, key))


def _require_room(keyring: Keyring, purpose: Purpose) -> None:
    there = keyring.of(frozenset({purpose}))
    kept = sum(key.state != State.DESTROYED for key in there)
    if kept >= limits.DATA_KEYS_MAX:
        raise ConflictError(
            f"the keyring has {kept} {purpose} keys: rewrap, and destroy those that no file needs,"
            " before another one is made"
        )
    if len(there) >= limits.DATA_KEYS_EVER_MAX:
        raise ConflictError(f"the keyring has ever had {len(there)} {purpose} keys, and is full")


def require_successor(before: Keyring, after: Keyring) -> None:
    """Let pass what may have been made of a keyring: it goes forwards, and no key is lost.

    Raises:
        IntegrityError: It is another deployment's, an older one, or made of an older one.
    """
    if after.deployment != before.deployment:
        raise IntegrityError("the keyring is another deployment's")
    if after.generation < before.generation:
        raise IntegrityError("the keyring is an older one than the one in use")
    states = {(key.purpose, key.key_id): key.state for key in after.keys}
    for key in before.keys:
        state = states.get((key.purpose, key.key_id))
        if state is None:
            raise IntegrityError(f"the keyring lacks a key that is in use, {key.key_id}")
        if key.state == State.DESTROYED and state != State.DESTROYED:
            raise IntegrityError(f"the keyring has a key that was destroyed, {key.key_id}")


def without(keyring: Keyring, key_id: str) -> Keyring:
    """Return the keyring with a data key destroyed: its id stays, so that reads can say why.

    Raises:
        NotFoundError: There is no such data key.
        ConflictError: It is the active one, or was destroyed already.
    """
    key = next((k for k in keyring.keys if k.key_id == key_id and k.purpose == Purpose.DATA), None)
    if key is None:
        raise NotFoundError(f"there is no data key {key_id}")
    if key.state == State.ACTIVE:
        raise ConflictError("the active key cannot be destroyed: rotate first, then rewrap")
    if key.state == State.DESTROYED:
        raise ConflictError(f"the key {key_id} was destroyed already")
    gone = replace(key, state=State.DESTROYED, material=b"")
    keys = tuple(gone if other is key else other for other in keyring.keys)
    return replace(keyring, generation=keyring.generation + 1, keys=keys)


def with_recovery(keyring: Keyring, recovery: str) -> Keyring:
    """Return the keyring as one whose root was wrapped for a recovery key too."""
    return replace(keyring, generation=keyring.generation + 1, recovery=recovery)


class _KeyEntry(msgspec.Struct, frozen=True):
    key_id: str
    purpose: Purpose
    state: State
    created_at: str
    iv: str
    wrapped: str


class _Version(msgspec.Struct, frozen=True):
    format: int


class _File(msgspec.Struct, frozen=True):
    format: int
    deployment: str
    generation: int
    root: str
    keys: list[_KeyEntry]
    # Left out where there is none: a file of before there was escrow has the same bytes under its
    # MAC as it had then.
    recovery: str | msgspec.UnsetType = msgspec.UNSET
    mac: str = ""


def encode(keyring: Keyring, root: bytes, root_message: bytes) -> bytes:
    """Return the bytes of the keyring's file.

    Args:
        keyring: The keys.
        root: The 256-bit root in plaintext.
        root_message: The root as the key provider wrapped it.
    """
    unsigned = _File(
        format=FORMAT_VERSION,
        deployment=keyring.deployment,
        generation=keyring.generation,
        root=base64text.encode(root_message),
        keys=[_wrap(key, root, keyring.deployment) for key in keyring.keys],
        recovery=keyring.recovery or msgspec.UNSET,
    )
    signature = mac.tag(_mac_key(root), _signed_bytes(unsigned))
    signed = msgspec.structs.replace(unsigned, mac=base64text.encode(signature))
    return msgspec.json.format(msgspec.json.encode(signed), indent=1) + b"\n"


def decode(raw: bytes, open_root: Callable[[bytes, str], bytes]) -> tuple[Keyring, bytes, bytes]:
    """Return (keyring, root, the root's wrapped message) of a keyring's file.

    Args:
        raw: The file's bytes.
        open_root: Unwraps (message, deployment); it raises when the message is not of the
            deployment.

    Raises:
        IntegrityError: The file was changed, or is not a keyring of this version.
    """
    try:
        # Before all else: a later format may have other members, and is not damaged for that.
        found = msgspec.json.decode(raw, type=_Version).format
        if found != FORMAT_VERSION:
            raise IntegrityError(
                f"keyring format {found} is not known to this version of Strongroom"
            )
        file = msgspec.json.decode(raw, type=_File)
        message = base64text.decode(file.root)
        signature = base64text.decode(file.mac)
    except jsontext.UNREADABLE as error:
        raise IntegrityError("the keyring's file cannot be read") from error
    root = open_root(message, file.deployment)
    mac.verify(_mac_key(root), signature, _signed_bytes(msgspec.structs.replace(file, mac="")))
    keys = tuple(_unwrap(entry, root, file.deployment) for entry in file.keys)
    return Keyring(file.deployment, file.generation, keys, file.recovery or ""), root, message


def _signed_bytes(file: _File) -> bytes:
    return msgspec.json.encode(file)


def _mac_key(root: bytes) -> bytes:
    return aead.subkey(root, b"strongroom/keyring-mac/v1", b"")


def _wrapping(root: bytes, deployment: str, purpose: str, key_id: str) -> aead.Cipher:
    context = f"{deployment}\x00{purpose}\x00{key_id}".encode()
    return aead.Cipher(root, b"strongroom/keyring-wrap/v1", context)


def _wrap(key: Key, root: bytes, deployment: str) -> _KeyEntry:
    if key.state == State.DESTROYED:
        return _KeyEntry(key.key_id, key.purpose, key.state, key.created_at, "", "")
    iv = aead.new_iv()
    wrapped = _wrapping(root, deployment, key.purpose, key.key_id).seal(iv, key.material, b"")
    return _KeyEntry(
        key.key_id,
        key.purpose,
        key.state,
        key.created_at,
        base64text.encode(iv),
        base64text.encode(wrapped),
    )


def _unwrap(entry: _KeyEntry, root: bytes, deployment: str) -> Key:
    if entry.state == State.DESTROYED:
        return Key(entry.key_id, entry.purpose, entry.state, entry.created_at, b"")
    cipher = _wrapping(root, deployment, entry.purpose, entry.key_id)
    iv, wrapped = base64text.decode(entry.iv), base64text.decode(entry.wrapped)
    material = cipher.open(iv, wrapped, b"")
    return Key(entry.key_id, entry.purpose, entry.state, entry.created_at, material)
