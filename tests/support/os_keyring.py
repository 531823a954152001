"""A backend of the `keyring` library that needs no desktop: it keeps its entries in a file.

The library loads it as it loads any other, by PYTHON_KEYRING_BACKEND or by `keyring.set_keyring`.
"""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

FILE_VARIABLE = "STRONGROOM_TESTS_KEYRING_FILE"


class FileKeyring(KeyringBackend):
    """Keeps passwords in the file that the environment names."""

    priority = 1.0

    @classmethod
    def made(cls) -> KeyringBackend:
        """Return one; the library does not say what its own constructor takes."""
        make: Callable[[], KeyringBackend] = cls
        return make()

    def get_password(self, service: str, username: str) -> str | None:
        """Return a password, None where there is none."""
        return self._entries().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a password."""
        entries = self._entries() | {f"{service}/{username}": password}
        _file().write_text(json.dumps(entries))

    def delete_password(self, service: str, username: str) -> None:
        """Forget a password."""
        entries = self._entries()
        del entries[f"{service}/{username}"]
        _file().write_text(json.dumps(entries))

    def _entries(self) -> dict[str, str]:
        return dict(json.loads(_file().read_text())) if _file().exists() else {}


class LockedKeyring(FileKeyring):
    """One that nobody has unlocked."""

    def get_password(self, service: str, username: str) -> str | None:
        """Refuse, with words that a backend may say."""
        raise KeyringLocked(f"Failed to unlock the collection for {service} {username}!")


class WaitingKeyring(FileKeyring):
    """One that waits for somebody to unlock it."""

    def get_password(self, service: str, username: str) -> str | None:
        """Wait."""
        threading.Event().wait(600)
        return super().get_password(service, username)


class ForgetfulKeyring(FileKeyring):
    """One that keeps nothing and says nothing, as the library's null backend."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep nothing."""


def _file() -> Path:
    return Path(os.environ[FILE_VARIABLE])
