"""A filesystem in memory, whose power can be cut.

    descriptor --> opening (offset, mode, locks) --> inode <-- name in a directory

What was not synced is in the page cache only. `cut` loses it: the content of files and the names in
directories separately, because POSIX lets a disk write either of them first.
tests/kernel/test_filesystem_contract.py holds it against the real filesystem.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from strongroom.clock import SystemClock

_NAME_BYTES_MAX = 255
_WHOLE_FILE = -1


@dataclass(eq=False)
class _File:
    """A file; `given_up` is set where an fsync has failed."""

    modified_s: float
    content: bytearray = field(default_factory=bytearray)
    on_disk: bytes = b""
    given_up: bool = False
    locks: dict[int, "_Opening"] = field(default_factory=dict)

    def sync(self) -> None:
        """Bring the content to the disk."""
        if not self.given_up:
            self.on_disk = bytes(self.content)

    def give_up(self) -> None:
        """Lose what is not on the disk, and say so only now."""
        self.given_up = True

    def cut(self, *, kept: bool) -> None:
        """Lose what is not on the disk."""
        if kept:
            self.on_disk = bytes(self.content)
        self.content = bytearray(self.on_disk)
        self.given_up = False
        self.locks.clear()


@dataclass(eq=False)
class _Directory:
    """A directory; `given_up` has the names that a failed fsync was to write, None for removed."""

    modified_s: float
    names: dict[str, "_Inode"] = field(default_factory=dict)
    on_disk: dict[str, "_Inode"] = field(default_factory=dict)
    given_up: dict[str, "_Inode | None"] = field(default_factory=dict)

    def sync(self) -> None:
        """Bring the names to the disk."""
        self._settle(lambda name: name not in self.given_up)

    def give_up(self) -> None:
        """Lose what is not on the disk, and say so only now."""
        self.given_up |= {name: self.names.get(name) for name in self._unsynced()}

    def cut(self, kept: Callable[[str], bool]) -> None:
        """Lose what is not on the disk."""
        self._settle(kept)
        self.names = dict(self.on_disk)
        self.given_up.clear()

    def change(self, name: str, inode: "_Inode | None", now_s: float) -> None:
        """Let a name lead to an inode, or to nothing."""
        self.modified_s = now_s
        self.given_up.pop(name, None)
        if inode is None:
            del self.names[name]
        else:
            self.names[name] = inode

    def _unsynced(self) -> list[str]:
        every = self.names.keys() | self.on_disk.keys()
        return [name for name in every if self.names.get(name) is not self.on_disk.get(name)]

    def _settle(self, kept: Callable[[str], bool]) -> None:
        for name in filter(kept, self._unsynced()):
            if name in self.names:
                self.on_disk[name] = self.names[name]
            else:
                del self.on_disk[name]


_Inode = _File | _Directory


@dataclass(eq=False)
class _Opening:
    """An open file description (open(2)): what an OFD lock belongs to."""

    inode: _Inode
    reads: bool
    writes: bool
    offset: int = 0


def _none(_name: str) -> bool:
    return False


class MemoryFilesystem:
    """A `durable.Filesystem`, empty at first. Safe under threads.

    Two openings exclude each other as those of two processes do. There are neither links nor modes,
    and no working directory: a relative name without a directory begins at the root.
    """

    def __init__(self) -> None:
        """Make the root."""
        self._mutex = threading.Lock()
        self._clock = SystemClock()
        self._root = _Directory(self._now_s())
        self._openings: dict[int, _Opening] = {}
        self._last_descriptor = 1_000
        self._fsyncs_left = -1

    # -- what no other filesystem can do -----------------------------------------------------------

    def cut(
        self, names_kept: Callable[[str], bool] = _none, *, contents_kept: bool = False
    ) -> None:
        """Cut the power: every process is gone, and what was not synced with them.

        Args:
            names_kept: Tells of a name whether its last change reached the disk all the same.
            contents_kept: Whether what was written to files reached the disk all the same.
        """
        with self._mutex:
            for inode in list(_below(self._root)):
                if isinstance(inode, _Directory):
                    inode.cut(names_kept)
                else:
                    inode.cut(kept=contents_kept)
            self._openings.clear()

    def break_fsync(self, nth: int) -> None:
        """Let the n-th fsync from now fail, 0 for the next one.

        What it was to write is lost, and no later fsync says so: the kernel has marked the pages
        clean (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
        """
        with self._mutex:
            self._fsyncs_left = nth

    def descriptors(self) -> int:
        """Return how many descriptors are open."""
        with self._mutex:
            return len(self._openings)

    # -- the port ----------------------------------------------------------------------------------

    def open_directory(self, path: str) -> int:
        """Open a directory."""
        with self._mutex:
            return self._opened(_directory(self._find(path, None), path), reads=True)

    def open(self, name: str, directory: int | None) -> int:
        """Open for reading; what is opened may be a directory, as in the kernel."""
        with self._mutex:
            return self._opened(self._find(name, directory), reads=True)

    def create(self, name: str, directory: int | None) -> int:
        """Create for writing."""
        with self._mutex:
            parent, last = self._parent(name, directory)
            if last in parent.names:
                raise _error(errno.EEXIST, name)
            return self._opened(self._added(parent, last, _File(self._now_s())), writes=True)

    def open_lock_file(self, path: str) -> int:
        """Open or create a lock file."""
        with self._mutex:
            parent, last = self._parent(path, None)
            found = parent.names.get(last)
            if isinstance(found, _Directory):
                raise _error(errno.EISDIR, path)
            inode = found or self._added(parent, last, _File(self._now_s()))
            return self._opened(inode, reads=True, writes=True)

    def read(self, descriptor: int, size: int) -> bytes:
        """Read up to `size` bytes."""
        with self._mutex:
            opening = self._opening(descriptor)
            if not opening.reads:
                raise _error(errno.EBADF)
            if isinstance(opening.inode, _Directory):
                raise _error(errno.EISDIR)
            data = bytes(opening.inode.content[opening.offset : opening.offset + size])
            opening.offset += len(data)
            return data

    def write(self, descriptor: int, data: bytes) -> int:
        """Write all of it."""
        with self._mutex:
            opening, file = self._writable(descriptor)
            end = opening.offset + len(data)
            file.content[opening.offset : end] = data
            file.modified_s = self._now_s()
            opening.offset = end
            return len(data)

    def fsync(self, descriptor: int) -> None:
        """Bring a file's content, or a directory's names, to the disk."""
        with self._mutex:
            inode = self._opening(descriptor).inode
            self._fsyncs_left -= 1
            if self._fsyncs_left == -1:
                inode.give_up()
                raise _error(errno.EIO)
            inode.sync()

    def rename(self, old: str, new: str, directory: int | None) -> None:
        """Rename over what is there."""
        with self._mutex:
            source, old_name = self._parent(old, directory)
            target, new_name = self._parent(new, directory)
            moved = _present(source.names.get(old_name), old)
            if isinstance(moved, _Directory):
                raise NotImplementedError("the system renames no directory")
            replaced = target.names.get(new_name)
            if isinstance(replaced, _Directory):
                raise _error(errno.EISDIR, new)
            if moved is not replaced:
                source.change(old_name, None, self._now_s())
                target.change(new_name, moved, self._now_s())

    def unlink(self, name: str, directory: int | None) -> None:
        """Remove a name; who has the file open keeps it."""
        with self._mutex:
            parent, last = self._parent(name, directory)
            if isinstance(_present(parent.names.get(last), name), _Directory):
                raise _error(errno.EISDIR, name)
            parent.change(last, None, self._now_s())

    def modified_s(self, path: str) -> float:
        """Return when a file was last written."""
        with self._mutex:
            return self._find(path, None).modified_s

    def make_directory(self, path: str) -> None:
        """Make one directory."""
        with self._mutex:
            parent, last = self._parent(path, None)
            if last in parent.names:
                raise _error(errno.EEXIST, path)
            self._added(parent, last, _Directory(self._now_s()))

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory."""
        with self._mutex:
            return list(_directory(self._find(path, None), path).names)

    def try_lock(self, descriptor: int, offset: int) -> bool:
        """Lock a byte for this opening."""
        with self._mutex:
            opening, file = self._writable(descriptor)
            if file.locks.get(_WHOLE_FILE, opening) is not opening:
                return False
            return file.locks.setdefault(offset, opening) is opening

    def try_lock_file(self, descriptor: int) -> bool:
        """Lock all bytes for this opening, until it is closed."""
        with self._mutex:
            opening, file = self._writable(descriptor)
            if any(holder is not opening for holder in file.locks.values()):
                return False
            file.locks[_WHOLE_FILE] = opening
            return True

    def unlock(self, descriptor: int, offset: int) -> None:
        """Give the byte back, if this opening has it."""
        with self._mutex:
            opening = self._opening(descriptor)
            if isinstance(opening.inode, _File) and opening.inode.locks.get(offset) is opening:
                del opening.inode.locks[offset]

    def close(self, descriptor: int) -> None:
        """Close a descriptor, and give back what it has locked."""
        with self._mutex:
            opening = self._opening(descriptor)
            del self._openings[descriptor]
            if isinstance(opening.inode, _File):
                locks = opening.inode.locks
                opening.inode.locks = {at: by for at, by in locks.items() if by is not opening}

    # -- inside, under the mutex -------------------------------------------------------------------

    def _now_s(self) -> float:
        return self._clock.wall_ms() / 1000

    def _opened(self, inode: _Inode, *, reads: bool = False, writes: bool = False) -> int:
        """Return a number that was never used, so that whoever uses a closed one is found out."""
        self._last_descriptor += 1
        self._openings[self._last_descriptor] = _Opening(inode, reads, writes)
        return self._last_descriptor

    def _opening(self, descriptor: int) -> _Opening:
        if descriptor not in self._openings:
            raise _error(errno.EBADF)
        return self._openings[descriptor]

    def _writable(self, descriptor: int) -> tuple[_Opening, _File]:
        opening = self._opening(descriptor)
        if not opening.writes or isinstance(opening.inode, _Directory):
            raise _error(errno.EBADF)
        return opening, opening.inode

    def _find(self, name: str, directory: int | None) -> _Inode:
        if not name.strip("/"):
            return _present(self._root if name else None, name)
        parent, last = self._parent(name, directory)
        return _present(parent.names.get(last), name)

    def _parent(self, name: str, directory: int | None) -> tuple[_Directory, str]:
        """Return the directory that the last part of a path is looked up in, and that part."""
        at: _Inode = self._root
        if directory is not None and name and not name.startswith("/"):
            at = self._opening(directory).inode
        parts = [part for part in name.split("/") if part]
        if not parts:
            raise _error(errno.EEXIST if name else errno.ENOENT, name)
        for part in parts[:-1]:
            at = _present(_directory(at, name).names.get(part), name)
        parent = _directory(at, name)
        if any(len(os.fsencode(part)) > _NAME_BYTES_MAX for part in parts):
            raise _error(errno.ENAMETOOLONG, name)
        return parent, parts[-1]

    def _added(self, parent: _Directory, name: str, inode: _Inode) -> _Inode:
        parent.change(name, inode, self._now_s())
        return inode


def _error(code: int, name: str | None = None) -> OSError:
    return OSError(code, os.strerror(code), name)


def _present(inode: _Inode | None, name: str) -> _Inode:
    if inode is None:
        raise _error(errno.ENOENT, name)
    return inode


def _directory(inode: _Inode, name: str) -> _Directory:
    if not isinstance(inode, _Directory):
        raise _error(errno.ENOTDIR, name)
    return inode


def _below(inode: _Inode) -> Iterator[_Inode]:
    """Return an inode and all below it, also by names that only the disk or only memory has."""
    yield inode
    if isinstance(inode, _Directory):
        for below in {*inode.names.values(), *inode.on_disk.values()}:
            yield from _below(below)
