"""The read of design.md section 3: cache, currency check, load."""

import sys
from typing import Final

from processing_fn.domain import coherence, entity
from processing_fn.domain.coherence import Witness
from processing_fn.service.keyed_mutex import KeyedMutex
from processing_fn.service.ports import CachedEntity, EntityCache, EntityStorage, Place
from processing_fn.service.session import Session
from strongroom import blob, limits
from strongroom.clock import Clock, from_rfc3339
from strongroom.configuration import Retired
from strongroom.errors import IntegrityError

_NO_WITNESS: Final = Witness(0)


class MisplacedError(IntegrityError):
    """A file that verifies, and is of another database or incarnation than where it lies."""


class RetiredError(MisplacedError):
    """It is of an incarnation of this database that was deleted."""


class Reader:
    """Reads entities through the cache. Safe under threads."""

    def __init__(
        self,
        session: Session,
        storage: EntityStorage,
        cache: EntityCache,
        clock: Clock,
        bound_s: float = coherence.STRICT,
    ) -> None:
        """Take the parts, and how old what is answered without asking the disk may be."""
        self._session = session
        self._storage = storage
        self._cache = cache
        self._clock = clock
        self._bound_s = bound_s
        self._flights = KeyedMutex()
        self._name_of = session.file_names.of

    def read(self, place: Place, entity_key: str) -> CachedEntity | None:
        """Return an entity as it is now, None where clients see none.

        Raises:
            IntegrityError: Its files do not verify.
            UnavailableError: No lock, no disk.
        """
        entry = self._current(place)
        if entry is not None:
            self._cache.count("hits")
        else:
            entry = self._join_or_load(place, entity_key)
        if entry is None or (entry.expiry_ms is not None and self._has_expired(entry)):
            return None
        return entry

    def scan(self, place: Place, retired: tuple[Retired, ...]) -> CachedEntity | None:
        """As `read`, for one of many whose key is not known: what it loads is not kept.

        Args:
            place: Where.
            retired: Incarnations of the database that were deleted; their files are not there.
        """
        entry = self._current(place)
        if entry is None:
            try:
                found = self._storage.load(
                    place, lambda parsed: self.open(parsed, place, None, retired)
                )
            except RetiredError:
                return None
            entry = None if found is None else _unkept(place, found[0].header, found[1])
        if entry is None or (entry.expiry_ms is not None and self._has_expired(entry)):
            return None
        return entry

    def open(
        self,
        parsed: blob.Parsed,
        place: Place,
        entity_key: str | None,
        retired: tuple[Retired, ...] = (),
    ) -> blob.Body:
        """Decrypt a blob, and check that it holds the entity that belongs there.

        Raises:
            IntegrityError: It does not open, or holds another entity.
            RetiredError: It belongs to one of the `retired` incarnations.
            MisplacedError: It belongs to another database.
        """
        body = self._session.decrypt(parsed, place.file_id)
        # That it opened under the file-id of its name proves the entity, not the directory.
        if not self._belongs(body, place, place.incarnation) or (
            entity_key is not None and entity_key != body.entity_key
        ):
            if any(self._belongs(body, place, one.incarnation) for one in retired):
                raise RetiredError("it is of a deleted incarnation of its database")
            raise MisplacedError("the file holds another entity")
        return body

    def _belongs(self, body: blob.Body, place: Place, incarnation: str) -> bool:
        return self._name_of(place.database, incarnation, body.entity_key) == place.file_id

    def keep(
        self,
        place: Place,
        header: blob.Header,
        body: blob.Body,
        sidecar: bytes,
        current_at_s: float = 0.0,
    ) -> CachedEntity | None:
        """Take a state that lies on the disk into the cache; a tombstone leaves it.

        Returns what clients see of it.

        Args:
            place: Where it lies.
            header: Its header.
            body: What was decrypted.
            sidecar: Its sidecar.
            current_at_s: When it was current, on CLOCK_BOOTTIME; 0 for not known.
        """
        entry = _entry(place, header, body, sidecar, current_at_s)
        if entry is not None:
            self._cache.put(place.file_id, entry)
        # A worker that has forgotten it meanwhile, or all, must not be given it back.
        is_forgotten = self._session.data_keys.is_destroyed(header.key_id)
        if entry is None or is_forgotten or self._session.lease.has_ended():
            self._cache.drop(place.file_id)
        return entry

    def refresh(self, place: Place, header: blob.Header, body: blob.Body, sidecar: bytes) -> None:
        """As `keep`, where the entity is in the cache already: what nobody reads stays out.

        Whose incarnation it is, the cache knows; `place` need not.
        """
        entry = self._cache.get(place.file_id)
        if entry is not None and entry.database_name == place.database:
            there = Place(entry.database_name, entry.incarnation, place.file_id)
            self.keep(there, header, body, sidecar)

    def _join_or_load(self, place: Place, entity_key: str) -> CachedEntity | None:
        # Written out: a context would take a thirtieth of a cold read.
        mutex = self._flights.enter(place.file_id, limits.LOCK_WAIT_SECONDS)
        try:
            # A flight of another reader has only filled the cache; the check is our own.
            entry = self._current(place)
            if entry is not None:
                self._cache.count("joined")
                return entry
            self._cache.count("misses")
            asked_at_s = self._clock.boot_s() if self._bound_s else 0.0
            found = self._storage.load(place, lambda parsed: self.open(parsed, place, entity_key))
            if found is None:
                return None
            parsed, body, sidecar = found
            return self.keep(place, parsed.header, body, sidecar, asked_at_s)
        finally:
            self._flights.leave(place.file_id, mutex)

    def _current(self, place: Place) -> CachedEntity | None:
        entry = self._cache.get(place.file_id)
        if entry is None:
            return None
        # A file may have been put where it does not belong: its name alone says too little.
        if entry.database_name != place.database or entry.incarnation != place.incarnation:
            return None
        asked_at_s = self._clock.boot_s() if self._bound_s else 0.0
        if self._bound_s and asked_at_s < entry.current_at_s + self._bound_s:
            self._cache.count("unasked")
            return entry
        if self._storage.is_current(place, entry.witness):
            # Of the time before the disk was asked: what it says may be old when it comes.
            entry.current_at_s = asked_at_s
            return entry
        self._cache.count("stale")
        self._cache.drop(place.file_id)
        return None

    def _has_expired(self, entry: CachedEntity) -> bool:
        return entry.expiry_ms is not None and entry.expiry_ms <= self._clock.wall_ms()


def _unkept(place: Place, header: blob.Header, body: blob.Body) -> CachedEntity | None:
    """Return as `_entry` what is looked at and let go: nothing stands for its sidecar."""
    if body.document is None:
        return None
    ends = header.expires_at
    return CachedEntity(
        body.entity_key,
        place.database,
        place.incarnation,
        entity.metadata(header),
        body.document,
        None if ends is None else from_rfc3339(ends),
        _NO_WITNESS,
    )


def _entry(
    place: Place,
    header: blob.Header,
    body: blob.Body,
    sidecar: bytes,
    current_at_s: float = 0.0,
) -> CachedEntity | None:
    if body.document is None:
        return None
    ends = header.expires_at
    return CachedEntity(
        body.entity_key,
        # Each request brings strings of its own; those of all entries of a database are one.
        sys.intern(place.database),
        sys.intern(place.incarnation),
        entity.metadata(header),
        body.document,
        None if ends is None else from_rfc3339(ends),
        coherence.witness(sidecar),
        current_at_s,
    )
