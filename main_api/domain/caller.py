"""Who calls: what a verified token comes to, whoever has issued it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from main_api.domain.grants import Grant

FOREIGN_PREFIX: Final = "oidc:"
"""What the `client_id` of a foreign token's caller begins with, before the issuer's name."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has proven to be calling, and what it may do.

    Attributes:
        client_id: Who answers for the call: a client; for the token of a foreign issuer a name that
            is no client's (none has a `:` in it).
        incarnation: Which of this id.
        subject: Who acts: the client, or one of its users.
        is_user: Whether it is a user. Its name may be the client's: the two are told apart.
        claims: What its token says that may stand in a grant's key prefix.
        grants: What it may do, with those claims put in (`grants.resolved`).
        scope: The actions that its token is narrowed to.
    """

    client_id: str
    incarnation: str
    subject: str
    claims: Mapping[str, str]
    grants: tuple[Grant, ...]
    scope: frozenset[str]
    is_user: bool = False

    @property
    def unique_id(self) -> str:
        """What no other caller ever has: no other client of the same id, no other user of it."""
        client = f"{self.client_id}@{self.incarnation}"
        if not self.is_user:
            return client
        # A digest, because a name may contain what separates it here, and be long.
        return f"{client}#{hashlib.sha256(self.subject.encode(errors='surrogatepass')).hexdigest()}"

    @property
    def account(self) -> str:
        """Whose quota the call takes.

        A client answers for its users, who share what it has. Who comes with the token of a foreign
        issuer has a quota alone: the issuer's other users are no business of theirs.
        """
        is_foreign = self.client_id.startswith(FOREIGN_PREFIX)
        return self.unique_id if is_foreign else self.client_id
