"""What a Lambda has counted, as lines of CloudWatch's embedded metric format.

Nobody can scrape a Lambda; CloudWatch makes metrics of lines that it prints
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html):

    {"_aws": {"Timestamp": ms, "CloudWatchMetrics": [{"Namespace": ..., "Dimensions": [[...]],
     "Metrics": [{"Name": ..., "Unit": ...}]}]}, <a member for each dimension, metric and property>}

Each invocation prints the differences since the last one, because a Lambda may be frozen after it
for ever. Every set of values of the dimensions is a metric of its own, which costs: a metric has
the function as a dimension, and those labels of `_DIMENSIONS`; other labels are properties, to be
searched for in the logs.

Written out here: of the library for it, aws-embedded-metrics, the import alone takes more than a
cold start has left (docs/observability.md, "CloudWatch").
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from strongroom.metrics.instruments import Changes, Distribution, Metrics, Sample

NAMESPACE: Final = "Strongroom"
FUNCTION: Final = "FunctionName"
METRICS_PER_LINE_MAX: Final = 100
VALUES_PER_METRIC_MAX: Final = 100
_DIMENSIONS: Final = frozenset({"status", "outcome"})
_UNITS: Final = {"seconds": "Seconds", "bytes": "Bytes", "": "Count"}


class EmbeddedMetrics:
    """Tells what was counted since it was asked last. Used by one thread at a time."""

    def __init__(self, metrics: Metrics, function: str) -> None:
        """Take what counts, and the function's name; what was counted before is told as well."""
        self._changes = Changes(metrics)
        self._function = function
        self._first = list(metrics.counted())

    def lines(self, now_ms: int) -> list[bytes]:
        """Return the lines to print, each with its end."""
        first, self._first = self._first, []
        told = [*first, *self._changes.take()]
        return list(lines(told, self._function, now_ms))


def lines(samples: Iterable[Sample], function: str, now_ms: int) -> Iterator[bytes]:
    """Yield documents of the format, a line for each set of labels.

    Args:
        samples: What has been added, of counters and histograms.
        function: The Lambda's name.
        now_ms: Milliseconds since 1970.
    """
    by_labels: dict[tuple[tuple[str, str], ...], list[tuple[Sample, list[float]]]] = {}
    for sample in samples:
        labels = tuple(zip(sample.metric.labels, sample.labels, strict=True))
        for values in _values(sample):
            by_labels.setdefault(labels, []).append((sample, values))
    for labels, found in by_labels.items():
        for part in _parts(found):
            yield msgspec.json.encode(_document(dict(labels), part, function, now_ms)) + b"\n"


def _document(
    labels: Mapping[str, str],
    found: list[tuple[Sample, list[float]]],
    function: str,
    now_ms: int,
) -> dict[str, Any]:
    narrow = sorted(_DIMENSIONS & labels.keys())
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [[FUNCTION], *([[FUNCTION, *narrow]] if narrow else [])],
        "Metrics": [
            {"Name": sample.metric.name, "Unit": _UNITS[sample.metric.unit]} for sample, _ in found
        ],
    }
    return {
        "_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]},
        FUNCTION: function,
        **labels,
        **{s.metric.name: values[0] if len(values) == 1 else values for s, values in found},
    }


def _parts(
    found: list[tuple[Sample, list[float]]],
) -> Iterator[list[tuple[Sample, list[float]]]]:
    """Yield as many metrics as a document may have, each of them once."""
    part: dict[str, tuple[Sample, list[float]]] = {}
    for sample, values in found:
        if sample.metric.name in part or len(part) == METRICS_PER_LINE_MAX:
            yield list(part.values())
            part = {}
        part[sample.metric.name] = (sample, values)
    if part:
        yield list(part.values())


def _values(sample: Sample) -> Iterator[list[float]]:
    """Yield what was added, by as many values as a document may have of a metric.

    Of several observations only the buckets are known: they count as the upper bound of theirs, of
    the last bucket as the bound below it.
    """
    value = sample.value
    if not isinstance(value, Distribution):
        yield [float(value)]
    elif sum(value.counts) == 1:
        yield [value.total]
    else:
        bounds = (*sample.metric.buckets, sample.metric.buckets[-1])
        every = [bound for bound, n in zip(bounds, value.counts, strict=True) for _ in range(n)]
        for begin in range(0, len(every), VALUES_PER_METRIC_MAX):
            yield every[begin : begin + VALUES_PER_METRIC_MAX]
