"""What a worker has committed and others have not heard of yet (design.md section 3).

A message that is lost makes nothing wrong: with `strict` every read asks the disk all the same, and
with a bound what is cached is believed for no longer than that.
"""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from processing_fn.domain.coherence import STRICT
from strongroom import limits


@dataclass(frozen=True, slots=True)
class Commit:
    """That a version of an entity was committed; `file_id` is 32 bytes."""

    file_id: bytes
    version: int


class Commits(Protocol):
    """Takes note of a commit. Neither waits nor fails: a write does not depend on it."""

    def note(self, commit: Commit) -> None:
        """Take note."""
        ...


@dataclass(frozen=True, slots=True)
class Coherence:
    """How a worker stands to the copies that others have.

    Attributes:
        commits: Is told of its commits.
        bound_s: How old what it answers out of its cache may be; 0 for never old.
    """

    commits: Commits
    bound_s: float = STRICT


class Unsent:
    """A worker's own commits until a Main Worker is told of them; the oldest are lost first.

    Safe under threads.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: deque[Commit] = deque(maxlen=limits.COMMITS_UNSENT_MAX)
        self._changed = threading.Condition()

    def note(self, commit: Commit) -> None:
        """Take note of a commit."""
        with self._changed:
            self._waiting.append(commit)
            self._changed.notify()

    def waiting(self) -> int:
        """Return how many there are."""
        return len(self._waiting)

    def take(self, wait_s: float) -> list[Commit]:
        """Return some that wait, and forget them; none where there are none for `wait_s`."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(wait_s)
            count = min(len(self._waiting), limits.COMMITS_PER_MESSAGE_MAX)
            return [self._waiting.popleft() for _ in range(count)]

    def give_back(self, commits: list[Commit]) -> None:
        """Let others take what was taken and not told."""
        with self._changed:
            # Where there is no room, the oldest are lost: these.
            room = limits.COMMITS_UNSENT_MAX - len(self._waiting)
            self._waiting.extendleft(reversed(commits[max(0, len(commits) - room) :]))
            self._changed.notify()
