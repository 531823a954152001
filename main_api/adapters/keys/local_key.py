"""The keyring's root under a master key on this machine, for where there is no KMS.

The key lies in a file of mode 0600, or in the keyring of the operating system. It is weaker than a
KMS: whoever becomes the user that runs the Main Worker has the key itself, and no log tells of it.
"""

import base64
import binascii
from pathlib import Path
from typing import Final, Protocol

from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError

from main_api.adapters.keys import root_message
from main_api.adapters.keys.recovery_key import RecoveryPublicKey
from main_api.adapters.os_keyring import KeyringEntry
from main_api.service.keys.ports import KeyProviderUnavailableError
from strongroom import privatefile
from strongroom.crypto import aead
from strongroom.errors import ConflictError, IntegrityError, NotFoundError, UnavailableError

KEY_BYTES: Final = 32
_ID_LABEL: Final = b"strongroom/master-key-id/v1"
_ID_BYTES: Final = 8
_ROAD: Final = (
    "restore it from a backup, or use the recovery key (`strongroom keys recover`):"
    " nothing else opens the keyring"
)


class MasterKeySource(Protocol):
    """Where a master key of 32 bytes is kept."""

    @property
    def name(self) -> str:
        """What an operator is told."""
        ...

    def read(self) -> bytes:
        """Return the key.

        Raises:
            NotFoundError: There is none.
            UnavailableError: It cannot be read, or is not safe where it is; the detail says why.
        """
        ...

    def make(self) -> None:
        """Make a new key; raises ConflictError where there is one, UnavailableError as `read`."""
        ...


class KeyFile:
    """A master key in a file of its own: 32 bytes, nothing else."""

    def __init__(self, path: Path) -> None:
        """Take the path."""
        self._path = path

    @property
    def name(self) -> str:
        """What an operator is told."""
        return f"the master key in {self._path}"

    def read(self) -> bytes:
        """Return the key."""
        key = privatefile.read(self._path, KEY_BYTES)
        if len(key) != KEY_BYTES:
            raise UnavailableError(
                f"{self._path} has {len(key)} bytes, a master key has {KEY_BYTES}: {_ROAD}"
            )
        return key

    def make(self) -> None:
        """Make a new key."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            privatefile.create(self._path, aead.new_key())
        except OSError as error:
            raise UnavailableError(f"{self._path} cannot be made: {error.strerror}") from error


class OsKeyring:
    """A master key in the keyring of the operating system, through the `keyring` library."""

    def __init__(self, service: str, entry: str) -> None:
        """Take the names that it has there."""
        instead = "choose another STRONGROOM_KEY_PROVIDER"
        self._entry = KeyringEntry(service, entry, "the master key", instead)

    @property
    def name(self) -> str:
        """What an operator is told."""
        return self._entry.name

    def read(self) -> bytes:
        """Return the key."""
        kept = self._entry.read()
        if kept is None:
            raise NotFoundError(f"{self.name} is missing")
        try:
            key = base64.b64decode(kept, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise UnavailableError(f"{self.name} is not one: {_ROAD}")
        return key

    def make(self) -> None:
        """Make a new key, and see that it is kept: some backends keep nothing."""
        if self._entry.read() is not None:
            raise ConflictError(f"{self.name} is there already and is not overwritten")
        self._entry.write(base64.b64encode(aead.new_key()).decode())


class LocalKeyProvider:
    """A `KeyProvider` over a master key on this machine, read anew for each use."""

    def __init__(self, source: MasterKeySource, recovery: RecoveryPublicKey | None = None) -> None:
        """Take where the key is kept, and what else is to open the messages."""
        self._source = source
        self._recovery = recovery

    @property
    def name(self) -> str:
        """What an operator is told."""
        return self._source.name

    @property
    def recovery(self) -> str:
        """The recovery key's fingerprint."""
        return self._recovery.fingerprint if self._recovery else ""

    def wrap(self, root: bytes, deployment: str) -> bytes:
        """Encrypt the root."""
        key = self._key()
        try:
            keys = root_message.local_key(key, _key_id(key))
            return root_message.seal(
                root, deployment, root_message.with_recovery(keys, self._recovery)
            )
        except AWSEncryptionSDKClientError as error:
            raise UnavailableError(f"{self.name} cannot wrap the keyring's root") from error

    def unwrap(self, message: bytes, deployment: str) -> bytes:
        """Decrypt the root."""
        key = self._key()
        try:
            keys = root_message.local_key(key, _key_id(key))
            return root_message.opened(message, deployment, keys)
        except IntegrityError:
            raise
        except Exception as error:  # the SDK lets through whatever a damaged message leads to
            raise IntegrityError(
                f"the keyring's root was changed, or was not wrapped by {self.name}"
            ) from error

    def _key(self) -> bytes:
        try:
            return self._source.read()
        except NotFoundError as error:
            raise KeyProviderUnavailableError(f"{error.detail}: {_ROAD}", "MissingKey") from error
        except UnavailableError as error:
            raise KeyProviderUnavailableError(error.detail, "UnusableKey") from error


def _key_id(key: bytes) -> str:
    """Return what tells one master key from another, and nothing of it."""
    return aead.subkey(key, _ID_LABEL, b"")[:_ID_BYTES].hex()
