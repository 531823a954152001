"""`strongroom keys destroy`: without a data key, what lies under it is lost to this deployment."""

import sys
import time
from collections.abc import Callable

from cli.access import Deployment
from cli.jobs import following
from cli.jobs.answer import Job, listed
from cli.output import printable
from strongroom import ids, jsontext
from strongroom.errors import ConflictError


def run(key_id: str, *, shred: bool, yes_lose: int | None, json: bool) -> None:
    """Destroy a key that nothing needs; with `shred` also one that something needs.

    A shredding is ordered only after the plain order was refused, with what that has counted, and
    after somebody has said how many entities may be lost: `yes_lose`, or a line that is typed.

    Raises:
        InvalidArgumentError: The environment names no deployment, or this is no key's id.
        NotFoundError: There is no such key.
        ConflictError: It is in use or was destroyed, or the loss was not confirmed.
        ForbiddenError, UnavailableError: The deployment does not do it, or is lost.
        Exit: It has failed, or Ctrl-C was pressed.
    """
    deployment = Deployment(time.sleep)
    path = f"/keys/{ids.record_name(key_id)}/destroy"
    job = _ordered(deployment, path, b"{}")
    if shred and not job.is_done:
        accepted = _accepted(job, key_id, yes_lose, sys.stdin.readline)
        job = _ordered(deployment, path, jsontext.dump({"shred": True, "entities": accepted}))
    following.report(job, json=json)


def _ordered(deployment: Deployment, path: str, body: bytes) -> Job:
    return following.to_its_end(deployment, following.order(deployment, path, body))


def _accepted(job: Job, key_id: str, yes_lose: int | None, ask: Callable[[], str]) -> int:
    """Return how many entities may be lost, as somebody has confirmed.

    Raises:
        ConflictError: Nobody has.
    """
    lost = job.left.entities
    if yes_lose is not None:
        if yes_lose < lost:
            raise ConflictError(
                f"{lost} entities lie under the key {key_id}, more than --yes-lose {yes_lose};"
                " nothing was destroyed"
            )
        return yes_lose
    sys.stderr.write(_warning(job, key_id))
    sys.stderr.flush()
    if ask().strip() != str(lost):
        raise ConflictError(
            f"the loss of {lost} entities was not confirmed (--yes-lose {lost} does it without"
            " asking); nothing was destroyed"
        )
    return lost


def _warning(job: Job, key_id: str) -> str:
    lost = job.left.entities
    lines = [
        f"Without the key {key_id}, {lost} entities ({job.left.files} files) are lost for ever.",
        f"Backups that this makes unreadable: {listed(job.backups) or 'none on record'}.",
        f"Key exports that hold the key and still open them: {listed(job.exports) or 'none'}.",
    ]
    shown = "".join(printable(one) + "\n" for one in lines)
    return f"{shown}Type the number of entities that are lost, {lost}, to destroy it: "
