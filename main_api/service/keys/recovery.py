"""A deployment whose master key is gone for ever, brought back under another one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from main_api.domain import recovery
from main_api.domain.recovery import Trial
from main_api.service.keys.ports import KeyProvider, KeyringStore
from strongroom import keyring
from strongroom.errors import IntegrityError, NotFoundError
from strongroom.keyring import Keyring

OpenRoot = Callable[[bytes, str], bytes]


class StoredFiles(Protocol):
    """What lies in the directory beside the keyring."""

    def try_keyring(self, keyring: Keyring) -> Trial:
        """Open every file with a keyring's keys; raises UnavailableError where the disk refuses."""
        ...


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was brought back.

    Attributes:
        keyring: The keyring as it was written.
        source: Of which file it was made.
        trial: What it opens.
    """

    keyring: Keyring
    source: str
    trial: Trial


@dataclass(frozen=True, slots=True)
class _Found:
    keyring: Keyring
    root: bytes
    source: str


def recover(
    store: KeyringStore,
    stored: StoredFiles,
    open_root: OpenRoot,
    new_provider: Callable[[], KeyProvider],
    export: bytes | None,
    *,
    record: Callable[[Keyring, str], AbstractContextManager[object]],
    accept_loss: bool,
) -> Recovered:
    """Wrap the root of the newest keyring anew, and write it; nothing is written in doubt.

    Args:
        store: Where the keyring lies, or has lain.
        stored: The proof that a keyring is the deployment's.
        open_root: Opens a root's message with the recovery key.
        new_provider: Makes the provider under which it is to live; called once all is well.
        export: An export's bytes.
        record: Puts on record that a keyring, made of a source, is written in there.
        accept_loss: Go on though some files do not open.

    Raises:
        NotFoundError: There is neither a keyring nor an export.
        IntegrityError: One of them is damaged, another deployment's, or not for this key.
        ConflictError: As `domain.recovery.admit`.
        UnavailableError: Disk or new provider refuse, or it cannot be put on record.
    """
    with store.exclusive():
        found = _newest(store.read(), export, open_root)
        trial = stored.try_keyring(found.keyring)
        recovery.admit(trial, accept_loss=accept_loss)
        provider = new_provider()
        made = keyring.with_recovery(found.keyring, provider.recovery)
        message = provider.wrap(found.root, made.deployment)
        raw = keyring.encode(made, found.root, message)
        # What does not open again must not take the place of what opens with the recovery key.
        if keyring.decode(raw, provider.unwrap)[0] != made:
            raise IntegrityError("the keyring does not open under its new key; nothing was changed")
        with record(made, found.source):
            store.write(raw)
    return Recovered(made, found.source, trial)


def _newest(raw: bytes | None, export: bytes | None, open_root: OpenRoot) -> _Found:
    """Return the newer of the two; what is there has to open, whichever is taken."""
    found = []
    if raw is not None:
        found.append(
            _opened(
                raw,
                "control/keyring.json",
                open_root,
                "; nothing was changed. Where it is damaged, move it out of the directory and name"
                " an export with --export",
            )
        )
    if export is not None:
        found.append(_opened(export, "the export", open_root, "; nothing was changed"))
    if not found:
        raise NotFoundError("control/keyring.json is missing: name an export of it with --export")
    if len({(one.keyring.deployment, one.root) for one in found}) > 1:
        raise IntegrityError(
            "the export is of another deployment than control/keyring.json; nothing was changed"
        )
    return max(found, key=lambda one: one.keyring.generation)


def _opened(raw: bytes, source: str, open_root: OpenRoot, road: str) -> _Found:
    try:
        opened, root, _ = keyring.decode(raw, open_root)
    except IntegrityError as error:
        raise IntegrityError(f"{source} does not open: {error.detail}{road}") from error
    return _Found(opened, root, source)
