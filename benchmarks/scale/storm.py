"""What a file system sees while the keys of dead workers find their caches cold.

A key whose worker has died is read from the disk once more, when somebody asks for it next: after
`t` seconds nobody has with probability exp(-rate t).
"""

import math
from dataclasses import dataclass
from typing import Final

from benchmarks.scale.operations import Operations
from benchmarks.scale.published import FileSystem

WARM: Final = 0.01
"""Warm again: no more than this share of all calls misses its cache because of the death."""
_BUCKETS_PER_DECADE: Final = 60
_DECADES_OF_TIME: Final = 9


@dataclass(frozen=True, slots=True)
class Load:
    """Reads, and what is read.

    Attributes:
        reads_per_second: On all workers together.
        entities: How many are asked for, the n-th 1/n as often as the first.
    """

    reads_per_second: float
    entities: int


@dataclass(frozen=True, slots=True)
class Storm:
    """What follows from a death.

    Attributes:
        before: Requests per second to the file system, of its quota; in shares.
        peak: The same, just afterwards.
        bounded: What the cold reads alone ask for just afterwards; with `bounded`, where a warm
            read seldom asks the disk, that is nearly everything.
        warm_s: Until the caches are warm again.
    """

    before: float
    peak: float
    bounded: float
    warm_s: float


def storm(load: Load, dead_share: float, operations: Operations, disk: FileSystem) -> Storm:
    """Let a share of the workers die; `strict`, so that warm reads ask the disk as well."""
    warm, cold = operations.warm_read.reads, operations.cold_read.reads
    before = load.reads_per_second * warm / disk.reads_per_second
    peak = load.reads_per_second * (warm + dead_share * (cold - warm)) / disk.reads_per_second
    bounded = load.reads_per_second * dead_share * cold / disk.reads_per_second
    # Past the quota reads wait, and so does what warms the caches.
    rate = load.reads_per_second / max(1.0, peak)
    weights = _popularity(load.entities)

    def is_warm(after_s: float) -> bool:
        return dead_share * _still_cold(weights, rate, after_s) <= WARM

    if is_warm(0.0):
        return Storm(before, peak, bounded, 0.0)
    low_s, high_s = 0.0, 10.0**_DECADES_OF_TIME
    while high_s - low_s > max(0.01, low_s / 1_000):
        middle_s = (low_s + high_s) / 2
        low_s, high_s = (low_s, middle_s) if is_warm(middle_s) else (middle_s, high_s)
    return Storm(before, peak, bounded, high_s)


def _still_cold(weights: list[tuple[float, float]], rate: float, after_s: float) -> float:
    """Return which share of calls is for a key that nobody has asked for since."""
    return math.fsum(many * p * math.exp(-rate * p * after_s) for p, many in weights)


def _popularity(entities: int) -> list[tuple[float, float]]:
    """Return (probability of a call for one key, how many such keys), ranks put into buckets."""
    buckets: list[tuple[float, float]] = []
    first = 1
    while first <= entities:
        last = min(entities, max(first, int(first * 10 ** (1 / _BUCKETS_PER_DECADE))))
        buckets.append((2 / (first + last), last - first + 1))
        first = last + 1
    total = math.fsum(p * many for p, many in buckets)
    return [(p / total, many) for p, many in buckets]
