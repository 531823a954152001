"""Every figure, in the order in which they are measured and shown."""

from typing import Final

from benchmarks.figure import Figure
from benchmarks.figures import steps

FIGURES: Final[tuple[Figure, ...]] = (*steps.FIGURES,)
