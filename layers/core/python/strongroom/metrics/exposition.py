"""The metrics of a process in Prometheus' text format, made when somebody asks.

Loaded at the first scrape: the library costs what a cold start of Lambda has not got.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as LibraryMetric
from prometheus_client.registry import Collector

from strongroom import release
from strongroom.metrics import catalogue
from strongroom.metrics.catalogue import Metric
from strongroom.metrics.instruments import Distribution, Metrics, Sample

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


def text(metrics: Metrics) -> bytes:
    """Return them, and what the operating system says of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collected(metrics))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> list[LibraryMetric]:
        """Return no description, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[LibraryMetric]:
        """Yield every metric."""
        release_of = Sample(catalogue.BUILD_INFO, (release.version(),), 1)
        yield _family(catalogue.BUILD_INFO, [release_of])
        for metric, samples in self._metrics.collected().items():
            yield _family(metric, samples)


def _family(metric: Metric, samples: list[Sample]) -> LibraryMetric:
    if metric.kind == "histogram":
        spread = HistogramMetricFamily(metric.name, metric.about, labels=metric.labels)
        for sample in samples:
            if isinstance(sample.value, Distribution):
                buckets = _cumulative(metric, sample.value)
                spread.add_metric(sample.labels, buckets, sample.value.total)
        return spread
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.about, labels=metric.labels)
    for sample in samples:
        if not isinstance(sample.value, Distribution):
            family.add_metric(sample.labels, sample.value)
    return family


def _cumulative(metric: Metric, seen: Distribution) -> list[tuple[str, float]]:
    """Return for each bound how many observations were not above it."""
    total = 0
    found = []
    for bound, count in zip((*map(repr, metric.buckets), "+Inf"), seen.counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
