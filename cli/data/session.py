"""A client for the time of a command, and what its errors are to whoever has entered it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from cli.data import profiles
from cli.output import printable
from strongroom_client import (
    Client,
    ClientCredentials,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Options,
    OutcomeUnknownError,
    PartlyWrittenError,
    RateLimitedError,
    StrongroomClientError,
    UnauthenticatedError,
    UnavailableError,
)

NOT_THERE: Final = 3
"""Exit code of a command that asks for what is not there."""

# The first class that fits; docs/cli.md has the table.
CODES: Final = (
    (ConfigurationError, 1),
    (NotFoundError, NOT_THERE),
    (ConflictError, 4),
    (InvalidError, 5),
    (UnauthenticatedError, 6),
    (ForbiddenError, 6),
    (UnavailableError, 7),
    (RateLimitedError, 7),
    (OutcomeUnknownError, 8),
)
_ADVICE: Final = (
    (UnauthenticatedError, "check STRONGROOM_CLIENT_ID and STRONGROOM_CLIENT_SECRET"),
    (ForbiddenError, "an administrator can grant it: `strongroom client put`"),
    (PartlyWrittenError, "entered again it completes what is missing"),
    (OutcomeUnknownError, "look whether it was written before you enter it again"),
    (UnavailableError, "nothing was done; try again later"),
    (RateLimitedError, "nothing was done; try again later"),
)


@contextmanager
def session(profile: str | None) -> Iterator[Client]:
    """Give a client of the deployment that is meant; an error ends the command with its exit code.

    Raises:
        StrongroomError: No deployment is named.
        typer.Exit: The deployment does not do what is asked; standard error says why.
    """
    told = profiles.named(profile)
    try:
        credentials = ClientCredentials(told["client_id"], told["client_secret"])
        options = Options(ca_file=told.get("ca_file"))
        with Client(told["url"], credentials, options) as client:
            yield client
            sys.stdout.flush()
    except StrongroomClientError as error:
        tell(error)
        raise typer.Exit(exit_code(error)) from error
    except BrokenPipeError:
        # Whoever reads has seen enough; the interpreter's own flush would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


def exit_code(error: StrongroomClientError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in CODES if isinstance(error, kind)), 1)


def tell(error: StrongroomClientError, about: str = "") -> None:
    """Say on standard error what is wrong and what to do: one line, and one for each violation."""
    advice = next((f"; {text}" for kind, text in _ADVICE if isinstance(error, kind)), "")
    where = f"{about}: " if about else ""
    # Of what is the server's affair its operator can find the request in the logs.
    is_ours = exit_code(error) not in {1, 8} or not error.request_id
    request = "" if is_ours else f" (request {error.request_id})"
    lines = [f"strongroom: {where}{error.detail}{advice}{request}"]
    lines += [
        f"  {violation.pointer or '(the document)'}: {violation.keyword}: {violation.detail}"
        for violation in error.violations
    ]
    if isinstance(error, PartlyWrittenError):
        failed = {k: o for k, o in error.outcomes.items() if isinstance(o, StrongroomClientError)}
        lines += [f"  {key}: {outcome.detail}" for key, outcome in failed.items()]
    sys.stderr.writelines(printable(line) + "\n" for line in lines)
