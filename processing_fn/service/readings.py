"""What a worker's metrics read from its parts whenever somebody asks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from processing_fn.service.coherence import Unsent
from processing_fn.service.membership import Membership
from processing_fn.service.traffic import Traffic
from strongroom.identity import LiveIdentity
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics, Sample

_OF_CACHE: Final = {
    catalogue.CACHE_HITS: "cache_hits",
    catalogue.CACHE_MISSES: "cache_misses",
    catalogue.CACHE_JOINED: "cache_joined",
    catalogue.CACHE_STALE: "cache_stale",
    catalogue.CACHE_UNASKED: "cache_unasked",
    catalogue.CACHE_INVALIDATED: "cache_invalidated",
    catalogue.CACHE_EVICTIONS: "cache_evictions",
    catalogue.CACHE_EXPIRATIONS: "cache_expirations",
    catalogue.CACHE_ENTRIES: "cache_entries",
    catalogue.CACHE_BYTES: "cache_bytes",
}


@dataclass(frozen=True, slots=True)
class Readings:
    """The parts that are asked; each figure has its owner there."""

    worker_id: str
    membership: Membership
    cache: Callable[[], dict[str, int]]
    cache_bytes_max: int
    traffic: Traffic
    unsent: Unsent
    identity: LiveIdentity

    def give(self, metrics: Metrics) -> None:
        """Let metrics have what the parts know."""
        membership = self.membership
        metrics.read_all(tuple(_OF_CACHE), self._of_cache)
        metrics.read(catalogue.CACHE_BYTES_MAX, lambda: self.cache_bytes_max)
        metrics.read(catalogue.COMMITS_UNTOLD, self.unsent.waiting)
        metrics.read(catalogue.IN_FLIGHT, self.traffic.under_way)
        metrics.read(catalogue.LEASE_AGE, membership.lease_age_s)
        metrics.read(catalogue.LEASE_LEFT, membership.lease_left_s)
        metrics.read(catalogue.ACTIVE_KEY_AGE, membership.active_key_age_s)
        metrics.read_all((catalogue.CERTIFICATE_END,), self._certificate)

    def _of_cache(self) -> Iterator[Sample]:
        statistics = self.cache()
        for metric, name in _OF_CACHE.items():
            yield Sample(metric, (), statistics[name])

    def _certificate(self) -> Iterator[Sample]:
        ends_ms = self.identity.current().certificate.ends_ms
        yield Sample(catalogue.CERTIFICATE_END, ("worker", self.worker_id), ends_ms / 1000)
