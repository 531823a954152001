"""`strongroom keys recover`: a deployment whose master key is gone for ever, under a new one."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cli import operator
from cli.emulation.claim import claim
from cli.emulation.master_key import LocalMasterKey, LocalProvider
from cli.keys import passphrase
from main_api import bootstrap, settings
from main_api.adapters.control_store import KeyringFile
from main_api.adapters.keys import providers, recovery_key
from main_api.adapters.keys.escrow import EscrowOpener
from main_api.adapters.keys.providers import NamedKeyProvider
from main_api.adapters.keys.recovery_key import RecoveryPublicKey
from main_api.adapters.keys.stored_files import StoredFilesOnDisk
from main_api.service.keys import recovery
from main_api.settings import KeySettings
from strongroom import limits
from strongroom.clock import SystemClock
from strongroom.durable import LocalFilesystem
from strongroom.errors import InvalidArgumentError, NotFoundError
from strongroom.keyring import Keyring
from strongroom.layout import Layout

_ELSEWHERE: Final = "start every Main Worker with the settings that this command was given"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for: either `root` or `shared_dir`."""

    root: Path | None
    shared_dir: Path | None
    recovery_key: Path
    export: Path | None
    key_provider: LocalProvider | None
    accept_loss: bool


def run(options: Options) -> None:
    """Recover; say in one line what comes next.

    Raises:
        InvalidArgumentError: Not one directory, or a key that is none.
        NotFoundError: There is nothing to recover.
        IntegrityError, ConflictError, UnavailableError: As `service.recovery.recover`.
        OSError: The disk refuses.
    """
    shared_dir = _shared_dir(options)
    private = recovery_key.read_private(options.recovery_key, passphrase.known())
    export = _export(options.export)
    filesystem, layout, clock = LocalFilesystem(), Layout(shared_dir), SystemClock()
    with ExitStack() as stack:
        if options.root is not None:
            stack.enter_context(claim(options.root))
        target = _Target(options, stack, shared_dir, private.public)
        done = recovery.recover(
            KeyringFile(filesystem, layout, clock),
            StoredFilesOnDisk(filesystem, layout, clock),
            EscrowOpener(private).unwrap,
            target.provider,
            export,
            record=partial(_recorded, layout),
            accept_loss=options.accept_loss,
        )
    trial, made = done.trial, done.keyring
    sys.stdout.write(
        f"deployment {made.deployment}: the keyring, generation {made.generation}, was made of"
        f" {done.source}; it opens with {target.name} and with the recovery key {made.recovery}\n"
        f"of the stored files it opens {trial.opened}, does not open {trial.refused};"
        f" {trial.destroyed} lie under destroyed keys\n"
        f"Next: {target.road}; then `strongroom verify` and a new `strongroom keys export`\n"
    )


@contextmanager
def _recorded(layout: Layout, keyring: Keyring, source: str) -> Iterator[None]:
    """Have the audit log say that the keyring is brought back, by whom and of what."""
    audit = bootstrap.audit_of_command(layout, keyring)
    try:
        facts = operator.facts()
        with audit.acting("recover", source=source, recovery=keyring.recovery, **facts):
            yield
    finally:
        audit.close()


class _Target:
    """The key provider under which the deployment is to live; made when it is asked for."""

    def __init__(
        self,
        options: Options,
        stack: ExitStack,
        shared_dir: Path,
        recovery: RecoveryPublicKey,
    ) -> None:
        self._options = options
        self._stack = stack
        self._shared_dir = shared_dir
        self._recovery = recovery
        self.name = ""
        self.road = _ELSEWHERE

    def provider(self) -> NamedKeyProvider:
        configured = self._configured()
        providers.ensure_master_key(configured)
        found = providers.provider(configured, self._recovery)
        self.name = found.name
        return found

    def _configured(self) -> KeySettings:
        root = self._options.root
        if root is None:
            return settings.keys_from_environment(self._shared_dir)
        master_key = LocalMasterKey(root, self._options.key_provider, may_differ=True)
        self._stack.callback(master_key.stop)
        master_key.start()
        self.road = f"`strongroom up --root {root} --key-provider {master_key.provider}`"
        return master_key.settings(self._shared_dir)


def _shared_dir(options: Options) -> Path:
    if (options.root is None) == (options.shared_dir is None):
        raise InvalidArgumentError(
            "give --root, of a deployment of `strongroom up`, or --shared-dir"
        )
    if options.root is None and options.key_provider is not None:
        raise InvalidArgumentError(
            "--key-provider goes with --root; or set STRONGROOM_KEY_PROVIDER"
        )
    found = options.shared_dir or Path(options.root or "", "shared")
    if not found.is_dir():
        raise NotFoundError(f"{found} is not a directory")
    return found.resolve()


def _export(path: Path | None) -> bytes | None:
    if path is None:
        return None
    with path.open("rb") as file:
        raw = file.read(limits.CONFIG_FILE_BYTES_MAX + 1)
    if len(raw) > limits.CONFIG_FILE_BYTES_MAX:
        raise InvalidArgumentError(f"{path} is longer than any export")
    return raw
