"""What administrators do with jobs: rewrap everything, destroy a key, look how far it has come."""

import msgspec

from main_api.domain import jobs
from main_api.domain.caller import Caller
from main_api.domain.jobs import JobRecord
from main_api.service import listing
from main_api.service.audit import entry as audit
from main_api.service.callers.access import Access
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.listing import Listing
from main_api.service.ports import ControlStore
from strongroom import ids, keyring, limits
from strongroom.clock import Clock
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
)
from strongroom.keyring import Purpose, State


class Jobs:
    """Makes jobs, which a gRPC Main Worker then runs, and shows them.

    Every method takes the action `admin` in a grant on every database, and raises ForbiddenError
    where it is missing.
    """

    def __init__(
        self, access: Access, store: ControlStore, live: LiveKeyring, clock: Clock
    ) -> None:
        """Take the parts."""
        self._access = access
        self._store = store
        self._live = live
        self._clock = clock

    def rewrap(self, caller: Caller, files_per_second: float = 0) -> JobRecord:
        """Begin to put every file under the active key.

        Where a job does that already, it goes on at the rate that is asked for now.

        Args:
            caller: Who asks.
            files_per_second: How many at the most, on all workers together; 0 for any number.

        Raises:
            InvalidArgumentError: Not a rate that can be kept.
            ConflictError: Too many jobs wait already.
            BusyError, IntegrityError, UnavailableError: The disk, or what lies there.
        """
        self._access.require_everywhere(caller)
        if files_per_second and not 1 <= files_per_second <= limits.REWRAP_FILES_PER_SECOND_MAX:
            most = limits.REWRAP_FILES_PER_SECOND_MAX
            raise InvalidArgumentError(f"files_per_second is 1 to {most}")
        with self._store.exclusive():
            self._live.follow()
            data = self._live.of(frozenset({Purpose.DATA}))
            drained = tuple(key.key_id for key in data if key.state == State.DECRYPT_ONLY)
            for job in self._running():
                is_same = job.kind is jobs.Kind.REWRAP and job.drained == drained
                if is_same and not job.cancel:
                    return self._changed(job, files_per_second=files_per_second)
            return self._begin(
                jobs.rewrap(self._new_id(), drained, files_per_second, self._clock.wall_ms())
            )

    def destroy(self, caller: Caller, key_id: str, entities_accepted: int | None) -> JobRecord:
        """Begin to destroy a data key.

        Args:
            caller: Who asks.
            key_id: Which one.
            entities_accepted: None to destroy it only if nothing needs it; else how many entities
                may be lost by it, at the most.

        Raises:
            InvalidArgumentError: Not a number of entities.
            NotFoundError: There is no such key.
            ConflictError: It is the active one, or was destroyed, or too many jobs wait.
            BusyError, IntegrityError, UnavailableError: The disk, or what lies there.
        """
        self._access.require_everywhere(caller)
        if not 0 <= (entities_accepted or 0) <= limits.ENTITIES_LOST_MAX:
            raise InvalidArgumentError(f"entities is 0 to {limits.ENTITIES_LOST_MAX}")
        with self._store.exclusive():
            self._live.follow()
            keyring.without(self._live.current, key_id)
            now_ms = self._clock.wall_ms()
            return self._begin(jobs.destroy(self._new_id(), key_id, entities_accepted, now_ms))

    def cancel(self, caller: Caller, job_id: str) -> JobRecord:
        """Have a job end; who runs it sees to that.

        Raises:
            NotFoundError: There is none.
            ConflictError: It has ended, or its key is being destroyed already.
            BusyError, IntegrityError, UnavailableError: The disk, or what lies there.
        """
        self._access.require_everywhere(caller)
        with self._store.exclusive():
            job = self.get(caller, job_id)
            if not job.is_running:
                raise ConflictError(f"the job has ended: {job.state.value}")
            if job.phase is jobs.Phase.DESTROYING:
                raise ConflictError("the key is being destroyed: it is too late to cancel that")
            return self._changed(job, cancel=True)

    def get(self, caller: Caller, job_id: str) -> JobRecord:
        """Return a job.

        Raises:
            NotFoundError: There is none.
            IntegrityError, UnavailableError: It cannot be read.
        """
        self._access.require_everywhere(caller)
        try:
            found = self._store.jobs.get(ids.record_name(job_id))
        except InvalidArgumentError:
            found = None
        if found is None:
            raise NotFoundError("no such job")
        return found

    def all(self, caller: Caller) -> tuple[list[JobRecord], int]:
        """Return the jobs that are kept, the newest first, and how many records do not verify."""
        self._access.require_everywhere(caller)
        names = self._store.jobs.names()
        found = [job for job in map(self._readable, reversed(names)) if job is not None]
        return found, len(names) - len(found)

    def page(self, caller: Caller, limit: int, cursor: str) -> Listing[JobRecord]:
        """Return a page of the jobs that are kept, the newest first.

        Raises:
            InvalidArgumentError: `limit` is not 1 to `limits.PAGE_SIZE_MAX`.
        """
        self._access.require_everywhere(caller)
        names = reversed(self._store.jobs.names())
        return listing.page(names, self._store.jobs.get, limit, cursor, newest_first=True)

    def _changed(self, job: JobRecord, **members: float) -> JobRecord:
        """Put on record what is asked of a running job; called under the lock."""
        changed = msgspec.structs.replace(job, **members)
        if changed != job:
            self._store.jobs.put(job.job_id, changed)
        return changed

    def _begin(self, job: JobRecord) -> JobRecord:
        running = len(self._running())
        if running >= limits.JOBS_RUNNING_MAX:
            raise ConflictError(f"{running} jobs wait already; let them end first")
        names = self._store.jobs.names()
        for name in names[: max(0, len(names) + 1 - limits.JOBS_KEPT_MAX)]:
            old = self._readable(name)
            if old is not None and not old.is_running:
                self._store.jobs.remove(name)
        audit.note(job_id=job.job_id)
        self._store.jobs.put(job.job_id, job)
        return job

    def _running(self) -> list[JobRecord]:
        found = map(self._readable, self._store.jobs.names())
        return [job for job in found if job is not None and job.is_running]

    def _readable(self, name: str) -> JobRecord | None:
        """Return a job; None for one that nobody runs, because its record does not verify."""
        try:
            return self._store.jobs.get(name)
        except IntegrityError:
            return None

    def _new_id(self) -> str:
        return f"{self._clock.wall_ms():012x}{ids.new_id(64)}"
