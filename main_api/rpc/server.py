"""The gRPC face: two servers on one event loop, one for clients, one for workers.

They are apart because they prove identity in different ways: clients by a token over TLS, workers
by a certificate. So no service of the one can be reached through the port of the other.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from main_api.bootstrap import Main
from main_api.rpc import admin_service, auth_service, declared, entity_service, methods
from main_api.rpc.auditing import AuditInterceptor, CallAudit, acts_of
from main_api.rpc.call_times import CallTimes
from main_api.rpc.gate import Gate, Threads
from main_api.rpc.keyring_events import KeyringEvents
from main_api.rpc.readiness import Readiness
from main_api.rpc.subscription_service import SubscriptionService
from main_api.settings import RpcSettings
from strongroom import limits
from strongroom.clock import SystemClock
from strongroom.errors import UnavailableError
from strongroom.identity import LiveIdentity
from strongroom.metrics import catalogue, event_loop
from strongroom.request_threads import RequestThreads
from strongroom.rpc import tls
from strongroom.tracing import Tracer
from strongroom_pb.v1 import subscription_pb2, subscription_pb2_grpc

_DRAIN_S = 5.0
_ENVELOPE_BYTES = 64 * 1024
_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name
SUBSCRIPTIONS: Final = subscription_pb2.DESCRIPTOR.services_by_name["SubscriptionService"]
CLIENT_SERVICES: Final[dict[ServiceDescriptor, tuple[methods.Method, ...]]] = {
    auth_service.DESCRIPTOR: auth_service.METHODS,
    entity_service.DESCRIPTOR: entity_service.METHODS,
    admin_service.DESCRIPTOR: admin_service.METHODS,
}
"""The services of ours that clients call, and the functions that serve them."""
_OTHERS: Final = health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR
_METHODS: Final = frozenset(
    {declared.path(method) for method in declared.methods([*CLIENT_SERVICES, SUBSCRIPTIONS])}
    | {
        f"/{service.full_name}/{method}"
        for file in _OTHERS
        for service in file.services_by_name.values()
        for method in service.methods_by_name
    }
)
"""Every method that either server has."""


@dataclass(frozen=True, slots=True)
class RunningServers:
    """Both servers, and the ports that they listen on."""

    clients: grpc.aio.Server
    subscriptions: grpc.aio.Server
    readiness: Readiness
    following: tuple[asyncio.Task[None], ...]
    client_port: int
    subscription_port: int

    async def stop(self) -> None:
        """Finish what is running, within five seconds."""
        for task in self.following:
            task.cancel()
        await self.readiness.end()
        await self.clients.stop(_DRAIN_S)
        await self.subscriptions.stop(_DRAIN_S)


async def start(
    main: Main, configured: RpcSettings, identity: LiveIdentity, tracer: Tracer | None = None
) -> RunningServers:
    """Serve; workers are shown `identity`, and with a tracer calls of clients are in spans.

    Raises:
        UnavailableError: An address cannot be had, or a certificate is of no use.
    """
    pool = RequestThreads(limits.MAIN_THREADS, "client")
    times = CallTimes(main.metrics, _METHODS)
    gates = (*_spans(tracer), times, _gate(main, pool, configured))
    clients = _server(tls.SERVER_OPTIONS, limits.MESSAGE_BYTES_MAX, *gates)
    for descriptor, functions in CLIENT_SERVICES.items():
        clients.add_generic_rpc_handlers((methods.service(main, descriptor, functions),))
    names = [descriptor.full_name for descriptor in CLIENT_SERVICES]
    readiness = Readiness(
        main.dispatcher.live_workers, entity_service.DESCRIPTOR.full_name, main.checkup()
    )
    await readiness.serve(names)
    health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, clients)
    reflection.enable_server_reflection(
        [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], clients
    )
    # Workers send keys and addresses, nothing large.
    threads = RequestThreads(limits.SUBSCRIPTION_THREADS, "subscription")
    calls = CallAudit(main.audit, acts_of(SUBSCRIPTIONS.methods), "workers")
    subscriptions = _server(
        tls.MUTUAL_SERVER_OPTIONS,
        limits.SMALL_BYTES_MAX,
        times,
        AuditInterceptor(calls, threads),
    )
    events = KeyringEvents(main.keyring, main.subscriptions.revoked_workers)
    subscription_pb2_grpc.add_SubscriptionServiceServicer_to_server(
        SubscriptionService(main, events), subscriptions
    )
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), subscriptions)
    seen_by_clients = LiveIdentity(configured.server_identity, SystemClock())
    client_port = _bind(clients, configured.client_listen, tls.server_credentials(seen_by_clients))
    subscription_port = _bind(
        subscriptions, configured.subscription_listen, tls.mutual_server_credentials(identity)
    )
    loop = asyncio.get_running_loop()
    main.metrics.read(catalogue.IN_FLIGHT, lambda: times.under_way)
    main.metrics.read(catalogue.WAITING, lambda: pool.waiting + threads.waiting)
    main.metrics.read(catalogue.LOOP_WAIT, lambda: event_loop.wait_s(loop))
    await clients.start()
    await subscriptions.start()
    following = (asyncio.create_task(events.run()), asyncio.create_task(readiness.run()))
    return RunningServers(
        clients, subscriptions, readiness, following, client_port, subscription_port
    )


def _spans(tracer: Tracer | None) -> tuple[grpc.aio.ServerInterceptor, ...]:
    """Return what puts clients' calls into spans, where these are exported."""
    if tracer is None:
        return ()
    from strongroom.rpc.traced import AioServerSpans  # noqa: PLC0415 - only where there is a use

    return (AioServerSpans(tracer),)


def _gate(main: Main, pool: RequestThreads, configured: RpcSettings) -> Gate:
    ours = declared.methods(CLIENT_SERVICES)
    health_checks = frozenset(f"/{health.SERVICE_NAME}/{name}" for name in _HEALTH)
    return Gate(
        Threads(pool, RequestThreads(limits.MAIN_THREADS, "proof")),
        main.throttle,
        main.quotas,
        CallAudit(main.audit, acts_of(ours), "grpc"),
        public=health_checks | {declared.path(m) for m in ours if not declared.takes_token(m)},
        only_read=frozenset(declared.path(m) for m in ours if declared.only_reads(m)),
        receive_wait_s=configured.receive_wait_s,
        body_s=configured.body_s,
    )


def _server(
    base: list[tuple[str, int]],
    message_bytes_max: int,
    *gates: grpc.aio.ServerInterceptor,
) -> grpc.aio.Server:
    options = dict(base) | {
        "grpc.max_receive_message_length": message_bytes_max + _ENVELOPE_BYTES,
        # Else a call may send up to megabytes before anybody reads its message.
        "grpc.http2.bdp_probe": 0,
        "grpc.http2.lookahead_bytes": limits.SMALL_BYTES_MAX,
        "grpc.max_allowed_incoming_connections": limits.MAIN_CONNECTIONS_MAX,
        # With a bound, core counts streams that are reset at once, too. Else a connection that does
        # nothing else has everybody's calls end as CANCELLED: more wait for the loop than it keeps.
        "grpc.max_concurrent_streams": limits.CALLS_PER_CONNECTION_MAX,
        "grpc.server_handshake_timeout_ms": _ms(limits.CONNECTION_BEGUN_SECONDS),
        # Until a client has acknowledged the bound on metadata, core lets 16 MiB of them pass.
        "grpc.http2.settings_timeout": _ms(limits.CONNECTION_BEGUN_SECONDS),
        # A connection whose other side is gone ends, and with it the streams on it.
        "grpc.keepalive_time_ms": _ms(limits.KEEPALIVE_SECONDS),
        "grpc.keepalive_timeout_ms": _ms(limits.KEEPALIVE_SECONDS),
        "grpc.http2.max_pings_without_data": 0,
    }
    return grpc.aio.server(
        interceptors=gates,
        options=list(options.items()),
        maximum_concurrent_rpcs=limits.MAIN_CONCURRENT_REQUESTS_MAX,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials) -> int:
    try:
        return server.add_secure_port(listen, credentials)
    except RuntimeError as error:
        raise UnavailableError(f"cannot listen on {listen}; is the port taken?") from error
