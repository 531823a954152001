"""The real filesystem, which knows what it has open."""

import os

from tests.support.filesystems import UnsyncedFilesystem


class DescriptorWatch(UnsyncedFilesystem):
    """Keeps account of descriptors. Safe under threads.

    Attributes:
        in_use: Those of files and directories; none of them outlives its operation.
        lock_files: Those of lock files, which a worker keeps for as long as it lives.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.in_use: set[int] = set()
        self.lock_files: set[int] = set()

    def open_directory(self, path: str) -> int:
        """Open a directory."""
        return self._kept(super().open_directory(path))

    def open(self, name: str, directory: int | None) -> int:
        """Open for reading."""
        return self._kept(super().open(name, directory))

    def create(self, name: str, directory: int | None) -> int:
        """Create for writing."""
        return self._kept(super().create(name, directory))

    def open_lock_file(self, path: str) -> int:
        """Open or create a lock file."""
        descriptor = super().open_lock_file(path)
        self.lock_files.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        """Close; from here on the number may be another thread's."""
        self.in_use.discard(descriptor)
        self.lock_files.discard(descriptor)
        super().close(descriptor)

    def close_lock_files(self) -> None:
        """Do what the death of the workers would do."""
        while self.lock_files:
            os.close(self.lock_files.pop())

    def _kept(self, descriptor: int) -> int:
        self.in_use.add(descriptor)
        return descriptor
