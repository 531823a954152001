"""The real filesystem, seen through decorators: one counts calls, one fails them."""

from collections.abc import Callable
from typing import Any, TypeVar

from strongroom.durable import LocalFilesystem

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
    "unlock",
    "close",
)


class ObservedFilesystem(LocalFilesystem):
    """Calls `before(name, arguments)` ahead of every call; what that raises, the call raises."""

    def __init__(self, before: Callable[[str, tuple[Any, ...]], None]) -> None:
        """Take the observer."""
        self._before = before
        for name in CALLS:
            setattr(self, name, self._observed(name))

    def _observed(self, name: str) -> Callable[..., Any]:
        real = getattr(LocalFilesystem, name)

        def call(*arguments: Any) -> Any:  # noqa: ANN401 - stands in for any of the calls
            self._before(name, arguments)
            return real(self, *arguments)

        return call


class CountingFilesystem(ObservedFilesystem):
    """Remembers which calls were made, `close` aside (design.md section 6)."""

    def __init__(self) -> None:
        """Start with none."""
        self.calls: list[str] = []
        super().__init__(self._count)

    def _count(self, name: str, _: tuple[Any, ...]) -> None:
        if name != "close":
            self.calls.append(name)


class CountingOverlap:
    """Runs both in turn, and takes the shorter one out of the count of calls in sequence."""

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

    def __init__(self) -> None:
        """Fail nothing yet."""
        self._left = -1
        self._error = OSError()
        self.failed = ""
        super().__init__(self._maybe_fail)

    def arm(self, nth: int, error: OSError) -> None:
        """Fail the n-th call from now, 0 for the next one."""
        self._left, self._error, self.failed = nth, error, ""

    def disarm(self) -> None:
        """Fail nothing."""
        self._left = -1

    def _maybe_fail(self, name: str, _: tuple[Any, ...]) -> None:
        if name in {"close", "unlock"} or self._left < 0:
            return
        self._left -= 1
        if self._left < 0:
            self.failed = name
            raise self._error
