"""`strongroom job cancel`: have a job end."""

from cli.jobs import following
from cli.jobs.answer import told
from cli.output import as_json, line
from cli.output import told as members
from cli.session import session
from strongroom.errors import ConflictError


def run(job_id: str, *, json: bool, profile: str | None) -> None:
    """Order it, and wait until whoever runs the job has seen it.

    Raises:
        ConflictError: It ended otherwise.
        Exit: Ctrl-C was pressed, or the deployment does not do it.
    """
    with session(profile) as client:
        client.admin.cancel_job(job_id)
        job = following.to_its_end(client, job_id)
        if job.state != "cancelled":
            raise ConflictError(told(job))
        if json:
            as_json(members(job))
        else:
            line(told(job))
