"""`python -m benchmarks.capacity`: 10 to 10,000 workers on EFS, on paper and in simulation.

What an operation asks of the disk comes from the project's code, run over a file system that
counts; where keys and calls go, from its own placement. EFS' latencies, limits and prices are those
that AWS publishes (`benchmarks/scale/published.py`). Nothing was measured on AWS. The same seed
gives the same tables.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from benchmarks.scale import plot, tables
from benchmarks.scale.operations import observed
from benchmarks.scale.published import FileSystem, Prices
from benchmarks.scale.tables import Basis, Table

_BLOCK: Final = re.compile(r"(<!-- capacity: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Compute, print, and write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("build/capacity"))
    parser.add_argument("--docs", type=Path, help="a page whose tables are to be renewed")
    given = parser.parse_args()
    basis = Basis(observed(), FileSystem(), Prices(), given.seed)
    found = [*computed(basis), simulated(basis)]
    for table in found:
        sys.stdout.write(f"\n{table.name}\n{table.markdown()}")
    picture = plot.svg(basis)
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "capacity.svg").write_text(picture)
    (given.output / "capacity.json").write_text(told(basis, found))
    if given.docs is not None:
        given.docs.write_text(renewed(given.docs.read_text(), found))
        given.docs.with_suffix(".svg").write_text(picture)
    return 0


def computed(basis: Basis) -> list[Table]:
    """Return the tables that are arithmetic."""
    return [
        tables.operations(basis),
        tables.limits_met(basis),
        tables.growth(basis),
        tables.storms(basis),
        tables.rewraps(basis),
        tables.monthly(basis),
    ]


def simulated(basis: Basis) -> Table:
    """Return the table of placement, which takes some seconds."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        fleets = progress.track(tables.FLEETS, description="placing keys")
        return tables.placements([tables.placement(count, basis.seed) for count in fleets])


def told(basis: Basis, found: Sequence[Table]) -> str:
    """Return everything as JSON: what it rests on, and the tables."""
    rows = {one.name: [dict(zip(one.head, row, strict=True)) for row in one.rows] for one in found}
    return json.dumps({"basis": asdict(basis), "tables": rows}, indent=1)


def renewed(page: str, found: Sequence[Table]) -> str:
    """Return a page with each of its tables as it is now."""
    by_name = {table.name: table.markdown() for table in found}
    return _BLOCK.sub(lambda block: f"{block[1]}\n{by_name[block[2]]}\n{block[3]}", page)


if __name__ == "__main__":
    sys.exit(main())
