"""Files that survive a power cut: the one helper that writes, renames and syncs them.

A file is replaced by: writing a temporary file beside it, fsync of that, rename over the target,
fsync of the directory. Nothing else in the system renames. A failed fsync is never retried: after
it the page cache may claim what the disk does not hold (design.md section 3, "Commit").

`Filesystem` is the port below, so that a test can count the calls or make one fail.
"""

import errno
import fcntl
import os
import secrets
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from strongroom import tracing
from strongroom.layout import TEMPORARY_PREFIX

_PRIVATE_FILE: Final = 0o600
_PRIVATE_DIRECTORY: Final = 0o700
_LEVELS_OF_CONTROL: Final = 2
_FOR_READING: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_READ_CHUNK_BYTES: Final = 64 * 1024
# struct flock with 64-bit offsets on Linux: type, whence, start, length, pid (0 for OFD locks).
_FLOCK: Final = struct.Struct("hhqqi4x")


class Filesystem(Protocol):
    """The filesystem calls that the system makes; each raises OSError as the kernel says."""

    def open_directory(self, path: str) -> int:
        """Open a directory, to look names up in it and to sync it."""
        ...

    def open(self, name: str, directory: int | None) -> int:
        """Open a file for reading; a relative name is looked up in `directory`."""
        ...

    def create(self, name: str, directory: int | None) -> int:
        """Create a file that must not be there, for writing, mode 0600."""
        ...

    def open_lock_file(self, path: str) -> int:
        """Open a lock file for reading and writing; create it when it is not there."""
        ...

    def read(self, descriptor: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file."""
        ...

    def write(self, descriptor: int, data: bytes) -> int:
        """Write; the answer is how many bytes went out."""
        ...

    def fsync(self, descriptor: int) -> None:
        """Force a file or a directory to the disk."""
        ...

    def rename(self, old: str, new: str, directory: int | None) -> None:
        """Rename within a directory, over what is there."""
        ...

    def unlink(self, name: str, directory: int | None) -> None:
        """Remove a name."""
        ...

    def modified_s(self, path: str) -> float:
        """Return when a file was last written, seconds since 1970."""
        ...

    def make_directory(self, path: str) -> None:
        """Make one directory, mode 0700."""
        ...

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory."""
        ...

    def try_lock(self, descriptor: int, offset: int) -> bool:
        """Lock one byte for this open file description; False when another one holds it."""
        ...

    def unlock(self, descriptor: int, offset: int) -> None:
        """Give the byte back."""
        ...

    def try_lock_file(self, descriptor: int) -> bool:
        """Lock every byte at once, until the descriptor is closed; False as `try_lock`."""
        ...

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        ...


class LocalFilesystem:
    """The operating system's own calls."""

    def open_directory(self, path: str) -> int:
        """Open a directory."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, name: str, directory: int | None) -> int:
        """Open for reading; a symbolic link is refused (ELOOP), a pipe is not waited for."""
        if directory is None:
            return os.open(name, _FOR_READING)
        return os.open(name, _FOR_READING, dir_fd=directory)

    def create(self, name: str, directory: int | None) -> int:
        """Create for writing."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(name, flags, _PRIVATE_FILE, dir_fd=directory)

    def open_lock_file(self, path: str) -> int:
        """Open or create a lock file."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)

    def read(self, descriptor: int, size: int) -> bytes:
        """Read up to `size` bytes."""
        return os.read(descriptor, size)

    def write(self, descriptor: int, data: bytes) -> int:
        """Write."""
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Force to the disk."""
        os.fsync(descriptor)

    def rename(self, old: str, new: str, directory: int | None) -> None:
        """Rename over what is there."""
        os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)

    def unlink(self, name: str, directory: int | None) -> None:
        """Remove a name."""
        os.unlink(name, dir_fd=directory)

    def modified_s(self, path: str) -> float:
        """Return when a file was last written."""
        return os.stat(path, follow_symlinks=False).st_mtime

    def make_directory(self, path: str) -> None:
        """Make one directory."""
        os.mkdir(path, _PRIVATE_DIRECTORY)

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory."""
        return os.listdir(path)

    def try_lock(self, descriptor: int, offset: int) -> bool:
        """Take an open file description lock (fcntl(2), F_OFD_SETLK) on one byte."""
        return _try_lock(descriptor, offset, 1)

    def try_lock_file(self, descriptor: int) -> bool:
        """Take one on all bytes; a length of 0 reaches to the end, however far that is."""
        return _try_lock(descriptor, 0, 0)

    def unlock(self, descriptor: int, offset: int) -> None:
        """Give the byte back."""
        request = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, offset, 1, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)


def _try_lock(descriptor: int, offset: int, length: int) -> bool:
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, length, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


class SyncFailedError(OSError):
    """An fsync failed: what the page cache shows from now on may not be on the disk."""


@tracing.spanned("fsync")
def sync(filesystem: Filesystem, descriptor: int) -> None:
    """Force a file or a directory to the disk.

    Raises:
        SyncFailedError: It failed. It must not be tried again: a second one would succeed without
            having written anything.
    """
    try:
        filesystem.fsync(descriptor)
    except OSError as error:
        raise SyncFailedError(error.errno, error.strerror) from error


@contextmanager
def opened(filesystem: Filesystem, descriptor: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield descriptor
    finally:
        filesystem.close(descriptor)


def read_all(filesystem: Filesystem, descriptor: int, size_max: int) -> bytes:
    """Return a file's content, at most `size_max` bytes.

    One call for a small file: what comes back shorter than asked for was the end.

    Raises:
        OSError: EFBIG for a longer file, or what the kernel says.
    """
    return _read_on(
        filesystem, descriptor, size_max, filesystem.read(descriptor, _READ_CHUNK_BYTES)
    )


def _read_on(filesystem: Filesystem, descriptor: int, size_max: int, chunk: bytes) -> bytes:
    """Return what `read_all` does, of which the first chunk is read."""
    if len(chunk) < _READ_CHUNK_BYTES and len(chunk) <= size_max:
        return chunk
    chunks, total = [chunk], len(chunk)
    while chunk and total <= size_max and total >= _READ_CHUNK_BYTES:
        chunk = filesystem.read(descriptor, 4 * _READ_CHUNK_BYTES)
        chunks.append(chunk)
        total += len(chunk)
    if total > size_max:
        raise OSError(errno.EFBIG, "larger than any file of its kind")
    return b"".join(chunks)


def read_file(
    filesystem: Filesystem, name: str, size_max: int, directory: int | None = None
) -> bytes | None:
    """Return a file's content, or None when there is no such file; raises OSError."""
    try:
        descriptor = filesystem.open(name, directory)
    except FileNotFoundError:
        return None
    # As `opened`, written out: every entity that is read comes through here twice.
    try:
        chunk = filesystem.read(descriptor, _READ_CHUNK_BYTES)
        if len(chunk) < _READ_CHUNK_BYTES and len(chunk) <= size_max:
            return chunk
        return _read_on(filesystem, descriptor, size_max, chunk)
    finally:
        filesystem.close(descriptor)


def stage(filesystem: Filesystem, directory: int | None, data: bytes, *, is_durable: bool) -> str:
    """Write a temporary file and return its name, to be published by a rename.

    Raises:
        OSError: Nothing stays behind.
    """
    name = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    descriptor = filesystem.create(name, directory)
    try:
        with opened(filesystem, descriptor):
            view = data
            while view:
                view = view[filesystem.write(descriptor, view) :]
            if is_durable:
                sync(filesystem, descriptor)
    except BaseException:
        discard(filesystem, directory, name)
        raise
    return name


def discard(filesystem: Filesystem, directory: int | None, name: str) -> None:
    """Remove a temporary file, if it can be; what stays is swept later."""
    try:
        filesystem.unlink(name, directory)
    except OSError:
        return


def abandoned(
    filesystem: Filesystem, directory: str, names: Iterable[str], before_s: float
) -> list[str]:
    """Return the temporary files that a crash has left.

    Args:
        filesystem: Where.
        directory: Which directory.
        names: What lies in it.
        before_s: Those last written before this instant, seconds since 1970.

    Raises:
        OSError: As the kernel says.
    """
    left = []
    for name in names:
        if name.startswith(TEMPORARY_PREFIX):
            with suppress(FileNotFoundError):
                if filesystem.modified_s(f"{directory}/{name}") < before_s:
                    left.append(name)
    return left


def sweep(filesystem: Filesystem, directory: str, before_s: float) -> list[str]:
    """Remove what is `abandoned` in a directory; return the names.

    Raises:
        OSError: The directory cannot be listed.
    """
    removed = []
    for name in abandoned(filesystem, directory, filesystem.list_directory(directory), before_s):
        with suppress(FileNotFoundError):
            filesystem.unlink(f"{directory}/{name}", None)
            removed.append(name)
    return removed


def replace_file(
    filesystem: Filesystem, path: Path, data: bytes, *, is_durable: bool = True
) -> None:
    """Replace a file, or make it, in one step that a crash cannot halve.

    Args:
        filesystem: Where.
        path: The target; its directory is made when it is missing.
        data: The new content.
        is_durable: Whether it has to survive a power cut. Only what is rebuilt anyway does without.

    Raises:
        OSError: As the kernel says. Before the rename the old file stays.
    """
    with opened(filesystem, open_or_make_directory(filesystem, str(path.parent))) as directory:
        if is_durable:
            # Whoever made the directory may have died before its own name was durable.
            sync_parents(filesystem, str(path.parent), _LEVELS_OF_CONTROL)
        temporary = stage(filesystem, directory, data, is_durable=is_durable)
        try:
            filesystem.rename(temporary, path.name, directory)
        except BaseException:
            discard(filesystem, directory, temporary)
            raise
        if is_durable:
            sync(filesystem, directory)


def sync_file(filesystem: Filesystem, path: Path) -> None:
    """Make a file and its name durable that somebody else has put in its place; raises OSError."""
    with opened(filesystem, filesystem.open(str(path), None)) as descriptor:
        sync(filesystem, descriptor)
    sync_directory(filesystem, str(path.parent))


def remove_file(filesystem: Filesystem, path: Path) -> bool:
    """Remove a file durably; False when it is not there. Raises OSError."""
    try:
        with opened(filesystem, filesystem.open_directory(str(path.parent))) as directory:
            filesystem.unlink(path.name, directory)
            sync(filesystem, directory)
    except FileNotFoundError:
        return False
    return True


def sync_directory(filesystem: Filesystem, path: str) -> None:
    """Make the names in a directory durable; raises OSError."""
    with opened(filesystem, filesystem.open_directory(path)) as descriptor:
        sync(filesystem, descriptor)


def sync_parents(filesystem: Filesystem, path: str, levels: int) -> None:
    """Make a directory's own name durable, and those of the directories above it; raises OSError.

    Another process may have made it a moment ago and not have come to that.
    """
    for above in list(Path(path).parents)[:levels]:
        sync_directory(filesystem, str(above))


def open_or_make_directory(filesystem: Filesystem, path: str) -> int:
    """Open a directory; make it durably, with its parents, when it is missing."""
    try:
        return filesystem.open_directory(path)
    except FileNotFoundError:
        parent = str(Path(path).parent)
        with opened(filesystem, open_or_make_directory(filesystem, parent)) as above:
            with suppress(FileExistsError):
                filesystem.make_directory(path)
            sync(filesystem, above)
        return filesystem.open_directory(path)
