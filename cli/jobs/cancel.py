"""`strongroom job cancel`: have a job end."""

import time

from cli.access import Deployment
from cli.jobs import following
from cli.jobs.answer import told
from cli.output import line
from strongroom import ids
from strongroom.errors import ConflictError


def run(job_id: str) -> None:
    """Order it, and wait until whoever runs the job has seen it.

    Raises:
        InvalidArgumentError: The environment names no deployment, or this is no job's id.
        NotFoundError: There is no such job.
        ConflictError: It has ended otherwise, or its key is being destroyed already.
        ForbiddenError, UnavailableError: The deployment does not do it, or is lost.
        Exit: Ctrl-C was pressed.
    """
    deployment = Deployment(time.sleep)
    job_id = following.order(deployment, f"/jobs/{ids.record_name(job_id)}/cancel", b"{}")
    job = following.to_its_end(deployment, job_id)
    if job.state != "cancelled":
        raise ConflictError(told(job))
    line(told(job))
