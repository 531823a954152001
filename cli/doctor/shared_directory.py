"""What a deployment relies on in its shared directory, tried out in a folder that goes again."""

import os
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from cli.doctor import mounts
from cli.doctor.findings import Finding, failure, ok, warning
from strongroom import durable, filelock, jsontext, limits
from strongroom.clock import Clock
from strongroom.durable import Filesystem
from strongroom.ids import new_id
from strongroom.layout import TEMPORARY_PREFIX

_HELD, _FREE = 7, 8
_CHILD_S: Final = 20.0
_FSYNCS: Final = 5
_FSYNC_SLOW_S: Final = 0.1
_FSYNC_FAST_S: Final = 20e-6
_RENAMES: Final = 100
_FREE_BYTES: Final = 1024**3
_FREE_BYTES_LEAST: Final = 64 * 1024**2
_FREE_INODES: Final = 100_000
_FREE_INODES_LEAST: Final = 1_000
_MIB: Final = 1024**2


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """Make a folder in the shared directory, and remove it with all that is in it.

    Raises:
        OSError: It cannot be made.
    """
    made = root / f"{TEMPORARY_PREFIX}doctor-{new_id()}"
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def mount(root: Path) -> Iterator[Finding]:
    """Judge what the directory is mounted from."""
    listed = Path("/proc/self/mountinfo").read_text(errors="replace")
    yield from mounts.judged(mounts.mount_of(PurePosixPath(root.resolve()), listed))


def locks(filesystem: Filesystem, folder: Path) -> Iterator[Finding]:
    """Tell whether a lock keeps out another process, that one alone, and not after its end."""
    path = folder / "lock"
    with durable.opened(filesystem, filelock.open_file(filesystem, path)) as descriptor:
        if not filesystem.try_lock(descriptor, _HELD):
            yield failure("locks", "a lock that nobody holds is refused", _OTHER_MOUNT)
            return
        held, free = _child(path, _HELD, _FREE)
        filesystem.unlock(descriptor, _HELD)
        (released,) = _child(path, _HELD)
        after_its_end = filesystem.try_lock(descriptor, _HELD)
    if held:
        yield failure("locks", "two processes hold the same lock at once", _OTHER_MOUNT)
    elif not (free and released and after_its_end):
        yield failure("locks", "a lock that was given back, or of others, is refused", _OTHER_MOUNT)
    else:
        yield ok("locks", "exclusive across processes on this machine, and given back at their end")


_OTHER_MOUNT: Final = (
    "do not run a deployment here: take a local disk or NFS 4.1 without `nolock` and `local_lock`"
)


def _child(path: Path, *offsets: int) -> list[bool]:
    # -P: what lies in the current directory is none of ours.
    command = [sys.executable, "-P", "-m", "cli.doctor.lock_child", str(path), *map(str, offsets)]
    try:
        ended = subprocess.run(  # noqa: S603 - a module of this package
            command, capture_output=True, timeout=_CHILD_S, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"a process that asks for a lock hangs for {_CHILD_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise OSError(f"a process cannot ask for a lock: {said}") from error
    got: list[bool] = jsontext.parse(ended.stdout)
    return got


def fsync(filesystem: Filesystem, clock: Clock, folder: Path) -> Iterator[Finding]:
    """Sync files and their folder; tell how long that takes, and whether it can be true."""
    of_files, of_folders = [], []
    with durable.opened(filesystem, filesystem.open_directory(str(folder))) as directory:
        for number in range(_FSYNCS):
            with durable.opened(filesystem, filesystem.create(f"f{number}", directory)) as file:
                filesystem.write(file, bytes(4096))
                of_files.append(_synced_s(filesystem, clock, file))
            of_folders.append(_synced_s(filesystem, clock, directory))
    file_s, folder_s = statistics.median(of_files), statistics.median(of_folders)
    told = f"a file {file_s * 1e3:.2f} ms, a directory {folder_s * 1e3:.2f} ms"
    if "eatmydata" in os.environ.get("LD_PRELOAD", ""):
        yield failure("fsync", "libeatmydata switches it off", "run without that in LD_PRELOAD")
    elif file_s < _FSYNC_FAST_S:
        yield warning(
            "fsync",
            f"{told}: faster than a disk answers",
            "make sure that what was synced outlives a power cut: no write cache without a battery",
        )
    elif file_s + folder_s > _FSYNC_SLOW_S:
        yield warning("fsync", f"{told}: every write waits for both", "take a faster disk")
    else:
        yield ok("fsync", told)


def _synced_s(filesystem: Filesystem, clock: Clock, descriptor: int) -> float:
    began_s = clock.boot_s()
    durable.sync(filesystem, descriptor)
    return clock.boot_s() - began_s


def rename(filesystem: Filesystem, folder: Path) -> Iterator[Finding]:
    """Rename over a file again and again, and tell whether a reader ever sees anything else."""
    path, contents = folder / "renamed", (b"a" * 4096, b"b" * 4096)
    durable.replace_file(filesystem, path, contents[0])
    stopping, wrong = threading.Event(), threading.Event()

    def read() -> None:
        while not stopping.is_set():
            try:
                whole = durable.read_file(filesystem, str(path), len(contents[0])) in contents
            except OSError:
                whole = False
            if not whole:
                wrong.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(_RENAMES):
            durable.replace_file(filesystem, path, contents[number % 2], is_durable=False)
    finally:
        stopping.set()
        reader.join()
    if wrong.is_set() or durable.read_file(filesystem, str(path), 4096) != contents[1]:
        yield failure("rename", "a reader sees no file, or half of one", _OTHER_MOUNT)
    else:
        yield ok("rename", f"{_RENAMES} times over a file that was read meanwhile: always whole")


def file_clock(filesystem: Filesystem, clock: Clock, folder: Path) -> Iterator[Finding]:
    """Compare the time that a file is given with the machine's."""
    path = folder / "time"
    began_ms = clock.wall_ms()
    durable.replace_file(filesystem, path, b"", is_durable=False)
    written_ms, ended_ms = round(filesystem.modified_s(str(path)) * 1000), clock.wall_ms()
    apart_ms = max(began_ms - written_ms, written_ms - ended_ms, 0)
    told = f"files are given a time that is {apart_ms} ms apart from this machine's"
    if apart_ms > limits.CLOCK_SKEW_MS_MAX:
        yield warning("clock of files", told, "synchronize the file server's clock and this one")
    else:
        yield ok("clock of files", told)


def space(root: Path) -> Iterator[Finding]:
    """Tell how much room there is."""
    found = os.statvfs(root)
    yield room_judged(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


def room_judged(free_bytes: int, free_inodes: int | None) -> Finding:
    """Judge room for bytes and files; None where a filesystem does not count its inodes."""
    inodes = "inodes as needed" if free_inodes is None else f"{free_inodes:,} inodes"
    told = f"{free_bytes // _MIB:,} MiB and {inodes} free"
    files = _FREE_INODES if free_inodes is None else free_inodes
    advice = "make room: a full disk refuses writes; an entity takes two files"
    if free_bytes < _FREE_BYTES_LEAST or files < _FREE_INODES_LEAST:
        return failure("space", told, advice)
    if free_bytes < _FREE_BYTES or files < _FREE_INODES:
        return warning("space", told, advice)
    return ok("space", told)
