"""The subcommands of `strongroom profile`. What one needs is imported when it runs."""

from typing import Annotated

import typer

from cli.options import Json, JsonObject
from cli.profiles import SecretPlace

app = typer.Typer(
    help="Profiles: where a deployment is, as whom to ask it, and where the secret is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_Name = Annotated[str, typer.Argument(help="Name of a profile.")]


@app.command()
def add(
    name: _Name,
    *,
    url: Annotated[str, typer.Option(help="Such as https://db.example.")] = "",
    grpc_address: Annotated[
        str,
        typer.Option(
            help="HOST:PORT of gRPC; taken without --url, or where STRONGROOM_TRANSPORT is grpc."
        ),
    ] = "",
    client_id: Annotated[str, typer.Option(help="As whom.")] = "",
    ca_file: Annotated[
        str, typer.Option(help="Whom to trust, PEM; else whom this machine trusts.")
    ] = "",
    secret: Annotated[
        SecretPlace,
        typer.Option(help="Kept in the keyring of this system, or asked for each time."),
    ] = SecretPlace.KEYRING,
) -> None:
    """Make a profile, or change what is named of one.

    The secret is typed, or read from standard input where that is a pipe; it goes into the keyring
    of the operating system, never into a file.
    """
    from cli.profile import editing as command  # noqa: PLC0415

    said = {
        "url": url,
        "grpc_address": grpc_address,
        "client_id": client_id,
        "ca_file": ca_file,
    }
    command.add(name, {one: text for one, text in said.items() if text}, secret)


@app.command("list")
def list_profiles(*, json: Json = False) -> None:
    """List the profiles; a star marks the one that is taken where none is named."""
    from cli.profile import showing as command  # noqa: PLC0415

    command.show_all(json=json)


@app.command()
def show(name: _Name, *, json: JsonObject = False) -> None:
    """Print a profile, and whether its secret is at hand; not the secret."""
    from cli.profile import showing as command  # noqa: PLC0415

    command.show(name, json=json)


@app.command()
def use(name: _Name) -> None:
    """Take a profile wherever none is named."""
    from cli.profile import editing as command  # noqa: PLC0415

    command.use(name)


@app.command()
def remove(name: _Name) -> None:
    """Remove a profile, and its secret from the keyring."""
    from cli.profile import editing as command  # noqa: PLC0415

    command.remove(name)
