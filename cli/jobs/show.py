"""`strongroom job show`: how far a job has come, and how it ended."""

from cli.jobs import following
from cli.jobs.answer import is_running
from cli.session import session


def run(job_id: str, *, follow: bool, json: bool, profile: str | None) -> None:
    """Print a job; with `follow`, once it has ended.

    Raises:
        ConflictError: It has failed.
        Exit: It has failed, Ctrl-C was pressed, or the deployment does not show it.
    """
    with session(profile) as client:
        job = client.admin.job(job_id)
        if follow and is_running(job):
            job = following.to_its_end(client, job_id)
        following.report(job, json=json)
