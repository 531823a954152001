"""`strongroom backup` and `strongroom restore`, as they are entered."""

from pathlib import Path
from typing import Annotated

import typer

_Root = Annotated[
    Path | None, typer.Option("--root", help="The root of a deployment of `strongroom up`.")
]
_SharedDir = Annotated[
    Path | None, typer.Option("--shared-dir", help="The shared directory of any other deployment.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def backup(
    where: Annotated[str, typer.Argument(metavar="DIR", help="Where to: or s3://BUCKET/PREFIX.")],
    root: _Root = None,
    shared_dir: _SharedDir = None,
    *,
    json: _Json = False,
) -> None:
    """Copy a deployment, still encrypted, while it serves; only what is not there yet.

    It needs the shared directory, and the deployment itself, named by STRONGROOM_URL,
    STRONGROOM_CLIENT_ID and STRONGROOM_CLIENT_SECRET, which puts the backup on record. No key is in
    it: keep `strongroom keys export` apart. Exit code 1: entities were left out, or nothing was
    done.
    """
    from cli.backup import take as command  # noqa: PLC0415
    from cli.backup.places import Place  # noqa: PLC0415

    if not command.run(where, Place(root, shared_dir), json=json):
        raise typer.Exit(1)


def restore(
    where: Annotated[str, typer.Argument(metavar="BACKUP", help="Or s3://BUCKET/PREFIX.")],
    root: _Root = None,
    shared_dir: _SharedDir = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove the backup, and bring nothing back.")
    ] = False,
    backup_id: Annotated[
        str | None, typer.Option("--id", help="Which backup; else the newest one.")
    ] = None,
    recovery_key: Annotated[
        Path | None, typer.Option(help="The private half of the recovery key.")
    ] = None,
    export: Annotated[Path | None, typer.Option(help="The key backup that it opens.")] = None,
    json: _Json = False,
) -> None:
    """Bring a backup back into an empty directory, or prove it.

    Keys are those of the keyring in --root or --shared-dir, which its key provider opens; or of
    --export, which --recovery-key opens. `strongroom keys recover` puts a keyring into an empty
    directory. With --verify and no keys, nothing is decrypted. Exit code 1: nothing was done.
    """
    from cli.backup import restore as command  # noqa: PLC0415
    from cli.backup.domain.selection import Selection  # noqa: PLC0415
    from cli.backup.places import KeySource, Place  # noqa: PLC0415

    keys = KeySource(Place(root, shared_dir), recovery_key, export)
    options = command.Options(where, backup_id, keys, Selection())
    if verify:
        command.verify(options, json=json)
    else:
        command.into_empty(options, json=json)
