"""`strongroom audit remove`: what was recorded long ago leaves the log, and that stays in it."""

from typing import Final

from cli.output import as_json, line, told
from cli.session import session

_DATE_CHARS: Final = len("2026-01-01")


def run(before: str, *, json: bool, profile: str | None) -> None:
    """Remove what was recorded before a date, or an instant."""
    instant = f"{before}T00:00:00Z" if len(before) == _DATE_CHARS else before
    with session(profile) as client:
        done = client.admin.remove_audit(instant)
        if json:
            as_json(told(done))
        else:
            line(f"{done.segments} segments are removed, of before {done.before}")
