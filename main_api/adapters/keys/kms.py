"""The keyring's root under an AWS KMS key, in the message of `root_message`.

KMS gets the encryption context too: it refuses by itself to open the message under another one.
"""

import functools
from typing import Any, Final

import botocore.session
from aws_encryption_sdk import StrictAwsKmsMasterKeyProvider
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader, create_loader

from main_api.adapters.keys import kms_refusals, root_message
from main_api.adapters.keys.recovery_key import RecoveryPublicKey
from main_api.service.keys.ports import KeyProviderUnavailableError
from strongroom.errors import IntegrityError, UnavailableError

_CONNECT_S: Final = 2
_READ_S: Final = 5
_ATTEMPTS: Final = 3
_ABOUT_THE_MESSAGE: Final = {"InvalidCiphertextException", "IncorrectKeyException"}


class KmsKeyProvider:
    """A `KeyProvider` over one KMS key."""

    def __init__(self, key_arn: str, recovery: RecoveryPublicKey | None = None) -> None:
        """Take the key's ARN, and what else is to open the messages; nothing is called yet."""
        self._key_arn = key_arn
        self._recovery = recovery

    @property
    def name(self) -> str:
        """What an operator is told."""
        return f"the KMS key {self._key_arn}"

    @property
    def recovery(self) -> str:
        """The recovery key's fingerprint."""
        return self._recovery.fingerprint if self._recovery else ""

    def wrap(self, root: bytes, deployment: str) -> bytes:
        """Encrypt the root: one GenerateDataKey."""
        witness = _Witness()
        try:
            keys = root_message.with_recovery(self._master_keys(witness), self._recovery)
            return root_message.seal(root, deployment, keys)
        except (AWSEncryptionSDKClientError, BotoCoreError, ClientError) as error:
            raise self._unavailable(witness.failure or type(error).__name__) from error

    def unwrap(self, message: bytes, deployment: str) -> bytes:
        """Decrypt the root: one Decrypt."""
        witness = _Witness()
        try:
            return root_message.opened(message, deployment, self._master_keys(witness))
        except IntegrityError:
            raise
        except Exception as error:  # the SDK lets through whatever a damaged message leads to
            if witness.failure and witness.failure not in _ABOUT_THE_MESSAGE:
                raise self._unavailable(witness.failure) from error
            if isinstance(error, BotoCoreError):
                raise self._unavailable(type(error).__name__) from error
            raise IntegrityError(
                f"the keyring's root was changed, or was not wrapped by {self._key_arn}"
            ) from error

    def _master_keys(self, witness: "_Witness") -> StrictAwsKmsMasterKeyProvider:
        session = botocore.session.Session()
        session.set_default_client_config(
            Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            )
        )
        session.register_component("data_loader", _data(session.get_config_variable("data_path")))
        session.register("after-call.kms", witness.answered)
        session.register("after-call-error.kms", witness.failed)
        return StrictAwsKmsMasterKeyProvider(key_ids=[self._key_arn], botocore_session=session)

    def _unavailable(self, reason: str) -> UnavailableError:
        return KeyProviderUnavailableError(
            f"KMS does not serve the key {self._key_arn} ({reason}); {kms_refusals.advice(reason)}",
            reason,
        )


@functools.cache
def _data(path: str | None) -> Loader:
    """Return AWS's descriptions of its services, of which each session would read 0.1 s anew."""
    return create_loader(path)


class _Witness:
    """Sees what KMS itself says: the SDK tells every failure in the same words."""

    def __init__(self) -> None:
        self.failure = ""

    def answered(self, **event: Any) -> None:  # noqa: ANN401 - botocore's own type
        self.failure = str(event["parsed"].get("Error", {}).get("Code", ""))

    def failed(self, **event: Any) -> None:  # noqa: ANN401 - as above
        self.failure = type(event["exception"]).__name__
