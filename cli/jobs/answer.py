"""A job as the deployment shows it, and how it is told."""

from typing import Final

import msgspec

from cli.output import printable

_NAMES_MAX: Final = 20


class Left(msgspec.Struct, frozen=True):
    """What lies under a job's keys: files, and how many of them are entities that are there."""

    files: int = 0
    entities: int = 0


class Accepted(msgspec.Struct, frozen=True):
    """The answer to an order."""

    job_id: str


class Job(msgspec.Struct, frozen=True):
    """The answer of `GET /jobs/{job_id}`; README.md says what it means."""

    job_id: str
    kind: str
    state: str
    phase: str
    done: int
    total: int
    key_ids: list[str] = []
    rewrapped: int = 0
    left: Left = Left()
    unreadable: int = 0
    keyless: int = 0
    detail: str = ""
    backups: list[str] = []
    exports: list[str] = []
    created_at: str = ""
    updated_at: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.state == "running"

    @property
    def is_done(self) -> bool:
        """Whether it did what was asked."""
        return self.state == "done"


def told(job: Job) -> str:
    """Return what there is to say of a job, in one line."""
    return printable(f"job {job.job_id}: {_running(job) if job.is_running else _ended(job)}")


def under_way(job: Job) -> str:
    """Return what a running job is at, and what it waits for."""
    if job.detail:
        return printable(f"{job.phase}: {job.detail}")
    if job.total:
        return printable(f"{job.phase}, {job.done:,} of {job.total:,} files")
    return printable(job.phase)


def listed(names: list[str]) -> str:
    """Return names for people: not more than somebody reads."""
    more = len(names) - _NAMES_MAX
    return ", ".join(names[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _running(job: Job) -> str:
    return f"{job.kind} under way, {under_way(job)}"


def _ended(job: Job) -> str:
    if not job.is_done:
        return f"{job.kind} {job.state}: {job.detail}"
    also = f"; {job.detail}" if job.detail else ""
    if job.kind == "destroy":
        lost = f", {job.left.entities:,} entities are lost" if job.left.entities else ""
        return f"the key {' '.join(job.key_ids)} is destroyed{lost}{also}"
    return (
        f"{job.total:,} files read, {job.rewrapped:,} rewrapped, {job.left.files:,} left under"
        f" older keys{also}"
    )
