"""The keyring's root under an AWS KMS key, through aws-encryption-sdk.

The message is the SDK's own format, so that a second master key provider (an offline recovery
key) can be added without a format of ours. Its encryption context binds it to the deployment: KMS
itself refuses to open it under another one. Algorithm: AES-256-GCM with HKDF and key commitment,
without the signature, because whoever may decrypt here may also encrypt.
"""

import logging
from typing import Any, Final

import aws_encryption_sdk
import botocore.session
from aws_encryption_sdk import CommitmentPolicy, StrictAwsKmsMasterKeyProvider
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
from aws_encryption_sdk.identifiers import AlgorithmSuite
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from main_api.adapters import kms_refusals
from main_api.service.ports import KeyProviderUnavailableError
from strongroom.errors import IntegrityError, UnavailableError

_PURPOSE: Final = "strongroom-keyring-root"
_CONNECT_S: Final = 2
_READ_S: Final = 5
_ATTEMPTS: Final = 3
_ABOUT_THE_MESSAGE: Final = {"InvalidCiphertextException", "IncorrectKeyException"}
_SUITE: Final = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY


class KmsKeyProvider:
    """A `KeyProvider` over one KMS key."""

    def __init__(self, key_arn: str) -> None:
        """Take the key's ARN; nothing is called yet."""
        self._key_arn = key_arn

    def wrap(self, root: bytes, deployment: str) -> bytes:
        """Encrypt the root: one GenerateDataKey."""
        witness = _Witness()
        try:
            message, _ = _client().encrypt(
                source=root,
                key_provider=self._master_keys(witness),
                encryption_context=_context(deployment),
                algorithm=_SUITE,
            )
        except (AWSEncryptionSDKClientError, BotoCoreError, ClientError) as error:
            raise self._unavailable(witness.failure or type(error).__name__) from error
        return bytes(message)

    def unwrap(self, message: bytes, deployment: str) -> bytes:
        """Decrypt the root: one Decrypt."""
        witness = _Witness()
        try:
            root, header = _client().decrypt(
                source=message, key_provider=self._master_keys(witness)
            )
        except Exception as error:  # the SDK lets through whatever a damaged message leads to
            if witness.failure and witness.failure not in _ABOUT_THE_MESSAGE:
                raise self._unavailable(witness.failure) from error
            if isinstance(error, BotoCoreError):
                raise self._unavailable(type(error).__name__) from error
            raise IntegrityError(
                f"the keyring's root was changed, or was not wrapped by {self._key_arn}"
            ) from error
        for name, value in _context(deployment).items():
            if header.encryption_context.get(name) != value:
                raise IntegrityError("the keyring's root belongs to another deployment")
        return bytes(root)

    def _master_keys(self, witness: "_Witness") -> StrictAwsKmsMasterKeyProvider:
        session = botocore.session.Session()
        session.set_default_client_config(
            Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            )
        )
        session.register("after-call.kms", witness.answered)
        session.register("after-call-error.kms", witness.failed)
        return StrictAwsKmsMasterKeyProvider(key_ids=[self._key_arn], botocore_session=session)

    def _unavailable(self, reason: str) -> UnavailableError:
        return KeyProviderUnavailableError(
            f"KMS does not serve the key {self._key_arn} ({reason}); {kms_refusals.advice(reason)}",
            reason,
        )


class _Witness:
    """Sees what KMS itself says: the SDK tells every failure in the same words."""

    def __init__(self) -> None:
        self.failure = ""

    def answered(self, **event: Any) -> None:  # noqa: ANN401 - botocore's own type
        self.failure = str(event["parsed"].get("Error", {}).get("Code", ""))

    def failed(self, **event: Any) -> None:  # noqa: ANN401 - as above
        self.failure = type(event["exception"]).__name__


def _client() -> aws_encryption_sdk.EncryptionSDKClient:
    # The SDK logs tracebacks of errors that it raises as well.
    logging.getLogger("aws_encryption_sdk").setLevel(logging.CRITICAL + 1)
    return aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    )


def _context(deployment: str) -> dict[str, str]:
    return {"deployment": deployment, "purpose": _PURPOSE}
