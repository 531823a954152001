"""The registry of Processing Workers: records with a lease; no lease, no worker."""

from collections.abc import Iterable

import msgspec


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A Processing Worker as the registry knows it.

    Attributes:
        worker_id: Its id.
        address: host:port of its ProcessingService.
        subscription_id: Which subscription registered it; a later one supersedes it.
        registered_at: RFC 3339.
        lease_until_ms: Wall time, milliseconds since 1970; it is gone from then on.
        key_id: The data key that it has confirmed: it writes under no other one.
        generation: The keyring's generation whose keys it has confirmed to have, and no others.
    """

    worker_id: str
    address: str
    subscription_id: str
    registered_at: str
    lease_until_ms: int
    key_id: str = ""
    generation: int = 0

    def is_live(self, now_ms: int) -> bool:
        """Tell whether the lease still runs."""
        return now_ms < self.lease_until_ms


def live(records: Iterable[WorkerRecord], now_ms: int) -> tuple[WorkerRecord, ...]:
    """Return the workers whose lease runs, in a stable order."""
    return tuple(
        sorted((r for r in records if r.is_live(now_ms)), key=lambda record: record.worker_id)
    )
