"""What routing costs: the Main Worker's share of a warm read, and many keys against one.

    python -m tests.support.routing_bench [--rounds 5] [--calls 3000]

Ratios, from rounds that alternate, because a machine is not equally fast twice. The share is the
time of the use case `get` over a worker that answers at once, without a call; beside it stands a
bare gRPC echo of the same document over mutual TLS. 100 warm keys are read in one request and set
against one warm key, through both faces of a deployment.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc

from main_api.domain.registry import WorkerRecord
from main_api.service.workers.ports import Found
from strongroom.clock import SystemClock
from strongroom.configuration import Database
from strongroom.entity import Metadata
from strongroom.rpc import tls
from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import Deployment
from tests.support.held_identities import live
from tests.support.main_fakes import Answered, MemoryWorkers
from tests.support.mains import MainRig
from tests.support.rpc_mains import Pki

_DOCUMENT = b'{"chat": [{"type": "user", "text": "%s"}]}' % (b"x" * 1_060)
_MANY = 100
_AT = "2026-01-01T00:00:00.000Z"


class _AtOnce(MemoryWorkers):
    """Workers that answer without doing anything."""

    def get(
        self, worker: WorkerRecord, database: Database, key: str, known: int, timeout_s: float
    ) -> Found:
        """Answer the document."""
        del worker, database, known, timeout_s
        return Found(key, _DOCUMENT, Metadata(1, _AT, _AT, None, "chat.v1", 1))

    def get_many(
        self, worker: WorkerRecord, database: Database, keys: Sequence[str], timeout_s: float
    ) -> Answered:
        """Answer the document for each."""
        return Answered(lambda: [self.get(worker, database, key, 0, timeout_s) for key in keys])


class _Echo(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        del details
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description="what routing costs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=3_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        _share(Path(scratch), chosen.rounds, chosen.calls)
    with tempfile.TemporaryDirectory() as scratch:
        _many(Path(scratch), chosen.rounds, chosen.calls // 10)


def _share(root: Path, rounds: int, calls: int) -> None:
    rig = MainRig(clock=SystemClock())  # type: ignore[arg-type]
    rig.workers = _AtOnce(rig.clock)
    rig.entities._workers = rig.workers  # noqa: SLF001 - the rig has no way to hand another one in
    for number in range(3):
        rig.store.put_worker(_worker(number))
    caller = rig.caller()
    pki = Pki.make(root, ["worker-1"])
    server = grpc.server(ThreadPoolExecutor(1), options=tls.SERVER_OPTIONS)
    server.add_generic_rpc_handlers((_Echo(),))
    identity = pki.workers["worker-1"]
    port = server.add_secure_port("127.0.0.1:0", tls.mutual_server_credentials(live(identity)))
    server.start()
    held = live(pki.main).current()
    channel = tls.channel(held, f"127.0.0.1:{port}", tls.worker_name("worker-1"))
    echo: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/bare/Echo")
    own_s = bare_s = 1.0
    get = partial(rig.entities.get, caller, "chatdb")
    for _ in range(rounds):
        # The best of all rounds: what else runs on the machine makes nothing faster.
        own_s = min(own_s, _per_call(lambda n: get(f"key-{n % 50}"), calls))
        bare_s = min(bare_s, _per_call(lambda _: echo(_DOCUMENT, timeout=5), calls))
    channel.close()
    server.stop(None)
    sys.stdout.write(
        f"the Main Worker's share of a warm read: {own_s * 1e6:.1f} us,"
        f" {own_s / bare_s:.1%} of a bare echo\n"
    )


def _worker(number: int) -> WorkerRecord:
    return WorkerRecord(
        worker_id=f"worker-{number}",
        address=f"worker-{number}.test:1",
        subscription_id="",
        registered_at=_AT,
        lease_until_ms=4_000_000_000_000,
    )


def _many(root: Path, rounds: int, calls: int) -> None:
    deployment = Deployment(root).start()
    keys = [f"many-{number}" for number in range(_MANY)]
    try:
        with deployment.http() as http:
            body = b"{%s}" % b",".join(b'"%s":%s' % (k.encode(), _DOCUMENT) for k in keys)
            json_type = {"Content-Type": "application/json"}
            assert http.put("/entity/chatdb", content=body, headers=json_type).is_success
            one, all_of_them = {"key": keys[:1]}, {"key": keys}
            _compare(
                "REST",
                lambda _: http.get("/entity/chatdb", params=one),
                lambda _: http.get("/entity/chatdb", params=all_of_them),
                rounds,
                calls,
            )
        stub, metadata = deployment.grpc()
        single = entity_pb2.GetEntityRequest(database="chatdb", key=keys[0])
        batch = entity_pb2.BatchGetEntitiesRequest(database="chatdb", keys=keys)
        _compare(
            "gRPC",
            lambda _: stub.GetEntity(single, metadata=metadata),
            lambda _: stub.BatchGetEntities(batch, metadata=metadata),
            rounds,
            calls,
        )
    finally:
        deployment.stop()


def _compare(
    face: str,
    one: Callable[[int], object],
    many: Callable[[int], object],
    rounds: int,
    calls: int,
) -> None:
    ratios, ones = [], []
    for _ in range(rounds):
        one_s, many_s = _per_call(one, calls), _per_call(many, calls)
        ratios.append(many_s / one_s)
        ones.append(one_s)
    sys.stdout.write(
        f"{face}: {_MANY} warm keys cost {statistics.median(ratios):.2f} times one"
        f" ({statistics.median(ones) * 1e3:.2f} ms)\n"
    )


def _per_call(call: Callable[[int], object], calls: int) -> float:
    for number in range(calls // 10):
        call(number)
    began_s = time.perf_counter()
    for number in range(calls):
        call(number)
    return (time.perf_counter() - began_s) / calls


if __name__ == "__main__":
    main()
