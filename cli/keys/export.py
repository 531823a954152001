"""`strongroom keys export`: the key backup, in a file of its own."""

from pathlib import Path

from cli.keys.make_recovery import require_outside_deployments
from cli.output import as_json, line, told
from cli.session import session
from strongroom import privatefile
from strongroom.errors import ConflictError


def run(file: Path, *, json: bool, profile: str | None) -> None:
    """Write the export to a file that is not there yet.

    Raises:
        ConflictError: The file is there.
        InvalidArgumentError: It would lie beside the data, or no deployment is named.
        Exit: The deployment gives none.
        OSError: The disk refuses.
    """
    require_outside_deployments(file)
    # Before an export goes on record that then has no file.
    if file.is_symlink() or file.exists():
        raise ConflictError(f"{file} is there already and is not overwritten")
    if not file.absolute().parent.is_dir():
        raise ConflictError(f"{file.absolute().parent} is not a directory; make it first")
    with session(profile) as client:
        made = client.admin.export_keys()
        privatefile.create(file, made.keyring)
        if json:
            as_json({n: v for n, v in told(made).items() if n != "keyring"} | {"file": str(file)})
        else:
            line(
                f"{file}: export {made.export_id} of the keyring, generation {made.generation},"
                f" {len(made.key_ids)} data keys, for the recovery key {made.recovery}"
            )
