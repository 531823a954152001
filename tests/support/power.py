"""A filesystem whose power can be cut: what was not synced is lost.

It sits on the real filesystem and remembers what a disk may still hold only in its cache: a rename
until its directory is synced, a file's content until the file is. `cut` undoes the renames and
empties the files, which is the worst that POSIX allows.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from strongroom.durable import LocalFilesystem


@dataclass
class Disk:
    """What is not on the disk yet, shared by every worker of one machine."""

    renamed: dict[str, dict[str, bytes | None]] = field(default_factory=dict)
    unsynced: set[int] = field(default_factory=set)

    def cut(self) -> None:
        """Lose everything that was not synced."""
        for directory, targets in self.renamed.items():
            for name, before in targets.items():
                path = Path(directory, name)
                if before is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(before)
        for root in {str(Path(directory)) for directory in self.renamed}:
            for path in Path(root).iterdir():
                if path.is_file() and path.stat().st_ino in self.unsynced:
                    path.write_bytes(b"")
        self.renamed.clear()
        self.unsynced.clear()


class CuttableFilesystem(LocalFilesystem):
    """The real filesystem, with a note of everything that a power cut would undo."""

    def __init__(self, disk: Disk) -> None:
        """Take the disk."""
        self._disk = disk

    def create(self, name: str, directory: int | None) -> int:
        """Create a file whose content is not on the disk."""
        descriptor = super().create(name, directory)
        self._disk.unsynced.add(os.fstat(descriptor).st_ino)
        self._disk.renamed.setdefault(_path(directory), {})
        return descriptor

    def fsync(self, descriptor: int) -> None:
        """Bring a file's content, or a directory's names, to the disk."""
        super().fsync(descriptor)
        self._disk.unsynced.discard(os.fstat(descriptor).st_ino)
        path = _path(descriptor)
        if path in self._disk.renamed:
            self._disk.renamed[path] = {}

    def rename(self, old: str, new: str, directory: int | None) -> None:
        """Rename, and remember what the name led to on the disk."""
        where = _path(directory)
        target = Path(where, new)
        before = target.read_bytes() if target.exists() else None
        if target.exists() and target.stat().st_ino in self._disk.unsynced:
            before = b""
        super().rename(old, new, directory)
        self._disk.renamed.setdefault(where, {}).setdefault(new, before)


def _path(descriptor: int | None) -> str:
    return "" if descriptor is None else str(Path(f"/proc/self/fd/{descriptor}").readlink())
