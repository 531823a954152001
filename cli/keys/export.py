"""`strongroom keys export`: the key backup, in a file of its own."""

import sys
import time
from pathlib import Path

import msgspec

from cli.access import Deployment
from cli.keys.make_recovery import require_outside_deployments
from strongroom import privatefile
from strongroom.errors import ConflictError


class _Export(msgspec.Struct):
    export_id: str
    generation: int
    key_ids: list[str]
    recovery: str
    keyring: str


def run(file: Path) -> None:
    """Write the export to a file that is not there yet.

    Raises:
        ConflictError: The file is there.
        InvalidArgumentError: It would lie beside the data, or the environment names no deployment.
        ForbiddenError, UnavailableError: The deployment gives none.
        OSError: The disk refuses.
    """
    require_outside_deployments(file)
    # Before an export goes on record that then has no file.
    if file.is_symlink() or file.exists():
        raise ConflictError(f"{file} is there already and is not overwritten")
    if not file.absolute().parent.is_dir():
        raise ConflictError(f"{file.absolute().parent} is not a directory; make it first")
    made = Deployment(time.sleep).post("/keys/export", b"{}", _Export)
    privatefile.create(file, made.keyring.encode())
    sys.stdout.write(
        f"{file}: export {made.export_id} of the keyring, generation {made.generation},"
        f" {len(made.key_ids)} data keys, for the recovery key {made.recovery}\n"
    )
