"""The keyring's root under the recovery key alone: for an export, and for a recovery."""

from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError

from main_api.adapters.keys import root_message
from main_api.adapters.keys.recovery_key import RecoveryPrivateKey, RecoveryPublicKey
from strongroom.errors import IntegrityError, UnavailableError


class EscrowWrapper:
    """A `RootWrapper` for the holder of the private half, and for nobody else."""

    def __init__(self, key: RecoveryPublicKey) -> None:
        """Take the public half."""
        self._key = key

    @property
    def recovery(self) -> str:
        """The recovery key's fingerprint."""
        return self._key.fingerprint

    def wrap(self, root: bytes, deployment: str) -> bytes:
        """Encrypt the root."""
        try:
            keys = root_message.recovery_for_wrapping(self._key)
            return root_message.seal(root, deployment, keys)
        except AWSEncryptionSDKClientError as error:
            raise UnavailableError("the recovery key cannot wrap the keyring's root") from error


class EscrowOpener:
    """Opens every root message that was made for a recovery key."""

    def __init__(self, key: RecoveryPrivateKey) -> None:
        """Take the private half; to check it takes a third of a second, once."""
        self._fingerprint = key.public.fingerprint
        self._keys = root_message.recovery_for_opening(key)

    def unwrap(self, message: bytes, deployment: str) -> bytes:
        """Return the root.

        Raises:
            IntegrityError: The message is another deployment's, was changed, or is not for the key.
        """
        try:
            return root_message.opened(message, deployment, self._keys)
        except IntegrityError:
            raise
        except Exception as error:  # the SDK lets through whatever a damaged message leads to
            raise IntegrityError(
                "the keyring's root was changed, or was not wrapped for the recovery key"
                f" {self._fingerprint}"
            ) from error
