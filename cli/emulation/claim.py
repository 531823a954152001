"""One process at a time runs, or repairs, a deployment below a root."""

import fcntl
from pathlib import Path
from typing import IO

from strongroom.errors import ConflictError


def claim(root: Path) -> IO[str]:
    """Return what holds the root until it is closed, or this process ends.

    Raises:
        ConflictError: Another process has it.
        OSError: The disk refuses.
    """
    lock = (root / "up.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ConflictError(
            f"another `strongroom up` serves {root}; stop it, or choose another --root"
        ) from error
    return lock
