"""The subcommands of `strongroom keys`. What one needs is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Data keys, the recovery key, and what brings a deployment back without its KMS key.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_keys(*, json: _Json = False) -> None:
    """List the data keys, oldest first."""
    from cli.keys import listing as command  # noqa: PLC0415

    command.run(json=json)


@app.command()
def rotate(*, json: _Json = False) -> None:
    """Make a new data key active: every write from now on lies under it."""
    from cli.keys import rotate as command  # noqa: PLC0415

    command.run(json=json)


@app.command()
def rewrap(
    *,
    files_per_second: Annotated[
        float | None, typer.Option(help="At the most, on all workers together; from 1.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the job's id, and do not wait for its end.")
    ] = False,
    json: _Json = False,
) -> None:
    """Put every file under the active data key; follow the job that does it.

    Ctrl-C ends this command and leaves the job to the deployment. Exit code 1: it has failed, or
    its end was not seen.
    """
    from cli.keys import rewrap as command  # noqa: PLC0415

    # NaN is no more than any bound, and no less.
    if files_per_second is not None and not files_per_second >= 1:
        raise typer.BadParameter("it is from 1", param_hint="--files-per-second")
    command.run(files_per_second=files_per_second, detach=detach, json=json)


@app.command()
def destroy(
    key_id: Annotated[str, typer.Argument(help="As `keys list` names it.")],
    *,
    shred: Annotated[
        bool,
        typer.Option("--shred", help="Also if entities are lost by it, after a confirmation."),
    ] = False,
    yes_lose: Annotated[
        int | None,
        typer.Option(min=0, help="Confirm, without being asked, that up to N may be lost."),
    ] = None,
    json: _Json = False,
) -> None:
    """Destroy a data key that nothing needs; refused where files or backups need it.

    With --shred it is destroyed nevertheless, after the number of entities that are lost was typed.
    Exit code 1: it was not destroyed, or that was not seen.
    """
    from cli.keys import destroy as command  # noqa: PLC0415

    if yes_lose is not None and not shred:
        raise typer.BadParameter("it goes with --shred", param_hint="--yes-lose")
    command.run(key_id, shred=shred, yes_lose=yes_lose, json=json)


@app.command()
def make_recovery(
    file: Annotated[Path, typer.Argument(help="Where the private half is written, once.")],
    *,
    public: Annotated[
        Path | None, typer.Option(help="Where the public half is written; else FILE.pub.")
    ] = None,
) -> None:
    """Make an offline recovery key (RSA-4096).

    Nothing is sent anywhere. The private half is encrypted under the passphrase that
    STRONGROOM_RECOVERY_PASSPHRASE or a prompt gives; keep it offline, away from the deployment.
    """
    from cli.keys import make_recovery as command  # noqa: PLC0415

    command.run(file, public or file.with_name(file.name + ".pub"))
