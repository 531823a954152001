"""The subcommands of `strongroom keys`. What one needs is imported when it runs."""

import math
from pathlib import Path
from typing import Annotated

import typer

from cli.emulation.master_key import LocalProvider
from cli.options import JsonObject, Profile

app = typer.Typer(
    help="Data keys, the recovery key, and what brings a deployment back without its KMS key.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_keys(*, json: JsonObject = False, profile: Profile = None) -> None:
    """List the data keys, oldest first."""
    from cli.keys import listing as command  # noqa: PLC0415

    command.run(json=json, profile=profile)


@app.command()
def rotate(
    *,
    token_signing: Annotated[
        bool, typer.Option("--token-signing", help="A key for access tokens instead.")
    ] = False,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Make a new data key active: every write from now on lies under it."""
    from cli.keys import rotate as command  # noqa: PLC0415

    command.run(token_signing=token_signing, json=json, profile=profile)


@app.command()
def rewrap(
    *,
    files_per_second: Annotated[
        float | None, typer.Option(help="At the most, on all workers together; from 1.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the job's id, and do not wait for its end.")
    ] = False,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Put every file under the active data key; follow the job that does it.

    Ctrl-C ends this command and leaves the job to the deployment. Exit code 1: it has failed, or
    its end was not seen.
    """
    from cli.keys import rewrap as command  # noqa: PLC0415

    # NaN is not within any bounds; JSON has no way to write it, nor infinity.
    if files_per_second is not None and not 1 <= files_per_second < math.inf:
        raise typer.BadParameter("it is a number from 1", param_hint="--files-per-second")
    command.run(files_per_second=files_per_second, detach=detach, json=json, profile=profile)


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
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Destroy a data key that nothing needs; refused where files or backups need it.

    With --shred it is destroyed nevertheless, after the number of entities that are lost was typed.
    Exit code 1: it was not destroyed, or that was not seen.
    """
    from cli.keys import destroy as command  # noqa: PLC0415

    if yes_lose is not None and not shred:
        raise typer.BadParameter("it goes with --shred", param_hint="--yes-lose")
    command.run(key_id, shred=shred, yes_lose=yes_lose, json=json, profile=profile)


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


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where the key backup is written, once.")],
    *,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Write the key backup: a copy of the keyring that the recovery key alone opens.

    Keep the file apart from the backups of the data. The deployment remembers each export.
    """
    from cli.keys import export as command  # noqa: PLC0415

    command.run(file, json=json, profile=profile)


@app.command()
def recover(
    *,
    recovery_key: Annotated[Path, typer.Option(help="The private half of the recovery key.")],
    root: Annotated[
        Path | None, typer.Option(help="The root of a deployment of `strongroom up`.")
    ] = None,
    shared_dir: Annotated[
        Path | None, typer.Option(help="The shared directory of any other deployment.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="A key backup; the newer of it and the keyring is taken.")
    ] = None,
    key_provider: Annotated[
        LocalProvider | None, typer.Option(help="With --root: where the new master key is.")
    ] = None,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on though some files do not open.")
    ] = False,
) -> None:
    """Bring a deployment whose master key is gone for ever back under a new one.

    The deployment has to be stopped. With --shared-dir the new master key is named as it is for a
    Main Worker: STRONGROOM_KEY_PROVIDER, STRONGROOM_KMS_KEY_ARN, STRONGROOM_MASTER_KEY_FILE.
    """
    from cli.keys import recover as command  # noqa: PLC0415

    command.run(command.Options(root, shared_dir, recovery_key, export, key_provider, accept_loss))
