"""What a rewrap costs those who read meanwhile: ratios, not times.

    python -m tests.support.rewrap_bench [--entities 6000] [--rounds 5] [--seconds 8]

Told is the 99th percentile of warm reads of one worker, over gRPC and mutual TLS, with and without
a rewrap, in turn. How fast the rewrap itself is, `python -m benchmarks --only rewrap` tells.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from main_api.adapters.processing_workers import GrpcWorkers
from main_api.domain.registry import WorkerRecord
from strongroom.configuration import Database
from strongroom.identity import Identity
from tests.support.deployment import Deployment
from tests.support.held_identities import live


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description="the cost of a rewrap to readers")
    parser.add_argument("--entities", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        _readers(Path(scratch), chosen.entities, chosen.rounds, chosen.seconds)


def _readers(directory: Path, entities: int, rounds: int, seconds: float) -> None:
    deployment = Deployment(directory, ("--workers", "1")).start()
    try:
        with deployment.http() as http:
            for start in range(0, entities, 100):
                batch = {
                    f"k{n}": {"chat": [], "text": "x" * 1_080} for n in range(start, start + 100)
                }
                http.put("/entity/chatdb", json=batch).raise_for_status()
            with _reader(deployment) as (worker, client, database):
                ratios = []
                for _ in range(rounds):
                    alone = _p99(client, worker, database, seconds)
                    http.post("/keys/rotate").raise_for_status()
                    time.sleep(1)
                    job = http.post("/keys/rewrap").json()["job_id"]
                    time.sleep(0.5)
                    beside = _p99(client, worker, database, seconds)
                    ratios.append(beside / alone)
                    done = http.get(f"/jobs/{job}").json()
                    _tell(
                        f"p99 alone {alone * 1e6:6,.0f} us   beside {beside * 1e6:6,.0f} us"
                        f"   ({done['state']}, {done['rewrapped'] / seconds:,.0f}/s rewrapped)"
                    )
                    while http.get(f"/jobs/{job}").json()["state"] == "running":
                        time.sleep(0.2)
                _print("p99 of warm reads beside a rewrap, of the same alone", ratios)
    finally:
        deployment.stop()


@contextmanager
def _reader(deployment: Deployment) -> Iterator[tuple[WorkerRecord, GrpcWorkers, Database]]:
    """Return a worker's record, and what calls it as a Main Worker does."""
    pki = deployment.root / "pki"
    client = GrpcWorkers(live(Identity(pki / "ca.pem", pki / "main.pem", pki / "main.key")))
    ready = deployment.root / "run" / "worker-1.ready"
    worker = WorkerRecord(
        worker_id="worker-1",
        address=msgspec.json.decode(ready.read_bytes())["address"],
        subscription_id="",
        registered_at="",
        lease_until_ms=0,
    )
    stored = msgspec.json.decode((deployment.shared_dir / "databases/chatdb.json").read_bytes())
    yield worker, client, msgspec.convert(stored["body"], Database)
    client.close()


def _p99(client: GrpcWorkers, worker: WorkerRecord, database: Database, seconds: float) -> float:
    took_s: list[float] = []
    ends_at_s = time.perf_counter() + seconds
    while time.perf_counter() < ends_at_s:
        began_s = time.perf_counter()
        client.get(worker, database, f"k{len(took_s) % 50}", 0, 5.0)
        took_s.append(time.perf_counter() - began_s)
    return statistics.quantiles(took_s, n=100)[98]


def _print(what: str, ratios: list[float]) -> None:
    _tell(f"{what}: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
