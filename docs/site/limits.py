"""The reference of limits: every bound of `strongroom.limits`, under its heading there."""

import ast
import inspect
import math
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from strongroom import limits

_UNITS: Final = {
    "BYTES": "bytes",
    "CHARS": "characters",
    "SECONDS": "s",
    "MS": "ms",
    "DAYS": "days",
    "BITS": "bits",
    "DIGITS": "digits",
}
_KIB: Final = 1024
_ABOUT: Final = """\
Every queue, body, key, page, retry and wait has a bound, and past it there is a clear refusal.
These are all of them, by the names that they have in `strongroom/limits.py`; those that may be
set stand under [settings](settings.md) too."""


class Bound(NamedTuple):
    """A bound: its name in the code, its value, and what is said of it there."""

    heading: str
    name: str
    value: float


def bounds() -> Iterator[Bound]:
    """Yield every bound of the module, in its order, with the comment that it stands under."""
    source = inspect.getsource(limits)
    lines, heading = source.splitlines(), "General"
    assigned = {
        node.lineno: node.target.id
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for number, line in enumerate(lines, start=1):
        if line.startswith("# "):
            heading = re.sub(r"\s*\((?:main_api|processing_fn|cli)/.*?\)", "", line[2:]).rstrip(".")
        elif number in assigned:
            yield Bound(heading, assigned[number], getattr(limits, assigned[number]))


def page() -> str:
    """Return the page."""
    lines = ["# Limits", "", _ABOUT, ""]
    heading = ""
    for one in bounds():
        if one.heading != heading:
            heading = one.heading
            lines += ["", f"## {heading}", "", "| name | bound |", "|---|---|"]
        lines.append(f"| `{one.name}` | {written(one)} |")
    return "\n".join(lines) + "\n"


def written(bound: Bound) -> str:
    """Return a value with its unit, as a reader would write it."""
    unit = next((one for part, one in _UNITS.items() if part in bound.name.split("_")), "")
    value = bound.value
    if unit == "bytes" and value >= _KIB:
        power = min(int(math.log(value, _KIB)), 4)
        return f"{value / _KIB**power:,g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
    return f"{value:,.16g} {unit}".rstrip()
