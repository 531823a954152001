"""`strongroom keys rewrap`: put every file under the active data key."""

import time

from cli.access import Deployment
from cli.jobs import following
from cli.output import as_json, line
from strongroom import jsontext


def run(*, files_per_second: float | None, detach: bool, json: bool) -> None:
    """Order it, and follow it unless `detach` is set.

    Raises:
        InvalidArgumentError: The environment names no deployment, or the rate is none.
        ConflictError: Too many jobs wait, or it has failed.
        ForbiddenError, UnavailableError: The deployment does not do it, or is lost.
        Exit: It has failed, or Ctrl-C was pressed.
    """
    deployment = Deployment(time.sleep)
    rate = {} if files_per_second is None else {"files_per_second": files_per_second}
    job_id = following.order(deployment, "/keys/rewrap", jsontext.dump(rate))
    if not detach:
        following.report(following.to_its_end(deployment, job_id), json=json)
    elif json:
        as_json({"job_id": job_id})
    else:
        line(f"job {job_id} is under way; `strongroom job show {job_id}` follows it")
