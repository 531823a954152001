"""What nobody asks for, shard by shard: leftovers of crashes, expired and deleted entities."""

from contextlib import suppress
from typing import Final

from cachetools import LRUCache

from processing_fn.domain.entity import has_expired
from processing_fn.service.bindings import Bindings
from processing_fn.service.ports import EntityStorage, Place
from processing_fn.service.session import Session
from processing_fn.service.writing import Committer
from strongroom import blob, limits
from strongroom.clock import Clock, from_rfc3339
from strongroom.configuration import Database, Retired
from strongroom.errors import IntegrityError

_STRAGGLERS_MS: Final = 60_000


class Upkeep:
    """Keeps the shards of databases tidy. Safe under threads."""

    def __init__(
        self,
        session: Session,
        storage: EntityStorage,
        bindings: Bindings,
        committer: Committer,
        clock: Clock,
    ) -> None:
        """Take the parts."""
        self._session = session
        self._storage = storage
        self._bindings = bindings
        self._committer = committer
        self._clock = clock
        self._clean: LRUCache[tuple[str, int], tuple[Retired, ...]] = LRUCache(
            limits.SHARDS_REMEMBERED
        )

    def databases(self) -> list[str]:
        """Return the databases that have files."""
        return self._storage.databases()

    def tidy_configuration(self) -> None:
        """Sweep the temporary files of templates, databases and control records.

        Raises:
            UnavailableError: No lease, or the disk refuses.
        """
        self._session.lease.require()
        # What only has the name of a temporary file is told by a verification.
        with suppress(IntegrityError):
            self._storage.sweep_configuration()

    def tidy(self, database_name: str, shard: int) -> None:
        """Sweep a shard's temporary files, purge its expired entities and those of a deleted past.

        Raises:
            StrongroomError: As `Committer.commit`.
        """
        self._session.lease.require()
        with suppress(IntegrityError):
            self._storage.sweep(database_name, shard)
        database = self._bindings.record(database_name)
        if database is None:
            # Nothing proves that these files are of no use any more.
            return
        # In a deleted database no incarnation is the one in force.
        incarnation = "" if database.deleted_at else database.incarnation
        place = Place(database.name, incarnation, b"")
        looks_inside = self._clean.get((database_name, shard), ()) != database.retired
        for file_id, sidecar in self._storage.sidecars(database_name, shard):
            # Whoever reads a damaged file is told; here the others go on.
            with suppress(IntegrityError):
                at = Place(place.database, place.incarnation, file_id)
                if looks_inside and self._committer.remove_retired(database, at):
                    continue
                self._purge(database, at, sidecar)
        if all(self._has_settled(one) for one in database.retired):
            self._clean[(database_name, shard)] = database.retired

    def _has_settled(self, retired: Retired) -> bool:
        """Tell whether no write into a deleted incarnation can be under way any more."""
        since_ms = abs(self._clock.wall_ms() - from_rfc3339(retired.deleted_at))
        return since_ms > _STRAGGLERS_MS

    def _purge(self, database: Database, place: Place, sidecar: bytes | None) -> None:
        """Purge an entity whose sidecar says, as a hint, that its time is over; or says nothing."""
        if database.deleted_at:
            return
        expiry = blob.sidecar_expiry(sidecar) if sidecar is not None else None
        is_over = expiry is not None and has_expired(expiry, self._clock.wall_ms())
        if is_over or sidecar is None:
            self._committer.purge(database, place)
