"""What the use cases around keys need of the world."""

from contextlib import AbstractContextManager
from typing import Protocol

from strongroom.errors import UnavailableError


class KeyProviderUnavailableError(UnavailableError):
    """The key provider does not answer, or refuses; the detail is for whoever runs the system.

    Attributes:
        reason: What it said, as one word: "AccessDeniedException".
    """

    def __init__(self, detail: str, reason: str) -> None:
        """Take both."""
        super().__init__(detail, retry_after_s=5)
        self.reason = reason


class RootWrapper(Protocol):
    """Wraps the keyring's root, so that it may lie on a disk."""

    @property
    def recovery(self) -> str:
        """The fingerprint of the recovery key that opens its messages; empty for none."""
        ...

    def wrap(self, root: bytes, deployment: str) -> bytes:
        """Return the root as a message bound to the deployment.

        Raises:
            UnavailableError: The provider does not answer, or refuses.
        """
        ...


class KeyProvider(RootWrapper, Protocol):
    """Wraps and opens the keyring's root under a master key that is not kept beside it."""

    def unwrap(self, message: bytes, deployment: str) -> bytes:
        """Return the root.

        Raises:
            IntegrityError: The message is not one of this deployment.
            UnavailableError: The provider does not answer, or refuses.
        """
        ...


class KeyringStore(Protocol):
    """Where the keyring's file lies. Raises UnavailableError when the disk refuses."""

    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the lock of those who change it; raises BusyError where others hold it."""
        ...

    def read(self) -> bytes | None:
        """Return the file, None where there is none."""
        ...

    def make_durable(self) -> None:
        """Let a power cut not take back what `read` has returned, whoever has written it."""
        ...

    def write(self, raw: bytes) -> None:
        """Replace the file, durably."""
        ...
