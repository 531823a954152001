"""The record of backups: which there are, so that no key is destroyed that one of them needs."""

from main_api.domain.backups import BackupRecord
from main_api.domain.caller import Caller
from main_api.service import listing
from main_api.service.callers.access import Access
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.listing import Listing
from main_api.service.ports import ControlStore
from strongroom import ids, limits
from strongroom.clock import Clock, rfc3339
from strongroom.errors import ConflictError, IntegrityError, NotFoundError
from strongroom.keyring import Purpose, State


class Backups:
    """Puts backups on record.

    Every method takes the action `admin` in a grant on every database,
    and raises ForbiddenError where it is missing.
    """

    def __init__(
        self, access: Access, store: ControlStore, live: LiveKeyring, clock: Clock
    ) -> None:
        """Take the parts."""
        self._access = access
        self._store = store
        self._live = live
        self._clock = clock

    def record(self, caller: Caller, backup_id: str) -> BackupRecord:
        """Put a backup that was taken on record: any data key that is there may open a part of it.

        Raises:
            ConflictError: It is on record; a backup is not changed.
            InvalidArgumentError: Not a name.
            BusyError, IntegrityError, UnavailableError: The disk, or what lies there.
        """
        self._access.require_everywhere(caller)
        name = ids.record_name(backup_id)
        with self._store.exclusive():
            self._live.follow()
            known = self._store.backups.names()
            if name in known:
                raise ConflictError(f"a backup {name} is on record; choose another name")
            if len(known) >= limits.BACKUPS_MAX:
                raise ConflictError("too many backups are on record; remove those that are gone")
            data = self._live.of(frozenset({Purpose.DATA}))
            made = BackupRecord(
                backup_id=name,
                recorded_at=rfc3339(self._clock.wall_ms()),
                key_ids=tuple(k.key_id for k in data if k.state != State.DESTROYED),
            )
            self._store.backups.put(name, made)
        return made

    def all(self, caller: Caller) -> tuple[list[BackupRecord], int]:
        """Return what is on record, and how many records do not verify."""
        self._access.require_everywhere(caller)
        names = self._store.backups.names()
        found = [backup for backup in map(self._readable, names) if backup is not None]
        return found, len(names) - len(found)

    def page(self, caller: Caller, limit: int, cursor: str) -> Listing[BackupRecord]:
        """Return a page of what is on record.

        Raises:
            InvalidArgumentError: `limit` is not 1 to `limits.PAGE_SIZE_MAX`.
        """
        self._access.require_everywhere(caller)
        backups = self._store.backups
        return listing.page(backups.names(), backups.get, limit, cursor)

    def remove(self, caller: Caller, backup_id: str) -> None:
        """Take a backup that is gone off the record.

        Raises:
            NotFoundError: It is not on it.
        """
        self._access.require_everywhere(caller)
        name = ids.record_name(backup_id)
        with self._store.exclusive():
            if name not in self._store.backups.names():
                raise NotFoundError("no such backup on record")
            self._store.backups.remove(name)

    def _readable(self, name: str) -> BackupRecord | None:
        try:
            return self._store.backups.get(name)
        except IntegrityError:
            return None
