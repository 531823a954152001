"""The results of a run: as one table, and as the JSON from which table and picture are made."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figure import Figure
from benchmarks.ratios import Summary

HEAD: Final = ("figure", "ours", "floor", "ratio", "quartiles", "goal", "met", "beside")


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """One figure as it was measured; `skipped` says why it was not."""

    name: str
    measures: str
    floor_is: str
    unit: str
    goal: str = ""
    bound: float | None = None
    skipped: str = ""
    summary: Summary | None = None


class Results(msgspec.Struct, frozen=True):
    """A run."""

    machine: dict[str, str]
    figures: list[Result]


def result(figure: Figure, summary: Summary | None, skipped: str = "") -> Result:
    """Return what there is to tell of a figure."""
    return Result(
        name=figure.name,
        measures=figure.measures,
        floor_is=figure.floor,
        unit=figure.unit,
        goal="" if figure.goal is None else str(figure.goal),
        bound=None if figure.goal is None else figure.goal.bound,
        skipped=skipped,
        summary=summary,
    )


def written(results: Results) -> bytes:
    """Return the JSON."""
    return msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n"


def read(path: Path) -> Results:
    """Read what `written` has returned."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def merged(before: Results, now: Results) -> Results:
    """Return the figures of two runs, those of the later one where both have one."""
    later = {one.name: one for one in now.figures}
    kept = [later.pop(one.name, one) for one in before.figures]
    return Results(now.machine, [*kept, *later.values()])


def row(one: Result) -> tuple[str, ...]:
    """Return the cells of `HEAD`."""
    found = one.summary
    if found is None:
        return one.name, f"not measured: {one.skipped}", "", "", "", one.goal, "", ""
    beside = ", ".join(_named(name, value) for name, value in found.beside.items())
    if found.floor is None or found.ratio is None:
        return one.name, amount(found.ours, one.unit), "", "", "", one.goal, "", beside
    return (
        one.name,
        amount(found.ours, one.unit),
        amount(found.floor, one.unit),
        f"{found.ratio:.2f}",
        f"{found.low:.2f} to {found.high:.2f}",
        one.goal or "shown",
        {True: "yes", False: "no", None: ""}[found.is_met],
        beside,
    )


def markdown(results: Sequence[Result]) -> str:
    """Return the table as a page has it."""
    lines = [HEAD, tuple("---" for _ in HEAD), *map(row, results)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def told(machine: Mapping[str, str]) -> str:
    """Return on what a run was made, in a sentence."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']},"
        f" Python {machine['python']}; {machine['date'][:10]}, commit {machine['commit']}."
    )


def amount(value: float, unit: str) -> str:
    """Return a value with its unit, to three digits."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2  # noqa: PLR2004 - three of them
    spaced = unit if unit.startswith("/") else f" {unit}"
    return f"{value:,.{digits}f}{spaced}"


def _named(name: str, value: float) -> str:
    what, _, unit = name.rpartition("_")
    return f"{what.replace('_', ' ')} {amount(value, unit)}"
