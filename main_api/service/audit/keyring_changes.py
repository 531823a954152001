"""Every change of the keyring is on record, whoever makes it: an administrator, a job, an age."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import msgspec

from main_api.service.audit.trail import Audit
from main_api.service.keys.ports import KeyringStore
from strongroom import jsontext
from strongroom.errors import InternalError

CHANGE: str = "change_keyring"


class _Key(msgspec.Struct, frozen=True):
    key_id: str
    purpose: str
    state: str


class _Keyring(msgspec.Struct, frozen=True):
    """What is readable of the keyring's file."""

    generation: int = 0
    keys: tuple[_Key, ...] = ()
    recovery: str = ""


class RecordedKeyring:
    """A `KeyringStore` that writes nothing before it is on record that it is about to."""

    def __init__(self, inner: KeyringStore) -> None:
        """Take the store; `record_in` says where its changes are recorded."""
        self._inner = inner
        self._audit: Audit | None = None

    def record_in(self, audit: Audit) -> None:
        """Take the audit log, which is itself written under the keyring's keys."""
        self._audit = audit

    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the lock."""
        return self._inner.exclusive()

    def read(self) -> bytes | None:
        """Return the file."""
        return self._inner.read()

    def make_durable(self) -> None:
        """Force what was read to the disk."""
        self._inner.make_durable()

    def write(self, raw: bytes) -> None:
        """Record what is changed, then replace the file.

        Raises:
            UnavailableError: It cannot be recorded, and was not done; or the disk refuses.
            OutcomeUnknownError: It was done, and that cannot be recorded.
        """
        if self._audit is None:
            raise InternalError("nobody records what is changed in the keyring")
        facts = _difference(_readable(self._inner.read()), _readable(raw))
        with self._audit.acting(CHANGE, **facts):
            self._inner.write(raw)


def _readable(raw: bytes | None) -> _Keyring:
    try:
        return msgspec.json.decode(raw or b"{}", type=_Keyring)
    except jsontext.UNREADABLE:
        return _Keyring()


def _difference(before: _Keyring, after: _Keyring) -> Mapping[str, str]:
    """Return what a change makes of which keys; where nothing can be told of it, that it is one."""
    states = {key.key_id: key.state for key in before.keys}
    there = {key.key_id for key in after.keys}
    told = [
        f"{key.purpose} {key.key_id} {key.state}"
        for key in after.keys
        if states.get(key.key_id) != key.state
    ]
    told += [f"{key.purpose} {key.key_id} gone" for key in before.keys if key.key_id not in there]
    facts = {"generation": str(after.generation)}
    if told:
        facts["keys"] = ", ".join(told)
    if before.recovery != after.recovery:
        facts["recovery"] = after.recovery or "none"
    return facts
