"""`python -m benchmarks.page`: write the results of a run into docs/performance.md.

What stands between two markers is replaced: the table of the figures, that of the curves, and on
what they were measured. The pictures are copied beside the page.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks import results
from benchmarks.results import Results

_BLOCK: Final = re.compile(r"(<!-- performance: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_PAGE: Final = Path("docs/performance.md")
_RUN: Final = Path("build/bench")
_PICTURES: Final = {
    "ratios.svg": "performance.svg",
    "growth/growth.svg": "performance-growth.svg",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Renew the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--run", type=Path, default=_RUN)
    parser.add_argument("--page", type=Path, default=_PAGE)
    given = parser.parse_args(arguments)
    blocks = {"figures": block(results.read(given.run / "results.json"))}
    growth = given.run / "growth" / "results.json"
    if growth.exists():
        blocks["growth"] = block(results.read(growth))
    given.page.write_text(renewed(given.page.read_text(), blocks))
    for drawn, name in _PICTURES.items():
        if (given.run / drawn).exists():
            shutil.copyfile(given.run / drawn, given.page.parent / name)
    return 0


def block(run: Results) -> str:
    """Return the table of a run, and on what it was made."""
    return f"\n{results.markdown(run.figures)}\n{results.told(run.machine)}\n\n"


def renewed(page: str, blocks: Mapping[str, str]) -> str:
    """Return a page with some of its blocks as they are now; the others stay."""
    return _BLOCK.sub(
        lambda found: f"{found[1]}{blocks.get(found[2], _kept(found))}{found[3]}", page
    )


def _kept(found: re.Match[str]) -> str:
    return found[0][len(found[1]) : -len(found[3])]


if __name__ == "__main__":
    sys.exit(main())
