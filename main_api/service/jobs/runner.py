"""Runs jobs, one at a time, on one Main Worker of all (design.md section 4, "Rotation").

Whatever is known stands in the job's record; who runs it may be killed at any instant, and another
Main Worker goes on. Only complete shards count, and every step may be done twice.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Final

import msgspec

from main_api.domain import jobs
from main_api.domain.backups import BackupRecord
from main_api.domain.exports import ExportRecord
from main_api.domain.jobs import JobRecord, Kind, Pass, Phase
from main_api.service.audit import entry as audit
from main_api.service.jobs.leases import Leases
from main_api.service.jobs.shard_pass import ShardPass
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.ports import Barrier, ControlStore, Records
from main_api.service.requests.dispatch import Dispatcher
from main_api.service.workers.ports import Rewrapping
from strongroom import keyring, logs
from strongroom.clock import Clock
from strongroom.errors import BusyError, IntegrityError, StrongroomError
from strongroom.keyring import Keyring, Purpose, State
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics, Sample

_TROUBLE_S: Final = 2.0
_BARRIER_S: Final = 2.0
_SAVED_EVERY_S: Final = 0.25
_log = logs.logger()


class _NeededError(Exception):
    """A key is needed after all; `job` says by what."""

    def __init__(self, job: JobRecord) -> None:
        super().__init__()
        self.job = job


class JobRunner:
    """Looks for jobs and runs them; `step` is called again and again by a thread of its own."""

    def __init__(
        self,
        store: ControlStore,
        live: LiveKeyring,
        dispatcher: Dispatcher,
        workers: Rewrapping,
        barrier: Barrier,
        *,
        claim: Callable[[], AbstractContextManager[object]],
        clock: Clock,
        metrics: Metrics | None = None,
    ) -> None:
        """Take the parts; `claim` holds what lets one Main Worker run jobs, or raises BusyError."""
        self._store = store
        self._live = live
        self._dispatcher = dispatcher
        self._workers = workers
        self._barrier = barrier
        self._claim = claim
        self._clock = clock
        self._leases = Leases(clock)
        self._stopping = threading.Event()
        self._ended: set[str] = set()
        self._current: JobRecord | None = None
        metrics = metrics or Metrics()
        ended = metrics.counters(catalogue.JOBS_ENDED)
        # From nothing on, so that the first one is seen as one more.
        self._jobs_ended = {
            one: ended.of(one.value) for one in jobs.State if one.value != "running"
        }
        metrics.read_all((catalogue.JOB_FILES,), self._files)

    def stop(self) -> None:
        """Leave what is under way to whoever runs jobs next; `step` returns soon."""
        self._stopping.set()

    def step(self) -> None:
        """Take the oldest running job as far as it goes now.

        What fails is logged and told in the job's `detail`, and tried again with the next call.
        """
        try:
            if self._oldest() is None:
                return
            with self._claim():
                # Another one may have ended it before the claim was had.
                job = self._oldest()
                if job is not None:
                    self._try(job)
        except BusyError:
            self._stopping.wait(_TROUBLE_S)
        except StrongroomError as error:
            self._interrupted(error)

    def _try(self, job: JobRecord) -> None:
        try:
            self._advance(job)
        except StrongroomError as error:
            # The record that it had come to, not the one that it began with.
            come_to = self._readable(job.job_id)
            if come_to is not None:
                with suppress(StrongroomError):
                    self._save_detail(come_to, f"to be tried again: {error.detail}")
            self._interrupted(error)

    def _interrupted(self, error: StrongroomError) -> None:
        _log.warning("job-interrupted", code=error.code, reason=error.detail)
        self._stopping.wait(_TROUBLE_S)

    def _oldest(self) -> JobRecord | None:
        for name in self._store.jobs.names():
            if name not in self._ended:
                job = self._readable(name)
                if job is not None and job.is_running:
                    return job
                self._ended.add(name)
        return None

    def _readable(self, name: str) -> JobRecord | None:
        try:
            return self._store.jobs.get(name)
        except IntegrityError as error:
            _log.error("job-unreadable", job_id=name, reason=error.detail)
            return None

    def _advance(self, job: JobRecord) -> None:
        if job.cancel:
            self._save(job)
        elif job.phase is Phase.SETTLING:
            self._settle(job)
        elif job.phase is Phase.DESTROYING:
            self._destroy(job)
        else:
            self._pass_over(job)

    def _pass_over(self, job: JobRecord) -> None:
        """Look at every file once, and rewrap in the phase of that name."""
        drained = job.drained if job.phase is Phase.REWRAPPING else ()
        saved_at_s = self._clock.boot_s()

        def progress(seen: Pass, trouble: str) -> None:
            nonlocal job, saved_at_s
            job = msgspec.structs.replace(job, seen=seen, detail=trouble)
            if self._clock.boot_s() >= saved_at_s + _SAVED_EVERY_S:
                job = self._save(job)
                saved_at_s = self._clock.boot_s()

        looked = ShardPass(
            job.seen,
            drained,
            self._workers,
            self._dispatcher.live_workers,
            files_per_second=lambda: job.files_per_second,
        ).run(progress, lambda: self._stopping.is_set() or not job.is_running)
        if not job.is_running:
            return
        if not looked:
            self._save(job)
        elif job.kind is Kind.REWRAP:
            self._save(jobs.after_pass(job, self._clock.wall_ms()))
        else:
            self._save(jobs.verdict(self._with_copies(job), self._clock.wall_ms()))

    def _settle(self, job: JobRecord) -> None:
        """Wait until nobody writes under a drained key, and nobody ever will.

        First no live worker may begin such a write: each has confirmed that it has the keys of
        this keyring, in which none of the drained ones is active, and has done with the others.
        Then those under way elsewhere have to end: writers whose lease is over, or which were
        stopped, and hold a lock. Both are looked at anew after a kill.
        """
        self._live.follow()
        unsettled = self._unsettled()
        if unsettled:
            self._save_detail(job, f"waiting for {', '.join(unsettled)} to confirm the new key")
            return
        self._barrier.restart()
        while not self._barrier.wait(_BARRIER_S):
            job = self._save(
                msgspec.structs.replace(
                    job, detail="a writer holds an entity's lock; if it was stopped, end it"
                )
            )
            if self._stopping.is_set() or not job.is_running:
                return
        self._save(jobs.entering(job, Phase.VERIFYING, self._clock.wall_ms()))

    def _destroy(self, job: JobRecord) -> None:
        """Take the key out of the keyring, and wait until every worker has dropped it."""
        (key_id,) = job.drained
        self._live.follow()
        if self._live.find(key_id, Purpose.DATA).state != State.DESTROYED:
            try:
                with audit.because(by="job", job_id=job.job_id):
                    self._live.change(lambda current: self._without(job, current))
            except _NeededError as error:
                self._save(jobs.verdict(error.job, self._clock.wall_ms()))
                return
            _log.warning("key-destroyed", key_id=key_id, job_id=job.job_id)
        behind = self._unsettled()
        if behind:
            self._save_detail(job, f"waiting for {', '.join(behind)} to drop the key")
            return
        # An export may have been made until the last moment.
        job = self._with_copies(job)
        self._save(jobs.ended(job, jobs.State.DONE, self._clock.wall_ms()))

    def _without(self, job: JobRecord, current: Keyring) -> Keyring:
        """Return the keyring without the key; called under the lock of whoever records backups.

        Raises:
            _NeededError: A backup that needs it was put on record since they were looked at.
        """
        (key_id,) = job.drained
        again = self._with_copies(job)
        if again.backups and not job.shred:
            raise _NeededError(again)
        return keyring.without(current, key_id)

    def _unsettled(self) -> list[str]:
        """Return which workers may still use keys of an older keyring than the one in use."""
        records, damaged = self._store.every_worker()
        return self._leases.unsettled(records, self._live.generation, damaged)

    def _with_copies(self, job: JobRecord) -> JobRecord:
        """Return the job with the copies that its key opens."""
        (key_id,) = job.drained
        return msgspec.structs.replace(
            job,
            backups=_needing(key_id, self._store.backups),
            exports=_needing(key_id, self._store.exports),
        )

    def _save_detail(self, job: JobRecord, detail: str) -> None:
        if detail != job.detail:
            self._save(msgspec.structs.replace(job, detail=detail))

    def _save(self, job: JobRecord) -> JobRecord:
        """Put a job on record, and return it with what was ordered since it was read."""
        with self._store.exclusive():
            on_record = self._store.jobs.get(job.job_id)
            job = jobs.as_ordered(job, on_record, self._clock.wall_ms())
            self._store.jobs.put(job.job_id, job)
        self._current = job if job.is_running else None
        if not job.is_running:
            self._ended.add(job.job_id)
            self._jobs_ended[job.state].add()
            _log.info("job-ended", job_id=job.job_id, code=job.state.value, reason=job.detail)
        return job

    def _files(self) -> Iterator[Sample]:
        job = self._current
        if job is not None and not self._stopping.is_set():
            yield Sample(catalogue.JOB_FILES, ("done",), job.done)
            yield Sample(catalogue.JOB_FILES, ("all",), job.total)


def _needing(key_id: str, copies: Records[BackupRecord] | Records[ExportRecord]) -> tuple[str, ...]:
    """Return which copies hold a key; one whose record does not verify may."""

    def needs(name: str) -> bool:
        try:
            found = copies.get(name)
        except IntegrityError:
            return True
        return found is not None and key_id in found.key_ids

    return tuple(name for name in copies.names() if needs(name))
