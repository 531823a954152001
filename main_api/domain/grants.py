"""Who may do what: grants name databases, actions and a prefix of keys."""

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from strongroom import ids, limits
from strongroom.errors import InvalidArgumentError

# As JSON Schema has patterns (ECMA-262), and so the document of the API too.
_DATABASE_PATTERN: Final = r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63}\*?)$"
_KEY_PREFIX_PATTERN: Final = r"^([^{}]|\{[A-Za-z0-9_.:-]{1,128}\}/)*$"

_CLAIM: Final = re.compile(r"\{([A-Za-z0-9_.:-]{1,128})\}/")
_BRACES: Final = re.compile(r"[{}]")


class Action(StrEnum):
    """What a grant allows; none implies another one."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"


ALL_ACTIONS = frozenset(Action)


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One permission. A member that is not known is refused: it may be one that narrows it.

    Attributes:
        database: A database's name, or a prefix of names followed by `*`.
        actions: What may be done.
        key_prefix: Entity keys begin with it, byte for byte. `{sub}` in it stands for that claim of
            the caller's token, and so on for others; each is followed by `/`, or who is called
            `al` would have what is `alice`'s.
    """

    database: Annotated[str, msgspec.Meta(pattern=_DATABASE_PATTERN)]
    actions: frozenset[Action]
    key_prefix: Annotated[
        str,
        msgspec.Meta(
            max_length=limits.ENTITY_KEY_BYTES_MAX,
            extra_json_schema={"pattern": _KEY_PREFIX_PATTERN},
        ),
    ] = ""

    def __post_init__(self) -> None:
        """Refuse a prefix in which braces do not name a claim, and a name with a line's end.

        Raises:
            ValueError: It is one.
        """
        if self.database.endswith("\n"):
            raise ValueError("a database's name has no line's end")
        if _BRACES.search(_CLAIM.sub("", self.key_prefix)):
            raise ValueError("a claim stands in key_prefix as {name}/, as in users/{sub}/")

    def __str__(self) -> str:
        """Return it as people read it: `chatdb: read, write below users/{sub}/`."""
        below = f" below {self.key_prefix}" if self.key_prefix else ""
        return f"{self.database}: {', '.join(sorted(self.actions)) or 'nothing'}{below}"

    def allows(self, database: str, entity_key: str, action: Action) -> bool:
        """Tell whether this grant covers one action on one entity."""
        return self.covers(database, action) and entity_key.startswith(self.key_prefix)

    def covers(self, database: str, action: Action) -> bool:
        """Tell whether this grant covers an action on some keys of a database."""
        return action in self.actions and self.names(database)

    def names_all_of(self, pattern: str) -> bool:
        """Tell whether every database that a pattern names is one of this grant's."""
        if self.database.endswith("*"):
            return pattern.startswith(self.database[:-1])
        return pattern == self.database

    def names(self, database: str) -> bool:
        """Tell whether a database is one of this grant's."""
        if self.database.endswith("*"):
            return database.startswith(self.database[:-1])
        return database == self.database


def resolved(grants: Iterable[Grant], claims: Mapping[str, str]) -> tuple[Grant, ...]:
    """Return grants with the claims of a verified token in the place of their names.

    A grant whose claim is missing is not there for this token, nor one whose claim could mean more
    than one part of a key: empty, or with a `/` or a control character in it.
    """
    found = (_resolved(grant, claims) for grant in grants)
    return tuple(grant for grant in found if grant is not None)


def _resolved(grant: Grant, claims: Mapping[str, str]) -> Grant | None:
    names = _CLAIM.findall(grant.key_prefix)
    if not names:
        return grant
    if not all(_is_one_part(claims.get(name, "")) for name in names):
        return None
    prefix = _CLAIM.sub(lambda named: f"{claims[named[1]]}/", grant.key_prefix)
    if len(prefix.encode()) > limits.ENTITY_KEY_BYTES_MAX:
        return None
    # Not by making a grant anew, which is checked: what a claim says is taken as it is, braces too.
    found = copy(grant)
    msgspec.structs.force_setattr(found, "key_prefix", prefix)
    return found


def require_within(
    users: Sequence[Grant], clients: Sequence[Grant], client_id: str
) -> tuple[Grant, ...]:
    """Return grants for a client's users; they allow nothing that the client may not do itself.

    That holds whatever the users are called: a user's grant is within a client's one whose prefix
    its own begins with, up to the first claim that is not known yet.

    Raises:
        InvalidArgumentError: One allows more; the detail says which, and which action.
    """
    own = client_claims(client_id)
    outer = resolved(clients, own)
    for number, grant in enumerate(users):
        prefix = grant.key_prefix.replace("{client_id}/", f"{client_id}/").partition("{")[0]
        for action in sorted(grant.actions):
            if not any(
                action in one.actions
                and one.names_all_of(grant.database)
                and prefix.startswith(one.key_prefix)
                for one in outer
            ):
                raise InvalidArgumentError(
                    f"user_grants[{number}] allows to {action} what none of the client's own grants"
                    " does: its users would have more than the client"
                )
    return tuple(users)


def administer_everything(grants: Iterable[Grant]) -> bool:
    """Tell whether grants have the action admin on every database, on all keys."""
    return any(
        grant.database == "*" and Action.ADMIN in grant.actions and not grant.key_prefix
        for grant in grants
    )


def client_claims(client_id: str, user: str | None = None) -> dict[str, str]:
    """Return what stands in the key prefixes of a client, or of a user of it (RFC 9068)."""
    return {"sub": client_id if user is None else user, "client_id": client_id}


def _is_one_part(claim: str) -> bool:
    try:
        ids.entity_key(claim)
    except InvalidArgumentError:
        return False
    return "/" not in claim


def allowed(grants: Iterable[Grant], database: str, entity_key: str, action: Action) -> bool:
    """Tell whether any grant covers one action on one entity."""
    # Written out, for every request comes through here: a generator takes twice as long.
    for grant in grants:
        if entity_key.startswith(grant.key_prefix) and grant.covers(database, action):
            return True
    return False


def key_prefixes(grants: Iterable[Grant], database: str, action: Action) -> tuple[str, ...]:
    """Return the prefixes of the keys that some grant covers in a database; none for nothing."""
    prefixes = {g.key_prefix for g in grants if g.covers(database, action)}
    return ("",) if "" in prefixes else tuple(sorted(prefixes))


def actions_of(grants: Iterable[Grant]) -> frozenset[Action]:
    """Return every action that some grant names."""
    return frozenset(action for grant in grants for action in grant.actions)
