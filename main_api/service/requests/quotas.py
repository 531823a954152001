"""How many requests and bytes a client may send and be sent: per process, by setting.

A request is let in where the client's bucket of requests holds one and its bucket of bytes is not
empty. What it comes to in bytes shows later: those of its body when that has come, those of the
answer when that has been made. They are charged then, into debt if need be, so that the client
waits afterwards. In the long run it gets what the policy says, whatever the sizes.

Each face of each Main Worker counts for itself.
"""

import threading

from main_api.domain.buckets import Policy, Standing
from main_api.domain.rate_limits import QuotaPolicies
from main_api.service.buckets import Buckets, QuotaExceededError
from strongroom import limits
from strongroom.clock import Clock


class Quotas:
    """Counts what clients use. Safe under threads."""

    def __init__(self, policies: QuotaPolicies, clock: Clock) -> None:
        """Start with full buckets."""
        self._clock = clock
        self._lock = threading.Lock()
        self._requests = _buckets(policies.requests)
        self._bytes = _buckets(policies.content_bytes)
        self._all = tuple(b for b in (self._requests, self._bytes) if b is not None)
        self.policies = tuple(buckets.policy for buckets in self._all)
        """The policies that apply to every client."""

    def require(self, client_id: str) -> None:
        """Refuse a client that a request would not be taken from now.

        Raises:
            QuotaExceededError: It is over a limit.
        """
        if self._all:
            now_s = self._clock.boot_s()
            with self._lock:
                self._require(client_id, now_s)

    def admit(self, client_id: str, size_bytes: int = 0) -> None:
        """Take a request of a client; what its body has in bytes is charged.

        Raises:
            QuotaExceededError: The client is over a limit; nothing was charged.
        """
        if self._all:
            now_s = self._clock.boot_s()
            with self._lock:
                self._require(client_id, now_s)
                if self._requests is not None:
                    self._requests.charge(client_id, 1, now_s)
                self._charge_bytes(client_id, size_bytes, now_s)

    def charge(self, client_id: str, size_bytes: int) -> None:
        """Charge bytes of a request that was admitted, or of its answer."""
        if self._bytes is not None:
            now_s = self._clock.boot_s()
            with self._lock:
                self._charge_bytes(client_id, size_bytes, now_s)

    def settle(self, client_id: str, size_bytes: int) -> tuple[Standing, ...]:
        """Charge an answer, and return how the client then stands under each policy."""
        now_s = self._clock.boot_s()
        with self._lock:
            self._charge_bytes(client_id, size_bytes, now_s)
            return tuple(buckets.standing(client_id, now_s) for buckets in self._all)

    def _require(self, client_id: str, now_s: float) -> None:
        standings = [buckets.standing(client_id, now_s) for buckets in self._all]
        violated = tuple(standing for standing in standings if not standing.available)
        if violated:
            units = " and ".join(_named(standing.policy) for standing in violated)
            raise QuotaExceededError(
                f"this client may send no more than {units}", self.policies, violated
            )

    def _charge_bytes(self, client_id: str, size_bytes: int, now_s: float) -> None:
        if self._bytes is not None and size_bytes:
            self._bytes.charge(client_id, size_bytes, now_s)


def _buckets(policy: Policy | None) -> Buckets[str] | None:
    return None if policy is None else Buckets(policy, limits.CLIENTS_METERED_MAX)


def _named(policy: Policy) -> str:
    unit = "bytes" if policy.unit == "content-bytes" else policy.unit
    return f"{policy.per_second:g} {unit} per second"
