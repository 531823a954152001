"""SubscriptionService: what Processing Workers call, over mutual TLS."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from main_api.bootstrap import Main
from main_api.domain.registry import Report
from main_api.rpc.commits import CommitHub
from main_api.rpc.keyring_events import KeyringEvents
from main_api.rpc.methods import authorization, serve
from main_api.service.workers.subscriptions import Lease, SealedKey
from strongroom.certificates import Certificate
from strongroom.clock import SystemClock
from strongroom.errors import StrongroomError, UnauthenticatedError
from strongroom.keyring import State
from strongroom.rpc import status, tls
from strongroom_pb.v1 import subscription_pb2 as pb
from strongroom_pb.v1 import subscription_pb2_grpc

_SCHEME = "Bearer "
_Context = grpc.ServicerContext | grpc.aio.ServicerContext[Any, Any]


class SubscriptionService(subscription_pb2_grpc.SubscriptionServiceServicer):
    """Translates; whom the certificate names is passed on with every request."""

    def __init__(self, main: Main, events: KeyringEvents) -> None:
        """Take the use cases, and what tells of a changed keyring."""
        self._subscriptions = main.subscriptions
        self._certificates = main.certificates
        self._events = events
        self._hub = CommitHub(events.until_revoked)
        # TLS goes by the machine's clock, too.
        self._clock = SystemClock()

    def Subscribe(  # noqa: N802 - named by gRPC
        self, request: pb.SubscribeRequest, context: grpc.ServicerContext
    ) -> pb.SubscribeResponse:
        """Vend the keys."""

        def work() -> pb.SubscribeResponse:
            grant = self._subscriptions.subscribe(
                self._proven(context), request.worker_id, request.pubkey, request.suite
            )
            return pb.SubscribeResponse(
                deployment=grant.deployment,
                token=grant.token,
                key_id=grant.key_id,
                lease_seconds=grant.lease_s,
                wall_ms=grant.wall_ms,
                keys=map(_sealed, grant.keys),
            )

        return serve(context, work)

    def Register(  # noqa: N802 - named by gRPC
        self, request: pb.RegisterRequest, context: grpc.ServicerContext
    ) -> pb.Lease:
        """List the worker."""
        return serve(
            context,
            lambda: _lease(
                self._subscriptions.register(
                    self._proven(context),
                    request.worker_id,
                    _token(context),
                    request.address,
                    certificate_until_ms=self._certificate(context).ends_ms,
                    report=_report(request.report),
                )
            ),
        )

    def Renew(  # noqa: N802 - named by gRPC
        self, request: pb.RenewRequest, context: grpc.ServicerContext
    ) -> pb.Lease:
        """Extend the lease."""
        return serve(
            context,
            lambda: _lease(
                self._subscriptions.renew(
                    self._proven(context),
                    request.worker_id,
                    _token(context),
                    request.key_id,
                    request.generation,
                    written_bytes=request.written_bytes,
                    certificate_until_ms=self._certificate(context).ends_ms,
                    report=_report(request.report),
                )
            ),
        )

    async def Watch(  # noqa: N802 - named by gRPC
        self,
        request: pb.WatchRequest,
        context: grpc.aio.ServicerContext[pb.WatchRequest, pb.KeyringChanged],
    ) -> AsyncIterator[pb.KeyringChanged]:
        """Tell of each change of the keyring; a coroutine, so that it holds no thread."""
        try:
            await asyncio.to_thread(
                self._subscriptions.require,
                self._proven(context),
                request.worker_id,
                _token(context),
            )
        except StrongroomError as error:
            await status.abort_aio(context, error)
        try:
            async for generation in self._events.generations(request.worker_id):
                yield pb.KeyringChanged(generation=generation)
        except StrongroomError as error:
            await status.abort_aio(context, error)

    async def ShareCommits(  # noqa: N802 - named by gRPC
        self,
        request_iterator: AsyncIterator[pb.Commits],
        context: grpc.aio.ServicerContext[pb.Commits, pb.Commits],
    ) -> AsyncIterator[pb.Commits]:
        """Pass on what is committed; a coroutine, so that it holds no thread."""
        told = aiter(request_iterator)
        first = await anext(told, None)
        worker_id = "" if first is None else first.worker_id
        try:
            await asyncio.to_thread(
                self._subscriptions.require, self._proven(context), worker_id, _token(context)
            )
        except StrongroomError as error:
            await status.abort_aio(context, error)
        async for message in self._hub.share(worker_id, told):
            yield message

    def FetchKeys(  # noqa: N802 - named by gRPC
        self, request: pb.FetchKeysRequest, context: grpc.ServicerContext
    ) -> pb.FetchKeysResponse:
        """Vend the keys anew."""

        def work() -> pb.FetchKeysResponse:
            vended = self._subscriptions.fetch_keys(
                self._proven(context),
                request.worker_id,
                _token(context),
                request.pubkey,
                request.suite,
            )
            return pb.FetchKeysResponse(
                keys=map(_sealed, vended.keys), generation=vended.generation
            )

        return serve(context, work)

    def RenewCertificate(  # noqa: N802 - named by gRPC
        self, request: pb.RenewCertificateRequest, context: grpc.ServicerContext
    ) -> pb.RenewCertificateResponse:
        """Issue the worker's next certificate."""

        def work() -> pb.RenewCertificateResponse:
            made = self._certificates.renew(
                self._proven(context),
                request.worker_id,
                _token(context),
                self._certificate(context),
                request.request,
            )
            return pb.RenewCertificateResponse(certificate=made)

        return serve(context, work)

    def Enrol(  # noqa: N802 - named by gRPC
        self, request: pb.EnrolRequest, context: grpc.ServicerContext
    ) -> pb.EnrolResponse:
        """Issue a new worker's first certificate."""

        def work() -> pb.EnrolResponse:
            self._certificate(context)
            tls.require_enrolment(context.auth_context())
            made = self._certificates.enrol(request.worker_id, request.request)
            return pb.EnrolResponse(certificate=made)

        return serve(context, work)

    def Leave(  # noqa: N802 - named by gRPC
        self, request: pb.LeaveRequest, context: grpc.ServicerContext
    ) -> pb.LeaveResponse:
        """List the worker no longer."""

        def work() -> pb.LeaveResponse:
            self._subscriptions.leave(self._proven(context), request.worker_id, _token(context))
            return pb.LeaveResponse()

        return serve(context, work)

    def _proven(self, context: _Context) -> str:
        """Return the worker whom a certificate that is in force names."""
        self._certificate(context)
        return tls.worker_of(context.auth_context())

    def _certificate(self, context: _Context) -> Certificate:
        return tls.peer_certificate(context.auth_context(), self._clock.wall_ms())


def _report(message: pb.WorkerReport) -> Report:
    return Report(
        load=message.load,
        cache_entries=message.cache_entries,
        cache_bytes=message.cache_bytes,
        version=message.version,
        is_draining=message.draining,
    )


def _sealed(key: SealedKey) -> pb.SealedKey:
    return pb.SealedKey(
        key_id=key.key_id,
        purpose=key.purpose,
        active=key.state == State.ACTIVE,
        destroyed=key.state == State.DESTROYED,
        created_at=key.created_at,
        sealed=key.sealed,
    )


def _token(context: _Context) -> str:
    value = authorization(context) or ""
    if not value.startswith(_SCHEME):
        raise UnauthenticatedError("the subscription's token is needed")
    return value.removeprefix(_SCHEME)


def _lease(lease: Lease) -> pb.Lease:
    return pb.Lease(
        token=lease.token,
        lease_seconds=lease.lease_s,
        wall_ms=lease.wall_ms,
        main_addresses=lease.main_addresses,
    )
