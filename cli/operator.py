"""Who enters a command, as far as the machine knows: for the audit log."""

import getpass
import socket


def facts() -> dict[str, str]:
    """Return the user and the machine; there need be no name for the user's number."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return {"user": user, "host": socket.gethostname()}
