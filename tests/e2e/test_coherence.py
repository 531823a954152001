"""Copies in the caches of several workers, by a real clock and real streams."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.deployment import CHAT, Deployment, wait_until
from tests.support.direct_calls import DirectCalls

WORKERS = ("worker-1", "worker-2")
LONG = "bounded:60000"
BOUND_MS = 400
# Within what is left of a lease when no renewal comes any more.
LOAD_S = 2.0
TOLD_S = 60.0
HEARD_S = 5.0


@contextmanager
def _running(directory: Path, setting: str) -> Iterator[tuple[Deployment, list[DirectCalls]]]:
    deployment = Deployment(directory, environment={"STRONGROOM_COHERENCE": setting}).start()
    calls = [DirectCalls(deployment, worker_id) for worker_id in WORKERS]
    try:
        yield deployment, calls
    finally:
        for one in calls:
            one.close()
        deployment.stop()


def test_workers_tell_each_other_of_commits(tmp_path: Path) -> None:
    """A copy lives as long as its bound, though its worker could have been told that it is old."""
    with _running(tmp_path, LONG) as (deployment, calls), deployment.client() as client:

        def both_hear() -> bool:
            for worker in calls:
                worker.version("k")
            latest = client.put("chatdb", "k", CHAT).version
            return wait_until(lambda: all(one.version("k") == latest for one in calls), HEARD_S)

        client.put("chatdb", "k", CHAT)
        # The streams are there some time after the first renewal; then every commit is told.
        assert wait_until(both_hear, TOLD_S)
        assert all(both_hear() for _ in range(20))


def test_no_read_is_older_than_the_bound(tmp_path: Path) -> None:
    """With no message to help, a worker answers what was replaced longer ago than was set."""
    setting = f"bounded:{BOUND_MS}"
    with _running(tmp_path, setting) as (deployment, calls), deployment.client() as client:
        client.put("chatdb", "k", CHAT)
        # What tells the workers of each other's commits stands still, well within their leases.
        os.kill(deployment.facts["pids"]["grpc"], signal.SIGSTOP)
        try:
            acknowledged, reads = _load(calls, lambda: client.put("chatdb", "k", CHAT).version)
        finally:
            os.kill(deployment.facts["pids"]["grpc"], signal.SIGCONT)
    assert len(acknowledged) > 10
    assert len(reads) > 100
    late = []
    for began_s, version in reads:
        known = [v for at_s, v in acknowledged if at_s <= began_s - BOUND_MS / 1000]
        if known and version < max(known):
            late.append((began_s, version, max(known)))
    assert late == []
    # Else nothing was answered without asking, and the test has shown nothing.
    first_s = acknowledged[0][0]
    assert any(
        version < max(v for at_s, v in acknowledged if at_s <= began_s)
        for began_s, version in reads
        if began_s >= first_s
    )


def _load(
    calls: list[DirectCalls], put: Callable[[], int]
) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """Write and read for a while; return (acknowledged at, version) and (began at, version)."""
    acknowledged: list[tuple[float, int]] = []
    reads: list[tuple[float, int]] = []
    ends_s = time.monotonic() + LOAD_S

    def read(worker: DirectCalls) -> None:
        while (began_s := time.monotonic()) < ends_s:
            reads.append((began_s, worker.version("k")))

    readers = [threading.Thread(target=read, args=(one,)) for one in calls]
    for reader in readers:
        reader.start()
    while time.monotonic() < ends_s:
        version = put()
        acknowledged.append((time.monotonic(), version))
    for reader in readers:
        reader.join()
    return acknowledged, reads
