"""`python -m processing_fn`: a Processing Worker, configured by its environment."""

import sys
import threading

from grpc_health.v1 import health

from processing_fn import bootstrap, settings
from processing_fn.adapters import enrolment
from processing_fn.rpc import server
from processing_fn.rpc.processing_service import ProcessingService
from processing_fn.service.housekeeping import Housekeeper
from strongroom import limits, logs, process, spans, task_metadata
from strongroom.errors import StrongroomError
from strongroom.metrics import catalogue
from strongroom.metrics.listener import MetricsListener
from strongroom.request_threads import RequestThreads

_PROCESS = "processing-worker"
_HANG_UP_S = 1.0
_EXPIRE_EVERY_S = 1.0
_HOUSEKEEPING_AFTER_S = 60.0
_LOAD_TOLD_EVERY_S = 60.0
_log = logs.logger()


def main() -> int:
    """Serve until SIGTERM or SIGINT; 1 after a failure that a restart may cure."""
    process.die_with_parent()
    process.keep_memory_private()
    process.settle()
    logs.configure(_PROCESS)
    try:
        configured = settings.from_environment(task_metadata.environment())
        enrolment.enrol(configured)
        return _serve(configured)
    except (StrongroomError, OSError) as error:
        detail = error.detail if isinstance(error, StrongroomError) else str(error)
        sys.stderr.write(f"processing_fn: {detail}\n")
        return 1


def _serve(configured: settings.Settings) -> int:
    exporting = spans.start(configured.spans, _PROCESS, configured.worker_id, begins_traces=False)
    worker = bootstrap.build(configured, is_traced=exporting is not None)
    service = ProcessingService(
        worker.membership.engine,
        worker.cache.statistics,
        worker.pacer.note,
        worker.traffic,
        worker.metrics,
    )
    listen = f"{configured.listen_host}:{configured.listen_port}"
    threads = RequestThreads(limits.WORKER_THREADS, "process")
    servicer = health.HealthServicer()
    tracer = None if exporting is None else exporting.tracer
    grpc_server, port = server.start(
        service, worker.identity, listen, threads, servicer=servicer, tracer=tracer
    )
    stopped = threading.Event()
    for chore in (_expire_cache, _keep_house, _renew_certificate):
        threading.Thread(target=chore, args=(worker, stopped), daemon=True).start()
    threading.Thread(target=_tell_load, args=(threads, stopped), daemon=True).start()
    followed = (servicer, worker.checkup, stopped)
    threading.Thread(target=server.follow_health, args=followed, daemon=True).start()
    address = f"{configured.advertise_host}:{port}"
    worker.metrics.read(catalogue.WAITING, lambda: threads.waiting)
    listener = MetricsListener.start(configured.metrics_listen, worker.metrics, worker.checkup)
    facts = {"address": address, **({} if listener is None else {"metrics_url": listener.url})}

    def work() -> bool:
        return worker.membership.run(
            address,
            on_registered=lambda: process.announce(configured.ready_file, facts),
            hang_up=lambda: grpc_server.stop(_HANG_UP_S).wait(),
        )

    healthy = process.run_until_signal(work, worker.membership.stop)
    grpc_server.stop(None).wait()
    stopped.set()
    worker.links.close()
    worker.main.close()
    if exporting is not None:
        exporting.close()
    return 0 if healthy else 1


def _expire_cache(worker: bootstrap.Worker, stopped: threading.Event) -> None:
    while not stopped.wait(_EXPIRE_EVERY_S):
        worker.cache.expire()


def _tell_load(threads: RequestThreads, stopped: threading.Event) -> None:
    """Log how many requests wait: what scales the workers reads that (infra/stacks/scaling.py)."""
    while not stopped.wait(_LOAD_TOLD_EVERY_S):
        _log.info("load", waiting=threads.waiting)


def _keep_house(worker: bootstrap.Worker, stopped: threading.Event) -> None:
    housekeeper = Housekeeper(worker.membership.engine)
    pause_s = _HOUSEKEEPING_AFTER_S
    while not stopped.wait(pause_s):
        pause_s = housekeeper.step()


def _renew_certificate(worker: bootstrap.Worker, stopped: threading.Event) -> None:
    while not stopped.wait(worker.certificate_renewal.step()):
        pass


if __name__ == "__main__":
    sys.exit(main())
