"""The subscription API of the Main Worker over gRPC and mutual TLS.

One Main Worker is talked to at a time, at first the one that the worker was told of. When it does
not answer, the next call goes to another one: each renewal tells where there are some. All of them
have the same registry and the same keys.
"""

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
from strongroom import logs
from strongroom.crypto import seal
from strongroom.errors import IntegrityError, StrongroomError, UnauthenticatedError
from strongroom.identity import Held, LiveIdentity
from strongroom.keyring import Key, Purpose, State
from strongroom.rpc import status, tls
from strongroom_pb.v1 import subscription_pb2 as pb
from strongroom_pb.v1 import subscription_pb2_grpc

_CALL_S = 2.0
# As many keys as there may be are sealed and opened one by one: half a second on an idle machine.
_VENDING_S = 4.0
T = TypeVar("T")
Stub = subscription_pb2_grpc.SubscriptionServiceStub
_log = logs.logger()


class GrpcMainWorker:
    """The `MainWorker`. Safe under threads."""

    def __init__(
        self,
        worker_id: str,
        address: str,
        identity: LiveIdentity,
        suite: seal.Suite = seal.Suite.X25519,
    ) -> None:
        """Connect at the first call, to `address`; keys are to be sealed with `suite`."""
        self._worker_id = worker_id
        self._suite = suite
        self._deployment = ""
        self._first_address = self._address = address
        self._told: tuple[str, ...] = ()
        self._identity = identity
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def subscribe(self) -> Subscription:
        """Get the keys, sealed to a key pair that lives as long as this call."""
        private_key = seal.new_private_key(self._suite)
        request = pb.SubscribeRequest(
            worker_id=self._worker_id, pubkey=seal.public_bytes(private_key), suite=self._suite
        )
        answer = self._called(lambda stub: stub.Subscribe(request, timeout=_VENDING_S))
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
        return self._renewal(
            self._called(
                lambda stub: stub.Register(request, timeout=_CALL_S, metadata=_bearer(token))
            )
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
        return self._renewal(
            self._called(lambda stub: stub.Renew(request, timeout=_CALL_S, metadata=_bearer(token)))
        )

    def leave(self, token: str) -> None:
        """Be listed no longer."""
        request = pb.LeaveRequest(worker_id=self._worker_id)
        self._called(lambda stub: stub.Leave(request, timeout=_CALL_S, metadata=_bearer(token)))

    def watch(self, token: str) -> "GrpcKeyringWatch":
        """Open the event stream."""
        request = pb.WatchRequest(worker_id=self._worker_id)
        connection = self._connected()
        call = connection.stub.Watch(request, metadata=_bearer(token))
        return GrpcKeyringWatch(call, lambda error: self._failed(connection, error))

    def fetch_keys(self, token: str) -> Vended:
        """Get the keys, sealed to a key pair that lives as long as this call."""
        private_key = seal.new_private_key(self._suite)
        request = pb.FetchKeysRequest(
            worker_id=self._worker_id, pubkey=seal.public_bytes(private_key), suite=self._suite
        )
        answer = self._called(
            lambda stub: stub.FetchKeys(request, timeout=_VENDING_S, metadata=_bearer(token))
        )
        return Vended(self._opened(private_key, answer.keys), answer.generation)

    def renew_certificate(self, token: str, request: bytes) -> bytes:
        """Get the next certificate."""
        message = pb.RenewCertificateRequest(worker_id=self._worker_id, request=request)
        answer = self._called(
            lambda stub: stub.RenewCertificate(message, timeout=_CALL_S, metadata=_bearer(token))
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

    def _called(self, call: Callable[[Stub], T]) -> T:
        connection = self._connected()
        try:
            return call(connection.stub)
        except grpc.RpcError as error:
            raise self._failed(connection, error) from error

    def _failed(self, connection: "_Connection", error: grpc.RpcError) -> StrongroomError:
        """Return what a call has failed with; turn from a Main Worker that has not answered."""
        is_own_end = isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.CANCELLED
        if not (is_own_end or status.is_answer(error)):
            self._turn_from(connection)
        return status.from_rpc_error(error)

    def _turn_from(self, connection: "_Connection") -> None:
        with self._lock:
            known = list(dict.fromkeys([self._first_address, *self._told]))
            if self._connection is not connection or known == [self._address]:
                return
            at = known.index(self._address) if self._address in known else -1
            self._address = known[(at + 1) % len(known)]
            self._connection = None
        _close_later(connection.channel)
        _log.warning("main-worker-left", address=connection.address, turned_to=self._address)

    def _renewal(self, lease: pb.Lease) -> Renewal:
        addresses = tuple(lease.main_addresses)
        self._told = addresses or self._told
        return Renewal(lease.token, lease.lease_seconds, lease.wall_ms, addresses)

    def _connected(self) -> "_Connection":
        """Return a connection that presents the certificate which is in force."""
        held = self._identity.current()
        with self._lock:
            known = self._connection
            if known is None or known.held is not held:
                channel = tls.channel(held, self._address, tls.MAIN_NAME)
                stub = Stub(channel)
                if known is not None:
                    # The event stream on it begins anew.
                    _close_later(known.channel)
                known = self._connection = _Connection(self._address, held, channel, stub)
            return known


@dataclass(frozen=True, slots=True)
class _Connection:
    address: str
    held: Held
    channel: grpc.Channel
    stub: Stub


def _close_later(channel: grpc.Channel) -> None:
    """Close a channel once no call can be under way on it any more, streams aside."""
    timer = threading.Timer(_CALL_S, channel.close)
    timer.daemon = True
    timer.start()


class GrpcKeyringWatch:
    """The `KeyringWatch` of one call."""

    def __init__(
        self,
        call: Any,  # noqa: ANN401 - grpcio's stream call has no type
        failure: Callable[[grpc.RpcError], StrongroomError],
    ) -> None:
        """Take the call under way, and what says what it has failed with."""
        self._call = call
        self._failure = failure

    def __iter__(self) -> Iterator[int]:
        """Yield the generations."""
        try:
            for event in self._call:
                yield event.generation
        except grpc.RpcError as error:
            raise self._failure(error) from error

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


def _state(sealed: pb.SealedKey) -> State:
    if sealed.destroyed:
        return State.DESTROYED
    return State.ACTIVE if sealed.active else State.DECRYPT_ONLY


def _bearer(token: str) -> tuple[tuple[str, str]]:
    return (("authorization", f"Bearer {token}"),)
