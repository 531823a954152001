"""`strongroom job list`: the jobs that are kept."""

from typing import Final

from cli.output import as_json, table, told
from cli.session import session
from strongroom_client.administration import Job

_COLUMNS: Final = ("JOB ID", "KIND", "STATE", "PHASE", "DONE", "TOTAL", "CREATED AT")


def run(*, json: bool, profile: str | None) -> None:
    """Print the jobs, the newest first."""
    with session(profile) as client:
        found = list(client.admin.jobs())
        if json:
            as_json({"jobs": [told(one) for one in found]})
        else:
            table(_COLUMNS, map(_row, found))


def _row(job: Job) -> tuple[str, ...]:
    counted = str(job.done), str(job.total)
    return job.job_id, job.kind, job.state, job.phase, *counted, job.created_at
