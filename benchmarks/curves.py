"""Curves in panels, two in a row, on logarithmic scales."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from benchmarks import frame

_HEIGHT: Final = 400
_TOP: Final = 64
_BOTTOM: Final = 340
_LEFT: Final = 84
_GAP: Final = 104
_COLUMNS: Final = 2
_TICKS: Final = 6
_APART: Final = 14
_POINT: Final = 2.5
_COLOURS: Final = (frame.BLUE, frame.BROWN, frame.GREEN, frame.VIOLET, frame.PINK)
_DESCRIPTION: Final = (
    "The time of one operation, and of its floor with a broken line, as what is named below each"
    " panel grows; both scales are logarithmic."
)
_RULES: Final = (
    ".line { fill: none; stroke-width: 2 }",
    ".floor { stroke-dasharray: 6 4; stroke-width: 1.4 }",
    "text.named { stroke: none }",
    *(f".c{kind} {{ stroke: var(--c{kind}) }}" for kind in range(len(_COLOURS))),
    *(f".c{kind}.named {{ fill: var(--c{kind}) }}" for kind in range(len(_COLOURS))),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """A name and points (x, y), all positive; those of its floor are joined by a broken line."""

    name: str
    points: Sequence[tuple[float, float]]
    floor: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """A title, what its broken lines are, the name of what grows, and curves."""

    title: str
    note: str
    axis: str
    curves: Sequence[Curve]


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values, between two that are not the same, to places between two ends."""

    values: tuple[float, float]
    ends: tuple[float, float]

    def at(self, value: float) -> float:
        low, high = map(math.log10, self.values)
        share = (math.log10(value) - low) / (high - low)
        return self.ends[0] + share * (self.ends[1] - self.ends[0])


def svg(panels: Sequence[Panel]) -> str:
    """Return the picture; a panel without points has only its title."""
    columns = max(1, min(_COLUMNS, len(panels)))
    width = (frame.WIDTH - _LEFT - _GAP * columns) / columns
    parts = []
    for number, one in enumerate(panels):
        row, column = divmod(number, columns)
        drawn = _panel(one, _LEFT + column * (width + _GAP), width)
        parts.append(f'  <g transform="translate(0 {row * _HEIGHT})">\n{drawn}\n  </g>')
    height = _HEIGHT * -(-len(panels) // columns)
    return frame.framed(
        parts,
        height,
        title="How cost grows",
        description=_DESCRIPTION,
        colours={f"c{kind}": colour for kind, colour in enumerate(_COLOURS)},
        rules=_RULES,
    )


def _powers(values: Sequence[float]) -> list[float]:
    """Return the powers of ten from below the values to above them, two at least."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _ticks(values: Sequence[float]) -> list[float]:
    """Return the values themselves where they are few; powers of ten otherwise."""
    few = sorted(set(values))
    return few if 1 < len(few) <= _TICKS else _powers(values)


def _panel(panel: Panel, left: float, width: float) -> str:
    parts = [
        f'  <text class="name" x="{left:.0f}" y="{_TOP - 28}">{escape(panel.title)}</text>',
        f'  <text class="small" x="{left:.0f}" y="{_TOP - 11}">{escape(panel.note)}</text>',
    ]
    points = [point for curve in panel.curves for point in (*curve.points, *curve.floor)]
    if not points:
        return parts[0]
    below, beside = _ticks([x for x, _ in points]), _powers([y for _, y in points])
    across = _Scale((below[0], below[-1]), (left, left + width))
    upwards = _Scale((beside[0], beside[-1]), (_BOTTOM, _TOP))
    for value in beside:
        y = upwards.at(value)
        parts += [
            f'  <path class="grid" d="M{left:.1f} {y:.1f}H{left + width:.1f}"/>',
            f'  <text class="small end" x="{left - 8:.1f}" y="{y + 4:.1f}">{_told(value)}</text>',
        ]
    for value in below:
        x = across.at(value)
        parts += [
            f'  <path class="grid" d="M{x:.1f} {_TOP}V{_BOTTOM}"/>',
            f'  <text class="small middle" x="{x:.1f}" y="{_BOTTOM + 18}">{_told(value)}</text>',
        ]
    middle = left + width / 2
    axis = f'x="{middle:.0f}" y="{_BOTTOM + 38}">{escape(panel.axis)}'
    parts.append(f'  <text class="small middle" {axis}</text>')
    for number, curve in enumerate(panel.curves):
        parts += _curve(curve, f"c{number % len(_COLOURS)}", across, upwards)
    return "\n".join([*parts, *_names(panel.curves, across, upwards)])


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _curve(curve: Curve, kind: str, across: _Scale, upwards: _Scale) -> list[str]:
    parts = []
    for points, look in ((curve.floor, "line floor"), (curve.points, "line")):
        places = [(across.at(x), upwards.at(y)) for x, y in points]
        if places:
            drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'  <polyline class="{look} {kind}" points="{drawn}"/>')
        if points is curve.points:
            parts += [
                f'  <circle class="{kind} named" cx="{x:.1f}" cy="{y:.1f}" r="{_POINT}"/>'
                for x, y in places
            ]
    return parts


def _names(curves: Sequence[Curve], across: _Scale, upwards: _Scale) -> list[str]:
    """Return the names, each where its curve ends, or as near below as there is room."""
    ends = [
        (upwards.at(curve.points[-1][1]), across.at(curve.points[-1][0]), number, curve.name)
        for number, curve in enumerate(curves)
        if curve.points
    ]
    parts, free = [], 0.0
    for y, x, number, name in sorted(ends):
        at = max(y + 4, free)
        free = at + _APART
        look = f'class="small named c{number % len(_COLOURS)}"'
        parts.append(f'  <text {look} x="{x + 6:.1f}" y="{at:.1f}">{escape(name)}</text>')
    return parts
