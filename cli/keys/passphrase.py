"""The passphrase of a recovery key: from the environment, or typed; never an argument."""

import getpass
import os
import sys
from typing import Final

from strongroom.errors import InvalidArgumentError

_VARIABLE: Final = "STRONGROOM_RECOVERY_PASSPHRASE"


def new() -> str:
    """Return a passphrase for a new key; empty for none.

    Raises:
        InvalidArgumentError: Two different ones were typed.
    """
    given = os.environ.get(_VARIABLE)
    if given is not None or not sys.stdin.isatty():
        return given or ""
    typed = getpass.getpass("Passphrase of the recovery key (empty for none): ")
    if typed and getpass.getpass("Once more: ") != typed:
        raise InvalidArgumentError("these were two different passphrases")
    return typed


def known() -> str:
    """Return the passphrase of a key that is there; empty for none."""
    given = os.environ.get(_VARIABLE)
    if given is not None or not sys.stdin.isatty():
        return given or ""
    return getpass.getpass("Passphrase of the recovery key (empty for none): ")
