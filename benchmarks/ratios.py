"""What pairs of measurements say: medians, and how far the ratios are spread. Nothing else."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figure import Goal, Pair


@dataclass(frozen=True, slots=True)
class Summary:
    """Of all pairs of one figure.

    Attributes:
        ours: The median.
        floor: The median; None without a floor, like the rest.
        ratio: The median of the ratios of each pair: not the ratio of the medians, for what slows
            the machine down for a while slows both of a pair.
        low: A quarter of the ratios lies below.
        high: A quarter lies above.
        is_met: Whether the goal is; None without a goal.
        beside: The median of each.
        pairs: How many there were.
    """

    ours: float
    floor: float | None
    ratio: float | None
    low: float | None
    high: float | None
    is_met: bool | None
    beside: dict[str, float]
    pairs: int


def summary(pairs: Sequence[Pair], goal: Goal | None) -> Summary:
    """Sum pairs up.

    Raises:
        ValueError: There are none, or some have a floor and others have not, or one is not
            positive: of nothing there is no ratio.
    """
    if not pairs:
        raise ValueError("nothing was measured")
    ours = statistics.median(pair.ours for pair in pairs)
    names = sorted({name for pair in pairs for name in pair.beside})
    beside = {name: _median_of(pairs, name) for name in names}
    floors = [pair.floor for pair in pairs if pair.floor is not None]
    if not floors:
        return Summary(ours, None, None, None, None, None, beside, len(pairs))
    if len(floors) != len(pairs) or min(floors) <= 0 or min(pair.ours for pair in pairs) <= 0:
        raise ValueError("a pair without a ratio")
    ratios = [pair.ours / floor for pair, floor in zip(pairs, floors, strict=True)]
    low, ratio, high = _quartiles(ratios)
    return Summary(
        ours=ours,
        floor=statistics.median(floors),
        ratio=ratio,
        low=low,
        high=high,
        is_met=None if goal is None else goal.is_met(ratio),
        beside=beside,
        pairs=len(pairs),
    )


def _median_of(pairs: Sequence[Pair], name: str) -> float:
    return statistics.median(pair.beside[name] for pair in pairs if name in pair.beside)


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
