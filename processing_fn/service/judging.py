"""Says of one entity's files whether they are as they should be.

What looks wrong is judged once more under its lock, so that a write that is under way is never
taken for damage.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from processing_fn.service.ports import EntityStorage, Place, Transaction
from processing_fn.service.reading import MisplacedError, Reader, RetiredError
from processing_fn.service.session import Session
from strongroom import blob
from strongroom.configuration import Database
from strongroom.errors import IntegrityError, StrongroomError, UnavailableError
from strongroom.finding import Condition, Finding
from strongroom.layout import blob_name, sidecar_name

_LOCK_WAIT_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the entities below the directory of one database.

    Attributes:
        session: The keys.
        storage: The files.
        reader: Opens them.
        name: The directory's name.
        database: The database of that name, a deleted one too; None where none verifies.
        record: Reads the same once more; raises UnavailableError.
        repair: Renew sidecars, and remove what belongs to a deleted incarnation.
    """

    session: Session
    storage: EntityStorage
    reader: Reader
    name: str
    database: Database | None
    record: Callable[[], Database | None]
    repair: bool

    def judge(self, file_id: bytes) -> Finding | None:
        """Return what is the matter with an entity's files, None for nothing."""
        path = f"files/{self.name}/{file_id[:1].hex()}/{blob_name(file_id)}"
        if self.database is None:
            return _unclaimed(path)
        try:
            self.session.lease.require()
            place = self._place(self.database, file_id)
            if self._is_sound(place, self.database):
                return None
            with self.storage.exclusive(place, _LOCK_WAIT_S) as transaction:
                # The database may have been made anew; who writes into it has looked before.
                return self._judge_locked(self.record(), file_id, transaction, path)
        except MisplacedError as error:
            return Finding(path, Condition.ORPHANED, error.detail)
        except IntegrityError as error:
            return Finding(path, Condition.DAMAGED, error.detail)
        except UnavailableError as error:
            return Finding(path, Condition.UNJUDGED, error.detail)

    def _place(self, database: Database, file_id: bytes) -> Place:
        # In a deleted database no incarnation is the one in force.
        return Place(self.name, "" if database.deleted_at else database.incarnation, file_id)

    def _is_sound(self, place: Place, database: Database) -> bool:
        """Look without a lock; whatever is not sound, or seems so, needs the lock."""
        try:
            raw, sidecar = self.storage.peek(place)
            if raw is None:
                return False
            parsed = blob.parse(raw)
            self.reader.open(parsed, place, None, database.retired)
            return blob.has_sidecar(parsed, sidecar)
        except StrongroomError:
            return False

    def _judge_locked(
        self, database: Database | None, file_id: bytes, transaction: Transaction, path: str
    ) -> Finding | None:
        if database is None:
            return _unclaimed(path)
        place = self._place(database, file_id)
        parsed = transaction.current()
        if parsed is None:
            return None
        try:
            self.reader.open(parsed, place, None, database.retired)
        except RetiredError as error:
            if self.repair:
                transaction.remove()
            return Finding(path, Condition.ORPHANED, error.detail, self.repair)
        expected, stored = blob.sidecar(parsed), transaction.stored_sidecar()
        if stored == expected:
            return None
        if self.repair:
            transaction.renew_sidecar(expected)
        beside = f"{path.rpartition('/')[0]}/{sidecar_name(place.file_id)}"
        reason = "it is missing" if stored is None else "it is not the one of its blob"
        return Finding(beside, Condition.STALE, reason, self.repair)


def _unclaimed(path: str) -> Finding:
    return Finding(path, Condition.ORPHANED, "no configuration of its database verifies")
