"""The key provider that the settings choose."""

from typing import Protocol

from main_api.adapters.keys import recovery_key
from main_api.adapters.keys.kms import KmsKeyProvider
from main_api.adapters.keys.local_key import KeyFile, LocalKeyProvider, MasterKeySource, OsKeyring
from main_api.adapters.keys.recovery_key import RecoveryPublicKey
from main_api.service.keys.ports import KeyProvider
from main_api.settings import KeySettings, ProviderKind
from strongroom.errors import InvalidArgumentError, NotFoundError


class NamedKeyProvider(KeyProvider, Protocol):
    """A key provider that can be told from others."""

    @property
    def name(self) -> str:
        """What an operator is told."""
        ...


def recovery_public_key(configured: KeySettings) -> RecoveryPublicKey | None:
    """Return the recovery key that a deployment names.

    Raises:
        InvalidArgumentError: What it names is none.
    """
    path = configured.recovery_public_key_file
    return None if path is None else recovery_key.read_public(path)


def provider(configured: KeySettings, recovery: RecoveryPublicKey | None) -> NamedKeyProvider:
    """Return the key provider; nothing is asked of it yet."""
    source = _local(configured)
    if source is None:
        return KmsKeyProvider(configured.kms_key_arn, recovery)
    return LocalKeyProvider(source, recovery)


def ensure_master_key(configured: KeySettings) -> None:
    """Make the master key of a local provider where there is none; a KMS has its own way.

    Raises:
        UnavailableError: It cannot be made or read.
    """
    source = _local(configured)
    if source is None:
        return
    try:
        source.read()
    except NotFoundError:
        source.make()


def _local(configured: KeySettings) -> MasterKeySource | None:
    match configured.provider:
        case ProviderKind.KMS:
            return None
        case ProviderKind.FILE if configured.master_key_file is not None:
            return KeyFile(configured.master_key_file)
        case ProviderKind.KEYRING:
            return OsKeyring(configured.keyring_service, configured.keyring_entry)
    raise InvalidArgumentError("set STRONGROOM_MASTER_KEY_FILE")
