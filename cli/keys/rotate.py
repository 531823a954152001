"""`strongroom keys rotate`: a new data key for every write from now on."""

import time

import msgspec

from cli.access import Deployment
from cli.output import as_json, line


class _Made(msgspec.Struct, frozen=True):
    key_id: str


def run(*, json: bool) -> None:
    """Make a new data key active and print its id.

    Raises:
        InvalidArgumentError: The environment names no deployment.
        ForbiddenError, UnavailableError: It makes none.
    """
    made = Deployment(time.sleep).post("/keys/rotate", b"", _Made)
    if json:
        as_json(msgspec.to_builtins(made))
    else:
        line(f"the key {made.key_id} is active; `strongroom keys rewrap` puts older files under it")
