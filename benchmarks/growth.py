"""`python -m benchmarks.growth`: how the cost of reads and writes grows, as JSON and in a picture.

The points are figures like the others: each has its floor in the same run. What is drawn is the
time of one operation; what bounds it can be read from how its curve runs along the floor's.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import __main__ as bench
from benchmarks import curves, results
from benchmarks.curves import Curve, Panel
from benchmarks.figure import Figure, Pairs
from benchmarks.figures import by_number, put, start, warm_get
from benchmarks.ground import Ground
from benchmarks.results import Result

_SIZES: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
_CLIENTS: Final = (1, 4, 16, 32, 64)
_STARTED: Final = (1, 10_000, 100_000)
"""Fewer: each of them takes six starts."""
_WORKERS: Final = (1, 2, 4)
_ROUNDS: Final = 3
_FLOORS: Final = {
    "bytes": "as of the figure of the same name",
    "clients": "as of the figure of the same name",
    "entities": "the same where there is one entity",
    "workers": "the same by one worker",
}

_NOTES: Final = {
    "bytes": "broken: the floor; 16 in flight",
    "clients": "broken: the floor; as many in flight",
    "entities": "broken: the same, of one entity",
    "workers": "broken: one worker, asked in turn; 16 in flight",
}


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: an operation, at some values of what it grows with.

    Attributes:
        name: Of the operation.
        axis: What grows.
        points: By the value, each a figure.
    """

    name: str
    axis: str
    points: dict[int, Figure]


def _series(
    name: str,
    axis: str,
    values: Sequence[int],
    measure: Callable[[Ground, int], Pairs],
    unit: str = "/s",
) -> Series:
    def point(value: int) -> Figure:
        return Figure(
            name=f"{name}-{axis}-{value}".replace(" ", "-"),
            measures=f"{name} at {value:,} {axis}",
            floor=_FLOORS[axis],
            unit=unit,
            goal=None,
            pairs=lambda ground: measure(ground, value),
            rounds=_ROUNDS,
        )

    return Series(name, axis, {value: point(value) for value in values})


SERIES: Final = (
    _series("get", "bytes", _SIZES, lambda ground, size: warm_get.pairs(ground, 16, size)),
    _series("put", "bytes", _SIZES, lambda ground, size: put.pairs(ground, 16, size)),
    _series("get", "clients", _CLIENTS, warm_get.pairs),
    _series("put", "clients", _CLIENTS, put.pairs),
    _series("warm get", "entities", by_number.ENTITIES, by_number.read_warm),
    _series("put", "entities", by_number.ENTITIES, by_number.put),
    _series("page", "entities", by_number.ENTITIES, by_number.page),
    _series("cold get", "entities", by_number.ENTITIES, by_number.read_cold),
    _series("start", "entities", _STARTED, start.pairs, "ms"),
    _series("get", "workers", _WORKERS, by_number.workers_read),
    _series("put", "workers", _WORKERS, by_number.workers_put),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every point, and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/bench/growth"))
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args(arguments)
    figures = _in_order()
    more = ["--quick"] if given.quick else ["--rounds", str(given.rounds)]
    code = bench.main(["--output", str(given.output), *more], figures)
    if code in {0, bench.INTERRUPTED} and (given.output / "results.json").exists():
        measured = results.read(given.output / "results.json").figures
        (given.output / "growth.svg").write_text(drawn(measured))
    return code


def _in_order() -> list[Figure]:
    """Return every point; those of as many workers in a row, as they share a deployment."""
    points = [(one.axis, value, figure) for one in SERIES for value, figure in one.points.items()]
    points.sort(key=lambda point: point[1] if point[0] == "workers" else 0)
    return [figure for _, _, figure in points]


def drawn(measured: Sequence[Result]) -> str:
    """Return the picture of what was measured."""
    found = {one.name: one for one in measured}
    axes = list(dict.fromkeys(series.axis for series in SERIES))
    return curves.svg([_panel(axis, found) for axis in axes])


def _panel(axis: str, found: dict[str, Result]) -> Panel:
    lines = []
    for series in (one for one in SERIES if one.axis == axis):
        ours, floor = [], []
        for value, figure in series.points.items():
            one = found.get(figure.name)
            if one is None or one.summary is None or not one.summary.floor:
                continue
            ours.append((value, _us(one, one.summary.ours)))
            floor.append((value, _us(one, one.summary.floor)))
        lines.append(Curve(series.name, ours, floor))
    return Panel(f"Microseconds of an operation, by {axis}", _NOTES[axis], axis, lines)


def _us(of: Result, value: float) -> float:
    return value * 1e3 if of.unit == "ms" else 1e6 / value


if __name__ == "__main__":
    bench.end_when_told()
    sys.exit(main())
