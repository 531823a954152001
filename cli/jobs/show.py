"""`strongroom job show`: how far a job has come, and how it ended."""

import time

from cli.access import Deployment
from cli.jobs import following


def run(job_id: str, *, follow: bool, json: bool) -> None:
    """Print a job; with `follow`, once it has ended.

    Raises:
        InvalidArgumentError: The environment names no deployment, or this is no job's id.
        NotFoundError: There is no such job.
        ConflictError: It has failed.
        ForbiddenError, UnavailableError: The deployment does not show it, or is lost.
        Exit: It has failed, or Ctrl-C was pressed.
    """
    deployment = Deployment(time.sleep)
    job = following.get(deployment, job_id)
    if follow and job.is_running:
        job = following.to_its_end(deployment, job_id)
    following.report(job, json=json)
