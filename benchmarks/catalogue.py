"""Every figure, in the order in which they are measured and shown."""

from typing import Final

from benchmarks.figure import Figure
from benchmarks.figures import (
    cached,
    cold_get,
    cold_start,
    disk_calls,
    multi_get,
    put,
    rest_get,
    rewrap,
    scan,
    start,
    steps,
    warm_get,
    ycsb,
)

FIGURES: Final[tuple[Figure, ...]] = (
    *warm_get.FIGURES,
    *rest_get.FIGURES,
    *put.FIGURES,
    *multi_get.FIGURES,
    *cold_get.FIGURES,
    *steps.FIGURES,
    *cold_start.FIGURES,
    *scan.FIGURES,
    *rewrap.FIGURES,
    *cached.FIGURES,
    *ycsb.FIGURES,
    *start.FIGURES,
    *disk_calls.FIGURES,
)
