"""What a client that alone writes to its keys knows of them, and so what every read may show."""

from collections.abc import Iterable


class OwnedKeys:
    """The number that each key has; None for none. A write of unknown outcome leaves a choice.

    Such a write may take effect at any time until it is seen, after later writes too.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """Begin with keys that nothing was written to."""
        self._last: dict[str, int | None] = dict.fromkeys(keys)
        self._pending: dict[str, set[int | None]] = {}

    @property
    def keys(self) -> list[str]:
        """All that are known."""
        return list(self._last)

    def begun(self, key: str) -> None:
        """Note that a key is there to be asked for, if it was not yet."""
        self._last.setdefault(key, None)

    def acknowledged(self, key: str, number: int | None) -> None:
        """Note that a key was given a number, or deleted."""
        self._last[key] = number

    def unknown(self, key: str, number: int | None) -> None:
        """Note that it may have been, or may be yet."""
        self.begun(key)
        self._pending.setdefault(key, set()).add(number)

    def possible(self, key: str) -> set[int | None]:
        """Return what a read may show."""
        return {self._last[key]} | self._pending.get(key, set())

    def wrong(self, key: str, number: int | None) -> str:
        """Take what a read has shown; return what is wrong with it, "" for nothing."""
        if number not in (possible := self.possible(key)):
            return f"{key}: {number}, which is none of {sorted(map(str, possible))}"
        if number != self._last[key]:
            self._pending[key].discard(number)
            self._last[key] = number
        return ""
