"""Whose lease may still run: asked before a key is destroyed, so it errs on the side of waiting."""

from collections.abc import Iterable

from main_api.domain.registry import WorkerRecord
from strongroom import limits
from strongroom.clock import Clock

_PATIENCE_S = limits.LEASE_SECONDS + limits.CLOCK_SKEW_MS_MAX / 1000


class Leases:
    """Watches leases by two clocks.

    By the wall clock a lease is over when the registry says so, by half a second more than clocks
    may differ. A wall clock can jump, so a lease also has to have been seen unchanged for its whole
    length, by the clock that does not.
    """

    def __init__(self, clock: Clock) -> None:
        """Have seen nothing yet."""
        self._clock = clock
        self._seen_s: dict[tuple[str, int], float] = {}

    def unsettled(
        self, records: Iterable[WorkerRecord], generation: int, damaged: Iterable[str] = ()
    ) -> list[str]:
        """Return the ids of workers that may serve with the keys of an older keyring.

        Args:
            records: The whole registry, as far as it verifies.
            generation: The keyring's that they have to have confirmed.
            damaged: Workers whose records do not verify. Nobody can renew such a lease, so it is
                over when the record was seen so for the whole length of one.
        """
        # Of a damaged record only the clock that does not jump can tell. In each other one there
        # are two: the worker's own lease, which may have been left before its end while what was
        # begun is finished, and that of a subscription which it has superseded.
        leases = {
            (one.worker_id, until_ms)
            for one in records
            for until_ms in (
                one.superseded_until_ms,
                one.lease_until_ms if one.generation < generation else 0,
            )
            if until_ms
        } | {(worker_id, 0) for worker_id in damaged}
        now_s, now_ms = self._clock.boot_s(), self._clock.wall_ms()
        self._seen_s = {lease: self._seen_s.get(lease, now_s) for lease in leases}
        return sorted(
            {
                worker_id
                for (worker_id, until_ms), first_s in self._seen_s.items()
                if now_ms < until_ms + limits.CLOCK_SKEW_MS_MAX or now_s < first_s + _PATIENCE_S
            }
        )
