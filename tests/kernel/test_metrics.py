"""What a process counts of itself: nothing is lost, nothing grows without bound, all is told."""

import re
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from strongroom import durable, limits
from strongroom.errors import UnavailableError
from strongroom.metrics import catalogue, exposition
from strongroom.metrics.catalogue import METRICS, Metric
from strongroom.metrics.filesystem import MeasuredFilesystem
from strongroom.metrics.instruments import OTHER, Changes, Distribution, Metrics, Sample
from tests.support.threads import at_once

COUNTED = Metric("strongroom_counted_total", "counter", "Counted", ("worker",), ("what",))
ALONE = Metric("strongroom_alone_total", "counter", "Without a label", ("worker",))
TIMED = Metric("strongroom_timed_seconds", "histogram", "Timed", ("worker",), ("how",), (0.1, 1.0))
LEVEL = Metric("strongroom_level", "gauge", "A level", ("worker",))


def _samples(metrics: Metrics) -> dict[str, float]:
    """Return what Prometheus would read, by name and labels; not what is of the process itself."""
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(exposition.text(metrics).decode())
        for sample in family.samples
        if not family.name.startswith(("process_", "strongroom_build_info"))
    }


def test_threads_that_count_at_once_lose_nothing() -> None:
    """Under load, when figures matter, they are too low."""
    metrics = Metrics()

    def count() -> None:
        for _ in range(2_000):
            metrics.counters(COUNTED).of("a").add()
            metrics.histograms(TIMED).of("b").observe(0.5)

    at_once([count] * 8)
    found = _samples(metrics)
    assert found["strongroom_counted_total[a]"] == 16_000
    assert found["strongroom_timed_seconds_count[b]"] == 16_000
    assert found["strongroom_timed_seconds_sum[b]"] == 8_000


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    """An objective of 100 ms counts an answer that took exactly that among those that missed it."""
    metrics = Metrics()
    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        metrics.histograms(TIMED).of("x").observe(value)
    assert {k: v for k, v in _samples(metrics).items() if "bucket" in k} == {
        "strongroom_timed_seconds_bucket[x][0.1]": 2,
        "strongroom_timed_seconds_bucket[x][1.0]": 4,
        "strongroom_timed_seconds_bucket[x][+Inf]": 5,
    }


def test_labels_without_end_are_counted_together() -> None:
    """Whoever finds a way to make up labels fills the memory of a process, and of Prometheus."""
    metrics = Metrics()
    for number in range(limits.METRIC_SERIES_MAX + 50):
        metrics.counters(COUNTED).of(f"made up {number}").add()
    found = _samples(metrics)
    assert len(found) == limits.METRIC_SERIES_MAX + 1
    assert found[f"strongroom_counted_total[{OTHER}]"] == 50


def test_a_label_too_many_is_a_defect() -> None:
    """A counter is bound to labels that its metric has not."""
    with pytest.raises(ValueError, match="what"):
        Metrics().counters(COUNTED).of("a", "b")
    with pytest.raises(ValueError, match="what"):
        Metrics().counter(COUNTED)


def test_what_cannot_be_read_hides_nothing_else() -> None:
    """In trouble, when they are wanted most, there are no metrics at all."""
    metrics = Metrics()

    def gone() -> float:
        raise UnavailableError("it is not there now")

    metrics.read(LEVEL, gone)
    metrics.counter(ALONE).add(3)
    assert _samples(metrics) == {"strongroom_alone_total": 3}
    assert set(metrics.collected()) == {LEVEL, ALONE}, "it is one of them all the same"


def test_differences_add_up_to_what_was_counted() -> None:
    """An exporter that sends differences tells twice what has happened once, or never."""
    metrics = Metrics()
    counter, timed = metrics.counter(ALONE), metrics.histograms(TIMED).of("x")
    counter.add(5)
    changes = Changes(metrics)
    assert changes.take() == []
    counter.add(2)
    timed.observe(0.5)
    metrics.read(LEVEL, lambda: 1)
    taken = changes.take()
    assert taken == [
        Sample(ALONE, (), 2.0),
        Sample(TIMED, ("x",), Distribution((0, 1, 0), 0.5)),
    ]
    assert changes.take() == []
    timed.observe(7)
    assert changes.take() == [Sample(TIMED, ("x",), Distribution((0, 0, 1), 7.0))]


def test_the_watched_filesystem_counts_what_goes_to_and_fro(tmp_path: Path) -> None:
    """Nobody sees that a disk is slow, or what is read from it."""
    metrics = Metrics()
    filesystem = MeasuredFilesystem(metrics)
    durable.replace_file(filesystem, tmp_path / "file", b"x" * 1000)
    assert durable.read_file(filesystem, str(tmp_path / "file"), 2000) == b"x" * 1000
    found = _samples(metrics)
    assert found["strongroom_storage_written_bytes_total"] == 1000
    assert found["strongroom_storage_read_bytes_total"] == 1000
    # The file, the directory, and the directories above it.
    assert found["strongroom_fsync_duration_seconds_count"] == 4
    assert found["strongroom_fsync_failures_total"] == 0
    with Path("/dev/null").open() as device, pytest.raises(OSError, match="Invalid argument"):
        filesystem.fsync(device.fileno())
    after = _samples(metrics)
    assert after["strongroom_fsync_failures_total"] == 1
    assert after["strongroom_fsync_duration_seconds_count"] == 4


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    """What everybody expects of a name is not so of ours: a dashboard divides by the wrong unit."""
    assert re.fullmatch(r"(strongroom|process)_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(
        r"_(ms|millis|minutes|hours|kb|mb|count|sum|bucket)(_total)?$", metric.name
    )
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.about
    assert not metric.about.endswith(".")
    assert metric.processes
    assert set(metric.labels).isdisjoint({"le", "database", "key", "client_id", "path"})


def test_a_name_stands_for_one_metric() -> None:
    """Two metrics share a name, and Prometheus refuses the whole page."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_an_instrument_is_made_once() -> None:
    """Two owners who ask for the same counter each get one, and half of the figures is not told."""
    metrics = Metrics()
    found = at_once([partial(metrics.counter, catalogue.DECRYPT_FAILURES)] * 8)
    assert len(set(map(id, found))) == 1
