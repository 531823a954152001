"""The subcommands of `strongroom worker`. What one needs is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonObject, Profile
from strongroom import limits

app = typer.Typer(
    help="Processing Workers: their certificates, the registry, revocation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_Name = Annotated[str, typer.Argument(help="The worker's id: a DNS label.")]


@app.command()
def enrol(
    name: _Name,
    *,
    ca: Annotated[
        Path,
        typer.Option(help="The directory with ca.pem and ca.key; never in the shared directory."),
    ] = Path(".local/pki"),
    out: Annotated[Path, typer.Option(help="Where NAME.pem, NAME.key and ca.pem go.")] = Path(),
    days: Annotated[
        int,
        typer.Option(
            min=1, max=limits.CERTIFICATE_DAYS_MAX, help="How long the certificate is valid."
        ),
    ] = limits.CERTIFICATE_DAYS,
    renew: Annotated[
        bool, typer.Option("--renew", help="Also if the name is enrolled already.")
    ] = False,
) -> None:
    """Issue a certificate for a Processing Worker.

    Take the three files to the worker over a safe channel; STRONGROOM_CERTIFICATE_FILE,
    STRONGROOM_KEY_FILE and STRONGROOM_CA_FILE name them there. While the worker runs it renews the
    certificate itself, where a Main Worker has the authority's key; else replace the files, which
    it takes over.
    """
    from cli.workers import enrol as command  # noqa: PLC0415

    command.run(name, ca, out, days, renew=renew)


@app.command("list")
def list_workers(*, json: JsonObject = False, profile: Profile = None) -> None:
    """List the workers that are available, and those that are revoked."""
    from cli.workers import registry as command  # noqa: PLC0415

    command.show(json=json, profile=profile)


@app.command()
def revoke(
    name: _Name,
    *,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Also if the registry does not know it.")
    ] = False,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Revoke a worker, whatever certificate or credential it has: it gets no key and no request."""
    from cli.workers import registry as command  # noqa: PLC0415

    command.revoke(name, unseen=unseen, json=json, profile=profile)


@app.command()
def reinstate(name: _Name, *, json: JsonObject = False, profile: Profile = None) -> None:
    """Let a revoked worker come into service again."""
    from cli.workers import registry as command  # noqa: PLC0415

    command.reinstate(name, json=json, profile=profile)
