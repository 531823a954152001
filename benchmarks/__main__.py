"""`python -m benchmarks`: measure every figure, print one table, write JSON and a picture.

It ends with 0 whether goals are met or not, and with another code where something could not be
measured, or answered wrongly.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import machine, picture, ratios, results
from benchmarks.catalogue import FIGURES
from benchmarks.figure import Figure, NotHereError, WrongAnswerError
from benchmarks.ground import Ground
from benchmarks.results import Result, Results

_WRONG: Final = 1
_TABLE_CHARS: Final = 160


def main(arguments: Sequence[str] | None = None, figures: Sequence[Figure] = FIGURES) -> int:
    """Measure."""
    given = _parser().parse_args(arguments)
    chosen = [one for one in figures if not given.only or one.name in given.only]
    unknown = set(given.only) - {one.name for one in figures}
    if unknown:
        names = ", ".join(one.name for one in figures)
        sys.stderr.write(f"there is no figure {', '.join(sorted(unknown))}; there are: {names}\n")
        return 2
    given.output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=given.scratch) as scratch,
        Ground(Path(scratch), is_quick=given.quick) as ground,
    ):
        try:
            found = _measured(chosen, ground, 1 if given.quick else given.rounds)
        except WrongAnswerError as error:
            sys.stderr.write(f"a wrong answer: {error}\n")
            return _WRONG
    run = Results(machine.facts(), found)
    _kept(run, given.output, is_part=bool(given.only))
    _show(run)
    return 0


def end_when_told() -> None:
    """End at SIGTERM as at Ctrl-C: what was started ends too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these figures only")
    parser.add_argument("--rounds", type=int, help="how many pairs of each")
    parser.add_argument("--quick", action="store_true", help="see that all works, and no more")
    parser.add_argument("--scratch", type=Path, help="a directory on the disk that is measured")
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    return parser


def _measured(chosen: Sequence[Figure], ground: Ground, rounds: int | None) -> list[Result]:
    """Measure figure after figure; each ends what it has started before the next one begins."""
    found: list[Result] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=sum(rounds or one.rounds for one in chosen))
        for figure in chosen:
            progress.update(task, description=figure.name)
            pairs = []
            try:
                with closing(figure.pairs(ground)) as measured:
                    for pair in islice(measured, rounds or figure.rounds):
                        pairs.append(pair)
                        progress.advance(task)
            except NotHereError as error:
                found.append(results.result(figure, None, str(error)))
            else:
                found.append(results.result(figure, ratios.summary(pairs, figure.goal)))
    return found


def _kept(run: Results, output: Path, *, is_part: bool) -> None:
    """Write the results; those of some figures take their place among the ones of before."""
    path = output / "results.json"
    if is_part and path.exists():
        run = results.merged(results.read(path), run)
    path.write_bytes(results.written(run))
    (output / "ratios.svg").write_text(picture.svg(run.figures))


def _show(run: Results) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_TABLE_CHARS)
    table = Table(*results.HEAD, caption=results.told(run.machine), caption_justify="left")
    for one in run.figures:
        table.add_row(*results.row(one))
    console.print(table)


if __name__ == "__main__":
    end_when_told()
    sys.exit(main())
