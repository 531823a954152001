"""Tokens for clients and for their users: RFC 6749, RFC 8693 (exchange), RFC 7009 (revocation).

A client whose record has `user_grants` may have a token for one of its users. It vouches for the
user, so what it sends as subject token is the user's name and nothing else, of a type of our own,
`SUBJECT_TOKEN_TYPE`. The token's `sub` is that name, its `act` the client, and it does what the
`user_grants` say, the name standing in their key prefixes. They lie within the client's own grants,
which is asked when they are written (`grants.require_within`), so no user ever has more than the
client. A user's token gets nothing here: only a client's secret does.
"""

from dataclasses import dataclass
from typing import Final

from main_api.domain import grants
from main_api.domain.grants import Grant
from main_api.service.audit import entry as audit
from main_api.service.callers.client_secrets import ClientSecrets
from main_api.service.callers.token_revocations import TokenRevocations
from main_api.service.ports import ClientRecord
from strongroom import ids, limits, tokens
from strongroom.clock import Clock
from strongroom.errors import InvalidArgumentError, UnauthenticatedError
from strongroom.keyring import Keys

SUBJECT_TOKEN_TYPE: Final = "urn:strongroom:token-type:user"  # noqa: S105 - the name of a type
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - as above


class UnauthorizedClientError(InvalidArgumentError):
    """A client that may not ask for that (RFC 6749 section 5.2)."""


class InvalidGrantError(InvalidArgumentError):
    """A token that "was issued to another client" (RFC 6749 section 5.2)."""


class InvalidScopeError(InvalidArgumentError):
    """A scope that the grants do not have (RFC 6749 section 5.2)."""


class InvalidTargetError(InvalidArgumentError):
    """A token for something that is not this service (RFC 8693 section 2.2.2)."""


class UnsupportedTokenTypeError(InvalidArgumentError):
    """A token that cannot be revoked here (RFC 7009 section 2.2.1)."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token, with its lifetime in seconds and the actions that it covers."""

    access_token: str
    expires_in_s: int
    scope: frozenset[str]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a client asks for, for one of its users (RFC 8693 section 2.1).

    Attributes:
        subject_token: The user's name.
        subject_token_type: `SUBJECT_TOKEN_TYPE`.
        scope: Actions to narrow the token to, separated by spaces; empty for all.
        requested_token_type: `ACCESS_TOKEN_TYPE`, or empty.
        audience: The audience of clients' tokens, or empty.
    """

    subject_token: str
    subject_token_type: str
    scope: str = ""
    requested_token_type: str = ""
    audience: str = ""


class AuthorizationServer:
    """Issues and revokes tokens. Safe under threads."""

    def __init__(
        self, secrets: ClientSecrets, revocations: TokenRevocations, keys: Keys, clock: Clock
    ) -> None:
        """Take the parts."""
        self._secrets = secrets
        self._revocations = revocations
        self._keys = keys
        self._clock = clock

    def issue_token(self, client_id: str, client_secret: str, scope: str) -> IssuedToken:
        """Return an access token for a client's credentials (RFC 6749 section 4.4).

        Args:
            client_id: Its id.
            client_secret: Its secret.
            scope: Actions to narrow the token to, separated by spaces; empty for all.

        Raises:
            UnauthenticatedError: Unknown client or wrong secret, indistinguishably.
            InvalidScopeError: A scope that no grant of the client has.
        """
        client = self._secrets.authenticate(client_id, client_secret)
        return self._issued(client, client.client_id, _scope(scope, client.grants))

    def exchange(self, client_id: str, client_secret: str, wanted: Exchange) -> IssuedToken:
        """Return an access token for a user of a client.

        Raises:
            UnauthenticatedError: As `issue_token`.
            UnauthorizedClientError: The client has no right to act for users.
            InvalidScopeError: A scope that none of the `user_grants` has.
            InvalidTargetError: Another audience.
            InvalidArgumentError: The user's name, or one of the types.
        """
        client = self._secrets.authenticate(client_id, client_secret)
        if not client.user_grants:
            raise UnauthorizedClientError("this client has no user_grants: it acts for no users")
        if wanted.subject_token_type != SUBJECT_TOKEN_TYPE:
            raise InvalidArgumentError(f"subject_token_type is {SUBJECT_TOKEN_TYPE}")
        if wanted.requested_token_type not in {"", ACCESS_TOKEN_TYPE}:
            raise InvalidArgumentError(f"requested_token_type is {ACCESS_TOKEN_TYPE}")
        if wanted.audience not in {"", tokens.CLIENT_AUDIENCE}:
            raise InvalidTargetError(f"audience is {tokens.CLIENT_AUDIENCE}")
        user = ids.subject(wanted.subject_token)
        audit.acting_for(user, "exchange_token")
        return self._issued(client, user, _scope(wanted.scope, client.user_grants), is_user=True)

    def revoke(self, client_id: str, client_secret: str, token: str) -> None:
        """Revoke a token of a client, its own or a user's (RFC 7009).

        What is no token of ours, or has ended, needs no revocation (section 2.2).

        Raises:
            UnauthenticatedError: As `issue_token`.
            InvalidGrantError: It was issued to another client, and this one does not administer
                everything.
            InvalidArgumentError: There is none.
            UnsupportedTokenTypeError: It is a token of another issuer.
            RateLimitedError: Too many are revoked already.
            UnavailableError: The disk refuses.
        """
        client = self._secrets.authenticate(client_id, client_secret)
        if not token:
            raise InvalidArgumentError("token is missing")
        try:
            claims = tokens.verify(self._keys, self._clock, token, audience=tokens.CLIENT_AUDIENCE)
        except UnauthenticatedError:
            if tokens.is_foreign(token, self._keys.deployment):
                raise UnsupportedTokenTypeError(
                    "it is not a token of this service: have its issuer revoke it"
                ) from None
            return
        own = grants.resolved(client.grants, grants.client_claims(client.client_id))
        if claims.client_id != client.client_id and not grants.administer_everything(own):
            raise InvalidGrantError("the token was issued to another client")
        audit.changing()
        self._revocations.add(claims, client.client_id)

    def _issued(
        self, client: ClientRecord, subject: str, scope: frozenset[str], *, is_user: bool = False
    ) -> IssuedToken:
        token = tokens.issue(
            self._keys,
            self._clock,
            audience=tokens.CLIENT_AUDIENCE,
            subject=subject,
            scope=scope,
            lifetime_s=limits.ACCESS_TOKEN_SECONDS,
            issued_to=tokens.Party(client.client_id, client.incarnation, is_user=is_user),
        )
        return IssuedToken(token, limits.ACCESS_TOKEN_SECONDS, scope)


def _scope(text: str, granted: tuple[Grant, ...]) -> frozenset[str]:
    """Return the actions that are asked for, all that are granted where none are named.

    Raises:
        InvalidScopeError: They are more than that.
    """
    offered = frozenset(map(str, grants.actions_of(granted)))
    wanted = frozenset(text.split()) or offered
    if not wanted <= offered:
        raise InvalidScopeError("the scope is wider than the grants")
    return wanted
