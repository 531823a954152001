"""Copies of the keyring for a safe: encrypted for the recovery key alone, and put on record."""

from main_api.domain.caller import Caller
from main_api.domain.exports import ExportRecord
from main_api.service import listing
from main_api.service.audit import entry as audit
from main_api.service.callers.access import Access
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.keys.ports import RootWrapper
from main_api.service.listing import Listing
from main_api.service.ports import ControlStore
from strongroom import ids, limits
from strongroom.clock import Clock, rfc3339
from strongroom.errors import ConflictError, NotFoundError
from strongroom.keyring import Purpose, State


class Exports:
    """Exports the keyring, and remembers that it did.

    Every method takes the action `admin` in a grant on every database, and raises ForbiddenError
    where it is missing; and BusyError, IntegrityError, UnavailableError for what the disk has.
    """

    def __init__(
        self,
        access: Access,
        store: ControlStore,
        live: LiveKeyring,
        clock: Clock,
        escrow: RootWrapper | None,
    ) -> None:
        """Take the parts; `escrow` wraps for the recovery key, None where there is none."""
        self._access = access
        self._store = store
        self._live = live
        self._clock = clock
        self._escrow = escrow

    def make(self, caller: Caller) -> tuple[ExportRecord, bytes]:
        """Return a copy of the keyring's file that the recovery key opens; it is on record by then.

        Raises:
            ConflictError: The deployment names no recovery key, or too many are on record.
        """
        self._access.require_everywhere(caller)
        if self._escrow is None:
            raise ConflictError(
                "this deployment names no recovery key: make one with `strongroom keys"
                " make-recovery`, set STRONGROOM_RECOVERY_PUBLIC_KEY_FILE for every Main Worker,"
                " restart them"
            )
        # Under the lock, so that a key is not destroyed between the copy and its record.
        with self._store.exclusive():
            if len(self._store.exports.names()) >= limits.EXPORTS_MAX:
                raise ConflictError("too many exports are on record; remove those that are gone")
            copied, raw = self._live.exported(self._escrow)
            data = copied.of(frozenset({Purpose.DATA}))
            made = ExportRecord(
                export_id=ids.new_id(64),
                exported_at=rfc3339(self._clock.wall_ms()),
                generation=copied.generation,
                key_ids=tuple(key.key_id for key in data if key.state != State.DESTROYED),
                recovery=self._escrow.recovery,
            )
            audit.note(export_id=made.export_id, generation=made.generation)
            self._store.exports.put(made.export_id, made)
        return made, raw

    def all(self, caller: Caller) -> tuple[ExportRecord, ...]:
        """Return what is on record."""
        self._access.require_everywhere(caller)
        found = map(self._store.exports.get, self._store.exports.names())
        return tuple(one for one in found if one is not None)

    def page(self, caller: Caller, limit: int, cursor: str) -> Listing[ExportRecord]:
        """Return a page of what is on record.

        Raises:
            InvalidArgumentError: `limit` is not 1 to `limits.PAGE_SIZE_MAX`.
        """
        self._access.require_everywhere(caller)
        exports = self._store.exports
        return listing.page(exports.names(), exports.get, limit, cursor)

    def remove(self, caller: Caller, export_id: str) -> None:
        """Take an export whose every copy is gone off the record.

        Raises:
            NotFoundError: It is not on it.
        """
        self._access.require_everywhere(caller)
        name = ids.record_name(export_id)
        with self._store.exclusive():
            if name not in self._store.exports.names():
                raise NotFoundError("no such export on record")
            self._store.exports.remove(name)
