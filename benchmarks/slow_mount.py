"""`python -m benchmarks.slow_mount SOURCE MOUNT`: a directory of which every call takes longer.

FUSE, as a stand-in for a network filesystem: each call that the kernel passes on sleeps first, many
do so at once; names and attributes it remembers for a second, as NFS does. It is mounted under a
type that the worker takes for a network's. At SIGTERM, and when whoever started it is gone, it
unmounts and ends.
"""

import argparse
import functools
import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import mfusepy

from strongroom import process

_TYPE: Final = "sshfs"
_CALLS_AT_ONCE: Final = 64
_BOUND_SINCE: Final = (3, 12)
"""From this version on libfuse has ten threads where it is not told otherwise."""


def _behind_a_pause(call: Callable[..., Any]) -> Callable[..., Any]:
    """Make a call of the mounted path one of the source's, and slow."""

    @functools.wraps(call)
    def slow(self: "Slow", path: str, *arguments: Any) -> Any:  # noqa: ANN401 - of any call
        time.sleep(self.pause_s)
        return call(self, self.source + path, *arguments)

    return slow


class Slow(mfusepy.Operations):  # type: ignore[misc] # it has no types
    """Passes each call through to another directory, after a pause."""

    use_ns = True

    def __init__(self, source: Path, pause_s: float) -> None:
        """Take the directory, and the pause."""
        self.source = str(source)
        self.pause_s = pause_s

    @_behind_a_pause
    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Return what is known of a file; not every call brings its descriptor."""
        del fh
        found = os.lstat(path)
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino")
        times = {
            name: getattr(found, f"{name}_ns") for name in ("st_atime", "st_mtime", "st_ctime")
        }
        return {**{name: getattr(found, name) for name in names}, **times}

    @_behind_a_pause
    def readdir(self, path: str, fh: int) -> list[str]:
        """List a directory."""
        del fh
        return [".", "..", *os.listdir(path)]

    @_behind_a_pause
    def opendir(self, path: str) -> int:
        """Open a directory, which takes no descriptor here."""
        del path
        return 0

    @_behind_a_pause
    def open(self, path: str, flags: int) -> int:
        """Open a file."""
        return os.open(path, flags)

    @_behind_a_pause
    def create(self, path: str, mode: int, fi: Any = None) -> int:  # noqa: ANN401 - as above
        """Create a file."""
        del fi
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, stat.S_IMODE(mode))

    @_behind_a_pause
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Read."""
        del path
        return os.pread(fh, size, offset)

    @_behind_a_pause
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Write."""
        del path
        return os.pwrite(fh, data, offset)

    @_behind_a_pause
    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        """Cut a file."""
        del fh
        os.truncate(path, length)

    @_behind_a_pause
    def fsync(self, path: str, datasync: int, fh: int) -> None:
        """Force a file to the disk."""
        del path, datasync
        os.fsync(fh)

    @_behind_a_pause
    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        """Force a directory to the disk."""
        del datasync, fh
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)

    def release(self, path: str, fh: int) -> None:
        """Close a file; nobody waits for that."""
        del path
        os.close(fh)

    @_behind_a_pause
    def rename(self, old: str, new: str) -> None:
        """Rename; the second path comes without the source."""
        os.rename(old, self.source + new)  # noqa: TID251 - passed through

    @_behind_a_pause
    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    @_behind_a_pause
    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        os.mkdir(path, mode)

    @_behind_a_pause
    def rmdir(self, path: str) -> None:
        """Remove a directory."""
        os.rmdir(path)

    @_behind_a_pause
    def chmod(self, path: str, mode: int) -> None:
        """Change who may."""
        os.chmod(path, mode)

    @_behind_a_pause
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        """Change the times."""
        if times is None:
            os.utime(path)
        else:
            os.utime(path, ns=times)

    @_behind_a_pause
    def statfs(self, path: str) -> dict[str, int]:
        """Return how much room there is."""
        found = os.statvfs(path)
        names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree")
        return {name: getattr(found, name) for name in (*names, "f_favail", "f_namemax")}


def main() -> None:
    """Mount, and serve until it is unmounted."""
    process.die_with_parent(signal.SIGTERM)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_mount", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("mount", type=Path)
    parser.add_argument("--pause-ms", type=float, default=1.0)
    given = parser.parse_args()
    slow = Slow(given.source.resolve(), given.pause_ms / 1e3)
    version = (mfusepy.fuse_version_major, mfusepy.fuse_version_minor)
    threads = {"max_threads": _CALLS_AT_ONCE} if version >= _BOUND_SINCE else {}
    mfusepy.FUSE(slow, str(given.mount), foreground=True, nothreads=False, subtype=_TYPE, **threads)


if __name__ == "__main__":
    main()
