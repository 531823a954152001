"""docs/capacity.md: its tables are what the program prints, its sentences what the tables say."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import capacity
from benchmarks.scale import ends, plot, tables
from benchmarks.scale.operations import observed
from benchmarks.scale.published import (
    NAMES_LISTED_PER_SECOND_ON_EFS,
    QUOTA_RAISED,
    FileSystem,
    Prices,
)
from benchmarks.scale.tables import Basis
from strongroom import limits

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "capacity.md").read_text()
PROSE = " ".join(PAGE.split())


@pytest.fixture(scope="module")
def basis() -> Basis:
    """What the tables rest on, unless somebody says otherwise."""
    return Basis(observed(), FileSystem(), Prices())


def test_the_tables_are_what_the_program_prints(basis: Basis) -> None:
    """Somebody plans by numbers of an earlier version (`python -m benchmarks.capacity --docs`)."""
    found = capacity.computed(basis)
    named = set(re.findall(r"<!-- capacity: ([a-z]+) -->", PAGE))
    assert named == {table.name for table in found} | {"placement"}
    placed = tables.placements([])
    kept = capacity.renewed(PAGE, [*found, placed])
    # That table takes half a minute: two of its rows are computed here.
    rest, here = (
        "".join(re.split(r"<!-- capacity: placement.*?end -->", text, flags=re.DOTALL))
        for text in (kept, PAGE)
    )
    assert rest == here
    for count in tables.FLEETS[:2]:
        row = tables.placement(count, basis.seed)
        assert f"| {' | '.join(row)} |\n" in PAGE


def test_the_picture_is_what_the_program_draws(basis: Basis) -> None:
    """A picture shows other numbers than its table."""
    drawn = plot.svg(basis)
    assert (DOCS / "capacity.svg").read_text() == drawn
    picture = ET.fromstring(drawn)  # noqa: S314 - our own
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 11


def test_its_sentences_are_so(basis: Basis) -> None:
    """A sentence stays as it was while its table has changed."""
    asked, disk = basis.operations, basis.disk
    assert round(ends.workers_at_the_quota(asked.warm_read, disk, tables.CORES)) == 12
    assert round(ends.workers_at_the_quota(asked.write, disk, tables.CORES)) == 9
    assert "A dozen workers ask for all the reads" in PROSE
    assert "nine for all the writes" in PROSE
    assert 600 <= ends.workers_ranked_in_a_request() < 650
    looks = [f"{ends.look_s(asked, workers, disk):.2g}" for workers in (24, 100)]
    assert f"with 24 workers {looks[0]} s, with 100 workers {looks[1]} s" in PROSE
    assert f"{NAMES_LISTED_PER_SECOND_ON_EFS:,} names a second" in PROSE
    assert f"{2 * 10**9 / 256 / 1e6:.1f} million names" in PROSE
    assert f"The bound is {limits.WORKER_CALLS_FREE} calls" in PROSE
    assert f"up to {limits.LOCK_WAIT_SECONDS:.0f} s, then 503 `busy`" in PROSE
    assert ends.per_second(asked.write, disk) * QUOTA_RAISED == 50_000
    assert 600_000 <= ends.per_second(asked.warm_read, disk) * QUOTA_RAISED < 650_000


def test_everything_is_told_as_json(basis: Basis) -> None:
    """Nobody can plot the numbers anew, or see what they rest on."""
    found = capacity.computed(basis)
    told = json.loads(capacity.told(basis, found))
    assert told["basis"]["disk"]["reads_per_second"] == 250_000
    assert told["basis"]["operations"]["warm_read"]["calls"] == ["open_directory", "open", "read"]
    assert set(told["tables"]) == {table.name for table in found}
    assert told["tables"]["ends"][0]["ends at"] == "5,000/s, 9 workers"
