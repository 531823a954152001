"""Following a job to its end: a bar for eyes, a lost connection now and then."""

import sys
import time
from collections.abc import Callable
from typing import Final

import typer

from cli.jobs.answer import is_done, is_running, told, under_way
from cli.output import as_json, line, printable
from cli.output import told as members
from cli.progress import Bar
from cli.session import INTERRUPTED
from strongroom.errors import ConflictError
from strongroom_client import Client, UnavailableError
from strongroom_client.administration import Job

Pause = Callable[[float], object]

_EVERY_S: Final = 0.5
_LOST: Final = 30
_LOST_PAUSE_S: Final = 1.0


def to_its_end(client: Client, job_id: str, pause: Pause = time.sleep) -> Job:
    """Return a job once it has ended, and show meanwhile how far it has come.

    What it does goes on when nobody follows it, so Ctrl-C ends this command alone.

    Raises:
        Exit: Whoever looks has enough of it.
        StrongroomClientError: It is not shown; a deployment that does not answer is asked again for
            a while.
    """
    try:
        return _followed(client, job_id, pause)
    except KeyboardInterrupt:
        sys.stderr.write(f"the job goes on; {_again(job_id)}\n")
        raise typer.Exit(INTERRUPTED) from None
    except UnavailableError:
        sys.stderr.write(f"the job may go on; {_again(job_id)}\n")
        raise


def report(job: Job, *, json: bool) -> None:
    """Print a job.

    Raises:
        Exit: It has failed or was cancelled, and was printed as JSON.
        ConflictError: It has failed or was cancelled, and why.
    """
    has_failed = not (is_running(job) or is_done(job))
    if json:
        as_json(members(job))
        if has_failed:
            raise typer.Exit(1)
    elif has_failed:
        raise ConflictError(told(job))
    else:
        line(told(job))


def _followed(client: Client, job_id: str, pause: Pause) -> Job:
    phase = ""
    with Bar("waiting") as bar:
        while True:
            job = _patiently(client, job_id, bar, pause)
            if not is_running(job):
                return job
            if job.phase != phase:
                bar.restart()
                phase = job.phase
            bar.count(job.done, job.total or None)
            rate = f", {bar.rate:,.0f}/s" if bar.rate and not job.detail else ""
            bar.tell(under_way(job) + rate)
            pause(_EVERY_S)


def _patiently(client: Client, job_id: str, bar: Bar, pause: Pause) -> Job:
    for _ in range(_LOST):
        try:
            return client.admin.job(job_id)
        except UnavailableError as error:
            bar.tell(printable(f"asking again: {error.detail}"))
            pause(_LOST_PAUSE_S)
    return client.admin.job(job_id)


def _again(job_id: str) -> str:
    return f"`strongroom job show {job_id}` follows it again"
