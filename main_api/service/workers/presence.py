"""Which gRPC Main Workers are in service, so that a worker can hold a stream to each of them.

Each tells it of itself by a record with a lease. Nobody is called by it but by workers, which ask
for a Main Worker's certificate; a record that is old or gone costs freshness, nothing else.
"""

from main_api.domain.registry import MainRecord
from main_api.service.ports import ControlStore
from strongroom import ids, limits, logs
from strongroom.clock import Clock
from strongroom.errors import StrongroomError

_log = logs.logger()


class Presence:
    """Keeps the record of one Main Worker."""

    def __init__(self, store: ControlStore, clock: Clock, address: str) -> None:
        """Take the address at which workers reach it; nothing is written yet."""
        self._store = store
        self._clock = clock
        self._main_id = ids.new_id(64)
        self._address = address

    def renew(self) -> None:
        """Write the record, and remove those of Main Workers that are long gone.

        Raises:
            UnavailableError: The disk refuses.
        """
        now_ms = self._clock.wall_ms()
        until_ms = now_ms + limits.LEASE_SECONDS * 1000
        record = MainRecord(address=self._address, lease_until_ms=until_ms)
        self._store.mains.put(self._main_id, record, is_durable=False)
        for main_id, other in _records(self._store):
            if other.lease_until_ms < now_ms - limits.REGISTRY_KEPT_SECONDS * 1000:
                self._store.mains.remove(main_id)

    def leave(self) -> None:
        """Remove the record; one that cannot be removed ends by itself."""
        try:
            self._store.mains.remove(self._main_id)
        except StrongroomError as error:
            _log.warning("presence-not-removed", code=error.code, reason=error.detail)


def addresses(store: ControlStore, now_ms: int) -> tuple[str, ...]:
    """Return where the Main Workers are reached that are in service, in order.

    What cannot be read is left out.
    """
    try:
        found = {r.address for _, r in _records(store) if now_ms < r.lease_until_ms}
    except StrongroomError as error:
        _log.warning("presence-unreadable", code=error.code, reason=error.detail)
        return ()
    return tuple(sorted(found)[: limits.MAIN_WORKERS_TOLD_MAX])


def _records(store: ControlStore) -> list[tuple[str, MainRecord]]:
    found = []
    for main_id in store.mains.names():
        try:
            record = store.mains.get(main_id)
        except StrongroomError as error:
            _log.warning("presence-unreadable", code=error.code, reason=error.detail)
            continue
        if record is not None:
            found.append((main_id, record))
    return found
