"""Which part of a backup is meant."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from strongroom import ids, limits
from strongroom.errors import InvalidArgumentError

_WILD: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Selection:
    """Databases, and patterns of entity keys; none of either for all.

    A pattern is a shell's: `*` for any characters (`/` too), `?` for one, `[ab]` for one of some.
    """

    databases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check them; raises InvalidArgumentError."""
        for name in self.databases:
            ids.database_name(name)
        for pattern in self.patterns:
            ids.entity_key(pattern)
        if len(self.patterns) > limits.KEY_PATTERNS_MAX:
            raise InvalidArgumentError(f"there are at most {limits.KEY_PATTERNS_MAX} patterns")

    def has_database(self, name: str) -> bool:
        """Tell whether a database is meant."""
        return not self.databases or name in self.databases

    def has_key(self, key: str) -> bool:
        """Tell whether an entity key is meant."""
        return not self.patterns or any(fnmatchcase(key, one) for one in self.patterns)

    def exact_keys(self) -> tuple[str, ...] | None:
        """Return the keys that are meant where no pattern has a wildcard, else None."""
        if self.patterns and not any(_WILD & set(one) for one in self.patterns):
            return self.patterns
        return None
