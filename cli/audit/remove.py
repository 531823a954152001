"""`strongroom audit remove`: what was recorded long ago leaves the log, and that stays in it."""

import time
from typing import Final

import msgspec

from cli.access import Deployment
from cli.audit.answer import Removal
from cli.output import as_json, line
from strongroom import jsontext

_DATE_CHARS: Final = len("2026-01-01")


def run(before: str, *, json: bool) -> None:
    """Remove; raises as `Deployment.post`."""
    instant = f"{before}T00:00:00Z" if len(before) == _DATE_CHARS else before
    done = Deployment(time.sleep).post("/audit/remove", jsontext.dump({"before": instant}), Removal)
    if json:
        as_json(msgspec.to_builtins(done))
        return
    line(f"{done.segments} segments are removed, of before {done.before}")
