"""How a job is told."""

from collections.abc import Sequence
from typing import Final

from cli.output import printable
from strongroom_client.administration import Job

_NAMES_MAX: Final = 20


def is_running(job: Job) -> bool:
    """Tell whether a job has not ended."""
    return job.state == "running"


def is_done(job: Job) -> bool:
    """Tell whether a job did what was asked."""
    return job.state == "done"


def told(job: Job) -> str:
    """Return what there is to say of a job, in one line."""
    return printable(f"job {job.job_id}: {_running(job) if is_running(job) else _ended(job)}")


def under_way(job: Job) -> str:
    """Return what a running job is at, and what it waits for."""
    if job.detail:
        return printable(f"{job.phase}: {job.detail}")
    if job.total:
        return printable(f"{job.phase}, {job.done:,} of {job.total:,} files")
    return printable(job.phase)


def listed(names: Sequence[str]) -> str:
    """Return names for people: not more than somebody reads."""
    more = len(names) - _NAMES_MAX
    return ", ".join(names[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _running(job: Job) -> str:
    return f"{job.kind} under way, {under_way(job)}"


def _ended(job: Job) -> str:
    if not is_done(job):
        return f"{job.kind} {job.state}: {job.detail}"
    also = f"; {job.detail}" if job.detail else ""
    if job.kind == "destroy":
        lost = f", {job.left.entities:,} entities are lost" if job.left.entities else ""
        return f"the key {' '.join(job.key_ids)} is destroyed{lost}{also}"
    return (
        f"{job.total:,} files read, {job.rewrapped:,} rewrapped, {job.left.files:,} left under"
        f" older keys{also}"
    )
