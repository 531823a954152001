"""What spans cost a warm read: without a collector, and with one at several ratios.

    python -m tests.support.spans_bench [--rounds 11] [--calls 300]

A request goes through the application of the REST face and a real gRPC call over mutual TLS to a
worker's engine on a real directory. All of it is in this process, so that its processor time counts
everything, the export to a collector on the loopback too. The settings take turns, in rounds,
because a machine is not equally fast twice.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from main_api.adapters.processing_workers import GrpcWorkers
from main_api.rest import routes
from main_api.rest.traced import SpannedApp
from main_api.service.requests.entities import Entities
from processing_fn.cache.traced import NotedCache
from processing_fn.rpc import server
from processing_fn.rpc.processing_service import ProcessingService
from processing_fn.service.requests import Put
from processing_fn.storage.traced import SpannedFiles, SpannedLocks
from strongroom import otel
from strongroom.clock import SystemClock
from strongroom.configuration import Database
from tests.support.engines import AT, PLAIN, Parts, Rig
from tests.support.held_identities import live
from tests.support.main_fakes import a_worker
from tests.support.mains import Built, MainRig
from tests.support.otlp_collector import collecting
from tests.support.rpc_mains import Pki
from tests.support.wsgi import WsgiClient

DATABASE = Database(name="people", incarnation="00" * 16, schema_id="person.v1", created_at=AT)
DOCUMENT = b'{"n": 1, "text": "%s"}' % (b"x" * 1_060)


SPANNED = Parts(SpannedFiles, SpannedLocks, NotedCache)


def main() -> None:
    """Print the processor time of a warm read under each setting."""
    parser = argparse.ArgumentParser(description="what spans cost a warm read")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--calls", type=int, default=300)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        collector = stack.enter_context(collecting())
        pki = Pki.make(scratch / "pki", ["worker-1"])
        settings: dict[str, float | None] = {"off": None, "0": 0.0, "0.01": 0.01, "1": 1.0}
        reads = {
            name: _read(stack, scratch / name, pki, ratio, collector.url)
            for name, ratio in settings.items()
        }
        took: dict[str, list[float]] = {name: [] for name in reads}
        for _ in range(chosen.rounds):
            for name, read in reads.items():
                began = time.process_time()
                for _ in range(chosen.calls):
                    read()
                took[name].append((time.process_time() - began) / chosen.calls * 1e6)
    off = took["off"]
    for name, times in took.items():
        low, middle, high = statistics.quantiles(times)
        ratio = statistics.median(mine / theirs for mine, theirs in zip(times, off, strict=True))
        sys.stdout.write(
            f"{name:>5}: {middle:6.0f} us of processor time, quartiles {low:.0f} to {high:.0f};"
            f" {ratio:.3f} of off in the same round\n"
        )
    sys.stdout.write(f"{len(collector.spans)} spans exported\n")


def _read(
    stack: ExitStack, directory: Path, pki: Pki, ratio: float | None, url: str
) -> Callable[[], object]:
    """Return what makes one warm read, over a Main Worker and a worker of its own."""
    exporting = None
    if ratio is not None:
        exporting = otel.start(url + "/v1/traces", ratio, "bench", "")
        stack.callback(exporting.close)
    tracer = None if exporting is None else exporting.tracer
    parts = PLAIN if tracer is None else SPANNED
    rig = Rig(directory, clock=SystemClock(), parts=parts)
    stack.callback(rig.close)
    engine = rig.worker().engine
    engine.put(rig.binding, Put("warm", DOCUMENT))
    service = ProcessingService(lambda: engine, dict, lambda: None)
    identity = live(pki.workers["worker-1"])
    grpc_server, port = server.start(service, identity, "127.0.0.1:0", tracer=tracer)
    stack.callback(lambda: grpc_server.stop(None).wait())
    main_rig = MainRig()
    main_rig.store.put_database(DATABASE)
    main_rig.store.put_worker(a_worker("worker-1", address=f"127.0.0.1:{port}"))
    workers = GrpcWorkers(live(pki.main))
    stack.callback(workers.close)
    main_rig.entities = Entities(main_rig.access, main_rig.store, main_rig.dispatcher, workers)
    app: Any = routes.build(Built(main_rig.main()))
    if tracer is not None:
        workers.trace()
        app = SpannedApp(app, tracer)
    bearer = main_rig.bearer(main_rig.add_client("reader"))
    http = WsgiClient(app, authorization=bearer)

    def read() -> None:
        assert http("GET", "/entity/people?key=warm").status == 200

    read()
    return read


if __name__ == "__main__":
    main()
