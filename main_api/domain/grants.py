"""Who may do what: grants name databases, actions and a prefix of keys."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from strongroom import limits

_DATABASE_PATTERN: Final = r"\A(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63}\*?)\Z"


class Action(StrEnum):
    """What a grant allows; none implies another one."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"


ALL_ACTIONS = frozenset(Action)


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One permission.

    Attributes:
        database: A database's name, or a prefix of names followed by `*`.
        actions: What may be done.
        key_prefix: Entity keys begin with it.
    """

    database: Annotated[str, msgspec.Meta(pattern=_DATABASE_PATTERN)]
    actions: frozenset[Action]
    key_prefix: Annotated[str, msgspec.Meta(max_length=limits.ENTITY_KEY_BYTES_MAX)] = ""

    def allows(self, database: str, entity_key: str, action: Action) -> bool:
        """Tell whether this grant covers one action on one entity."""
        return self.covers(database, action) and entity_key.startswith(self.key_prefix)

    def covers(self, database: str, action: Action) -> bool:
        """Tell whether this grant covers an action on some keys of a database."""
        return action in self.actions and self._names(database)

    def _names(self, database: str) -> bool:
        if self.database.endswith("*"):
            return database.startswith(self.database[:-1])
        return database == self.database


def allowed(grants: Iterable[Grant], database: str, entity_key: str, action: Action) -> bool:
    """Tell whether any grant covers one action on one entity."""
    return any(grant.allows(database, entity_key, action) for grant in grants)


def key_prefixes(grants: Iterable[Grant], database: str, action: Action) -> tuple[str, ...]:
    """Return the prefixes of the keys that some grant covers in a database; none for nothing."""
    prefixes = {g.key_prefix for g in grants if g.covers(database, action)}
    return ("",) if "" in prefixes else tuple(sorted(prefixes))


def actions_of(grants: Iterable[Grant]) -> frozenset[Action]:
    """Return every action that some grant names."""
    return frozenset(action for grant in grants for action in grant.actions)
