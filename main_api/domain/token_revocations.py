"""Revoked tokens: a record for each, under a name that says all that is decided by.

    <jti, 32 hex>.<end, seconds since 1970>.<digest of the client, 16 hex>

So a listing is enough to refuse a token, to see that a record is of no use any more, and how many a
client has. That there is a record is what counts, damaged or not.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from strongroom import limits

_NAME: Final = re.compile(r"([0-9a-f]{32})\.([0-9]{1,12})\.([0-9a-f]{16})")


class TokenRevocation(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a token is good for nothing any more.

    Attributes:
        token_id: Its `jti`.
        client_id: To whom it was issued.
        ends_at: RFC 3339; from then on it would be refused anyway.
        revoked_at: RFC 3339.
        revoked_by: The client that has asked for it.
    """

    token_id: str
    client_id: str
    ends_at: str
    revoked_at: str
    revoked_by: str


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """What the name of a record says."""

    token_id: str
    ends_at_s: int
    client_digest: str

    @property
    def name(self) -> str:
        """The name of its record."""
        return f"{self.token_id}.{self.ends_at_s}.{self.client_digest}"

    def has_ended(self, now_s: float) -> bool:
        """Tell whether the token is refused for its age, by whatever clock."""
        return now_s >= self.ends_at_s + 2 * limits.CLOCK_SKEW_MS_MAX / 1000


def revoked_token(token_id: str, client_id: str, ends_at_s: int) -> RevokedToken:
    """Return what the record of a token is named by."""
    return RevokedToken(token_id, ends_at_s, _digest(client_id))


def read(names: Iterable[str]) -> Iterator[RevokedToken]:
    """Yield what names of records say; what is named otherwise is none."""
    for name in names:
        found = _NAME.fullmatch(name)
        if found is not None:
            yield RevokedToken(found[1], int(found[2]), found[3])


def of_client(tokens: Iterable[RevokedToken], client_id: str) -> list[RevokedToken]:
    """Return those of a client."""
    digest = _digest(client_id)
    return [token for token in tokens if token.client_digest == digest]


def _digest(client_id: str) -> str:
    return hashlib.sha256(client_id.encode()).hexdigest()[:16]
