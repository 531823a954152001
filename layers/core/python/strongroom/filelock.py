"""Advisory locks on one byte of a file, with an end to the patience.

They are open file description locks (fcntl(2)): the kernel gives them back when the process that
holds them dies. There is no queue; who waits asks again and again.
"""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from strongroom import durable
from strongroom.clock import Clock
from strongroom.durable import Filesystem

_POLL_FIRST_S = 0.001
_POLL_LONGEST_S = 0.05
_pause = threading.Event()


def open_file(filesystem: Filesystem, path: Path) -> int:
    """Open a lock file; make it and its directory where they are missing; raises OSError."""
    try:
        return filesystem.open_lock_file(str(path))
    except FileNotFoundError:
        filesystem.close(durable.open_or_make_directory(filesystem, str(path.parent)))
        return filesystem.open_lock_file(str(path))


def acquire(
    filesystem: Filesystem,
    clock: Clock,
    descriptor: int,
    offset: int,
    until_boot_s: float,
    *,
    still_wanted: Callable[[], object] = lambda: None,
) -> bool:
    """Lock a byte for an open file description; raises OSError.

    Args:
        filesystem: Where.
        clock: What the patience is measured by.
        descriptor: The lock file.
        offset: Which byte.
        until_boot_s: When to give up.
        still_wanted: Called before each further attempt; what it raises ends them.

    Returns:
        False where another description holds it all the time.
    """
    return _had(lambda: filesystem.try_lock(descriptor, offset), clock, until_boot_s, still_wanted)


def acquire_file(
    filesystem: Filesystem, clock: Clock, descriptor: int, until_boot_s: float
) -> bool:
    """Lock every byte of a file at once; else as `acquire`."""
    attempt = partial(filesystem.try_lock_file, descriptor)
    return _had(attempt, clock, until_boot_s, lambda: None)


def _had(
    attempt: Callable[[], bool],
    clock: Clock,
    until_boot_s: float,
    still_wanted: Callable[[], object],
) -> bool:
    pause = _POLL_FIRST_S
    while not attempt():
        if clock.boot_s() + pause > until_boot_s:
            return False
        _pause.wait(pause)
        still_wanted()
        pause = min(2 * pause, _POLL_LONGEST_S)
    return True
