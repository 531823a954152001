"""Who is calling, and may they: authentication and authorization of both faces."""

import threading
from dataclasses import dataclass

from cachetools import LRUCache, TTLCache

from main_api.domain import grants
from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.service.client_secrets import ClientSecrets
from main_api.service.ports import ClientRecord, ControlStore
from strongroom import limits, tokens
from strongroom.clock import Clock
from strongroom.errors import (
    ForbiddenError,
    InvalidArgumentError,
    UnauthenticatedError,
)
from strongroom.keyring import Keys

_SCHEME = "bearer "


class _NotCached:
    """Tells "not cached" from "there is no such client"."""


_NOT_CACHED = _NotCached()


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token, with its lifetime in seconds and the actions that it covers."""

    access_token: str
    expires_in_s: int
    scope: frozenset[str]


class Access:
    """Issues tokens, verifies them, decides. Safe under threads."""

    def __init__(self, keyring: Keys, store: ControlStore, clock: Clock) -> None:
        """Start with empty caches."""
        self._keyring = keyring
        self._store = store
        self._clock = clock
        self.secrets = ClientSecrets(keyring, store, clock)
        self._lock = threading.Lock()
        self._verified: LRUCache[str, tokens.Claims] = LRUCache(limits.VERIFIED_TOKENS_CACHED)
        self._clients: TTLCache[str, ClientRecord | None] = TTLCache(
            limits.VERIFIED_TOKENS_CACHED, limits.CLIENT_RECORD_CACHE_SECONDS, timer=clock.boot_s
        )

    def issue_token(self, client_id: str, client_secret: str, scope: str) -> IssuedToken:
        """Return an access token for a client's credentials (RFC 6749 section 4.4).

        Args:
            client_id: Its id.
            client_secret: Its secret.
            scope: Actions to narrow the token to, separated by spaces; empty for all.

        Raises:
            UnauthenticatedError: Unknown client or wrong secret, indistinguishably.
            InvalidArgumentError: A scope that no grant of the client has.
        """
        client = self.secrets.authenticate(client_id, client_secret)
        offered = frozenset(map(str, grants.actions_of(client.grants)))
        wanted = frozenset(scope.split()) or offered
        if not wanted <= offered:
            raise InvalidArgumentError("the scope is wider than the client's grants")
        token = tokens.issue(
            self._keyring,
            self._clock,
            audience=tokens.CLIENT_AUDIENCE,
            subject=client.client_id,
            scope=wanted,
            lifetime_s=limits.ACCESS_TOKEN_SECONDS,
            issued_to=tokens.Party(client.client_id, client.incarnation),
        )
        return IssuedToken(token, limits.ACCESS_TOKEN_SECONDS, wanted)

    def authenticate(self, authorization: str | None) -> Caller:
        """Return who calls, by the value of an `Authorization: Bearer` header (RFC 6750).

        Raises:
            UnauthenticatedError: No token, or one that does not hold, or of a client that is gone.
        """
        if authorization is None:
            raise UnauthenticatedError("send an access token: Authorization: Bearer <token>")
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise UnauthenticatedError("the Authorization header is not a Bearer token")
        claims = self._verify(authorization[len(_SCHEME) :].strip())
        client = self._client(claims.client_id)
        if client is None or client.incarnation != claims.incarnation:
            raise UnauthenticatedError("the token's client does not exist any more")
        return Caller(
            client_id=client.client_id,
            incarnation=client.incarnation,
            subject=claims.subject,
            claims=claims.public,
            grants=grants.resolved(client.grants, claims.public),
            scope=claims.scope,
        )

    def has_verified(self, authorization: str) -> bool:
        """Tell whether the token of a header is known to be genuine, without verifying any."""
        with self._lock:
            return authorization[len(_SCHEME) :].strip() in self._verified

    def authorize(self, caller: Caller, database: str, keys: list[str], action: Action) -> None:
        """Let pass what the caller's grants and its token's scope name, for every key.

        Raises:
            ForbiddenError: They do not; the same whether the database exists or not.
        """
        if action not in caller.scope or not all(
            grants.allowed(caller.grants, database, key, action) for key in keys
        ):
            raise ForbiddenError(f"no grant lets this client {action} there")

    def require_everywhere(self, caller: Caller) -> None:
        """Let pass who administers every database.

        Raises:
            ForbiddenError: The caller does not.
        """
        everywhere = any(
            grant.database == "*" and Action.ADMIN in grant.actions and not grant.key_prefix
            for grant in caller.grants
        )
        if not everywhere or Action.ADMIN not in caller.scope:
            raise ForbiddenError("this takes the action admin on every database")

    def may_administer(self, caller: Caller, database: str) -> bool:
        """Tell whether the caller administers a database, all of it."""
        return Action.ADMIN in caller.scope and grants.allowed(
            caller.grants, database, "", Action.ADMIN
        )

    def administers_any(self, caller: Caller) -> bool:
        """Tell whether there could be a database that the caller administers."""
        return Action.ADMIN in caller.scope and any(
            Action.ADMIN in grant.actions and not grant.key_prefix for grant in caller.grants
        )

    def authorized_prefixes(self, caller: Caller, database: str, action: Action) -> tuple[str, ...]:
        """Return the prefixes of the keys that the caller may act upon.

        Raises:
            ForbiddenError: There are none; the same whether the database exists or not.
        """
        prefixes = self.prefixes(caller, database, action)
        if not prefixes:
            raise ForbiddenError(f"no grant lets this client {action} there")
        return prefixes

    def prefixes(self, caller: Caller, database: str, action: Action) -> tuple[str, ...]:
        """As `authorized_prefixes`, but none where there are none."""
        if action not in caller.scope:
            return ()
        return grants.key_prefixes(caller.grants, database, action)

    def _verify(self, token: str) -> tokens.Claims:
        """Verify a signature once per token; its time each time (108 us against 1)."""
        with self._lock:
            claims = self._verified.get(token)
        if claims is None:
            claims = tokens.verify(
                self._keyring, self._clock, token, audience=tokens.CLIENT_AUDIENCE
            )
            with self._lock:
                self._verified[token] = claims
        tokens.check_time(claims, self._clock)
        return claims

    def _client(self, client_id: str) -> ClientRecord | None:
        with self._lock:
            # One look: an entry may expire between two.
            known = self._clients.get(client_id, _NOT_CACHED)
        if not isinstance(known, _NotCached):
            return known
        client = self._store.client(client_id)
        with self._lock:
            self._clients[client_id] = client
        return client
