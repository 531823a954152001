"""Filesystems seen through decorators: one counts calls, one fails them, one dies at one."""

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

from strongroom.durable import Filesystem, LocalFilesystem

A = TypeVar("A")
B = TypeVar("B")
CALLS = (
    "open_directory",
    "open",
    "create",
    "open_lock_file",
    "read",
    "write",
    "fsync",
    "rename",
    "unlink",
    "make_directory",
    "list_directory",
    "modified_s",
    "try_lock",
    "try_lock_file",
    "unlock",
    "close",
)
_CLEANING_UP: Final = frozenset({"close", "unlock"})


class UnsyncedFilesystem(LocalFilesystem):
    """The real filesystem without the wait for the disk, for tests that make thousands of calls."""

    def fsync(self, descriptor: int) -> None:
        """Only check that it is open."""
        os.fstat(descriptor)


class ObservedFilesystem(LocalFilesystem):
    """Calls `before(name, arguments)` ahead of every call; what that raises, the call raises."""

    def __init__(
        self,
        before: Callable[[str, tuple[Any, ...]], None],
        inner: Filesystem | None = None,
    ) -> None:
        """Take the observer, and what to observe: the real filesystem, if nothing else is given."""
        self._before = before
        self._inner = inner or LocalFilesystem()
        for name in CALLS:
            setattr(self, name, self._observed(name))

    def _observed(self, name: str) -> Callable[..., Any]:
        real = getattr(self._inner, name)

        def call(*arguments: Any) -> Any:  # noqa: ANN401 - stands in for any of the calls
            self._before(name, arguments)
            return real(*arguments)

        return call


class CountingFilesystem(ObservedFilesystem):
    """Remembers which calls were made, `close` aside (design.md section 6)."""

    def __init__(self, inner: Filesystem | None = None) -> None:
        """Start with none."""
        self.calls: list[str] = []
        super().__init__(self._count, inner)

    def _count(self, name: str, _: tuple[Any, ...]) -> None:
        if name != "close":
            self.calls.append(name)


class CountingOverlap:
    """Runs both in turn, and takes the shorter one out of the count of calls in sequence."""

    is_remote = True

    def __init__(self, filesystem: CountingFilesystem) -> None:
        """Take the filesystem whose calls are counted."""
        self._filesystem = filesystem
        self.saved = 0

    def both(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        """Return both results."""
        before = len(self._filesystem.calls)
        one = first()
        between = len(self._filesystem.calls)
        two = second()
        self.saved += min(between - before, len(self._filesystem.calls) - between)
        return one, two


class FailingFilesystem(ObservedFilesystem):
    """Fails the n-th call, counted from `arm`, with a given error; and says which one it was."""

    def __init__(
        self,
        inner: Filesystem | None = None,
        spared: frozenset[str] = _CLEANING_UP,
    ) -> None:
        """Fail nothing yet, and the spared ones never."""
        self._spared = spared
        self._left = -1
        self._lasting = False
        self._error = OSError()
        self.failed = ""
        super().__init__(self._maybe_fail, inner)

    def arm(self, nth: int, error: OSError, *, lasting: bool = False) -> None:
        """Fail the n-th call from now, 0 for the next one; or that one and all that follow."""
        self._left, self._error, self._lasting, self.failed = nth, error, lasting, ""

    def disarm(self) -> None:
        """Fail nothing."""
        self._left = -1

    def _maybe_fail(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name in self._spared or self._left < 0:
            return
        self._left -= 1
        if self._left < 0:
            self._left = 0 if self._lasting else -1
            self.failed = self.failed or name
            if name == "close":
                # The descriptor is gone all the same (close(2)).
                self._inner.close(*arguments)
            raise self._error


class Killed(BaseException):
    """Stands for SIGKILL in this process: nothing that is of use runs after it."""


class DyingFilesystem(ObservedFilesystem):
    """Kills its process at the n-th call, of one kind or of any.

    No call gets through after that, save those with which the kernel cleans up.
    """

    def __init__(self, nth: int, inner: Filesystem | None = None, call: str = "") -> None:
        """Die at the n-th call from now, 0 for the next one."""
        self._left = nth
        self._call = call
        self.dead = False
        super().__init__(self._maybe_die, inner)

    def _maybe_die(self, name: str, _: tuple[Any, ...]) -> None:
        if name in _CLEANING_UP:
            return
        if self._call in {"", name}:
            self._left -= 1
        if self.dead or self._left < 0:
            self.dead = True
            raise Killed


class GenerousFilesystem(ObservedFilesystem):
    """Grants every lock to everybody, as an NFS server may do when a lease has ended."""

    def __init__(self, inner: Filesystem | None = None) -> None:
        """Grant them."""
        super().__init__(lambda _name, _arguments: None, inner)
        self.try_lock = lambda descriptor, offset: True  # type: ignore[method-assign]  # noqa: ARG005
