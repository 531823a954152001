"""The `strongroom` command: its subcommands and exit codes.

Exit codes: 0 done, 1 not done (one line on standard error says why), 2 wrong usage. Where a
deployment refuses, there are more of them (docs/cli.md).
"""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from cli import profiles
from cli.admin import commands as admin_commands
from cli.audit import commands as audit_commands
from cli.backup import commands as backup_commands
from cli.ca import commands as ca_commands
from cli.data import commands as data_commands
from cli.emulation.master_key import LocalProvider
from cli.jobs import commands as jobs
from cli.keys import commands as keys
from cli.options import JsonObject, Profile
from cli.output import printable
from cli.profile import commands as profile_commands
from cli.workers import commands as workers_commands
from strongroom.errors import InvalidArgumentError, StrongroomError

_ADVICE: Final = (
    (errno.ENOENT, "check the name"),
    (errno.EISDIR, "name a file in it"),
    (errno.EACCES, "choose another place, or have somebody give you the right"),
    (errno.ENOSPC, "make room, or choose another place"),
    (errno.EROFS, "choose another place"),
)
app = typer.Typer(
    help="Strongroom, an encrypted JSON database.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


data_commands.add(app)
app.add_typer(admin_commands.schemas, name="schema")
app.add_typer(admin_commands.databases, name="db")
app.add_typer(admin_commands.clients, name="client")
app.add_typer(admin_commands.issuers, name="issuer")
app.add_typer(profile_commands.app, name="profile")
app.add_typer(keys.app, name="keys")
app.add_typer(jobs.app, name="job")
app.add_typer(workers_commands.app, name="worker")
app.add_typer(workers_commands.app, name="workers", hidden=True)
app.add_typer(audit_commands.app, name="audit")
app.add_typer(ca_commands.app, name="ca")
app.add_typer(backup_commands.app, name="backup")
app.command()(backup_commands.restore)


@app.callback()
def _command() -> None:
    """Strongroom, an encrypted JSON database."""


@app.command()
def up(  # noqa: PLR0913 - an option each
    root: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path(".local"),
    http: Annotated[str, typer.Option(help="HOST:PORT of REST; port 0 picks one.")] = (
        "127.0.0.1:8080"
    ),
    grpc: Annotated[str, typer.Option(help="HOST:PORT of gRPC; port 0 picks one.")] = (
        "127.0.0.1:50051"
    ),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processing Workers.")] = 2,
    *,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written, as JSON, once everything serves.")
    ] = None,
    key_provider: Annotated[
        LocalProvider | None,
        typer.Option(help="Where the master key is: an emulated KMS (at first), or a file."),
    ] = None,
    recovery_public_key: Annotated[
        Path | None,
        typer.Option(
            help="The public half of a recovery key: `strongroom keys make-recovery`.",
            envvar="STRONGROOM_RECOVERY_PUBLIC_KEY_FILE",
        ),
    ] = None,
    https: Annotated[bool, typer.Option("--https", help="Serve REST over TLS.")] = False,
    fork: Annotated[
        bool,
        typer.Option(help="Fork the processes: faster. Else each shows its own command line."),
    ] = True,
) -> None:
    """Run a whole deployment on this machine, in the foreground."""
    # moto takes a second to import, which other commands need not wait for.
    from cli import up as command  # noqa: PLC0415
    from cli.emulation.deployment import Options  # noqa: PLC0415

    for address in (http, grpc):
        _check_address(address)
    options = Options(root, http, grpc, workers, https, key_provider, recovery_public_key)
    command.run(options, ready_file, fork=fork)


@app.command()
def demo(
    *,
    json: Annotated[
        bool, typer.Option("--json", help="Print the observations as one JSON array.")
    ] = False,
) -> None:
    """Show subscription, processing and caching at work, on a deployment of its own."""
    from cli.demo import command  # noqa: PLC0415 - as above

    command.run(json=json)


@app.command()
def verify(
    *,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Renew sidecars; remove what a crash or the deletion of a database has left.",
        ),
    ] = False,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Read everything that a deployment stores, and tell what is not as it should be.

    Exit code 1: something is wrong, or could not be judged.
    """
    from cli import verify as command  # noqa: PLC0415 - as above

    if not command.run(repair=repair, json=json, profile=profile):
        raise typer.Exit(1)


@app.command()
def doctor(
    directory: Annotated[
        Path, typer.Argument(help="A shared directory; one that nobody uses yet, too.")
    ] = Path(".local/shared"),
    *,
    json: JsonObject = False,
    profile: Profile = None,
) -> None:
    """Tell whether a shared directory and this machine are fit for a deployment, and what to do.

    It tries out the mount, locks between processes, fsync, rename and room, then looks at clock,
    limits, certificates, key provider and ports, as the variables of a worker name them, and asks
    the deployment at STRONGROOM_URL. It leaves nothing behind. Exit code 1: something has failed.
    """
    from cli.doctor import examination as command  # noqa: PLC0415 - as above

    environment = dict(os.environ)
    if profile is not None:
        url, ca_file = profiles.address(profile)
        environment |= {"STRONGROOM_URL": url, "STRONGROOM_CA_FILE": ca_file or ""}
    if not command.run(directory, environment, json=json):
        raise typer.Exit(1)


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - TCP's
        raise InvalidArgumentError(f"{address} is not HOST:PORT")


def main() -> None:
    """Run the command; a user's mistake ends in one line, not in a stack trace."""
    if sys.stdin is None:
        # It was closed; a command that reads it finds nothing there.
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115 - for the rest of the process
    if sys.stdout is None:
        _fail("standard output is closed; >/dev/null throws away what is told there")
    try:
        app()
    except StrongroomError as error:
        _fail(error.detail)
    except OSError as error:
        _fail(_said(error))


def _fail(why: str) -> NoReturn:
    sys.stderr.write(f"strongroom: {why}\n")
    sys.exit(1)


def _said(error: OSError) -> str:
    """Return what the kernel says of a file, and what to do about it where that is known."""
    what = error.strerror or str(error)
    where = f"{printable(os.fsdecode(error.filename))}: " if error.filename is not None else ""
    advice = next((f"; {text}" for code, text in _ADVICE if error.errno == code), "")
    return f"{where}{what}{advice}"


if __name__ == "__main__":
    main()
