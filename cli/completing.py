"""What a shell completes beside the commands: names of databases, where they are had at once."""

import threading
from contextlib import suppress
from itertools import islice
from typing import Final

import typer

_TIMEOUT_S: Final = 1.0
_NAMES_MAX: Final = 200
_PATIENCE_S: Final = 3.0


def database_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the databases that the caller administers; none, and no word, where anything fails."""
    found: list[str] = []

    def ask() -> None:
        # Whoever presses Tab has asked nothing that could be answered by an error.
        with suppress(Exception):
            found.extend(_names(context.params.get("profile"), incomplete))

    # A keyring that has to be unlocked waits for somebody, and so does a resolver of names.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE_S)
    return found[:]


def _names(profile: str | None, incomplete: str) -> list[str]:
    # Loaded by a Tab, not by every command.
    from cli import profiles  # noqa: PLC0415
    from strongroom_client import Client, ClientCredentials, Options, Retries  # noqa: PLC0415

    told = profiles.named(profile, may_ask=False)
    options = Options(
        ca_file=told.ca_file,
        timeout_s=_TIMEOUT_S,
        attempt_s=_TIMEOUT_S,
        retries=Retries(attempts=1),
    )
    credentials = ClientCredentials(told.client_id, told.client_secret)
    with Client(told.url, credentials, options) as client:
        found = islice(client.admin.databases(), _NAMES_MAX)
        return [one.name for one in found if one.name.startswith(incomplete)]
