"""One shared directory on each of the filesystems that a contract runs on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom import durable
from strongroom.durable import Filesystem, LocalFilesystem
from tests.support.filesystems import CountingFilesystem, FailingFilesystem, UnsyncedFilesystem
from tests.support.memory_filesystem import MemoryFilesystem

FILESYSTEMS: Final = ("real", "memory", "counting", "failing")
_SIZE_MAX: Final = 1_000_000


@dataclass(frozen=True)
class SharedDirectory:
    """A directory, and the filesystem that it is on."""

    filesystem: Filesystem
    root: Path

    def write(self, path: Path, data: bytes) -> None:
        """Put a file there, durably."""
        durable.replace_file(self.filesystem, path, data)

    def read(self, path: Path) -> bytes | None:
        """Return a file's content, None where there is none."""
        return durable.read_file(self.filesystem, str(path), _SIZE_MAX)

    def remove(self, path: Path) -> None:
        """Remove a file that is there, durably."""
        assert durable.remove_file(self.filesystem, path)

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory, none where there is no such directory."""
        try:
            return sorted(self.filesystem.list_directory(str(path)))
        except FileNotFoundError:
            return []

    def descriptors(self) -> int:
        """Return how many descriptors are open: in memory, or in this process."""
        if isinstance(self.filesystem, MemoryFilesystem):
            return self.filesystem.descriptors()
        return len(LocalFilesystem().list_directory("/proc/self/fd"))


def shared_directory(kind: str, path: Path) -> SharedDirectory:
    """Return an empty directory on one of `FILESYSTEMS`, or on "unsynced".

    What is not in memory lies at `path`.
    """
    if kind == "memory":
        memory = MemoryFilesystem()
        root = Path("/shared")
        memory.close(durable.open_or_make_directory(memory, str(root)))
        return SharedDirectory(memory, root)
    kinds: dict[str, Filesystem] = {
        "real": LocalFilesystem(),
        "counting": CountingFilesystem(),
        "failing": FailingFilesystem(),
        "unsynced": UnsyncedFilesystem(),
    }
    return SharedDirectory(kinds[kind], path)
