"""Jobs over all stored files, as records that outlive the process which runs them.

A job is a row of phases. Each pass over the files is 256 shards; those that are done stand in the
record, so that whoever goes on after a kill repeats no more than what was under way.

    rewrap:   counting -> rewrapping -> settling -> verifying -> done, or rewrapping once more
    destroy:                            settling -> verifying -> destroying -> done
"""

from enum import StrEnum
from typing import Final

import msgspec

from strongroom.clock import rfc3339

SHARDS: Final = 256
ROUNDS_MAX: Final = 20
_NAMES_MAX: Final = 20


class Kind(StrEnum):
    """What a job does."""

    REWRAP = "rewrap"
    DESTROY = "destroy"


class State(StrEnum):
    """Whether it has ended, and how."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """What a running job is at."""

    COUNTING = "counting"
    """Which files there are, and under which keys."""
    REWRAPPING = "rewrapping"
    """Putting those under the drained keys under the active one."""
    SETTLING = "settling"
    """Until no worker writes under a drained key any more, and never will."""
    VERIFYING = "verifying"
    """Reading every header once more."""
    DESTROYING = "destroying"
    """Until every worker has dropped the key."""


class Use(msgspec.Struct, frozen=True):
    """How much lies under some key: files, and those of them that are not tombstones."""

    files: int = 0
    entities: int = 0

    def __add__(self, other: "Use") -> "Use":
        """Return the sum."""
        return Use(self.files + other.files, self.entities + other.entities)


class Pass(msgspec.Struct, frozen=True):
    """One look at all shards.

    Attributes:
        shards: Those that are done, as the bits of a number in hex.
        files: How many files lie in them.
        rewrapped: How many of them this pass has rewrapped.
        by_key: What lies under each key after it.
        unreadable: How many should have been rewrapped and do not open.
        keyless: How many have no header, or name a key that never was.
    """

    shards: str = "0"
    files: int = 0
    rewrapped: int = 0
    by_key: dict[str, Use] = {}
    unreadable: int = 0
    keyless: int = 0

    def todo(self) -> list[int]:
        """Return the shards that are not done."""
        done = int(self.shards, 16)
        return [shard for shard in range(SHARDS) if not done >> shard & 1]

    def plus(self, other: "Pass") -> "Pass":
        """Return both together: what two workers have seen of different shards."""
        by_key = dict(self.by_key)
        for key_id, use in other.by_key.items():
            by_key[key_id] = by_key.get(key_id, Use()) + use
        return Pass(
            shards=f"{int(self.shards, 16) | int(other.shards, 16):x}",
            files=self.files + other.files,
            rewrapped=self.rewrapped + other.rewrapped,
            by_key=by_key,
            unreadable=self.unreadable + other.unreadable,
            keyless=self.keyless + other.keyless,
        )

    def under(self, key_ids: tuple[str, ...]) -> Use:
        """Return what lies under some keys."""
        return sum((self.by_key.get(key_id, Use()) for key_id in key_ids), Use())


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job.

    Attributes:
        job_id: Its id; ids sort by the time at which they were made.
        kind: What it does.
        state: Whether it has ended.
        phase: What it is at, or was at when it ended.
        drained: The data keys that nothing may lie under any more.
        files_per_second: How many to rewrap at the most, on all workers together; 0 for any. An
            administrator may change it while the job runs.
        cancel: Whether an administrator wants it to end.
        shred: Destroy the key even if files or backups need it.
        entities_accepted: How many entities may be lost by that, as was confirmed.
        created_at: RFC 3339.
        updated_at: RFC 3339.
        round: Which look at the files this is, from 1.
        seen: What the pass under way has seen, or the last one.
        total: How many files there were when they were counted.
        rewrapped: How many were rewrapped, in all rounds.
        unreadable: How many could not be in the last round, because they do not open.
        detail: What it waits for, or why it failed; a sentence for people.
        backups: Backups on record that need the key.
        exports: Key exports that hold the key.
    """

    job_id: str
    kind: Kind
    state: State
    phase: Phase
    drained: tuple[str, ...]
    files_per_second: float = 0
    cancel: bool = False
    shred: bool = False
    entities_accepted: int = 0
    created_at: str
    updated_at: str
    round: int = 1
    seen: Pass = Pass()
    total: int = 0
    rewrapped: int = 0
    unreadable: int = 0
    detail: str = ""
    backups: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.state is State.RUNNING

    @property
    def left(self) -> Use:
        """What was seen under the drained keys."""
        return self.seen.under(self.drained)

    @property
    def rewrapped_so_far(self) -> int:
        """How many were rewrapped, in this round too."""
        under_way = self.is_running and self.phase is Phase.REWRAPPING
        return self.rewrapped + (self.seen.rewrapped if under_way else 0)

    @property
    def done(self) -> int:
        """How many of `total` files are behind it."""
        if self.phase is Phase.REWRAPPING:
            return min(self.seen.files, self.total)
        return self.total


def rewrap(
    job_id: str, drained: tuple[str, ...], files_per_second: float, now_ms: int
) -> JobRecord:
    """Return a new job that leaves nothing under some keys."""
    now = rfc3339(now_ms)
    return JobRecord(
        job_id=job_id,
        kind=Kind.REWRAP,
        state=State.RUNNING,
        phase=Phase.COUNTING,
        drained=drained,
        files_per_second=files_per_second,
        created_at=now,
        updated_at=now,
    )


def destroy(job_id: str, key_id: str, entities_accepted: int | None, now_ms: int) -> JobRecord:
    """Return a new order to destroy a key: to shred it where a loss was accepted."""
    now = rfc3339(now_ms)
    return JobRecord(
        job_id=job_id,
        kind=Kind.DESTROY,
        state=State.RUNNING,
        phase=Phase.SETTLING,
        drained=(key_id,),
        shred=entities_accepted is not None,
        entities_accepted=entities_accepted or 0,
        created_at=now,
        updated_at=now,
    )


def ended(job: JobRecord, state: State, now_ms: int, detail: str = "") -> JobRecord:
    """Return a job that has ended."""
    return msgspec.structs.replace(job, state=state, detail=detail, updated_at=rfc3339(now_ms))


def as_ordered(job: JobRecord, on_record: JobRecord | None, now_ms: int) -> JobRecord:
    """Return a job, as its runner has taken it further, with what was ordered meanwhile.

    `on_record` is the job as it is stored. One that was cancelled ends here; there is no way back
    from the last phase of a destruction, so there an order to cancel is not taken.
    """
    if on_record is None:
        return job
    job = msgspec.structs.replace(job, files_per_second=on_record.files_per_second)
    if not on_record.cancel:
        return job
    return ended(job, State.CANCELLED, now_ms, "cancelled; files that were rewrapped stay so")


def entering(job: JobRecord, phase: Phase, now_ms: int) -> JobRecord:
    """Return a job that begins a phase; what was seen last stays until a new pass begins."""
    seen = job.seen if phase in {Phase.SETTLING, Phase.DESTROYING} else Pass()
    return msgspec.structs.replace(
        job, phase=phase, seen=seen, detail="", updated_at=rfc3339(now_ms)
    )


def after_pass(job: JobRecord, now_ms: int) -> JobRecord:
    """Return a rewrap whose pass over the files is complete, as it goes on."""
    if job.phase is Phase.COUNTING:
        counted = msgspec.structs.replace(job, total=job.seen.files)
        # Nothing to rewrap: what is left is to make sure that it stays so.
        phase = Phase.REWRAPPING if job.left.files else Phase.SETTLING
        return entering(counted, phase, now_ms)
    if job.phase is Phase.REWRAPPING:
        tried = msgspec.structs.replace(
            job,
            rewrapped=job.rewrapped + job.seen.rewrapped,
            unreadable=job.seen.unreadable,
        )
        return entering(tried, Phase.SETTLING, now_ms)
    verified = msgspec.structs.replace(job, total=job.seen.files)
    if not job.left.files:
        return ended(verified, State.DONE, now_ms, _keyless(job))
    if job.left.files == job.unreadable or job.round >= ROUNDS_MAX:
        why = "do not open" if job.left.files == job.unreadable else "do not open, or stay locked"
        detail = f"{job.left.files} files under the old keys {why}: `strongroom verify` names them"
        return ended(verified, State.FAILED, now_ms, detail)
    again = msgspec.structs.replace(verified, round=job.round + 1)
    return entering(again, Phase.REWRAPPING, now_ms)


def verdict(job: JobRecord, now_ms: int) -> JobRecord:
    """Return an order to destroy a key whose files have been counted: refused, or to be done.

    `backups` are those on record that need the key.
    """
    (key_id,) = job.drained
    use = job.left
    counted = msgspec.structs.replace(job, total=job.seen.files)
    if job.shred and use.entities <= job.entities_accepted:
        return entering(counted, Phase.DESTROYING, now_ms)
    if job.shred:
        return ended(
            counted,
            State.FAILED,
            now_ms,
            f"{use.entities} entities lie under the key {key_id}, more than the"
            f" {job.entities_accepted} whose loss was confirmed; nothing was destroyed",
        )
    reasons = []
    if use.files:
        reasons.append(
            f"{use.files} files need it, {use.entities} of them entities that are there: rewrap"
            " them first"
        )
    if job.backups:
        reasons.append(
            f"the backups {_listed(job.backups)} could not be read any more: take new ones and"
            " remove them from the record"
        )
    if not reasons:
        return entering(counted, Phase.DESTROYING, now_ms)
    detail = f"the key {key_id} was not destroyed: {'; '.join(reasons)}, or shred it"
    return ended(counted, State.FAILED, now_ms, detail)


def _listed(names: tuple[str, ...]) -> str:
    """Return names for people: no more than somebody reads."""
    more = len(names) - _NAMES_MAX
    return ", ".join(names[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _keyless(job: JobRecord) -> str:
    count = job.seen.keyless
    return f"{count} files have no readable key: `strongroom verify` names them" if count else ""
