"""Counters and histograms, cheap enough for the path of every request.

An instrument is bound to its labels once, when it is made: to count is an addition under a lock,
to observe is a search among a dozen bounds and two additions. A Lambda imports this, so it needs
nothing that is not in the interpreter
(docs/adr/0029-instruments-of-our-own-under-one-catalogue.md has the measurements).
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, NamedTuple, TypeVar

from strongroom import limits
from strongroom.errors import StrongroomError
from strongroom.metrics.catalogue import Metric

OTHER: Final = "other"
"""The label of what has come after there were too many; and of what has no name of ours."""


class Distribution(NamedTuple):
    """What a histogram has seen.

    Attributes:
        counts: How many observations fell between a bound and the one below it; the last one is
            what was above all of them.
        total: Their sum.
    """

    counts: tuple[int, ...]
    total: float


class Sample(NamedTuple):
    """One value of one metric; `labels` are values, in the order of the metric's labels."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | Distribution


class Counter:
    """A sum that only grows. Safe under threads."""

    __slots__ = ("_lock", "_value")

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()
        self._value = 0.0

    def add(self, amount: float = 1) -> None:
        """Add something."""
        with self._lock:
            self._value += amount

    def value(self) -> float:
        """Return the sum."""
        return self._value


class Histogram:
    """How often a value was how large. Safe under threads."""

    __slots__ = ("_bounds", "_counts", "_lock", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Take the upper bounds, ascending; each belongs to what is below it."""
        self._bounds = bounds
        self._lock = threading.Lock()
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Take a value."""
        index = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[index] += 1
            self._total += value

    def value(self) -> Distribution:
        """Return what was seen so far."""
        with self._lock:
            return Distribution(tuple(self._counts), self._total)


Instrument = TypeVar("Instrument", bound=Counter | Histogram)
Reading = Callable[[], Iterable[Sample]]


class Family(Generic[Instrument]):
    """The instruments of one metric, one for each set of labels. Safe under threads."""

    def __init__(self, metric: Metric, make: Callable[[], Instrument]) -> None:
        """Start with none."""
        self.metric = metric
        self._make = make
        self._lock = threading.Lock()
        self._made: dict[tuple[str, ...], Instrument] = {}

    def of(self, *labels: str) -> Instrument:
        """Return the one of these labels, the same each time.

        Labels have few values by what they are made of. Where that went wrong, what comes after
        `limits.METRIC_SERIES_MAX` of them is counted together.
        """
        found = self._made.get(labels)
        return self._add(labels) if found is None else found

    def samples(self) -> list[Sample]:
        """Return what they have counted."""
        return [
            Sample(self.metric, labels, one.value()) for labels, one in list(self._made.items())
        ]

    def _add(self, labels: tuple[str, ...]) -> Instrument:
        if len(labels) != len(self.metric.labels):
            raise ValueError(f"{self.metric.name} has the labels {self.metric.labels}")
        with self._lock:
            if len(self._made) >= limits.METRIC_SERIES_MAX:
                labels = (OTHER,) * len(labels)
            return self._made.setdefault(labels, self._make())


class Metrics:
    """Everything that a process tells of itself. Safe under threads.

    What has an owner already that counts it, or is so at this moment, is not counted a second time:
    it is read from its owner when somebody asks.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._counters: dict[str, Family[Counter]] = {}
        self._histograms: dict[str, Family[Histogram]] = {}
        self._readings: list[tuple[tuple[Metric, ...], Reading]] = []

    def counters(self, metric: Metric) -> Family[Counter]:
        """Return the counters of a metric, the same each time."""
        return self._counters.setdefault(metric.name, Family(metric, Counter))

    def counter(self, metric: Metric) -> Counter:
        """Return the counter of a metric without labels."""
        return self.counters(metric).of()

    def histograms(self, metric: Metric) -> Family[Histogram]:
        """Return the histograms of a metric, the same each time."""
        made = Family(metric, lambda: Histogram(metric.buckets))
        return self._histograms.setdefault(metric.name, made)

    def histogram(self, metric: Metric) -> Histogram:
        """Return the histogram of a metric without labels."""
        return self.histograms(metric).of()

    def read(self, metric: Metric, value: Callable[[], float]) -> None:
        """Have the value of a metric without labels read whenever somebody asks."""
        self.read_all((metric,), lambda: (Sample(metric, (), value()),))

    def read_all(self, metrics: tuple[Metric, ...], reading: Reading) -> None:
        """Have the samples of some metrics read whenever somebody asks.

        What cannot be had then, as a StrongroomError says, is left out.
        """
        self._readings.append((metrics, reading))

    def counted(self) -> Iterator[Sample]:
        """Yield what instruments have counted; nobody's state is read for it."""
        for counters in list(self._counters.values()):
            yield from counters.samples()
        for histograms in list(self._histograms.values()):
            yield from histograms.samples()

    def collected(self) -> dict[Metric, list[Sample]]:
        """Return every metric of this process, those without a sample too, and its samples."""
        families: list[Family[Any]] = [*self._counters.values(), *self._histograms.values()]
        found: dict[Metric, list[Sample]] = {one.metric: [] for one in families}
        for sample in self.counted():
            found.setdefault(sample.metric, []).append(sample)
        for metrics, reading in self._readings:
            for metric in metrics:
                found.setdefault(metric, [])
            try:
                for sample in reading():
                    found[sample.metric].append(sample)
            except StrongroomError:
                continue
        return found


class Changes:
    """What was counted since it was asked last, for an exporter that sends differences.

    Used by one thread at a time.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Start now: what was counted before is not told."""
        self._metrics = metrics
        self._told = {(one.metric.name, one.labels): one.value for one in metrics.counted()}

    def take(self) -> list[Sample]:
        """Return the differences, without what has not changed."""
        changes = []
        for one in self._metrics.counted():
            key = (one.metric.name, one.labels)
            change = _difference(one.value, self._told.get(key))
            if change is not None:
                self._told[key] = one.value
                changes.append(one._replace(value=change))
        return changes


def _difference(
    now: float | Distribution, before: float | Distribution | None
) -> float | Distribution | None:
    """Return what has been added, None for nothing."""
    if now == before:
        return None
    if isinstance(now, Distribution):
        was = (
            before if isinstance(before, Distribution) else Distribution((0,) * len(now.counts), 0)
        )
        counts = tuple(a - b for a, b in zip(now.counts, was.counts, strict=True))
        return Distribution(counts, now.total - was.total) if any(counts) else None
    return now - (before if isinstance(before, float) else 0.0) or None
