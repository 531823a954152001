"""Following a job to its end: a bar for eyes, a lost connection now and then."""

import sys
from typing import Final

import msgspec
import typer

from cli.access import Deployment
from cli.jobs.answer import Accepted, Job, told, under_way
from cli.output import as_json, line, printable
from cli.progress import Bar
from strongroom import ids
from strongroom.errors import ConflictError, UnavailableError

_EVERY_S: Final = 0.5
_LOST: Final = 30
_LOST_PAUSE_S: Final = 1.0


def get(deployment: Deployment, job_id: str) -> Job:
    """Return a job.

    Raises:
        InvalidArgumentError, NotFoundError: There is none of that name.
        ForbiddenError, UnavailableError: It is not shown.
    """
    return deployment.get(f"/jobs/{ids.record_name(job_id)}", Job)


def order(deployment: Deployment, path: str, body: bytes) -> str:
    """Order a job and return its id; raises as `Deployment.post`."""
    return ids.record_name(deployment.post(path, body, Accepted).job_id)


def to_its_end(deployment: Deployment, job_id: str) -> Job:
    """Return a job once it has ended, and show meanwhile how far it has come.

    What it does goes on when nobody follows it, so Ctrl-C ends this command alone.

    Raises:
        Exit: Whoever looks has enough of it.
        StrongroomError: As `get`; a deployment that does not answer is asked again for a while.
    """
    try:
        return _followed(deployment, job_id)
    except KeyboardInterrupt:
        sys.stderr.write(f"the job goes on; {_again(job_id)}\n")
        raise typer.Exit(1) from None
    except UnavailableError as error:
        raise UnavailableError(f"{error.detail}; the job may go on: {_again(job_id)}") from error


def report(job: Job, *, json: bool) -> None:
    """Print a job.

    Raises:
        Exit: It has failed or was cancelled, and was printed as JSON.
        ConflictError: It has failed or was cancelled, and why.
    """
    if json:
        as_json(msgspec.to_builtins(job))
        if not (job.is_running or job.is_done):
            raise typer.Exit(1)
    elif not (job.is_running or job.is_done):
        raise ConflictError(told(job))
    else:
        line(told(job))


def _followed(deployment: Deployment, job_id: str) -> Job:
    phase = ""
    with Bar("waiting") as bar:
        while True:
            job = _patiently(deployment, job_id, bar)
            if not job.is_running:
                return job
            if job.phase != phase:
                bar.restart()
                phase = job.phase
            bar.count(job.done, job.total or None)
            rate = f", {bar.rate:,.0f}/s" if bar.rate and not job.detail else ""
            bar.tell(under_way(job) + rate)
            deployment.pause(_EVERY_S)


def _patiently(deployment: Deployment, job_id: str, bar: Bar) -> Job:
    for _ in range(_LOST):
        try:
            return get(deployment, job_id)
        except UnavailableError as error:
            bar.tell(printable(f"asking again: {error.detail}"))
            deployment.pause(_LOST_PAUSE_S)
    return get(deployment, job_id)


def _again(job_id: str) -> str:
    return f"`strongroom job show {job_id}` follows it again"
