"""Who is calling, and may they: authentication and authorization of both faces."""

import threading
from dataclasses import dataclass

from cachetools import LRUCache, TTLCache

from main_api.domain import grants
from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.service.callers.client_secrets import ClientSecrets
from main_api.service.callers.token_revocations import TokenRevocations
from main_api.service.federation.callers import ForeignCallers
from main_api.service.ports import ClientRecord, ControlStore
from strongroom import limits, tokens
from strongroom.clock import Clock
from strongroom.errors import ForbiddenError, UnauthenticatedError
from strongroom.keyring import Keys

_SCHEME = "bearer "


class _NotCached:
    """Tells "not cached" from "there is no such client"."""


_NOT_CACHED = _NotCached()


@dataclass(slots=True)
class _Verified:
    """A token that has verified, and whom it came to by which record of its client."""

    claims: tokens.Claims
    came_to: tuple[ClientRecord | None, Caller | None] = (None, None)


class Access:
    """Verifies tokens, and decides. Safe under threads."""

    def __init__(
        self,
        keyring: Keys,
        store: ControlStore,
        clock: Clock,
        foreign: ForeignCallers | None = None,
    ) -> None:
        """Start with empty caches; without `foreign` no other issuer's token is taken."""
        self._keyring = keyring
        self._store = store
        self._clock = clock
        self._foreign = foreign
        self.secrets = ClientSecrets(keyring, store, clock)
        self.revocations = TokenRevocations(store, clock)
        self._lock = threading.Lock()
        self._verified: LRUCache[str, _Verified] = LRUCache(limits.VERIFIED_TOKENS_CACHED)
        self._clients: TTLCache[str, ClientRecord | None] = TTLCache(
            limits.VERIFIED_TOKENS_CACHED, limits.CLIENT_RECORD_CACHE_SECONDS, timer=clock.boot_s
        )

    def authenticate(self, authorization: str | None) -> Caller:
        """Return who calls, by the value of an `Authorization: Bearer` header (RFC 6750).

        Raises:
            UnauthenticatedError: No token, or one that does not hold, that was revoked, or of a
                client that is gone.
            UnavailableError: It cannot be known now whether it was; or it is a foreign issuer's,
                whose keys cannot be read now.
        """
        if authorization is None:
            raise UnauthenticatedError("send an access token: Authorization: Bearer <token>")
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise UnauthenticatedError("the Authorization header is not a Bearer token")
        token = authorization[len(_SCHEME) :].strip()
        foreign = self._foreign_caller(token)
        if foreign is not None:
            return foreign
        verified = self._verify(token)
        if self.revocations.is_revoked(verified.claims.token_id):
            raise UnauthenticatedError("the token was revoked")
        client = self._client(verified.claims.client_id)
        if client is None or client.incarnation != verified.claims.incarnation:
            raise UnauthenticatedError("the token's client does not exist any more")
        # A record is read anew every few seconds; grants are resolved once for each.
        record, caller = verified.came_to
        if caller is None or record is not client:
            caller = _caller(verified.claims, client)
            verified.came_to = client, caller
        return caller

    def has_verified(self, authorization: str) -> bool:
        """Tell whether the token of a header is known to be genuine, without verifying any."""
        token = authorization[len(_SCHEME) :].strip()
        with self._lock:
            is_ours = token in self._verified
        return is_ours or (self._foreign is not None and self._foreign.has_verified(token))

    def authorize(self, caller: Caller, database: str, keys: list[str], action: Action) -> None:
        """Let pass what the caller's grants and its token's scope name, for every key.

        Raises:
            ForbiddenError: They do not; the same whether the database exists or not.
        """
        if not self.may(caller, database, keys, action):
            raise ForbiddenError(f"no grant lets this client {action} there")

    def may(self, caller: Caller, database: str, keys: list[str], action: Action) -> bool:
        """Tell whether the caller's grants and its token's scope name an action, for every key."""
        if action not in caller.scope:
            return False
        # As in grants.allowed.
        for key in keys:  # noqa: SIM110
            if not grants.allowed(caller.grants, database, key, action):
                return False
        return True

    def require_everywhere(self, caller: Caller) -> None:
        """Let pass who administers every database.

        Raises:
            ForbiddenError: The caller does not.
        """
        everywhere = grants.administer_everything(caller.grants)
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

    def _foreign_caller(self, token: str) -> Caller | None:
        """Return whom a foreign issuer vouches for; None for any other token."""
        with self._lock:
            is_ours = token in self._verified
        return None if is_ours or self._foreign is None else self._foreign.find(token)

    def _verify(self, token: str) -> _Verified:
        """Verify a signature once per token; its time each time (108 us against 1)."""
        with self._lock:
            verified = self._verified.get(token)
        if verified is None:
            claims = tokens.verify(
                self._keyring, self._clock, token, audience=tokens.CLIENT_AUDIENCE
            )
            verified = _Verified(claims)
            with self._lock:
                self._verified[token] = verified
        tokens.check_time(verified.claims, self._clock)
        return verified

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


def _caller(claims: tokens.Claims, client: ClientRecord) -> Caller:
    granted = client.user_grants if claims.is_user else client.grants
    return Caller(
        client_id=client.client_id,
        incarnation=client.incarnation,
        subject=claims.subject,
        claims=claims.public,
        grants=grants.resolved(granted, claims.public),
        scope=claims.scope,
        is_user=claims.is_user,
    )
