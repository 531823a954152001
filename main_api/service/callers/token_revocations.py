"""Tokens that were revoked before their end (RFC 7009), refused by every process within seconds.

The records lie under `control/`. Whoever serves requests lists them when that was two seconds ago,
one thread for all. What cannot be listed for longer than may be is not passed over: nobody gets in
then, because nobody knows whose token was revoked meanwhile.
"""

import math
import threading

from main_api.domain import token_revocations
from main_api.domain.token_revocations import RevokedToken, TokenRevocation
from main_api.service.ports import ControlStore
from strongroom import limits, logs, tokens
from strongroom.clock import Clock, rfc3339
from strongroom.errors import RateLimitedError, StrongroomError, UnavailableError

_log = logs.logger()


class TokenRevocations:
    """Knows the tokens that are revoked. Safe under threads."""

    def __init__(self, store: ControlStore, clock: Clock) -> None:
        """Start without having looked."""
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._revoked: frozenset[str] = frozenset()
        self._seen_s = -math.inf
        self._tried_s = -math.inf
        self._trouble = ""

    def is_revoked(self, token_id: str) -> bool:
        """Tell whether a token is revoked.

        Raises:
            UnavailableError: That cannot be known now.
        """
        if self._clock.boot_s() - self._seen_s >= limits.TOKEN_REVOCATIONS_READ_EVERY_SECONDS:
            self._look()
        return token_id in self._revoked

    def add(self, claims: tokens.Claims, revoked_by: str) -> None:
        """Revoke a token that has verified; once it is, it stays so.

        Raises:
            RateLimitedError: Too many are revoked already.
            UnavailableError: The disk refuses.
        """
        now_ms = self._clock.wall_ms()
        token = token_revocations.revoked_token(
            claims.token_id, claims.client_id, claims.expires_at_s
        )
        there = self._there(now_ms)
        if token not in there:
            _require_room(there, claims.client_id)
            record = TokenRevocation(
                token_id=claims.token_id,
                client_id=claims.client_id,
                ends_at=rfc3339(claims.expires_at_s * 1000),
                revoked_at=rfc3339(now_ms),
                revoked_by=revoked_by,
            )
            self._store.token_revocations.put(token.name, record)
        # Here it is refused from now on.
        with self._lock:
            self._revoked |= {claims.token_id}

    def sweep(self) -> None:
        """Remove the records of tokens that have ended; what stands in the way is logged once."""
        trouble = ""
        now_s = self._clock.wall_ms() / 1000
        try:
            for token in token_revocations.read(self._store.token_revocations.names()):
                if token.has_ended(now_s):
                    self._store.token_revocations.remove(token.name)
        except StrongroomError as error:
            trouble = error.detail
            if trouble != self._trouble:
                _log.error("revocations-unreadable", code=error.code, reason=trouble)
        self._trouble = trouble

    def _look(self) -> None:
        """List the records, unless somebody has just tried."""
        with self._lock:
            now_s = self._clock.boot_s()
            failure: StrongroomError | None = None
            last_s = max(self._seen_s, self._tried_s)
            if now_s - last_s >= limits.TOKEN_REVOCATIONS_TRIED_EVERY_SECONDS:
                self._tried_s = now_s
                try:
                    there = self._there(self._clock.wall_ms())
                except StrongroomError as error:
                    failure = error
                else:
                    self._revoked = frozenset(token.token_id for token in there)
                    self._seen_s = now_s
            if now_s - self._seen_s >= limits.TOKEN_REVOCATIONS_STALE_SECONDS_MAX:
                raise UnavailableError(
                    "it cannot be known now which tokens are revoked", retry_after_s=1
                ) from failure

    def _there(self, now_ms: int) -> list[RevokedToken]:
        """Return the revoked tokens that have not ended."""
        found = token_revocations.read(self._store.token_revocations.names())
        return [token for token in found if not token.has_ended(now_ms / 1000)]


def _require_room(there: list[RevokedToken], client_id: str) -> None:
    own = len(token_revocations.of_client(there, client_id))
    if own >= limits.TOKENS_REVOKED_PER_CLIENT_MAX or len(there) >= limits.TOKENS_REVOKED_MAX:
        raise RateLimitedError(
            "too many tokens are revoked that have not ended yet; DELETE /clients/{client_id} ends"
            " all of a client's at once",
            retry_after_s=60,
        )
