"""Curves in panels, two in a row, both scales by powers of ten."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 960
_HEIGHT: Final = 400
_TOP: Final = 64
_BOTTOM: Final = 340
_LEFT: Final = 84
_GAP: Final = 90
_COLUMNS: Final = 2
_KINDS: Final = 5


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
    width = (_WIDTH - _LEFT - _GAP * columns) / columns
    parts = []
    for number, one in enumerate(panels):
        row, column = divmod(number, columns)
        drawn = _panel(one, _LEFT + column * (width + _GAP), width)
        parts.append(f'  <g transform="translate(0 {row * _HEIGHT})">\n{drawn}\n  </g>')
    height = _HEIGHT * -(-len(panels) // columns)
    return _FRAME.format(width=_WIDTH, height=height, body="\n".join(parts))


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
        kind = f"c{names.index(curve.name.partition(',')[0]) % _KINDS}"
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


_FRAME: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
     aria-labelledby="title description">
  <title id="title">How cost grows</title>
  <desc id="description">The time of one operation, and of its floor with a broken line, as what is
    named below each panel grows; both scales are powers of ten.</desc>
  <style>
    svg {{ color-scheme: light dark; --page: #ffffff; --ink: #1b2430; --soft: #566273;
          --edge: #dbe2ea; --c0: #1f6feb; --c1: #9a5b00; --c2: #1a7f37; --c3: #8250df;
          --c4: #bf3989 }}
    @media (prefers-color-scheme: dark) {{
      svg {{ --page: #12171e; --ink: #e4eaf2; --soft: #a2afbf;
            --edge: #2c3744; --c0: #6cb0ff; --c1: #e3a44a; --c2: #57c271; --c3: #b490f5;
            --c4: #f778ba }}
    }}
    .page {{ fill: var(--page) }}
    text {{ font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
           fill: var(--ink) }}
    .name {{ font-weight: 600 }}
    .small {{ font-size: 12px; fill: var(--soft) }}
    .middle {{ text-anchor: middle }}
    .end {{ text-anchor: end }}
    .grid {{ stroke: var(--edge); fill: none }}
    .line {{ fill: none; stroke-width: 2 }}
    .floor {{ stroke-dasharray: 6 4; stroke-width: 1.4 }}
    .c0 {{ stroke: var(--c0) }}
    .c1 {{ stroke: var(--c1) }}
    .c2 {{ stroke: var(--c2) }}
    .c3 {{ stroke: var(--c3) }}
    .c4 {{ stroke: var(--c4) }}
  </style>
  <rect class="page" width="{width}" height="{height}" rx="12"/>
{body}
</svg>
"""
