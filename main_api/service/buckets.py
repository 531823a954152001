"""Many buckets of one policy, as many as are remembered."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

from main_api.domain import buckets
from main_api.domain.buckets import Policy, Standing
from strongroom.errors import RateLimitedError

Key = TypeVar("Key", bound=Hashable)


class QuotaExceededError(RateLimitedError):
    """Over a limit of a policy's; `retry_after_s` says when one more request passes.

    Attributes:
        policies: All policies that apply.
        violated: How those stand that refuse.
    """

    def __init__(
        self, detail: str, policies: tuple[Policy, ...], violated: tuple[Standing, ...]
    ) -> None:
        """Take them; at least one is violated."""
        retry_after_s = max(standing.effective_window_s for standing in violated)
        super().__init__(detail, retry_after_s=retry_after_s)
        self.policies = policies
        self.violated = violated


class Buckets(Generic[Key]):
    """A bucket for every key; whoever uses it holds a lock.

    The buckets that were charged longest ago are forgotten when there are more than `keys_max`. A
    forgotten bucket is a full one.
    """

    def __init__(self, policy: Policy, keys_max: int) -> None:
        """Start with full ones."""
        self.policy = policy
        self._full_at_s: LRUCache[Key, float] = LRUCache(keys_max)

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._full_at_s)

    def standing(self, key: Key, now_s: float) -> Standing:
        """Return how a key's bucket stands."""
        return buckets.standing(self.policy, self._state(key), now_s)

    def charge(self, key: Key, units: int, now_s: float) -> None:
        """Take units out of a key's bucket, into debt if need be."""
        self._full_at_s[key] = buckets.charged(self.policy, self._state(key), now_s, units)

    def _state(self, key: Key) -> float:
        return self._full_at_s.get(key, buckets.UNUSED)
