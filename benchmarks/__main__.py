"""`python -m benchmarks`: measure every figure, print one table, write JSON and a picture.

It ends with 0 whether goals are met or not, and with another code where something answered wrongly.
What was measured before a Ctrl-C is written too.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
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

INTERRUPTED: Final = 128 + signal.SIGINT
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
    found, code = list[Result](), 0
    try:
        with (
            tempfile.TemporaryDirectory(dir=given.scratch) as scratch,
            Ground(Path(scratch), is_quick=given.quick) as ground,
        ):
            try:
                found += _measured(chosen, ground, 1 if given.quick else given.rounds)
            except KeyboardInterrupt:
                code = INTERRUPTED
            # Before what was measured on is removed: with many entities that takes minutes.
            if found:
                run = Results(machine.facts(), found)
                _kept(run, given.output, is_part=bool(given.only))
                _show(run)
    except WrongAnswerError as error:
        sys.stderr.write(f"a wrong answer: {error}\n")
        return _WRONG
    except KeyboardInterrupt:
        code = INTERRUPTED
    return code


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


def _measured(chosen: Sequence[Figure], ground: Ground, rounds: int | None) -> Iterator[Result]:
    """Measure figure after figure; each ends what it has started before the next one begins."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(chosen))
        for number, figure in enumerate(chosen, 1):
            progress.update(task, description=figure.name)
            if not console.is_terminal:
                # There nothing is seen of a bar before it has come to its end.
                sys.stderr.write(f"{number} of {len(chosen)}: {figure.name}\n")
            yield _result(figure, ground, rounds or figure.rounds)
            progress.advance(task)


def _result(figure: Figure, ground: Ground, rounds: int) -> Result:
    try:
        with closing(figure.pairs(ground)) as measured:
            pairs = list(islice(measured, rounds))
    except NotHereError as error:
        return results.result(figure, None, str(error))
    return results.result(figure, ratios.summary(pairs, figure.goal))


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
