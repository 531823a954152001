"""Lines for CloudWatch, judged by the published specification of the embedded metric format."""

from typing import Any, Final

import pytest

from strongroom.metrics import catalogue, embedded
from strongroom.metrics.catalogue import Metric
from strongroom.metrics.embedded import EmbeddedMetrics
from strongroom.metrics.instruments import Metrics, Sample
from tests.support.embedded_metric_format import judged

NOW_MS: Final = 1_800_000_000_000


def told(embedding: EmbeddedMetrics) -> list[dict[str, Any]]:
    """Return the documents of one invocation."""
    return [judged(line) for line in embedding.lines(NOW_MS)]


def values_of(documents: list[dict[str, Any]], metric: Metric) -> list[float]:
    """Return the values that documents have of a metric."""
    found: list[float] = []
    for document in documents:
        target = document.get(metric.name, [])
        found += target if isinstance(target, list) else [target]
    return found


def test_only_what_was_added_since_the_last_time_is_told() -> None:
    """CloudWatch adds the same requests up again and again."""
    metrics = Metrics()
    limited = metrics.counter(catalogue.RATE_LIMITED)
    limited.add(2)
    embedding = EmbeddedMetrics(metrics, "strongroom")
    assert values_of(told(embedding), catalogue.RATE_LIMITED) == [2]
    assert told(embedding) == []
    limited.add(3)
    assert values_of(told(embedding), catalogue.RATE_LIMITED) == [3]


def test_a_request_is_told_with_few_dimensions() -> None:
    """Every route is a metric that costs, or the latency cannot be told from that of failures."""
    metrics = Metrics()
    embedding = EmbeddedMetrics(metrics, "strongroom")
    metrics.histograms(catalogue.HTTP_SECONDS).of("/healthz", "GET", "2xx").observe(0.0123)
    (document,) = told(embedding)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == embedded.NAMESPACE
    assert directive["Dimensions"] == [["FunctionName"], ["FunctionName", "status"]]
    assert directive["Metrics"] == [{"Name": catalogue.HTTP_SECONDS.name, "Unit": "Seconds"}]
    assert document[catalogue.HTTP_SECONDS.name] == pytest.approx(0.0123)
    assert (document["route"], document["status"]) == ("/healthz", "2xx")
    assert document["_aws"]["Timestamp"] == NOW_MS


def test_many_observations_are_as_many_values() -> None:
    """Of a busy moment all but the first are lost, or a line is refused as a whole."""
    metrics = Metrics()
    embedding = EmbeddedMetrics(metrics, "strongroom")
    histogram = metrics.histogram(catalogue.FSYNC_SECONDS)
    for number in range(250):
        histogram.observe(0.0002 if number % 2 else 99.0)
    values = values_of(told(embedding), catalogue.FSYNC_SECONDS)
    assert len(values) == 250
    assert sorted(set(values)) == [0.00025, catalogue.FSYNC_SECONDS.buckets[-1]]


def test_no_line_has_more_metrics_than_are_read() -> None:
    """CloudWatch refuses a line with 101 metrics, and everything in it."""
    many = [Metric(f"m{number}_total", "counter", "", ("rest",)) for number in range(250)]
    samples = [Sample(one, (), 1.0) for one in many]
    documents = [judged(line) for line in embedded.lines(samples, "strongroom", NOW_MS)]
    assert [len(one["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for one in documents] == [
        100,
        100,
        50,
    ]


def test_every_counted_metric_of_the_catalogue_can_be_told() -> None:
    """A metric with an odd unit or label ends in no line, or in one that is refused."""
    metrics = Metrics()
    embedding = EmbeddedMetrics(metrics, "strongroom")
    counted = [one for one in catalogue.METRICS if one.kind != "gauge"]
    for one in counted:
        labels = ["x"] * len(one.labels)
        if one.kind == "histogram":
            metrics.histograms(one).of(*labels).observe(1.0)
        else:
            metrics.counters(one).of(*labels).add()
    documents = told(embedding)
    assert {n["Name"] for d in documents for n in d["_aws"]["CloudWatchMetrics"][0]["Metrics"]} == {
        one.name for one in counted
    }
