"""The segments of the audit log, as files."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strongroom import durable, limits
from strongroom.diskerrors import translated
from strongroom.durable import Filesystem

# A block may still be appended when the segment has almost come to its bound.
_BYTES_MAX = limits.AUDIT_SEGMENT_BYTES_MAX + limits.AUDIT_BLOCK_BYTES_MAX
_LEVELS = 2


class AuditFiles:
    """The `AuditSegments` of a directory: control/audit/, or a copy of it."""

    def __init__(self, filesystem: Filesystem, directory: Path) -> None:
        """Take it."""
        self._filesystem = filesystem
        self._directory = str(directory)

    def names(self) -> list[str]:
        """List the directory."""
        with _disk():
            try:
                return self._filesystem.list_directory(self._directory)
            except FileNotFoundError:
                return []

    def read(self, name: str) -> bytes | None:
        """Read a file."""
        with _disk():
            return durable.read_file(self._filesystem, f"{self._directory}/{name}", _BYTES_MAX)

    def settled(self, name: str) -> bytes | None:
        """Read a file, then sync it: what is appended between the two is synced for nothing."""
        with _disk():
            try:
                descriptor = self._filesystem.open(f"{self._directory}/{name}", None)
            except FileNotFoundError:
                return None
            with durable.opened(self._filesystem, descriptor):
                raw = durable.read_all(self._filesystem, descriptor, _BYTES_MAX)
                durable.sync(self._filesystem, descriptor)
        return raw

    def create(self, name: str, data: bytes) -> "AppendedFile":
        """Create a file, write, sync it and the directory."""
        with _disk():
            path = durable.open_or_make_directory(self._filesystem, self._directory)
            with durable.opened(self._filesystem, path) as directory:
                durable.sync_parents(self._filesystem, self._directory, _LEVELS)
                descriptor = self._filesystem.create(name, directory)
                made = AppendedFile(self._filesystem, descriptor)
                try:
                    made.append(data, is_durable=True)
                    durable.sync(self._filesystem, directory)
                except BaseException:
                    made.close()
                    durable.discard(self._filesystem, directory, name)
                    raise
        return made

    def remove(self, name: str) -> None:
        """Remove a file."""
        with _disk(), suppress(FileNotFoundError):
            path = self._filesystem.open_directory(self._directory)
            with durable.opened(self._filesystem, path) as directory:
                self._filesystem.unlink(name, directory)
                durable.sync(self._filesystem, directory)


class AppendedFile:
    """An `OpenSegment`."""

    def __init__(self, filesystem: Filesystem, descriptor: int) -> None:
        """Take a file that was created."""
        self._filesystem = filesystem
        self._descriptor = descriptor

    def append(self, data: bytes, *, is_durable: bool) -> None:
        """Write, and sync."""
        with _disk():
            while data:
                data = data[self._filesystem.write(self._descriptor, data) :]
            if is_durable:
                durable.sync(self._filesystem, self._descriptor)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._filesystem.close(self._descriptor)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translated(error) from error
