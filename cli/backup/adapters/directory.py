"""Backups in a directory: one file per object.

Whoever can write there may have put a symbolic link, a pipe or a directory in an object's place; no
name is followed out of the directory, neither on reading nor on writing.
"""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from strongroom import durable, limits
from strongroom.clock import Clock, SystemClock
from strongroom.durable import Filesystem, LocalFilesystem
from strongroom.errors import IntegrityError, UnavailableError
from strongroom.layout import TEMPORARY_PREFIX

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE: Final = 0o700


class DirectoryStore:
    """The `Store` of a directory."""

    def __init__(
        self, root: Path, filesystem: Filesystem | None = None, clock: Clock | None = None
    ) -> None:
        """Take the directory; it is made with the first object."""
        self._root = root
        self._filesystem = filesystem or LocalFilesystem()
        self._clock = clock or SystemClock()
        self._swept: set[str] = set()
        self._lock = threading.Lock()
        self._unsettled: set[str] = set()

    def read(self, name: str, size_max: int) -> bytes | None:
        """Read a file that is one."""
        folder, _, last = name.rpartition("/")
        with self._refusals(name):
            try:
                with self._opened(folder) as directory:
                    return self._read(last, directory, size_max)
            except FileNotFoundError:
                return None

    def has(self, name: str, size: int) -> bool:
        """Ask for the size of a file."""
        folder, _, last = name.rpartition("/")
        with self._refusals(name):
            try:
                with self._opened(folder) as directory:
                    found = os.stat(last, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                return False
            return stat.S_ISREG(found.st_mode) and found.st_size == size

    def write(self, name: str, data: bytes) -> None:
        """Write beside it, sync, rename."""
        folder, _, last = name.rpartition("/")
        with self._refusals(name), self._opened(folder, make=True) as directory:
            self._sweep(folder, directory)
            temporary = durable.stage(self._filesystem, directory, data, is_durable=True)
            try:
                self._filesystem.rename(temporary, last, directory)
            except BaseException:
                durable.discard(self._filesystem, directory, temporary)
                raise
        with self._lock:
            self._unsettled.add(folder)

    def remove(self, name: str) -> None:
        """Unlink a file; a directory in its place is refused."""
        folder, _, last = name.rpartition("/")
        with self._refusals(name):
            try:
                with self._opened(folder) as directory:
                    self._filesystem.unlink(last, directory)
            except FileNotFoundError:
                return
        with self._lock:
            self._unsettled.add(folder)

    def settle(self) -> None:
        """Sync the directories that were written in, and those above them."""
        with self._lock:
            folders, self._unsettled = self._unsettled, set()
        above = {folder.rpartition("/")[0] for folder in folders if "/" in folder}
        for folder in sorted(folders | above | {""}):
            with self._refusals(folder), self._opened(folder) as directory:
                durable.sync(self._filesystem, directory)
        with self._refusals(""):
            durable.sync_directory(self._filesystem, str(self._root.absolute().parent))

    def names(self, folder: str) -> Iterator[str]:
        """List a directory."""
        with self._refusals(folder):
            try:
                with self._opened(folder) as directory:
                    found = os.listdir(directory)  # noqa: PTH208 - of a descriptor
            except FileNotFoundError:
                found = []
        yield from (name for name in found if not name.startswith(TEMPORARY_PREFIX))

    def _sweep(self, folder: str, directory: int) -> None:
        """Remove what killed backups have left in a directory, once in the life of a process."""
        with self._lock:
            if folder in self._swept:
                return
            self._swept.add(folder)
        before_s = self._clock.wall_ms() / 1000 - limits.TEMPORARY_FILE_SECONDS_MAX
        for name in os.listdir(directory):
            if name.startswith(TEMPORARY_PREFIX):
                # Another backup may be at it too.
                with suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    if found.st_mtime < before_s:
                        self._filesystem.unlink(name, directory)

    def _read(self, name: str, directory: int, size_max: int) -> bytes:
        with durable.opened(self._filesystem, self._filesystem.open(name, directory)) as file:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise IntegrityError(f"{name} in the backup is no plain file")
            raw = self._filesystem.read(file, size_max + 1)
            while len(raw) <= size_max and (more := self._filesystem.read(file, size_max + 1)):
                raw += more
        if len(raw) > size_max:
            raise IntegrityError(f"{name} in the backup is larger than what belongs there")
        return raw

    @contextmanager
    def _opened(self, folder: str, *, make: bool = False) -> Iterator[int]:
        if make:
            self._root.mkdir(_PRIVATE, parents=True, exist_ok=True)
        # The directory itself is the operator's to name, a link too.
        descriptor = os.open(self._root, _DIRECTORY & ~os.O_NOFOLLOW)
        try:
            for part in filter(None, folder.split("/")):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, _PRIVATE, dir_fd=descriptor)
                above, descriptor = descriptor, os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(above)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _refusals(self, name: str) -> Iterator[None]:
        """Translate what the kernel says; a missing file is for the caller."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            where = self._root / name
            raise UnavailableError(f"{where}: {error.strerror or error}") from error
