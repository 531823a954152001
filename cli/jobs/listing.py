"""`strongroom job list`: the jobs that are kept."""

import time
from typing import Final

import msgspec

from cli.access import Deployment
from cli.jobs.answer import Job
from cli.output import as_json, table

_COLUMNS: Final = ("JOB ID", "KIND", "STATE", "PHASE", "DONE", "TOTAL", "CREATED AT")


class _Jobs(msgspec.Struct, frozen=True):
    jobs: list[Job]


def run(*, json: bool) -> None:
    """Print the jobs, the newest first.

    Raises:
        InvalidArgumentError: The environment names no deployment.
        ForbiddenError, UnavailableError: It does not show them.
    """
    found = Deployment(time.sleep).get("/jobs", _Jobs)
    if json:
        as_json(msgspec.to_builtins(found))
    else:
        table(_COLUMNS, map(_row, found.jobs))


def _row(job: Job) -> tuple[str, ...]:
    counted = str(job.done), str(job.total)
    return job.job_id, job.kind, job.state, job.phase, *counted, job.created_at
