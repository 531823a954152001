"""The keyring's root as one message of the AWS Encryption SDK, whichever key wraps it.

The SDK encrypts the root under a data key of the message, and that under one master key or two: the
key provider's, and the recovery key's. Its encryption context, which the message authenticates,
binds it to the deployment. Algorithm: AES-256-GCM with HKDF and key commitment, so that both keys
open it to the same root; without the signature, because whoever may decrypt here may also encrypt.
"""

import logging
from typing import Final

import aws_encryption_sdk
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.exceptions import InvalidKeyIdError
from aws_encryption_sdk.identifiers import AlgorithmSuite, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.base import MasterKeyProvider
from aws_encryption_sdk.key_providers.raw import RawMasterKey, RawMasterKeyProvider

from main_api.adapters.keys.recovery_key import RecoveryPrivateKey, RecoveryPublicKey
from strongroom.errors import IntegrityError

_PURPOSE: Final = "strongroom-keyring-root"
_SUITE: Final = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
_LOCAL: Final = "strongroom-local"
_RECOVERY: Final = "strongroom-recovery"
_WRAPPINGS_MAX: Final = 2


def seal(root: bytes, deployment: str, keys: MasterKeyProvider) -> bytes:
    """Return the root as a message; raises what the SDK and the master keys raise."""
    message, _ = _client().encrypt(
        source=root,
        key_provider=keys,
        encryption_context=_context(deployment),
        algorithm=_SUITE,
    )
    return bytes(message)


def opened(message: bytes, deployment: str, keys: MasterKeyProvider) -> bytes:
    """Return the root.

    Raises:
        IntegrityError: The message belongs to another deployment.
        Exception: The SDK lets through whatever a damaged message leads to.
    """
    root, header = _client().decrypt(source=message, key_provider=keys)
    for name, value in _context(deployment).items():
        if header.encryption_context.get(name) != value:
            raise IntegrityError("the keyring's root belongs to another deployment")
    return bytes(root)


class _OwnKeys(RawMasterKeyProvider):  # type: ignore[misc] # it ships no types
    """Master keys that this process has; a key that was not added does not exist."""

    provider_id = "strongroom"

    def _get_raw_key(self, key_id: bytes) -> WrappingKey:
        raise InvalidKeyIdError(f"no master key {key_id!r}")


def local_key(key: bytes, key_id: str) -> MasterKeyProvider:
    """Return a master key of 256 bits that this process has."""
    wrapping_key = WrappingKey(
        wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
        wrapping_key=key,
        wrapping_key_type=EncryptionKeyType.SYMMETRIC,
    )
    return _own_key(_LOCAL, key_id, wrapping_key)


def recovery_for_wrapping(key: RecoveryPublicKey) -> MasterKeyProvider:
    """Return the recovery key's public half: it wraps, and opens nothing."""
    return _recovery(key.fingerprint, key.pem, EncryptionKeyType.PUBLIC)


def recovery_for_opening(key: RecoveryPrivateKey) -> MasterKeyProvider:
    """Return the recovery key's private half."""
    return _recovery(key.public.fingerprint, key.pem, EncryptionKeyType.PRIVATE)


def with_recovery(keys: MasterKeyProvider, recovery: RecoveryPublicKey | None) -> MasterKeyProvider:
    """Let what a provider wraps be opened with the recovery key too."""
    if recovery is not None:
        keys.add_master_key_provider(recovery_for_wrapping(recovery))
    return keys


def _recovery(key_id: str, pem: bytes, half: EncryptionKeyType) -> MasterKeyProvider:
    wrapping_key = WrappingKey(
        wrapping_algorithm=WrappingAlgorithm.RSA_OAEP_SHA256_MGF1,
        wrapping_key=pem,
        wrapping_key_type=half,
    )
    return _own_key(_RECOVERY, key_id, wrapping_key)


def _own_key(provider_id: str, key_id: str, wrapping_key: WrappingKey) -> MasterKeyProvider:
    keys = _OwnKeys()
    # Not the key by itself, which is a provider too: it would pass over what is added to it.
    keys.add_master_key_provider(
        RawMasterKey(provider_id=provider_id, key_id=key_id.encode(), wrapping_key=wrapping_key)
    )
    return keys


def _client() -> aws_encryption_sdk.EncryptionSDKClient:
    # The SDK logs tracebacks of errors that it raises as well.
    logging.getLogger("aws_encryption_sdk").setLevel(logging.CRITICAL + 1)
    return aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
        max_encrypted_data_keys=_WRAPPINGS_MAX,
    )


def _context(deployment: str) -> dict[str, str]:
    return {"deployment": deployment, "purpose": _PURPOSE}
