"""`python -m main_api.rpc`: the gRPC face, configured by its environment."""

import asyncio
import resource
import signal
import sys

from main_api import bootstrap, settings
from main_api.rpc import server
from main_api.service.periodic import Periodic
from strongroom import limits, logs, process, spans, task_metadata
from strongroom.clock import SystemClock
from strongroom.errors import StrongroomError
from strongroom.identity import LiveIdentity
from strongroom.metrics.instruments import Metrics
from strongroom.metrics.listener import MetricsListener

_PROCESS = "main-worker-rpc"


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    process.die_with_parent()
    process.keep_memory_private()
    process.settle()
    # A connection is a descriptor, and shells hand 1,024 of them down. (granian does the same.)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logs.configure(_PROCESS)
    try:
        asyncio.run(_serve())
    except (StrongroomError, OSError) as error:
        detail = error.detail if isinstance(error, StrongroomError) else str(error)
        sys.stderr.write(f"main_api.rpc: {detail}\n")
        return 1
    return 0


async def _serve() -> None:
    common = settings.from_environment()
    configured = settings.rpc_from_environment(task_metadata.environment())
    exporting = spans.start(configured.spans, _PROCESS)
    main_worker = bootstrap.build(common, Metrics())
    told = MetricsListener.start(
        configured.metrics_listen, main_worker.metrics, main_worker.checkup()
    )
    main_worker.key_health.start()
    main_worker.audit.start("grpc", **process.facts())
    chores = _chores(main_worker, configured)
    for chore in chores:
        chore.start()
    if exporting is not None:
        main_worker.workers.trace()
    tracer = None if exporting is None else exporting.tracer
    running = await server.start(main_worker, configured, main_worker.identity, tracer)
    presence = main_worker.presence(f"{configured.advertise_host}:{running.subscription_port}")
    await asyncio.to_thread(presence.renew)
    present = Periodic(
        "presence", limits.LEASE_SECONDS / limits.LEASE_RENEWALS_PER_LEASE, presence.renew
    )
    present.start()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    process.announce(
        configured.ready_file,
        {
            "client_port": running.client_port,
            "subscription_port": running.subscription_port,
            **({} if told is None else {"metrics_url": told.url}),
        },
    )
    await stopping.wait()
    present.stop()
    await asyncio.to_thread(presence.leave)
    for chore in chores:
        chore.stop()
    main_worker.job_runner.stop()
    main_worker.key_health.stop()
    await running.stop()
    main_worker.workers.close()
    main_worker.audit.close()
    if exporting is not None:
        exporting.close()


def _chores(main_worker: bootstrap.Main, configured: settings.RpcSettings) -> list[Periodic]:
    """Return what the face does again and again, beside its requests."""
    policy = configured.rotation
    own = {
        "main": main_worker.identity,
        "server": LiveIdentity(configured.server_identity, SystemClock()),
    }
    jobs = Periodic("jobs", limits.JOBS_FOLLOWED_EVERY_SECONDS, main_worker.job_runner.step)
    rotating = Periodic(
        "rotation",
        limits.ROTATION_CHECKED_EVERY_SECONDS,
        lambda: main_worker.rotation.step(policy),
    )
    signing = Periodic(
        "signing-keys",
        limits.ROTATION_CHECKED_EVERY_SECONDS,
        lambda: main_worker.signing_keys.step(configured.signing_key_days),
    )
    renewing = Periodic(
        "certificates",
        limits.CERTIFICATE_CHECKED_EVERY_SECONDS,
        lambda: main_worker.certificates.renew_own(own),
    )
    sweeping = Periodic(
        "token-revocations",
        limits.TOKEN_REVOCATIONS_SWEPT_EVERY_SECONDS,
        main_worker.access.revocations.sweep,
    )
    always = [jobs, signing, sweeping, renewing]
    return always if policy.is_off else [*always, rotating]


if __name__ == "__main__":
    sys.exit(main())
