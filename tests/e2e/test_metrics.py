"""What the processes of a running deployment tell of themselves is what the catalogue says."""

import socket
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from strongroom.metrics.catalogue import METRICS
from tests.support.deployment import CHAT, Deployment

LIBRARY = "process_"


@pytest.fixture(scope="module")
def scraped(deployment: Deployment) -> Iterator[dict[str, dict[str, Family]]]:
    """Every process' metrics, by the kind of process and by name, after some requests."""
    with deployment.http() as http:
        http.put("/entity/chatdb", json={"metrics": CHAT}).raise_for_status()
        for _ in range(3):
            http.get("/entity/chatdb", params={"key": "metrics"}).raise_for_status()
        urls = deployment.facts["metrics_urls"]
        texts = {
            "rest": http.get(urls["rest"]).raise_for_status().text,
            "worker": httpx.get(urls["workers"]["worker-1"]).raise_for_status().text,
            "grpc": httpx.get(urls["grpc"]).raise_for_status().text,
        }
        yield {process: _families(text) for process, text in texts.items()}
        http.delete("/entity/chatdb", params={"key": "metrics"}).raise_for_status()


def _families(text: str) -> dict[str, Family]:
    """Return metrics by the names that the catalogue has for them."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in text_string_to_metric_families(text)
    }


@pytest.mark.parametrize("process", ["rest", "grpc", "worker"])
def test_a_process_exports_what_the_catalogue_says(
    scraped: dict[str, dict[str, Family]], process: str
) -> None:
    """An alarm waits for a metric that nobody exports; another one stands in no reference."""
    expected = {metric.name: metric for metric in METRICS if process in metric.processes}
    found = scraped[process]
    assert found.keys() == expected.keys()
    for name, metric in expected.items():
        assert found[name].type == metric.kind, name
        for sample in found[name].samples:
            assert sample.labels.keys() - {"le"} == set(metric.labels), name
        if not name.startswith(LIBRARY):
            assert found[name].documentation == metric.about


def test_a_worker_tells_what_it_has_done(deployment: Deployment) -> None:
    """The figures are there, and say nothing of what happens."""
    with deployment.http() as http:
        before = _sums(deployment)
        http.put("/entity/chatdb", json={"counted": CHAT}).raise_for_status()
        for _ in range(5):
            http.get("/entity/chatdb", params={"key": "counted"}).raise_for_status()
        assert http.get("/entity/chatdb", params={"key": "not-there"}).status_code == 404
        http.delete("/entity/chatdb", params={"key": "counted"}).raise_for_status()
        after = _sums(deployment)
    grown = Counter(after)
    grown.subtract(before)
    times = "strongroom_operation_duration_seconds_count"
    assert grown[f"{times}{{get,ok}}"] == 5
    assert grown[f"{times}{{get,not-found}}"] == 1
    assert grown[f"{times}{{put,ok}}"] + grown[f"{times}{{put-many,ok}}"] == 1
    assert grown["strongroom_cache_hits_total{}"] >= 4
    assert grown["strongroom_fsync_duration_seconds_count{}"] >= 4
    assert grown["strongroom_storage_written_bytes_total{}"] > 1000
    assert grown["strongroom_lock_wait_seconds_count{had}"] >= 2
    assert after["strongroom_lease_left_seconds{}"] > 0
    assert 0 < after["strongroom_active_key_age_seconds{}"] < 3600


def _sums(deployment: Deployment) -> Counter[str]:
    """Return every sample of all workers, added up, by name and labels."""
    found: Counter[str] = Counter()
    for url in deployment.facts["metrics_urls"]["workers"].values():
        for family in _families(httpx.get(url).raise_for_status().text).values():
            for sample in family.samples:
                name = f"{sample.name}{{{','.join(sample.labels.values())}}}"
                found[name] += sample.value  # type: ignore[assignment]
    return found


def test_they_are_served_on_this_machine_only(deployment: Deployment) -> None:
    """Whoever reaches a worker's network reads how the deployment is run."""
    urls = deployment.facts["metrics_urls"]
    for url in (urls["grpc"], *urls["workers"].values()):
        assert url.startswith("http://127.0.0.1:")
    others = socket.gethostbyname_ex(socket.gethostname())[2]
    port = int(urls["grpc"].rpartition(":")[2].removesuffix("/metrics"))
    for address in others:
        if not address.startswith("127."):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, port), 1)
