"""The subcommands of `strongroom audit`. What one needs is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonObject, Profile
from strongroom import limits

app = typer.Typer(
    help="The audit log: reading it, and proving that nothing of it was changed or cut out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def verify(
    directory: Annotated[
        Path, typer.Argument(help="A shared directory, or a copy of its control/audit.")
    ] = Path(".local/shared"),
    *,
    public_key: Annotated[
        Path | None,
        typer.Option(help="What `strongroom audit key` has printed; else the deployment is asked."),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option(help="What `audit heads` or `audit verify` printed before."),
    ] = None,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Tell whether anything of the audit log was changed, moved, repeated or cut out.

    It needs no secret: the files, and the public key. A cut at the very end shows only against
    heads that were kept elsewhere; it prints those of now. Exit code 1: something is wrong.
    """
    from cli.audit import verify as command  # noqa: PLC0415

    if not command.run(directory, public_key, heads, json=json, profile=profile):
        raise typer.Exit(1)


@app.command()
def tail(
    *,
    lines: Annotated[
        int,
        typer.Option(
            "--lines", "-n", min=1, max=limits.PAGE_SIZE_MAX, help="How many to begin with."
        ),
    ] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is recorded from now on.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print each record as a line of JSON.")] = (
        False
    ),
    profile: Profile = None,
) -> None:
    """Print the newest records, the oldest of them first."""
    from cli.audit import tail as command  # noqa: PLC0415

    command.run(lines=lines, follow=follow, json=json, profile=profile)


@app.command()
def heads(*, json: JsonObject = False, profile: Profile = None) -> None:
    """Print how far the log has come, to be kept elsewhere for `audit verify --heads`."""
    from cli.audit import proofs as command  # noqa: PLC0415

    command.heads(json=json, profile=profile)


@app.command()
def key(*, profile: Profile = None) -> None:
    """Print the public keys that verify the log, as JSON, for `audit verify --public-key`."""
    from cli.audit import proofs as command  # noqa: PLC0415

    command.key(profile=profile)


@app.command()
def remove(
    *,
    before: Annotated[
        str, typer.Option(help="Since when nothing was written to it: 2026-01-01, or RFC 3339.")
    ],
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Remove what was recorded long ago, once it lies elsewhere; that is recorded, too."""
    from cli.audit import remove as command  # noqa: PLC0415

    command.run(before, json=json, profile=profile)
