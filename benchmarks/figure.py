"""What a figure is: our way of doing something, set against the least that it could take.

A machine that others use too is not equally fast twice, so nothing is said in seconds. A figure
yields pairs, measured one right after the other in the same run, and what counts is their ratio.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.ground import Ground


class WrongAnswerError(Exception):
    """What was measured did not answer what it should: its speed means nothing."""


class NotHereError(Exception):
    """This machine lacks what the figure takes; the message says what, and how to have it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One measurement of each, in the figure's unit.

    Attributes:
        ours: Of the project.
        floor: Of its floor, None where the figure has none.
        beside: What was seen beside it, of ours, by a name that ends in its unit.
    """

    ours: float
    floor: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Goal:
    """Where the median of the ratios ought to be.

    Attributes:
        bound: The ratio of ours to the floor.
        is_least: Whether more is better, as of a rate; otherwise less, as of a time.
    """

    bound: float
    is_least: bool

    def is_met(self, ratio: float) -> bool:
        """Tell whether a ratio is good enough."""
        return ratio >= self.bound if self.is_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.is_least else '<='} {self.bound:g}"


def at_least(bound: float) -> Goal:
    """Return the goal of what should be large."""
    return Goal(bound, is_least=True)


def at_most(bound: float) -> Goal:
    """Return the goal of what should be small."""
    return Goal(bound, is_least=False)


Pairs: TypeAlias = Generator[Pair, None, None]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What `--only` takes.
        measures: What is ours, in a few words.
        floor: What it is set against, in a few words; empty for nothing.
        unit: Of both: "/s", "us", "ms", "bytes".
        goal: Where the ratio ought to be, None where it is only shown.
        pairs: Yields pairs for as long as it is asked; every answer is checked. What it has
            started ends with the generator. Raises WrongAnswerError, NotHereError.
        rounds: How many pairs it takes to say something.
    """

    name: str
    measures: str
    floor: str
    unit: str
    goal: Goal | None
    pairs: Callable[[Ground], Pairs]
    rounds: int = 11
