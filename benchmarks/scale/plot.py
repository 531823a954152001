"""The picture of docs/capacity.md: what workers could do, and what lets them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import frame
from benchmarks.scale import ends
from benchmarks.scale.published import QUOTA_RAISED, REQUEST_BY_REST_S
from benchmarks.scale.tables import CORES, Basis
from strongroom import limits

_HEIGHT: Final = 400
_LEFT: Final = 76
_TOP: Final = 64
_BOTTOM: Final = 340
_PANEL: Final = 372
_GAP: Final = 104
_FLEETS: Final = (1, 4)
"""Tens of workers: from 10 to 10,000."""
_STEPS: Final = 60
_DESCRIPTION: Final = (
    "On the left the requests per second that 10 to 10,000 workers could serve, and what EFS lets"
    " them. On the right how long a Main Worker takes to look at every worker and to rank them. The"
    " tables of docs/capacity.md say the same in numbers."
)
_RULES: Final = (
    ".reads, .writes { fill: none; stroke-width: 2 }",
    ".reads { stroke: var(--reads) }",
    ".writes { stroke: var(--writes) }",
    ".limit { stroke-dasharray: 6 4; stroke-width: 1.4 }",
    ".reads-text { fill: var(--reads) }",
    ".writes-text { fill: var(--writes) }",
)


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    kind: str
    value: Callable[[float], float]
    name_at: float = 4.0
    """Where its name ends, in tens of workers; or begins, with `is_begin`."""
    is_begin: bool = False
    is_below: bool = False


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    left: float
    tens: tuple[int, int]
    """What the scale upwards begins and ends with, in powers of ten."""
    lines: Sequence[_Line]
    unit: Callable[[int], str]

    def x(self, tens: float) -> float:
        first, last = _FLEETS
        return self.left + (tens - first) / (last - first) * _PANEL

    def y(self, value: float) -> float:
        first, last = self.tens
        return _BOTTOM - (math.log10(value) - first) / (last - first) * (_BOTTOM - _TOP)

    def points(self, line: _Line) -> str:
        first, last = _FLEETS
        tens = [first + step * (last - first) / _STEPS for step in range(_STEPS + 1)]
        inside = [(t, line.value(10**t)) for t in tens]
        lowest, highest = (10.0**n for n in self.tens)
        return " ".join(
            f"{self.x(t):.1f},{self.y(v):.1f}" for t, v in inside if lowest <= v <= highest
        )


def svg(basis: Basis) -> str:
    """Return the picture."""
    return frame.framed(
        [_drawn(panel) for panel in (_throughput(basis), _registry(basis))],
        _HEIGHT,
        title="Where more workers no longer help",
        description=_DESCRIPTION,
        colours={"reads": frame.BLUE, "writes": frame.BROWN},
        rules=_RULES,
    )


def _throughput(basis: Basis) -> _Panel:
    asked, disk = basis.operations, basis.disk
    read_each = ends.per_worker(asked.warm_read, disk, CORES)
    write_each = ends.per_worker(asked.write, disk, CORES)
    reads = ends.per_second(asked.warm_read, disk)
    writes = ends.per_second(asked.write, disk)
    return _Panel(
        "Requests per second, all workers together",
        _LEFT,
        (3, 7),
        (
            _Line("reads: workers could do", "reads", lambda n: n * read_each, 2.45),
            _Line("reads: EFS lets them", "reads limit", lambda _: reads),
            _Line("EFS' quota raised", "reads limit", lambda _: reads * QUOTA_RAISED),
            _Line(
                "writes: workers could do",
                "writes",
                lambda n: n * write_each,
                2.75,
                is_begin=True,
                is_below=True,
            ),
            _Line("writes: EFS lets them", "writes limit", lambda _: writes),
            _Line(
                "EFS' quota raised", "writes limit", lambda _: writes * QUOTA_RAISED, is_below=True
            ),
        ),
        lambda power: f"10^{power}",
    )


def _registry(basis: Basis) -> _Panel:
    asked, disk = basis.operations, basis.disk

    def level(name: str, kind: str, value: float) -> _Line:
        return _Line(name, f"{kind} limit", lambda _: value, 1.05, is_begin=True)

    return _Panel(
        "Seconds that a Main Worker takes",
        _LEFT + _PANEL + _GAP,
        (-6, 2),
        (
            _Line("to look at every worker", "reads", lambda n: ends.look_s(asked, round(n), disk)),
            level("a lease has left", "reads", ends.LEASE_LEFT_S),
            level("looks are apart", "reads", limits.REGISTRY_REFRESH_SECONDS),
            _Line("to rank them, each request", "writes", lambda n: ends.ranking_s(round(n))),
            level("a request takes without", "writes", REQUEST_BY_REST_S),
        ),
        lambda power: f"10^{power}",
    )


def _drawn(panel: _Panel) -> str:
    first, last = _FLEETS
    right = panel.x(last)
    parts = [f'  <text class="name" x="{panel.left}" y="{_TOP - 24}">{panel.title}</text>']
    for power in range(panel.tens[0], panel.tens[1] + 1):
        y = panel.y(10.0**power)
        parts.append(f'  <path class="grid" d="M{panel.left} {y:.1f}H{right}"/>')
        place = f'x="{panel.left - 8}" y="{y + 4:.1f}"'
        parts.append(f'  <text class="small end" {place}>{panel.unit(power)}</text>')
    for tens in range(first, last + 1):
        x = panel.x(tens)
        parts += [
            f'  <path class="grid" d="M{x:.1f} {_TOP}V{_BOTTOM}"/>',
            f'  <text class="small middle" x="{x:.1f}" y="{_BOTTOM + 18}">{10**tens:,}</text>',
        ]
    parts.append(
        f'  <text class="small middle" x="{panel.left + _PANEL / 2}" y="{_BOTTOM + 38}">'
        "workers</text>"
    )
    for line in panel.lines:
        x, y = panel.x(line.name_at), panel.y(line.value(10**line.name_at))
        end = "" if line.is_begin else " end"
        below = 16 if line.is_below else -6
        parts.append(f'  <polyline class="{line.kind}" points="{panel.points(line)}"/>')
        look, place = f"small {line.kind.split()[0]}-text{end}", f'x="{x:.1f}" y="{y + below:.1f}"'
        parts.append(f'  <text class="{look}" {place}>{line.name}</text>')
    return "\n".join(parts)
