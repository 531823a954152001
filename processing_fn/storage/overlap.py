"""Two independent filesystem calls at once, where a call is a round trip.

On a network filesystem every call takes 1 to 3 ms (design.md section 6), and doing two things at
once saves one of them. On a local disk a call takes microseconds, the hand-over to a thread more.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

A = TypeVar("A")
B = TypeVar("B")
_THREADS: Final = 32
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "fuse.sshfs"})


class InTurn:
    """One after the other."""

    is_remote = False

    def both(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        """Return both results; raises what either raises, the first one first."""
        return first(), second()


class AtOnce:
    """Side by side, on a pool of threads."""

    is_remote = True

    def __init__(self) -> None:
        """Start no thread yet."""
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="overlap")

    def both(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        """Return both results; raises what either raises, after both have ended."""
        later = self._pool.submit(second)
        try:
            done = first()
        except BaseException:
            later.exception()
            raise
        return done, later.result()


def for_mount(root: Path) -> InTurn | AtOnce:
    """Return what suits the filesystem that a directory lies on."""
    return AtOnce() if is_network(root) else InTurn()


def is_network(root: Path) -> bool:
    """Tell whether the files below a directory lie on another machine."""
    return filesystem_type(root) in _NETWORK


def filesystem_type(path: Path) -> str:
    """Return the type of the mount that a path lies on, from proc_pid_mountinfo(5).

    Raises:
        OSError: /proc cannot be read.
    """
    resolved = path.resolve()
    best, found = -1, ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, after = line.partition(" - ")
        mounted = Path(fields.split()[4].replace("\\040", " "))
        if resolved.is_relative_to(mounted) and len(mounted.parts) >= best:
            best, found = len(mounted.parts), after.split()[0]
    return found
