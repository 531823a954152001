"""SubscriptionService: what Processing Workers call, over mutual TLS."""

import grpc

from main_api.bootstrap import Main
from main_api.rpc.client_services import authorization, serve
from main_api.service.subscriptions import Lease
from strongroom.errors import UnauthenticatedError
from strongroom.rpc import tls
from strongroom_pb.v1 import subscription_pb2 as pb
from strongroom_pb.v1 import subscription_pb2_grpc

_SCHEME = "Bearer "


class SubscriptionService(subscription_pb2_grpc.SubscriptionServiceServicer):
    """Translates; whom the certificate names is passed on with every request."""

    def __init__(self, main: Main) -> None:
        """Take the use cases."""
        self._subscriptions = main.subscriptions

    def Subscribe(  # noqa: N802 - named by gRPC
        self, request: pb.SubscribeRequest, context: grpc.ServicerContext
    ) -> pb.SubscribeResponse:
        """Vend the keys."""

        def work() -> pb.SubscribeResponse:
            grant = self._subscriptions.subscribe(
                _proven(context), request.worker_id, request.pubkey
            )
            return pb.SubscribeResponse(
                deployment=grant.deployment,
                token=grant.token,
                key_id=grant.key_id,
                lease_seconds=grant.lease_s,
                wall_ms=grant.wall_ms,
                keys=[
                    pb.SealedKey(
                        key_id=key.key_id,
                        purpose=key.purpose,
                        active=key.active,
                        created_at=key.created_at,
                        sealed=key.sealed,
                    )
                    for key in grant.keys
                ],
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
                    _proven(context), request.worker_id, _token(context), request.address
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
                self._subscriptions.renew(_proven(context), request.worker_id, _token(context))
            ),
        )

    def Leave(  # noqa: N802 - named by gRPC
        self, request: pb.LeaveRequest, context: grpc.ServicerContext
    ) -> pb.LeaveResponse:
        """List the worker no longer."""

        def work() -> pb.LeaveResponse:
            self._subscriptions.leave(_proven(context), request.worker_id, _token(context))
            return pb.LeaveResponse()

        return serve(context, work)


def _proven(context: grpc.ServicerContext) -> str:
    return tls.worker_of(context.auth_context())


def _token(context: grpc.ServicerContext) -> str:
    value = authorization(context) or ""
    if not value.startswith(_SCHEME):
        raise UnauthenticatedError("the subscription's token is needed")
    return value.removeprefix(_SCHEME)


def _lease(lease: Lease) -> pb.Lease:
    return pb.Lease(token=lease.token, lease_seconds=lease.lease_s, wall_ms=lease.wall_ms)
