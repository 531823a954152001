"""`strongroom keys rewrap`: put every file under the active data key."""

from cli.jobs import following
from cli.output import as_json, line
from cli.session import session


def run(*, files_per_second: float | None, detach: bool, json: bool, profile: str | None) -> None:
    """Order it, and follow it unless `detach` is set.

    Raises:
        ConflictError: It has failed.
        Exit: It has failed, Ctrl-C was pressed, or the deployment does not do it.
    """
    with session(profile) as client:
        job_id = client.admin.rewrap_keys(files_per_second=files_per_second)
        if not detach:
            following.report(following.to_its_end(client, job_id), json=json)
        elif json:
            as_json({"job_id": job_id})
        else:
            line(f"job {job_id} is under way; `strongroom job show {job_id}` follows it")
