"""`strongroom keys destroy`: without a data key, what lies under it is lost to this deployment."""

import sys
from collections.abc import Callable

from cli.jobs import following
from cli.jobs.answer import is_done, listed
from cli.output import printable
from cli.session import session
from strongroom.errors import ConflictError
from strongroom_client.administration import Job


def run(key_id: str, *, shred: bool, yes_lose: int | None, json: bool, profile: str | None) -> None:
    """Destroy a key that nothing needs; with `shred` also one that something needs.

    A shredding is ordered only after the plain order was refused, with what that has counted, and
    after somebody has said how many entities may be lost: `yes_lose`, or a line that is typed.

    Raises:
        ConflictError: It is in use, or the loss was not confirmed.
        Exit: It has failed, Ctrl-C was pressed, or the deployment does not do it.
    """
    with session(profile) as client:
        job = following.to_its_end(client, client.admin.destroy_key(key_id))
        if shred and not is_done(job):
            accepted = _accepted(job, key_id, yes_lose, sys.stdin.readline)
            ordered = client.admin.destroy_key(key_id, shred=True, entities=accepted)
            job = following.to_its_end(client, ordered)
        following.report(job, json=json)


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
