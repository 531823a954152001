"""Curves in panels, two in a row, both scales by powers of ten."""

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
_GAP: Final = 90
_COLUMNS: Final = 2
_COLOURS: Final = (frame.BLUE, frame.BROWN, frame.GREEN, frame.VIOLET, frame.PINK)
_DESCRIPTION: Final = (
    "The time of one operation, and of its floor with a broken line, as what is named below each"
    " panel grows; both scales are powers of ten."
)
_RULES: Final = (
    ".line { fill: none; stroke-width: 2 }",
    ".floor { stroke-dasharray: 6 4; stroke-width: 1.4 }",
    *(f".c{kind} {{ stroke: var(--c{kind}) }}" for kind in range(len(_COLOURS))),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """A name and points (x, y), all positive; a floor is drawn with a broken line."""

    name: str
    points: Sequence[tuple[float, float]]
    is_floor: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A title, the name of what grows, and curves."""

    title: str
    axis: str
    curves: Sequence[Curve]


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values between two powers of ten to places between two ends."""

    tens: tuple[int, int]
    ends: tuple[float, float]

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.tens[0]) / (self.tens[1] - self.tens[0])
        return self.ends[0] + share * (self.ends[1] - self.ends[0])

    def powers(self) -> list[float]:
        return [10.0**power for power in range(self.tens[0], self.tens[1] + 1)]


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


def _tens(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _panel(panel: Panel, left: float, width: float) -> str:
    parts = [f'  <text class="name" x="{left:.0f}" y="{_TOP - 24}">{escape(panel.title)}</text>']
    points = [point for curve in panel.curves for point in curve.points]
    if not points:
        return parts[0]
    across = _Scale(_tens([x for x, _ in points]), (left, left + width))
    upwards = _Scale(_tens([y for _, y in points]), (_BOTTOM, _TOP))
    for value in upwards.powers():
        y = upwards.at(value)
        parts += [
            f'  <path class="grid" d="M{left:.1f} {y:.1f}H{left + width:.1f}"/>',
            f'  <text class="small end" x="{left - 8:.1f}" y="{y + 4:.1f}">{value:,g}</text>',
        ]
    for value in across.powers():
        x = across.at(value)
        parts += [
            f'  <path class="grid" d="M{x:.1f} {_TOP}V{_BOTTOM}"/>',
            f'  <text class="small middle" x="{x:.1f}" y="{_BOTTOM + 18}">{value:,g}</text>',
        ]
    names = list(dict.fromkeys(curve.name.partition(",")[0] for curve in panel.curves))
    for curve in panel.curves:
        kind = f"c{names.index(curve.name.partition(',')[0]) % len(_COLOURS)}"
        if curve.points:
            parts.append(_curve(curve, kind, across, upwards))
    middle = left + width / 2
    parts.append(
        f'  <text class="small middle" x="{middle:.0f}" y="{_BOTTOM + 38}">'
        f"{escape(panel.axis)}</text>"
    )
    return "\n".join(parts)


def _curve(curve: Curve, kind: str, across: _Scale, upwards: _Scale) -> str:
    places = [(across.at(x), upwards.at(y)) for x, y in curve.points]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    broken = " floor" if curve.is_floor else ""
    return (
        f'  <polyline class="line {kind}{broken}" points="{drawn}"/>\n'
        f'  <text class="small" x="{x + 6:.1f}" y="{y + 4:.1f}">{escape(curve.name)}</text>'
    )
