"""Which documents were put under which key, so that what is read can be judged."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from benchmarks.documents import document

KEYS: Final = 1_024
"""Many more than requests in flight, so that none waits for another one of the same key."""


@dataclass(slots=True)
class Ledger:
    """The keys in turn, each time with another document.

    Two puts of one key can be under way at once, where one of them takes a thousand times longer
    than the others; so the last two are known.
    """

    prefix: str = "chat"
    """What keys begin with: who shares a database with another ledger has keys of its own."""
    _next: Iterator[int] = field(default_factory=count)
    _last: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _since: set[str] = field(default_factory=set)

    def put(self) -> tuple[str, bytes]:
        """Return (key, the next document to be put there)."""
        number = next(self._next)
        key = f"{self.prefix}{number % KEYS:06d}"
        self._since.add(key)
        self._last[key] = (*self._last.get(key, ()), number)[-2:]
        return key, document(number)

    def all(self) -> list[str]:
        """Return the keys that something was put under."""
        return list(self._last)

    def since(self) -> set[str]:
        """Return the keys that something was put under since this was asked last."""
        found, self._since = self._since, set()
        return found

    def last(self, key: str) -> list[bytes]:
        """Return what may lie there."""
        return [document(number) for number in self._last[key]]
