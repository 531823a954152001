"""One entity behaves as one register, whichever worker answers and whichever dies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import Deployment
from tests.support.linearizability import FOREVER, Operation, is_linearizable
from tests.support.torture import Torture


def _history(*rows: tuple[object, ...]) -> list[Operation]:
    return [Operation(*row) for row in rows]  # type: ignore[arg-type]


ACCEPTED = {
    "empty": _history(),
    "a write, then its read": _history(("write", 0, 1, "x", 1), ("read", 2, 3, "x", 1)),
    "a read during a write sees the old": _history(("write", 0, 9, "x", 1), ("read", 1, 2)),
    "a read during a write sees the new": _history(("write", 0, 9, "x", 1), ("read", 1, 2, "x", 1)),
    "an unknown write takes effect later": _history(
        ("write", 0, FOREVER, "x"), ("read", 1, 2), ("read", 3, 4, "x", 1)
    ),
    "an unknown write never takes effect": _history(("write", 0, FOREVER, "x"), ("read", 1, 2)),
    "a delete leaves nothing": _history(
        ("write", 0, 1, "x", 1), ("delete", 2, 3), ("read", 4, 5), ("write", 6, 7, "y", 3)
    ),
    "a refused condition": _history(
        ("write", 0, 1, "x", 1), ("write", 2, 3, "y", 1, 7, True), ("read", 4, 5, "x", 1)
    ),
}
REFUSED = {
    "a stale read": _history(
        ("write", 0, 1, "x", 1), ("write", 2, 3, "y", 2), ("read", 4, 5, "x", 1)
    ),
    "a read of what was never written": _history(("read", 0, 1, "x", 1)),
    "a lost write": _history(("write", 0, 1, "x", 1), ("read", 2, 3)),
    "a version used twice": _history(("write", 0, 1, "x", 1), ("write", 2, 3, "y", 1)),
    "two orders": _history(("write", 0, 9, "x", 1), ("read", 1, 2, "x", 1), ("read", 3, 4)),
    "an unknown write that comes and goes": _history(
        ("write", 0, FOREVER, "x"), ("read", 1, 2, "x", 1), ("read", 3, 4)
    ),
    "a write before it was called": _history(("read", 0, 1, "x", 1), ("write", 2, 3, "x", 1)),
    "a condition that held and was refused": _history(
        ("write", 0, 1, "x", 1), ("write", 2, 3, "y", 1, 1, True)
    ),
    "a condition that did not hold and was accepted": _history(
        ("write", 0, 1, "x", 1), ("write", 2, 3, "y", 2, 7)
    ),
    "a deleted entity that is read": _history(
        ("write", 0, 1, "x", 1), ("delete", 2, 3), ("read", 4, 5, "x", 1)
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_checker_accepts(case: str) -> None:
    """The checker cries wolf."""
    assert is_linearizable(ACCEPTED[case])


@pytest.mark.parametrize("case", REFUSED)
def test_the_checker_refuses(case: str) -> None:
    """The checker sees nothing."""
    assert not is_linearizable(REFUSED[case])


@pytest.fixture
def three_workers(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment of three workers that the test may break."""
    running = Deployment(tmp_path, ("--workers", "3")).start()
    yield running
    running.stop()


def test_a_history_under_kills_and_stops_is_that_of_one_register(
    three_workers: Deployment,
) -> None:
    """An answer is stale, a write is lost, or two clients see different orders."""
    torture = Torture(three_workers, seed=1)
    for _ in range(3):
        torture.round(3.0)
    assert torture.report.violations == []
    assert torture.report.operations > 100
    assert sum(torture.report.faults.values()) > 0
