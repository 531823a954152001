"""The subscription API of the Main Worker over gRPC and mutual TLS."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from processing_fn.service.ports import (
    NO_REPORT,
    Renewal,
    Subscription,
    Vended,
    WorkerReport,
)
from strongroom.crypto import seal
from strongroom.errors import IntegrityError, UnauthenticatedError
from strongroom.identity import Held, LiveIdentity
from strongroom.keyring import Key, Purpose, State
from strongroom.rpc import status, tls
from strongroom_pb.v1 import subscription_pb2 as pb
from strongroom_pb.v1 import subscription_pb2_grpc

_CALL_S = 2.0
# As many keys as there may be are sealed and opened one by one: half a second on an idle machine.
_VENDING_S = 4.0
T = TypeVar("T")


class GrpcMainWorker:
    """The `MainWorker` at one address."""

    def __init__(
        self,
        worker_id: str,
        address: str,
        identity: LiveIdentity,
        suite: seal.Suite = seal.Suite.X25519,
    ) -> None:
        """Connect lazily, as gRPC does; keys are to be sealed with `suite`."""
        self._worker_id = worker_id
        self._suite = suite
        self._deployment = ""
        self._address = address
        self._identity = identity
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def subscribe(self) -> Subscription:
        """Get the keys, sealed to a key pair that lives as long as this call."""
        private_key = seal.new_private_key(self._suite)
        request = pb.SubscribeRequest(
            worker_id=self._worker_id, pubkey=seal.public_bytes(private_key), suite=self._suite
        )
        answer = _call(lambda: self._stub.Subscribe(request, timeout=_VENDING_S))
        self._deployment = answer.deployment
        keys = self._opened(private_key, answer.keys)
        return Subscription(
            answer.deployment, answer.token, answer.lease_seconds, keys, answer.wall_ms
        )

    def register(self, token: str, address: str, report: WorkerReport = NO_REPORT) -> Renewal:
        """Be listed."""
        request = pb.RegisterRequest(
            worker_id=self._worker_id, address=address, report=_report(report)
        )
        return _renewal(
            _call(lambda: self._stub.Register(request, timeout=_CALL_S, metadata=_bearer(token)))
        )

    def renew(
        self,
        token: str,
        key_id: str,
        generation: int,
        written_bytes: int = 0,
        report: WorkerReport = NO_REPORT,
    ) -> Renewal:
        """Extend the lease."""
        request = pb.RenewRequest(
            worker_id=self._worker_id,
            key_id=key_id,
            generation=generation,
            written_bytes=written_bytes,
            report=_report(report),
        )
        return _renewal(
            _call(lambda: self._stub.Renew(request, timeout=_CALL_S, metadata=_bearer(token)))
        )

    def leave(self, token: str) -> None:
        """Be listed no longer."""
        request = pb.LeaveRequest(worker_id=self._worker_id)
        _call(lambda: self._stub.Leave(request, timeout=_CALL_S, metadata=_bearer(token)))

    def watch(self, token: str) -> "GrpcKeyringWatch":
        """Open the event stream."""
        request = pb.WatchRequest(worker_id=self._worker_id)
        return GrpcKeyringWatch(self._stub.Watch(request, metadata=_bearer(token)))

    def fetch_keys(self, token: str) -> Vended:
        """Get the keys, sealed to a key pair that lives as long as this call."""
        private_key = seal.new_private_key(self._suite)
        request = pb.FetchKeysRequest(
            worker_id=self._worker_id, pubkey=seal.public_bytes(private_key), suite=self._suite
        )
        answer = _call(
            lambda: self._stub.FetchKeys(request, timeout=_VENDING_S, metadata=_bearer(token))
        )
        return Vended(self._opened(private_key, answer.keys), answer.generation)

    def renew_certificate(self, token: str, request: bytes) -> bytes:
        """Get the next certificate."""
        message = pb.RenewCertificateRequest(worker_id=self._worker_id, request=request)
        answer = _call(
            lambda: self._stub.RenewCertificate(message, timeout=_CALL_S, metadata=_bearer(token))
        )
        return answer.certificate

    def _opened(
        self, private_key: seal.PrivateKey, sealed_keys: Iterable[pb.SealedKey]
    ) -> tuple[Key, ...]:
        def opened(sealed: pb.SealedKey) -> Key:
            binding = seal.info(
                self._deployment, self._worker_id, sealed.purpose, sealed.key_id, self._suite
            )
            return Key(
                key_id=sealed.key_id,
                purpose=Purpose(sealed.purpose),
                state=_state(sealed),
                created_at=sealed.created_at,
                material=b""
                if sealed.destroyed
                else seal.unseal(private_key, sealed.sealed, binding),
            )

        try:
            return tuple(opened(sealed) for sealed in sealed_keys)
        except (IntegrityError, ValueError) as error:
            raise UnauthenticatedError("the Main Worker's keys are not for this worker") from error

    def close(self) -> None:
        """Close the channel."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.channel.close()

    @property
    def _stub(self) -> subscription_pb2_grpc.SubscriptionServiceStub:
        """Return a stub that presents the certificate which is in force."""
        held = self._identity.current()
        with self._lock:
            known = self._connection
            if known is None or known.held is not held:
                channel = tls.channel(held, self._address, tls.MAIN_NAME)
                stub = subscription_pb2_grpc.SubscriptionServiceStub(channel)
                if known is not None:
                    # The event stream on it begins anew.
                    _close_later(known.channel)
                known = self._connection = _Connection(held, channel, stub)
            return known.stub


@dataclass(frozen=True, slots=True)
class _Connection:
    held: Held
    channel: grpc.Channel
    stub: subscription_pb2_grpc.SubscriptionServiceStub


def _close_later(channel: grpc.Channel) -> None:
    """Close a channel once no call can be under way on it any more, streams aside."""
    timer = threading.Timer(_CALL_S, channel.close)
    timer.daemon = True
    timer.start()


class GrpcKeyringWatch:
    """The `KeyringWatch` of one call."""

    def __init__(self, call: Any) -> None:  # noqa: ANN401 - grpcio's stream call has no type
        """Take the call under way."""
        self._call = call

    def __iter__(self) -> Iterator[int]:
        """Yield the generations."""
        try:
            for event in self._call:
                yield event.generation
        except grpc.RpcError as error:
            raise status.from_rpc_error(error) from error

    def cancel(self) -> None:
        """End it."""
        self._call.cancel()


def _report(report: WorkerReport) -> pb.WorkerReport:
    return pb.WorkerReport(
        load=report.load,
        cache_entries=report.cache_entries,
        cache_bytes=report.cache_bytes,
        version=report.version,
        draining=report.is_draining,
    )


def _call(call: Callable[[], T]) -> T:
    try:
        return call()
    except grpc.RpcError as error:
        raise status.from_rpc_error(error) from error


def _state(sealed: pb.SealedKey) -> State:
    if sealed.destroyed:
        return State.DESTROYED
    return State.ACTIVE if sealed.active else State.DECRYPT_ONLY


def _bearer(token: str) -> tuple[tuple[str, str]]:
    return (("authorization", f"Bearer {token}"),)


def _renewal(lease: pb.Lease) -> Renewal:
    return Renewal(lease.token, lease.lease_seconds, lease.wall_ms, tuple(lease.main_addresses))
