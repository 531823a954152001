"""What the arguments of `backup` and `restore` name: a store, a shared directory, keys."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.backup.adapters.directory import DirectoryStore
from cli.backup.adapters.keys import KeyringKeys
from cli.backup.service.ports import Store
from cli.keys import passphrase
from main_api import settings
from main_api.adapters.keys import providers, recovery_key
from main_api.adapters.keys.escrow import EscrowOpener
from strongroom import durable, keyring, limits
from strongroom.durable import LocalFilesystem
from strongroom.errors import InvalidArgumentError, NotFoundError
from strongroom.keyring import Keyring
from strongroom.layout import Layout

_MARKS: Final = ("control/keyring.json", "shared/control", "up.lock")


@dataclass(frozen=True, slots=True)
class Place:
    """A deployment's directory: either the root of `strongroom up`, or a shared directory."""

    root: Path | None
    shared_dir: Path | None

    @property
    def is_named(self) -> bool:
        """Whether there is one."""
        return (self.root or self.shared_dir) is not None

    def shared(self) -> Path:
        """Return the shared directory.

        Raises:
            InvalidArgumentError: Not one of the two was given.
            NotFoundError: It is no directory.
        """
        if (self.root is None) == (self.shared_dir is None):
            raise InvalidArgumentError(
                "give --root, of a deployment of `strongroom up`, or --shared-dir"
            )
        found = self.shared_dir or Path(self.root or "", "shared")
        if not found.is_dir():
            raise NotFoundError(f"{found} is not a directory")
        return found.resolve()


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the keys of a backup are: a deployment's keyring, or an export and the recovery key."""

    place: Place
    recovery_key: Path | None
    export: Path | None

    @property
    def is_named(self) -> bool:
        """Whether there is one."""
        return self.place.is_named or self.recovery_key is not None

    def keys(self) -> KeyringKeys:
        """Return the keys at hand; raises as `keyring`."""
        return KeyringKeys(self.keyring())

    def keyring(self) -> Keyring:
        """Open the keyring.

        Raises:
            InvalidArgumentError: Something is missing, or is none.
            NotFoundError: There is no keyring, or no key that opens it.
            IntegrityError: It does not open.
            UnavailableError: Key provider or disk refuse.
            OSError: The disk refuses.
        """
        if self.recovery_key is not None:
            return self._recovered(self.recovery_key)
        if self.export is not None:
            raise InvalidArgumentError("--export goes with --recovery-key, which opens it")
        shared = self.place.shared()
        raw = _keyring_file(shared)
        with ExitStack() as stack:
            if self.place.root is not None:
                # moto takes a second to import.
                from cli.emulation.master_key import LocalMasterKey  # noqa: PLC0415

                master_key = LocalMasterKey(self.place.root, None)
                stack.callback(master_key.stop)
                master_key.start(may_make_key=False)
                configured = master_key.settings(shared)
            else:
                configured = settings.keys_from_environment(shared)
            provider = providers.provider(configured, None)
            return keyring.decode(raw, provider.unwrap)[0]

    def _recovered(self, private_half: Path) -> Keyring:
        private = recovery_key.read_private(private_half, passphrase.known())
        if self.export is not None:
            with self.export.open("rb") as file:
                raw = file.read(limits.CONFIG_FILE_BYTES_MAX + 1)
        else:
            raw = _keyring_file(self.place.shared())
        return keyring.decode(raw, EscrowOpener(private).unwrap)[0]


def store(where: str) -> Store:
    """Return the store that an argument names, a directory or `s3://bucket/prefix`.

    Raises:
        InvalidArgumentError: It lies in a deployment's directory, or is no address.
    """
    if "://" in where:
        # boto3 is not needed for a directory.
        from cli.backup.adapters.s3 import S3Store  # noqa: PLC0415

        return S3Store(where)
    directory = Path(where)
    for above in (directory.resolve(), *directory.resolve().parents):
        if any((above / mark).exists() for mark in _MARKS):
            raise InvalidArgumentError(
                f"{directory} lies below {above}, a deployment's directory: what befalls that would"
                " befall the backup; choose another place"
            )
    return DirectoryStore(directory)


def _keyring_file(shared: Path) -> bytes:
    path = Layout(shared).keyring()
    raw = durable.read_file(LocalFilesystem(), str(path), limits.CONFIG_FILE_BYTES_MAX)
    if raw is None:
        raise NotFoundError(
            f"{path} is missing: `strongroom keys recover --export FILE` puts it there"
        )
    return raw
