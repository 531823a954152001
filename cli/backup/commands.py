"""`strongroom backup` and `strongroom restore`, as they are entered."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli.options import Json, JsonObject, Profile

_Root = Annotated[
    Path | None, typer.Option("--root", help="The root of a deployment of `strongroom up`.")
]
_SharedDir = Annotated[
    Path | None, typer.Option("--shared-dir", help="The shared directory of any other deployment.")
]


class _TakesUnlessNamed(TyperGroup):
    """`backup DIR` is `backup take DIR`; a directory called as a subcommand is, is `./list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - private type
        """Put the subcommand there that goes without saying."""
        if args and args[0] not in self.commands and args[0] not in self.get_help_option_names(ctx):
            args = ["take", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Copies of a deployment, still encrypted: take, list and prune them.",
    cls=_TakesUnlessNamed,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("take")
def backup(
    where: Annotated[str, typer.Argument(metavar="DIR", help="Where to: or s3://BUCKET/PREFIX.")],
    root: _Root = None,
    shared_dir: _SharedDir = None,
    *,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Copy a deployment, still encrypted, while it serves; only what is not there yet.

    It needs the shared directory, and the deployment itself, named by STRONGROOM_URL,
    STRONGROOM_CLIENT_ID and STRONGROOM_CLIENT_SECRET, which puts the backup on record. No key is in
    it: keep `strongroom keys export` apart. Exit code 1: entities were left out, or nothing was
    done.
    """
    from cli.backup import take as command  # noqa: PLC0415
    from cli.backup.places import Place  # noqa: PLC0415

    if not command.run(where, Place(root, shared_dir), json=json, profile=profile):
        raise typer.Exit(1)


@app.command("list")
def list_backups(
    where: Annotated[
        str, typer.Argument(metavar="DIR", help="A place; without one: what is on record.")
    ] = "",
    *,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """List the backups of a place, or those that the deployment has on record."""
    from cli.backup import keeping as command  # noqa: PLC0415

    if where:
        command.show(where, json=json)
    else:
        command.show_record(json=json, profile=profile)


@app.command()
def prune(
    where: Annotated[
        str, typer.Argument(metavar="DIR", help="A directory, or s3://BUCKET/PREFIX.")
    ],
    *,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest stay.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be removed, and remove nothing.")
    ] = False,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Remove the older backups of a place, and what only they need; they go off the record."""
    from cli.backup import keeping as command  # noqa: PLC0415

    command.prune(where, keep, dry_run=dry_run, json=json, profile=profile)


@app.command()
def forget(
    names: Annotated[list[str], typer.Argument(metavar="BACKUP...", help="As `list` names them.")],
    *,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Take backups that are gone off the record: their keys may be destroyed then."""
    from cli.backup import keeping as command  # noqa: PLC0415

    command.forget(names, json=json, profile=profile)


def restore(  # noqa: PLR0913 - a command has as many options as it has
    where: Annotated[
        str, typer.Argument(metavar="BACKUP", help="A directory, or s3://BUCKET/PREFIX.")
    ],
    root: _Root = None,
    shared_dir: _SharedDir = None,
    *,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="Into the deployment that serves, over what is there."),
    ] = False,
    side: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Into a new database of this name.")
    ] = None,
    database: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Only entities with this key; * and ? as in a shell. Several times."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove the backup, and bring nothing back.")
    ] = False,
    leave_out_damaged: Annotated[
        bool,
        typer.Option(
            "--leave-out-damaged", help="Leave out what does not verify, instead of giving up."
        ),
    ] = False,
    backup_id: Annotated[
        str | None, typer.Option("--id", help="Which backup; else the newest one.")
    ] = None,
    recovery_key: Annotated[
        Path | None, typer.Option(help="The private half of the recovery key.")
    ] = None,
    export: Annotated[Path | None, typer.Option(help="The key backup that it opens.")] = None,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Bring a backup back: into an empty directory, or into a deployment that serves; or prove it.

    Keys are those of the keyring in --root or --shared-dir, which its key provider opens; or of
    --export, which --recovery-key opens. Without --in-place or --as it is put into that directory,
    which has a keyring (`strongroom keys recover`) and nothing else. With one of them
    entities are put into the deployment that STRONGROOM_URL, STRONGROOM_CLIENT_ID and
    STRONGROOM_CLIENT_SECRET name, as new versions; nothing there is removed. With --verify and no
    keys, nothing is decrypted. Exit code 1: nothing was done, or an entity was refused or left out.
    """
    from cli.backup import restore as command  # noqa: PLC0415
    from cli.backup.domain.selection import Selection  # noqa: PLC0415
    from cli.backup.places import KeySource, Place  # noqa: PLC0415

    keys = KeySource(Place(root, shared_dir), recovery_key, export)
    selection = Selection(tuple(database or ()), tuple(key or ()))
    options = command.Options(where, backup_id, keys, selection, leave_out_damaged)
    is_running = in_place or side is not None
    if verify and is_running:
        raise typer.BadParameter("nothing is brought back with it", param_hint="--verify")
    if verify:
        is_whole = command.verify(options, json=json)
    elif is_running:
        is_whole = command.into_running(
            options, side, in_place=in_place, json=json, profile=profile
        )
    else:
        is_whole = command.into_empty(options, json=json)
    if not is_whole:
        raise typer.Exit(1)
