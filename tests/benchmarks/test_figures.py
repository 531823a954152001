"""The benchmark tells the truth: of pairs, of goals, and of what could not be measured."""

import itertools
import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import curves, growth, page, ratios, results
from benchmarks.catalogue import FIGURES
from benchmarks.curves import Curve, Panel
from benchmarks.figure import (
    Figure,
    Goal,
    NotHereError,
    Pair,
    Pairs,
    WrongAnswerError,
    at_least,
    at_most,
)
from benchmarks.ground import Ground

_LEFT_TO_QUICK = ("start-", "slow-disk-", "cold-start", "ycsb-")
_TRIED_TOO = ("ycsb-d-rest", "ycsb-f-grpc")
"""An insert and a read-modify-write, each over one of the faces."""
_MOST = 20


def _figure(name: str, *pairs: Pair, goal: Goal | None = None) -> Figure:
    def yielded(_: Ground) -> Pairs:
        yield from pairs

    return Figure(name, "something", "less", "/s", goal, yielded, rounds=len(pairs))


def _run(tmp_path: Path, *figures: Figure, only: tuple[str, ...] = ()) -> int:
    chosen = ["--only", *only] if only else []
    return bench.main(["--output", str(tmp_path), *chosen], figures)


def _written(tmp_path: Path) -> dict[str, results.Result]:
    return {one.name: one for one in results.read(tmp_path / "results.json").figures}


def test_slow_moments_change_no_ratio() -> None:
    """A machine that is at times ten times slower makes us look neither better nor worse."""
    speeds = (1.0, 10.0, 1.0, 1.0, 10.0, 10.0, 1.0)
    pairs = [Pair(90.0 / slow, 100.0 / slow) for slow in speeds]

    found = ratios.summary(pairs, at_least(0.85))

    assert [found.low, found.ratio, found.high] == pytest.approx([0.9, 0.9, 0.9])


def test_the_median_is_of_ratios_not_the_ratio_of_medians() -> None:
    """Otherwise a fast moment of one side would be set against a slow one of the other."""
    pairs = [Pair(1.0, 2.0), Pair(10.0, 10.0), Pair(100.0, 25.0)]

    found = ratios.summary(pairs, None)

    assert found.ratio == 1.0
    assert statistics.median([1, 10, 100]) / statistics.median([2, 10, 25]) == found.ratio
    assert ratios.summary([*pairs, Pair(8.0, 2.0)], None).ratio == 2.5


def test_half_of_the_ratios_lie_between_the_quartiles() -> None:
    """The spread is what a reader judges a ratio by."""
    found = ratios.summary([Pair(float(n), 1.0) for n in range(1, 6)], None)

    assert (found.low, found.ratio, found.high) == (2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("goal", "ratio", "met"),
    [
        (at_least(0.85), 0.85, "yes"),
        (at_least(0.85), 0.849, "no"),
        (at_most(1.5), 1.5, "yes"),
        (at_most(1.5), 1.51, "no"),
        (None, 9.0, ""),
    ],
)
def test_a_goal_is_met_or_not(goal: Goal | None, ratio: float, met: str) -> None:
    """The table's word is what the goal says, and none where there is no goal."""
    figure = _figure("one", goal=goal)
    row = results.row(results.result(figure, ratios.summary([Pair(ratio, 1.0)], goal)))
    assert row[results.HEAD.index("met")] == met


@pytest.mark.parametrize("pairs", [[], [Pair(1.0, 0.0)], [Pair(0.0, 1.0)], [Pair(1.0), Pair(1, 1)]])
def test_of_nothing_there_is_no_ratio(pairs: list[Pair]) -> None:
    """A figure that measured nothing must not appear as a good one."""
    with pytest.raises(ValueError, match=r"nothing|ratio"):
        ratios.summary(pairs, at_least(0.85))


def test_a_missed_goal_is_shown_and_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A benchmark is no timed test: whoever runs it in CI is not woken by a busy machine."""
    slow = _figure("slow", Pair(1.0, 2.0), Pair(1.0, 2.0), goal=at_least(0.85))

    assert _run(tmp_path, slow) == 0

    line = next(line for line in capsys.readouterr().out.splitlines() if "slow" in line)
    assert [cell.strip() for cell in line.split("│")[1:8]] == [
        "slow",
        "1.00/s",
        "2.00/s",
        "0.50",
        "0.50 to 0.50",
        ">= 0.85",
        "no",
    ]


def test_a_wrong_answer_ends_the_run_and_leaves_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The speed of a wrong answer must never get into a table."""

    def wrong(_: Ground) -> Pairs:
        yield Pair(1.0, 1.0)
        raise WrongAnswerError("another document")

    figure = Figure("wrong", "", "", "/s", None, wrong)

    assert _run(tmp_path, _figure("fine", Pair(1.0, 1.0)), figure) == 1
    assert "another document" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_what_a_machine_lacks_is_said_and_the_rest_measured(tmp_path: Path) -> None:
    """Without FUSE or PostgreSQL one line is missing, and it says why."""

    def lacking(_: Ground) -> Pairs:
        raise NotHereError("there is no /dev/fuse")
        yield

    figure = Figure("fuse", "", "", "/s", at_least(1), lacking)

    assert _run(tmp_path, figure, _figure("fine", Pair(1.0, 1.0))) == 0

    written = _written(tmp_path)
    assert written["fuse"].skipped == "there is no /dev/fuse"
    assert written["fuse"].summary is None
    assert written["fine"].summary is not None


def test_some_figures_measured_anew_keep_the_others(tmp_path: Path) -> None:
    """`--only` renews a line of the table; the page is made of all of them."""
    first, second = _figure("first", Pair(1.0, 1.0)), _figure("second", Pair(2.0, 1.0))
    assert _run(tmp_path, first, second) == 0

    assert _run(tmp_path, _figure("first", Pair(3.0, 1.0)), second, only=("first",)) == 0

    ratios_ = {name: one.summary and one.summary.ratio for name, one in _written(tmp_path).items()}
    assert ratios_ == {"first": 3.0, "second": 2.0}


def test_a_name_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error must not look like a run without findings."""
    assert _run(tmp_path, _figure("first", Pair(1.0, 1.0)), only=("frist",)) == 2
    assert "frist" in capsys.readouterr().err


def test_what_was_started_ends_before_the_next_figure(tmp_path: Path) -> None:
    """A server that is still there would take the processor from the next figure."""
    events: list[str] = []

    def recording(name: str) -> Callable[[Ground], Pairs]:
        def pairs(_: Ground) -> Pairs:
            events.append(f"{name} begins")
            try:
                while True:
                    yield Pair(1.0, 1.0)
            finally:
                events.append(f"{name} ends")

        return pairs

    figures = [Figure(name, "", "", "/s", None, recording(name), 3) for name in "ab"]

    assert _run(tmp_path, *figures) == 0
    assert events == ["a begins", "a ends", "b begins", "b ends"]


def test_what_was_measured_before_an_interruption_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever breaks a long run off loses all of it."""
    is_ended = False

    def interrupted(_: Ground) -> Pairs:
        nonlocal is_ended
        try:
            yield Pair(1.0, 1.0)
            raise KeyboardInterrupt
        finally:
            is_ended = True

    broken = Figure("broken", "", "", "/s", None, interrupted, 2)

    assert _run(tmp_path, _figure("first", Pair(1.0, 1.0)), broken) == bench.INTERRUPTED

    assert is_ended
    assert list(_written(tmp_path)) == ["first"]
    assert "2 of 2: broken" in capsys.readouterr().err


def test_what_figures_share_ends_before_the_next_such_thing(tmp_path: Path) -> None:
    """Deployments that nobody asks any more take the processor from the figures."""
    events: list[str] = []

    @contextmanager
    def shared(name: str) -> Iterator[str]:
        events.append(f"{name} begins")
        yield name
        events.append(f"{name} ends")

    with Ground(tmp_path) as ground:
        assert ground.kept("long", shared("long")) == ground.kept("long", shared("again"))
        for name in "aab":
            assert ground.in_turn(name, shared(name)) == name
        assert events == ["long begins", "a begins", "a ends", "b begins"]

    assert sorted(events[4:]) == ["b ends", "long ends"]


def test_names_are_said_once() -> None:
    """`--only` means one figure."""
    names = [figure.name for figure in FIGURES]
    assert sorted(set(names)) == sorted(names)


def test_every_figure_of_one_deployment_is_measured_quickly(tmp_path: Path) -> None:
    """Each works, and its answers are right: what breaks one breaks this test.

    Those that start deployments of their own would take longer than all others together:
    `make bench ARGS=--quick` tries them too.
    """
    chosen = [
        figure
        for figure in FIGURES
        if figure.name in _TRIED_TOO or not figure.name.startswith(_LEFT_TO_QUICK)
    ]
    assert len(chosen) > _MOST
    assert bench.main(["--quick", "--output", str(tmp_path)], chosen) == 0

    written = _written(tmp_path)
    assert list(written) == [figure.name for figure in chosen]
    measured = [one for one in written.values() if not one.skipped]
    assert len(measured) == len(chosen)
    assert all(one.summary is not None and one.summary.pairs == 1 for one in measured)
    assert (tmp_path / "ratios.svg").read_text().count("<circle") == sum(
        one.bound is not None for one in measured
    )


def test_a_page_takes_the_tables_over_and_nothing_else_changes(tmp_path: Path) -> None:
    """The page's figures are those of a run; its text is not lost with the next one."""
    run, written_ = tmp_path / "run", tmp_path / "page.md"
    figure = _figure("first", Pair(3.0, 2.0), goal=at_least(1))
    assert bench.main(["--output", str(run)], [figure]) == 0
    empty = "Before.\n<!-- performance: figures -->\nold\n<!-- end -->\nAfter.\n"
    other = "<!-- performance: growth -->\nkept\n<!-- end -->\n"
    written_.write_text(empty + other)

    assert page.main(["--run", str(run), "--page", str(written_)]) == 0

    text = written_.read_text()
    assert "| first | 3.00/s | 2.00/s | 1.50 |" in text
    assert "old" not in text
    assert text.startswith("Before.\n<!-- performance: figures -->\n")
    assert text.endswith(f"<!-- end -->\nAfter.\n{other}")
    assert (tmp_path / "performance.svg").exists()


def test_the_curves_are_drawn_where_the_points_lie() -> None:
    """A curve off its scale would show a growth that nobody measured."""
    panel = Panel("cost", "", "bytes", [Curve("get", [(10, 1), (1_000, 100)])])

    drawn = curves.svg([panel])

    # Two powers of ten each way: from the lower left corner of the panel to the upper right one.
    assert re.findall(r'points="([^"]+)"', drawn) == ["84.0,340.0 856.0,64.0"]
    assert curves.svg([Panel("cost", "", "bytes", [])]).count("polyline") == 0
    # A third panel begins a second row.
    assert curves.svg([panel] * 3).count('<g transform="translate(0 400)">') == 1


def test_names_of_curves_that_end_together_do_not_lie_on_each_other() -> None:
    """Nobody can read which curve is which."""
    names = ("get", "put", "page")
    drawn = curves.svg(
        [Panel("cost", "", "bytes", [Curve(name, [(1, 9), (5, 9)]) for name in names])]
    )

    found = re.findall(r'<text class="small named c\d" x="[\d.]+" y="([\d.]+)">(\w+)<', drawn)
    assert [name for _, name in found] == list(names)
    places = [float(y) for y, _ in found]
    assert all(after - before >= 14 for before, after in itertools.pairwise(places))


def test_every_point_of_the_curves_is_a_figure() -> None:
    """What could not be measured is missing in the picture, not in the program."""
    names = [figure.name for series in growth.SERIES for figure in series.points.values()]
    assert len(names) == len(set(names))
    measured = [
        results.result(figure, ratios.summary([Pair(1_000.0, 2_000.0)], None))
        for series in growth.SERIES
        for figure in series.points.values()
    ]
    assert growth.drawn(measured).count("<polyline") == 2 * len(growth.SERIES)
    assert growth.drawn([]).count("<polyline") == 0
