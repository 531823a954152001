"""The subcommands of `strongroom keys`. What one needs is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Data keys, the recovery key, and what brings a deployment back without its KMS key.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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
