"""Who has failed to authenticate too often is not listened to for a while.

Failures are counted per (client id, address), and per address. Never per client id alone: whoever
knows a client's name could lock it out, from anywhere, with wrong secrets. So a correct secret
passes whatever others do, as long as its own address is not over a limit
(docs/adr/0014-failed-authentications-count-by-address.md).

An address that is over its limit is refused before a secret is compared or a signature verified. A
token that was verified before is no attempt: the clients behind such an address go on with theirs.

What counts is a wrong secret, an unknown client and a token that does not verify. A token that was
genuine (it has expired, its client is gone) shows no attack, and every client has one now and then;
neither does a request without any proof.

Memory is bounded: `limits.ADDRESSES_THROTTLED_MAX` addresses, and as many pairs. Who commands more
addresses than that could have the rest forgotten, and would gain nothing: so many addresses may
fail more often per second, by the limits themselves, than a process can answer.
"""

import threading
from dataclasses import dataclass

from main_api.domain.addresses import Origin, network_of
from main_api.domain.caller import Caller
from main_api.domain.rate_limits import ThrottlePolicies
from main_api.service.buckets import Buckets, QuotaExceededError
from main_api.service.callers.access import Access
from strongroom import ids, limits, tokens
from strongroom.clock import Clock
from strongroom.errors import InvalidArgumentError, UnauthenticatedError
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to authenticate: from where, and as whom, if that is told and a client's name."""

    network: str
    client_id: str | None


class Throttle:
    """Counts failed authentications. Safe under threads."""

    def __init__(
        self,
        access: Access,
        policies: ThrottlePolicies,
        clock: Clock,
        metrics: Metrics | None = None,
    ) -> None:
        """Start with no failures."""
        self._failures = (metrics or Metrics()).counter(catalogue.FAILED_AUTHENTICATIONS)
        self._access = access
        self._clock = clock
        self._trusted_proxies = policies.trusted_proxies
        self._lock = threading.Lock()
        self._pairs: Buckets[tuple[str, str]] = Buckets(
            policies.per_client, limits.ADDRESSES_THROTTLED_MAX
        )
        self._networks: Buckets[str] = Buckets(policies.per_address, limits.ADDRESSES_THROTTLED_MAX)

    def attempt(self, origin: Origin, client_id: str = "") -> Attempt:
        """Let an attempt be made; what becomes of it is told by `failed`.

        Known and unknown client ids are treated alike.

        Raises:
            QuotaExceededError: There were too many failures.
        """
        attempt = Attempt(network_of(origin, self._trusted_proxies), claimed_name(client_id))
        now_s = self._clock.boot_s()
        with self._lock:
            standings = [self._networks.standing(attempt.network, now_s)]
            if attempt.client_id is not None:
                pair = (attempt.client_id, attempt.network)
                standings.append(self._pairs.standing(pair, now_s))
        violated = tuple(standing for standing in standings if not standing.available)
        if violated:
            raise QuotaExceededError(
                "authentication has failed too often from this address; check the credentials and"
                " try again later",
                tuple(standing.policy for standing in standings),
                violated,
            )
        return attempt

    def failed(self, attempt: Attempt) -> None:
        """Count an attempt that has failed."""
        self._failures.add()
        now_s = self._clock.boot_s()
        with self._lock:
            self._networks.charge(attempt.network, 1, now_s)
            if attempt.client_id is not None:
                self._pairs.charge((attempt.client_id, attempt.network), 1, now_s)

    def prove(self, authorization: str | None, origin: Origin) -> Caller:
        """Return who calls, by the value of an `Authorization: Bearer` header.

        Raises:
            UnauthenticatedError: It proves nothing.
            QuotaExceededError: It was not looked at: too many from there have proven nothing.
        """
        if authorization is None or self._access.has_verified(authorization):
            return self._access.authenticate(authorization)
        attempt = self.attempt(origin)
        try:
            return self._access.authenticate(authorization)
        except tokens.StaleTokenError:
            raise
        except UnauthenticatedError:
            if not self._access.has_verified(authorization):
                self.failed(attempt)
            raise


def claimed_name(client_id: str) -> str | None:
    """Return a client id that there could be: no other text is remembered."""
    try:
        return ids.client_id(client_id)
    except InvalidArgumentError:
        return None
