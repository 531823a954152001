"""The subcommands of `strongroom ca`. What one needs is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from strongroom import limits

app = typer.Typer(
    help="The certificate authority by which the workers of a deployment know each other.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def make(
    directory: Annotated[
        Path, typer.Argument(help="Where ca.pem and ca.key go; never the shared directory.")
    ],
) -> None:
    """Make the authority of a new deployment; `strongroom up` makes its own.

    Whoever has ca.key can make himself a worker, which is given every data key: keep it offline, or
    on the Main Workers that STRONGROOM_CA_KEY_FILE lets renew certificates.
    """
    from cli.ca import issue as command  # noqa: PLC0415

    command.make(directory)


@app.command("issue-main")
def issue_main(
    *,
    ca: Annotated[Path, typer.Option(help="The directory with ca.pem and ca.key.")],
    out: Annotated[Path, typer.Option(help="Where main.pem, main.key and ca.pem go.")] = Path(),
    days: Annotated[
        int,
        typer.Option(
            min=1, max=limits.CERTIFICATE_DAYS_MAX, help="How long the certificate is valid."
        ),
    ] = limits.CERTIFICATE_DAYS,
    renew: Annotated[
        bool, typer.Option("--renew", help="Also in the place of files that are there.")
    ] = False,
) -> None:
    """Issue a certificate for a Main Worker, which every Processing Worker obeys.

    STRONGROOM_CERTIFICATE_FILE, STRONGROOM_KEY_FILE and STRONGROOM_CA_FILE name the three files. A
    Main Worker that runs takes new ones over by itself.
    """
    from cli.ca import issue as command  # noqa: PLC0415

    command.main(ca, out, days, renew=renew)
