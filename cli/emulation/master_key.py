"""The master key of a deployment on this machine: an emulated KMS's, or one in a file."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from main_api import settings
from main_api.settings import KeySettings
from strongroom.errors import ConflictError

if TYPE_CHECKING:
    from cli.emulation.kms import EmulatedKms

_OF_OTHERS: Final = ("AWS_PROFILE", "STRONGROOM_MASTER_KEY_FILE", "STRONGROOM_KMS_KEY_ARN")


class LocalProvider(StrEnum):
    """What a local deployment can have its master key in."""

    KMS = "kms"
    FILE = "file"


class LocalMasterKey:
    """The master key below <root>/kms, and the variables that lead there."""

    def __init__(
        self, root: Path, chosen: LocalProvider | None, *, may_differ: bool = False
    ) -> None:
        """Take the root, and which key: None for the one that is there, an emulated KMS at first.

        Args:
            root: The deployment's.
            chosen: Which.
            may_differ: Whether it may take the place of the other one.

        Raises:
            ConflictError: Only the other one is there.
        """
        self._root = root
        self._files = {
            LocalProvider.KMS: root / "kms" / "master-key.json",
            LocalProvider.FILE: root / "kms" / "master.key",
        }
        there = [one for one, file in self._files.items() if os.path.lexists(file)]
        self._chosen = chosen or (there[0] if there else LocalProvider.KMS)
        if there and self._chosen not in there and not may_differ:
            raise ConflictError(
                f"{root} has its master key with --key-provider {there[0]}; start it with that"
            )
        self._emulated: EmulatedKms | None = None

    @property
    def provider(self) -> LocalProvider:
        """Which it is."""
        return self._chosen

    def start(self, *, may_make_key: bool = True) -> None:
        """Let this process and its children find the key.

        Args:
            may_make_key: Whether there is nothing yet that only the former key can open.

        Raises:
            ConflictError: The key is missing, or cannot be read.
            OSError: The disk refuses.
        """
        file = self._files[self._chosen]
        if not may_make_key and not os.path.lexists(file):
            raise ConflictError(
                f"{file} is missing: restore it from a backup. If it is gone for ever, the"
                f" deployment's recovery key opens the keyring too: `strongroom keys recover --root"
                f" {self._root} --recovery-key FILE`"
            )
        found = {
            "STRONGROOM_KEY_PROVIDER": self._chosen.value,
            "STRONGROOM_MASTER_KEY_FILE": str(file),
        }
        if self._chosen is LocalProvider.KMS:
            # moto takes a second to import.
            from cli.emulation.kms import EmulatedKms  # noqa: PLC0415

            self._emulated = EmulatedKms(file)
            self._emulated.start()
            found = {"STRONGROOM_KEY_PROVIDER": "kms", **self._emulated.environment()}
        for name in _OF_OTHERS:
            os.environ.pop(name, None)
        os.environ.update(found)

    def stop(self) -> None:
        """Stop serving."""
        if self._emulated is not None and self._emulated.endpoint:
            self._emulated.stop()

    def settings(self, shared_dir: Path) -> KeySettings:
        """Return what a Main Worker is told; raises InvalidArgumentError as its settings."""
        return settings.keys_from_environment(shared_dir)
