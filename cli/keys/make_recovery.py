"""`strongroom keys make-recovery`: a key pair on this machine, and nowhere else."""

import os
import sys
from pathlib import Path
from typing import Final

from cli.keys import passphrase
from main_api.adapters.keys import recovery_key
from strongroom import privatefile
from strongroom.errors import ConflictError, InvalidArgumentError

_READABLE: Final = 0o644
_MARKS: Final = ("control/keyring.json", "shared/control", "up.lock")
"""What lies in a shared directory, and in a root of `strongroom up`."""


def run(file: Path, public: Path) -> None:
    """Make the pair; write each half to a file that is not there yet.

    Raises:
        ConflictError: One of the files is there.
        InvalidArgumentError: The private half would lie in a deployment's directory.
        OSError: The disk refuses.
    """
    require_outside_deployments(file)
    if file.absolute() == public.absolute():
        raise InvalidArgumentError("the two halves need two files")
    for one in (file, public):
        if one.is_symlink() or one.exists():
            raise ConflictError(f"{one} is there already and is not overwritten")
    chosen = passphrase.new()
    made = recovery_key.make()
    privatefile.create(file, recovery_key.encrypted(made, chosen))
    privatefile.create(public, made.public.pem, mode=_READABLE)
    protection = "under its passphrase" if chosen else "WITHOUT a passphrase"
    sys.stdout.write(
        f"private half: {file} ({protection}); move it offline, and try it in a drill\n"
        f"public half:  {public}; fingerprint {made.public.fingerprint}\n"
        f"Next: set STRONGROOM_RECOVERY_PUBLIC_KEY_FILE={public.absolute()} for every Main Worker,"
        " and restart them\n"
    )


def require_outside_deployments(file: Path) -> None:
    """Refuse a place from where a copy of the data would take the key along.

    Raises:
        InvalidArgumentError: A directory above it is a deployment's.
    """
    shared = os.environ.get("STRONGROOM_SHARED_DIR")
    known = {Path(shared).resolve()} if shared else set()
    for above in file.resolve().parents:
        if above in known or any((above / mark).exists() for mark in _MARKS):
            raise InvalidArgumentError(
                f"{file} would lie below {above}, a deployment's directory: whoever copies that"
                " would have key and data; choose another place"
            )
