"""One entity's two files under its lock: the commit of design.md section 3.

The order is: both temporary files, fsync of the blob's, one more look at what lies there, rename of
the blob (the commit point), fsync of the directory, rename of the sidecar. So a crash can leave a
sidecar behind its blob, never ahead of it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from processing_fn.service.ports import Overlap
from strongroom import blob, durable, limits, tracing
from strongroom.clock import Clock
from strongroom.diskerrors import translated
from strongroom.errors import (
    BusyError,
    IntegrityError,
    OutcomeUnknownError,
    UnavailableError,
)
from strongroom.layout import blob_name, sidecar_name

BLOB_BYTES_MAX: Final = limits.MESSAGE_BYTES_MAX + limits.HEADER_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Parts:
    """What transactions of one storage have in common.

    Attributes:
        filesystem: Where.
        clock: What the time under the lock is measured by.
        overlap: Does two calls at once, where that is worth it.
        out_of_service: Called when a write's outcome is unknown.
    """

    filesystem: durable.Filesystem
    clock: Clock
    overlap: Overlap
    out_of_service: Callable[[], None]

    @contextmanager
    def disk(self) -> Iterator[None]:
        """Translate what the kernel says; a path of the server is not for clients.

        After a failed fsync this process cannot tell any more what is on the disk.
        """
        try:
            yield
        except OSError as error:
            if isinstance(error, durable.SyncFailedError):
                self.out_of_service()
            raise translated(error) from error


class FileTransaction:
    """One entity's two files, under its lock."""

    def __init__(self, parts: Parts, file_id: bytes, directory: int, locked_at_s: float) -> None:
        """Take the open directory and the boot time at which the lock was had."""
        self._filesystem = parts.filesystem
        self._clock = parts.clock
        self._overlap = parts.overlap
        self._out_of_service = parts.out_of_service
        self._file_id = file_id
        self._directory = directory
        self._locked_at_s = locked_at_s
        self._raw: bytes | None = None
        self._sidecar: bytes | None = None

    def stored_sidecar(self) -> bytes | None:
        """Return what `current` has read."""
        return self._sidecar

    @tracing.spanned("read")
    def current(self) -> blob.Parsed | None:
        """Read both files."""
        self._sidecar, self._raw = self._overlap.both(
            lambda: self._read(sidecar_name(self._file_id)),
            lambda: self._read(blob_name(self._file_id)),
        )
        if self._raw is None:
            if self._sidecar is not None:
                raise IntegrityError("the entity's blob is missing")
            return None
        parsed = blob.parse(self._raw)
        ahead = blob.sidecar_version(self._sidecar) if self._sidecar is not None else None
        if ahead is not None and ahead > parsed.header.version:
            raise IntegrityError("the entity's blob is older than its sidecar")
        return parsed

    @tracing.spanned("commit")
    def commit(self, raw: bytes, guard: Callable[[], None]) -> bytes:
        """Replace the blob, then the sidecar."""
        sidecar = blob.sidecar(blob.parse(raw))
        blob_temporary, sidecar_temporary = self._stage_both(raw, sidecar)
        try:
            self._check_unchanged()
            self._check_time()
            guard()
        except BaseException:
            self._discard(blob_temporary, sidecar_temporary)
            raise
        self._publish(blob_temporary, sidecar_temporary)
        return sidecar

    def remove(self) -> None:
        """Unlink the sidecar, durably, and then the blob: a sidecar alone would be damage."""
        self._check_unchanged()
        self._check_time()
        for name in (sidecar_name(self._file_id), blob_name(self._file_id)):
            with suppress(FileNotFoundError):
                self._filesystem.unlink(name, self._directory)
            durable.sync(self._filesystem, self._directory)

    def renew_sidecar(self, sidecar: bytes) -> None:
        """Make blob and directory durable, then the sidecar follow the blob."""
        blob_file = self._filesystem.open(blob_name(self._file_id), self._directory)
        with durable.opened(self._filesystem, blob_file):
            durable.sync(self._filesystem, blob_file)
        durable.sync(self._filesystem, self._directory)
        temporary = self._stage(sidecar, is_durable=False)
        try:
            self._check_unchanged()
            self._check_time()
            self._filesystem.rename(temporary, sidecar_name(self._file_id), self._directory)
        except BaseException:
            self._discard(temporary)
            raise

    def _publish(self, blob_temporary: str, sidecar_temporary: str) -> None:
        try:
            self._filesystem.rename(blob_temporary, blob_name(self._file_id), self._directory)
            durable.sync(self._filesystem, self._directory)
            self._filesystem.rename(sidecar_temporary, sidecar_name(self._file_id), self._directory)
        except OSError as error:
            self._discard(blob_temporary, sidecar_temporary)
            self._out_of_service()
            raise OutcomeUnknownError(
                "the write may or may not have taken place; read the entity to find out"
            ) from error

    def _check_unchanged(self) -> None:
        """Compare with what lies there once more: the lock may have been lost and given away."""
        if self._read(blob_name(self._file_id)) != self._raw:
            raise BusyError("another worker has written meanwhile", retry_after_s=1)

    def _check_time(self) -> None:
        held_s = self._clock.boot_s() - self._locked_at_s
        if held_s > limits.LOCK_HELD_SECONDS_MAX:
            raise UnavailableError("the entity's lock was held for too long", retry_after_s=1)

    def _stage_both(self, raw: bytes, sidecar: bytes) -> tuple[str, str]:
        """Write both temporary files; where one fails, neither stays."""
        written: list[str] = []

        def stage(data: bytes, *, is_durable: bool) -> str:
            written.append(self._stage(data, is_durable=is_durable))
            return written[-1]

        try:
            return self._overlap.both(
                lambda: stage(raw, is_durable=True), lambda: stage(sidecar, is_durable=False)
            )
        except BaseException:
            self._discard(*written)
            raise

    def _discard(self, *temporaries: str) -> None:
        for name in temporaries:
            durable.discard(self._filesystem, self._directory, name)

    def _stage(self, data: bytes, *, is_durable: bool) -> str:
        return durable.stage(self._filesystem, self._directory, data, is_durable=is_durable)

    def _read(self, name: str) -> bytes | None:
        return durable.read_file(self._filesystem, name, BLOB_BYTES_MAX, self._directory)
