"""Whom a Processing Worker obeys: a Main Worker, and nobody else, in every method that it has.

The methods are those of the proto file, so that a new one without the check fails here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from cli.emulation.pki import CertificateAuthority
from processing_fn.rpc import server
from processing_fn.rpc.processing_service import ProcessingService
from processing_fn.service.engine import Engine
from strongroom.clock import SystemClock
from strongroom.errors import UnavailableError
from strongroom.identity import Identity, LiveIdentity
from strongroom.rpc import tls
from strongroom_pb.v1 import processing_pb2, subscription_pb2
from tests.support.clocks import ManualClock
from tests.support.held_identities import live, mutual_channel
from tests.support.rpc_mains import SECONDS, Pki
from tests.support.served_mains import Served

PROCESSING = processing_pb2.DESCRIPTOR.services_by_name["ProcessingService"]
SUBSCRIPTION = subscription_pb2.DESCRIPTOR.services_by_name["SubscriptionService"]
DAY_MS = 24 * 3600 * 1000
DENIED = frozenset({grpc.StatusCode.UNAUTHENTICATED})
NO_CONNECTION = frozenset({grpc.StatusCode.UNAVAILABLE})


@dataclass
class Worker:
    """A Processing Worker's gRPC server; `asked` counts what got past the check."""

    address: str = ""
    asked: int = 0

    def engine(self) -> Engine:
        """Be asked for the engine."""
        self.asked += 1
        raise UnavailableError("this worker has no subscription")

    def statistics(self) -> dict[str, int]:
        """Be asked for the counters."""
        self.asked += 1
        return {}

    def note(self) -> None:
        """Be told of a client's request."""
        self.asked += 1


@pytest.fixture
def worker(authorities: tuple[Pki, Pki]) -> Iterator[Worker]:
    """Serve worker-1."""
    worker = Worker()
    service = ProcessingService(worker.engine, worker.statistics, worker.note)
    running, port = server.start(service, live(authorities[0].workers["worker-1"]), "127.0.0.1:0")
    worker.address = f"127.0.0.1:{port}"
    yield worker
    running.stop(None).wait()


def code(channel: grpc.Channel, method: MethodDescriptor) -> grpc.StatusCode:
    """Call a method with an empty request; return what its call ends in."""
    service: ServiceDescriptor = method.containing_service
    request = message_factory.GetMessageClass(method.input_type)()
    path = f"/{service.full_name}/{method.name}"
    answer = message_factory.GetMessageClass(method.output_type)
    encode, decode = type(request).SerializeToString, answer.FromString
    try:
        if method.server_streaming:
            list(channel.unary_stream(path, encode, decode)(request, timeout=SECONDS))
        else:
            channel.unary_unary(path, encode, decode)(request, timeout=SECONDS)
    except grpc.RpcError as error:
        return error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    return grpc.StatusCode.OK


def codes(channel: grpc.Channel, service: ServiceDescriptor) -> frozenset[grpc.StatusCode]:
    """Return what the calls of all methods of a service end in."""
    assert service.methods
    with channel:
        return frozenset(code(channel, method) for method in service.methods)


def as_seen_by(identity: Identity, worker: Worker) -> grpc.Channel:
    """Return a channel to the worker, presenting a certificate."""
    return mutual_channel(identity, worker.address, tls.worker_name("worker-1"))


def mixed(foreign: Identity, ours: Pki) -> Identity:
    """Return another authority's certificate, with trust in the worker's."""
    return Identity(ours.ca_file, foreign.certificate_file, foreign.key_file)


def test_a_worker_obeys_no_certificate_but_a_main_workers(
    worker: Worker, authorities: tuple[Pki, Pki]
) -> None:
    """Another worker, or a server of the deployment, reads every entity past all grants."""
    ours, _ = authorities
    # Its own, another worker's, and one of the right authority with no name that counts.
    for identity in (ours.workers["worker-1"], ours.workers["worker-2"], ours.server):
        assert codes(as_seen_by(identity, worker), PROCESSING) == DENIED
    assert worker.asked == 0
    assert DENIED.isdisjoint(codes(as_seen_by(ours.main, worker), PROCESSING))
    assert worker.asked > 0


def test_a_worker_talks_to_no_stranger(worker: Worker, authorities: tuple[Pki, Pki]) -> None:
    """Whoever makes an authority of his own is taken for a Main Worker."""
    ours, theirs = authorities
    for identity in (theirs.main, theirs.workers["worker-1"]):
        channel = as_seen_by(mixed(identity, ours), worker)
        assert codes(channel, PROCESSING) == NO_CONNECTION
    # Without a certificate; and in plain text.
    roots = grpc.ssl_channel_credentials(ours.ca_file.read_bytes())
    name = (("grpc.ssl_target_name_override", tls.worker_name("worker-1")),)
    assert codes(grpc.secure_channel(worker.address, roots, name), PROCESSING) == NO_CONNECTION
    assert codes(grpc.insecure_channel(worker.address), PROCESSING) == NO_CONNECTION
    assert worker.asked == 0


def test_a_main_worker_sends_nothing_to_a_stranger(
    worker: Worker, authorities: tuple[Pki, Pki]
) -> None:
    """Whoever listens at a worker's address is sent documents by a Main Worker."""
    ours, theirs = authorities
    trusts_others = Identity(theirs.ca_file, ours.main.certificate_file, ours.main.key_file)
    assert codes(as_seen_by(trusts_others, worker), PROCESSING) == NO_CONNECTION
    channel = mutual_channel(ours.main, worker.address, tls.worker_name("worker-2"))
    assert codes(channel, PROCESSING) == NO_CONNECTION
    assert worker.asked == 0


def ended(ours: Pki, directory: Path, name: str) -> Identity:
    """Return a certificate of our authority that was valid for a day, until yesterday."""
    clock = ManualClock(wall_ms=SystemClock().wall_ms() - 2 * DAY_MS)
    made = CertificateAuthority(ours.ca_file.parent, clock).signed(name, [name], 1)
    certificate, key = directory / "ended.pem", directory / "ended.key"
    certificate.write_bytes(made.certificate)
    key.write_bytes(made.key)
    return Identity(ours.ca_file, certificate, key)


def test_a_certificate_that_has_ended_is_refused(
    worker: Worker, served: Served, authorities: tuple[Pki, Pki], tmp_path: Path
) -> None:
    """A certificate that was lost years ago still opens everything."""
    ours, _ = authorities
    late_main = ended(ours, tmp_path, tls.MAIN_NAME)
    assert codes(as_seen_by(late_main, worker), PROCESSING) == NO_CONNECTION
    assert worker.asked == 0
    late_worker = ended(ours, tmp_path, tls.worker_name("worker-1"))
    channel = mutual_channel(late_worker, served.face.subscriptions, tls.MAIN_NAME)
    assert codes(channel, SUBSCRIPTION) == NO_CONNECTION
    # As a server, too: a Main Worker sends it nothing.
    then = ManualClock(wall_ms=SystemClock().wall_ms() - 2 * DAY_MS)
    held_since_then = LiveIdentity(late_worker, then)
    service = ProcessingService(worker.engine, worker.statistics, worker.note)
    running, port = server.start(service, held_since_then, "127.0.0.1:0")
    channel = mutual_channel(ours.main, f"127.0.0.1:{port}", tls.worker_name("worker-1"))
    assert codes(channel, PROCESSING) == NO_CONNECTION
    running.stop(None).wait()


def test_keys_are_given_to_workers_alone(served: Served) -> None:
    """A certificate that is no worker's, be it a Main Worker's, is given keys."""
    for identity in (served.pki.main, served.pki.server):
        channel = mutual_channel(identity, served.face.subscriptions, tls.MAIN_NAME)
        assert codes(channel, SUBSCRIPTION) == DENIED
    for identity in (served.foreign.workers["worker-1"], served.foreign.main):
        channel = mutual_channel(
            mixed(identity, served.pki), served.face.subscriptions, tls.MAIN_NAME
        )
        assert codes(channel, SUBSCRIPTION) == NO_CONNECTION
