"""The subcommands of `strongroom job`. What one needs is imported when it runs."""

from typing import Annotated

import typer

from cli.options import JsonObject, Profile

app = typer.Typer(
    help="Jobs over all stored files: rewraps, and orders to destroy a key.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_jobs(*, json: JsonObject = False, profile: Profile = None) -> None:
    """List the jobs that are kept, the newest first."""
    from cli.jobs import listing as command  # noqa: PLC0415

    command.run(json=json, profile=profile)


@app.command()
def show(
    job_id: Annotated[str, typer.Argument(help="As `keys rewrap` and `job list` name it.")],
    *,
    follow: Annotated[
        bool, typer.Option(help="Follow a running one to its end, or look at it once.")
    ] = True,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Show a job. Exit code 1: it has failed, or was cancelled."""
    from cli.jobs import show as command  # noqa: PLC0415

    command.run(job_id, follow=follow, json=json, profile=profile)


@app.command()
def cancel(
    job_id: Annotated[str, typer.Argument(help="As `keys rewrap` and `job list` name it.")],
    *,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Have a job end, and wait for that. What was rewrapped stays so."""
    from cli.jobs import cancel as command  # noqa: PLC0415

    command.run(job_id, json=json, profile=profile)
