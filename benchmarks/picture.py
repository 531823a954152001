"""The picture of a run: how each ratio stands to its goal."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from benchmarks import frame
from benchmarks.results import Result

_LEFT: Final = 220
_RIGHT: Final = 880
_TOP: Final = 64
_STEP: Final = 26
_RANGE: Final = (1 / 3, 3.0)
_DESCRIPTION: Final = (
    "A line for each figure that has a goal: the median of its ratios and the quartiles, as"
    " multiples of the goal; right of the line in the middle it is met. On the right stands the"
    " ratio itself. The table of docs/performance.md says the same in numbers."
)
_RULES: Final = (
    ".goal { stroke: var(--ink); fill: none }",
    "path.met, path.missed { stroke-width: 4; stroke-linecap: round; opacity: 0.45 }",
    ".met { stroke: var(--met); fill: var(--met) }",
    ".missed { stroke: var(--missed); fill: var(--missed) }",
)


def svg(results: Sequence[Result]) -> str:
    """Return a line for each figure with a goal: 1 is the goal, and right of it is better."""
    drawn = [one for one in results if one.bound is not None and one.summary is not None]
    bottom = _TOP + _STEP * len(drawn)
    parts = [
        '  <text class="name" x="24" y="38">Ratio to the floor, as a multiple of its goal</text>'
    ]
    parts += [_scale(value, bottom) for value in (0.5, 1.0, 2.0)]
    parts += [_line(one, _TOP + _STEP * (n + 0.5)) for n, one in enumerate(drawn)]
    return frame.framed(
        parts,
        bottom + 40,
        title="Each ratio and its goal",
        description=_DESCRIPTION,
        colours={"met": frame.GREEN, "missed": frame.ORANGE},
        rules=_RULES,
    )


def standing(ratio: float, goal: str, bound: float) -> float:
    """Return how a ratio stands to its goal: above 1 it is better than that."""
    return ratio / bound if goal.startswith(">=") else bound / ratio


def _x(value: float) -> float:
    low, high = (math.log(end) for end in _RANGE)
    inside = min(max(math.log(value), low), high)
    return _LEFT + (inside - low) / (high - low) * (_RIGHT - _LEFT)


def _scale(value: float, bottom: float) -> str:
    x, kind = _x(value), "goal" if value == 1 else "grid"
    name = "goal" if value == 1 else f"{value:g} of it"
    return (
        f'  <path class="{kind}" d="M{x:.1f} {_TOP}V{bottom}"/>\n'
        f'  <text class="small middle" x="{x:.1f}" y="{bottom + 20}">{name}</text>'
    )


def _line(one: Result, y: float) -> str:
    found, bound = one.summary, one.bound
    if found is None or found.ratio is None or bound is None:
        return ""
    low, middle, high = (
        _x(standing(value, one.goal, bound))
        for value in (found.low or found.ratio, found.ratio, found.high or found.ratio)
    )
    kind = "met" if found.is_met else "missed"
    return (
        f'  <text class="end" x="{_LEFT - 12}" y="{y + 5:.1f}">{escape(one.name)}</text>\n'
        f'  <path class="{kind}" d="M{min(low, high):.1f} {y:.1f}H{max(low, high):.1f}"/>\n'
        f'  <circle class="{kind}" cx="{middle:.1f}" cy="{y:.1f}" r="5"/>\n'
        f'  <text class="small" x="{_RIGHT + 12}" y="{y + 4:.1f}">{found.ratio:.2f}</text>'
    )
