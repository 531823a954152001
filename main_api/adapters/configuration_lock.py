"""The lock of whoever changes what all share: templates, databases, clients, the keyring."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from strongroom import durable, filelock, limits
from strongroom.clock import Clock
from strongroom.errors import BusyError, UnavailableError
from strongroom.layout import Layout


class ConfigurationLock:
    """One lock of one shared directory, between threads and between processes."""

    def __init__(self, filesystem: durable.Filesystem, layout: Layout, clock: Clock) -> None:
        """Open nothing yet."""
        self._filesystem = filesystem
        self._path = layout.configuration_lock()
        self._clock = clock

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold it; it is not reentrant.

        Every holder opens the file anew, so that two threads exclude each other too.

        Raises:
            BusyError: Others hold it for longer than `limits.LOCK_WAIT_SECONDS`.
            UnavailableError: The disk refuses.
        """
        until_s = self._clock.boot_s() + limits.LOCK_WAIT_SECONDS
        try:
            descriptor = filelock.open_file(self._filesystem, self._path)
        except OSError as error:
            raise _refused() from error
        try:
            self._wait(descriptor, until_s)
            yield
        finally:
            # Closing gives the lock back.
            with suppress(OSError):
                self._filesystem.close(descriptor)

    def _wait(self, descriptor: int, until_s: float) -> None:
        try:
            had = filelock.acquire(self._filesystem, self._clock, descriptor, 0, until_s)
        except OSError as error:
            raise _refused() from error
        if not had:
            raise BusyError("another change of the configuration is under way", retry_after_s=1)


def _refused() -> UnavailableError:
    return UnavailableError("the storage does not answer", retry_after_s=1)
