"""A Main Worker over files whose gRPC face is really served, and workers of it."""

from collections.abc import Callable
from dataclasses import dataclass

import grpc
import pytest

from processing_fn.adapters.main_worker import GrpcMainWorker
from strongroom import limits
from strongroom.crypto import seal
from strongroom.crypto.seal import Suite
from strongroom.errors import StrongroomError
from strongroom.identity import Identity
from strongroom.rpc import status, tls
from strongroom_pb.v1 import subscription_pb2 as pb
from strongroom_pb.v1 import subscription_pb2_grpc
from tests.support.held_identities import live, mutual_channel
from tests.support.mains import MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain

Stub = subscription_pb2_grpc.SubscriptionServiceStub


@dataclass
class Served:
    """A Main Worker over files, its authority, and another deployment's authority."""

    rig: MainRig
    face: ServedMain
    pki: Pki
    foreign: Pki

    def worker(self, worker_id: str, suite: Suite = Suite.X25519) -> GrpcMainWorker:
        """Return the subscription API as a Processing Worker has it."""
        identity = self.pki.workers[worker_id]
        return GrpcMainWorker(worker_id, self.face.subscriptions, live(identity), suite)

    def serve_anew(self, pki: Pki | None = None) -> None:
        """Serve the rig as it is now, with other certificates if they are given."""
        self.face.stop()
        self.face = ServedMain(self.rig.main(), pki or self.pki)

    def live(self) -> list[str]:
        """Return the ids of the workers that are listed."""
        self.rig.clock.now_boot_s += limits.REGISTRY_REFRESH_SECONDS
        return [w.worker_id for w in self.rig.dispatcher.live_workers()]

    def stub(self, identity: Identity) -> tuple[grpc.Channel, Stub]:
        """Return a channel and a stub of the subscription API, presenting a certificate."""
        channel = mutual_channel(identity, self.face.subscriptions, tls.MAIN_NAME)
        return channel, Stub(channel)


def refused(call: Callable[[], object]) -> StrongroomError:
    """Return the error that a call over the wire ends in."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return status.from_rpc_error(caught.value)


def bearer(token: str) -> tuple[tuple[str, str]]:
    """Return the metadata of a call with a token."""
    return (("authorization", f"Bearer {token}"),)


def subscribe(stub: Stub, worker_id: str = "worker-1", public_key: bytes | None = None) -> object:
    """Subscribe in some worker's name."""
    key = seal.public_bytes(seal.new_private_key()) if public_key is None else public_key
    return stub.Subscribe(pb.SubscribeRequest(worker_id=worker_id, pubkey=key), timeout=SECONDS)
