"""A client for the time of a command, and what its errors are to whoever has entered it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from cli import profiles
from cli.output import printable
from strongroom.rpc import core_log
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

INTERRUPTED: Final = 130
"""Exit code of a command that was ended by Ctrl-C, as a shell tells it."""

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
# What OpenSSL and the kernel say of a connection that there is none of, and what helps.
_CONNECTING: Final = (
    ("certificate has expired", "have that certificate renewed, or set this machine's clock"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "name whom to trust: STRONGROOM_CA_FILE, or `strongroom profile add NAME --ca-file FILE`",
    ),
    ("WRONG_VERSION_NUMBER", "that port speaks no TLS: try http://, or another port"),
    ("refused", "nobody listens there: check the address and the port"),
    ("Name or service not known", "there is no such host: check the address"),
    ("nodename nor servname", "there is no such host: check the address"),
    ("No address associated", "there is no such host: check the address"),
    ("DNS resolution failed", "there is no such host: check the address"),
    ("disconnected without sending a response", "is it TLS that is spoken there? try https://"),
)
_ADVICE: Final = (
    (
        UnauthenticatedError,
        "check STRONGROOM_CLIENT_ID and STRONGROOM_CLIENT_SECRET, or the profile",
    ),
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
    core_log.silence()
    try:
        credentials = ClientCredentials(told.client_id, told.client_secret)
        with Client(told.url, credentials, Options(ca_file=told.ca_file)) as client:
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


def _advice(error: StrongroomClientError) -> str:
    """Return what to do about an error, with what sets it apart; nothing where nobody knows."""
    if isinstance(error, UnavailableError):
        for word, text in _CONNECTING:
            if word in error.detail:
                return f"; {text}"
    return next((f"; {text}" for kind, text in _ADVICE if isinstance(error, kind)), "")


def tell(error: StrongroomClientError, about: str = "") -> None:
    """Say on standard error what is wrong and what to do: one line, and one for each violation."""
    advice = _advice(error)
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
