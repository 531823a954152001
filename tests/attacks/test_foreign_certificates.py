"""Certificates that this deployment has not issued for what they are used for.

They are tried at the three ports of a running deployment: where workers subscribe, where a worker
takes `Process`, and where clients call.
"""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from cli.emulation.pki import CertificateAuthority
from strongroom import certificates
from strongroom.certificates import Authority
from strongroom.clock import SystemClock
from strongroom.crypto import seal
from strongroom.identity import Identity
from strongroom.rpc import tls
from strongroom_pb.v1 import (
    auth_pb2,
    auth_pb2_grpc,
    entity_pb2,
    entity_pb2_grpc,
    processing_pb2,
    processing_pb2_grpc,
    subscription_pb2,
    subscription_pb2_grpc,
)
from tests.support.attackers import SECONDS, Intruders, refused_or_answer
from tests.support.deployment import Deployment
from tests.support.held_identities import mutual_channel

WORKER = tls.worker_name("worker-1")
Forger = Callable[[Path, Authority], tuple[bytes, bytes]]


@dataclass
class Ports:
    """Where a deployment listens, and what its own processes present there."""

    deployment: Deployment
    subscriptions: str
    worker: str

    def own(self, name: str) -> Identity:
        """Return the identity of one of its processes."""
        pki = self.deployment.root / "pki"
        return Identity(pki / "ca.pem", pki / f"{name}.pem", pki / f"{name}.key")

    def subscribe(self, identity: Identity, worker_id: str = "worker-1") -> str:
        """Ask for every data key; return what the call ends in."""
        public = seal.public_bytes(seal.new_private_key())
        request = subscription_pb2.SubscribeRequest(worker_id=worker_id, pubkey=public)
        with mutual_channel(identity, self.subscriptions, tls.MAIN_NAME) as channel:
            stub = subscription_pb2_grpc.SubscriptionServiceStub(channel)
            return ended(lambda: stub.Subscribe(request, timeout=SECONDS))

    def process(self, identity: Identity) -> str:
        """Ask a worker for an entity, past all grants; return what the call ends in."""
        request = processing_pb2.ProcessRequest(database_name="chatdb", entity_key="x")
        with mutual_channel(identity, self.worker, WORKER) as channel:
            stub = processing_pb2_grpc.ProcessingServiceStub(channel)
            return ended(lambda: stub.Process(request, timeout=SECONDS))


def ended(call: Callable[[], object]) -> str:
    """Return the name of the status that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)  # noqa: PT017 - for its type
        return str(error.code().name)
    return "OK"


@pytest.fixture
def ports(deployment: Deployment, making: Intruders) -> Ports:
    """Find them."""
    ready = json.loads((deployment.root / "run" / "grpc.ready").read_text())
    listed = making.root.rest.get("/workers").json()["workers"]
    (address,) = [one["address"] for one in listed if one["worker_id"] == "worker-1"]
    return Ports(deployment, f"127.0.0.1:{ready['subscription_port']}", address)


def made_by(
    issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey, name: str
) -> tuple[bytes, bytes]:
    """Return (key, certificate), PEM, for a name, signed by a certificate's holder."""
    own, now = (
        certificates.new_key(),
        dt.datetime.fromtimestamp(SystemClock().wall_ms() / 1000, dt.UTC),
    )
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:60])]))
        .issuer_name(issuer.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificates.private_pem(own), made.public_bytes(serialization.Encoding.PEM)


def loaded(identity: Identity) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return a certificate and its key."""
    key = serialization.load_pem_private_key(identity.key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(identity.certificate_file.read_bytes()), key


def of_another_authority(ports: Ports, name: str) -> tuple[bytes, bytes]:
    """An authority of the same name, with a key of its own."""
    clock = SystemClock()
    other, key = Authority.make(clock.wall_ms(), 10**9), certificates.new_key()
    made = other.issue(key.public_key(), "x", [name], clock.wall_ms(), 10**9)
    assert ports.deployment.root.exists()
    return certificates.private_pem(key), made


def signed_by_itself(ports: Ports, name: str) -> tuple[bytes, bytes]:
    """A certificate under the subject of the deployment's own authority, signed with any key."""
    authority = x509.load_pem_x509_certificate(ports.own("main").ca_file.read_bytes())
    return made_by(authority, certificates.new_key(), name)


def signed_by_a_worker(ports: Ports, name: str) -> tuple[bytes, bytes]:
    """A worker's certificate, taken for an authority; with it behind, as a chain."""
    worker = ports.own("worker-1")
    key, made = made_by(*loaded(worker), name)
    return key, made + worker.certificate_file.read_bytes()


def with_another_key(ports: Ports, name: str) -> tuple[bytes, bytes]:
    """The very certificate of the right holder, without its key."""
    holder = "main" if name == tls.MAIN_NAME else "worker-1"
    stolen = ports.own(holder).certificate_file.read_bytes()
    return certificates.private_pem(certificates.new_key()), stolen


FORGERS = {
    "another authority": of_another_authority,
    "its own authority": signed_by_itself,
    "a worker as an authority": signed_by_a_worker,
    "a certificate without its key": with_another_key,
}


@pytest.mark.parametrize("forger", FORGERS)
def test_a_forged_certificate_gets_no_connection(ports: Ports, tmp_path: Path, forger: str) -> None:
    """If this fails, anybody who reaches a port has every data key, or every entity."""
    for name, attempt in ((WORKER, ports.subscribe), (tls.MAIN_NAME, ports.process)):
        key, made = FORGERS[forger](ports, name)
        forged = Identity(ports.own("main").ca_file, tmp_path / "f.pem", tmp_path / "f.key")
        forged.certificate_file.write_bytes(made)
        forged.key_file.write_bytes(key)
        assert attempt(forged) == "UNAVAILABLE"
    # And what is tried here works with what is right.
    assert ports.subscribe(ports.own("worker-1")) == "OK"
    assert ports.process(ports.own("main")) == "OK"


def test_a_certificate_is_good_for_its_own_part_only(ports: Ports) -> None:
    """If this fails, one stolen worker is every worker, or a Main Worker."""
    assert ports.subscribe(ports.own("worker-1"), "worker-2") == "UNAUTHENTICATED"
    for name in ("main", "server"):
        assert ports.subscribe(ports.own(name)) == "UNAUTHENTICATED"
    for name in ("worker-1", "worker-2", "server"):
        assert ports.process(ports.own(name)) == "UNAUTHENTICATED"


def names_alike() -> list[list[str]]:
    """Return what a certificate of the right authority could name, and be no one's."""
    return [
        ["localhost"],
        ["worker-1"],
        [f"x.{WORKER}"],
        [f"{WORKER}.example.com"],
        [WORKER.upper()],
        [tls.MAIN_NAME.upper()],
        [f"x{tls.MAIN_NAME}"],
        [f"*.{tls.MAIN_NAME.partition('.')[2]}"],
        ["*.worker.strongroom.internal"],
        ["strongroom.internal"],
        [WORKER, tls.worker_name("worker-2")],
    ]


@pytest.mark.parametrize("names", names_alike(), ids=" ".join)
def test_a_name_is_compared_as_it_stands(ports: Ports, tmp_path: Path, names: list[str]) -> None:
    """If this fails, whoever has any certificate of the authority can choose who he is.

    The authority issues no such certificates; another tool of an operator's might.
    """
    authority = CertificateAuthority(ports.own("main").ca_file.parent, SystemClock())
    made = authority.signed("alike", names, 1)
    identity = Identity(ports.own("main").ca_file, tmp_path / "a.pem", tmp_path / "a.key")
    identity.certificate_file.write_bytes(made.certificate)
    identity.key_file.write_bytes(made.key)
    for worker_id in ("worker-1", "worker-2", "x.worker-1", "WORKER-1", "*"):
        assert ports.subscribe(identity, worker_id) in {"UNAUTHENTICATED", "INVALID_ARGUMENT"}
    assert ports.process(identity) == "UNAUTHENTICATED"


@pytest.mark.parametrize("name", ["worker-1", "main", "server"])
def test_no_certificate_is_a_token(ports: Ports, name: str) -> None:
    """If this fails, a worker or a Main Worker reads as a client, whatever the grants say."""
    identity = ports.own(name)
    address = ports.deployment.facts["grpc_address"]
    with mutual_channel(identity, address, "localhost") as channel:
        entities = entity_pb2_grpc.EntityServiceStub(channel)
        request = entity_pb2.GetEntityRequest(database="chatdb", key="x")
        refused = refused_or_answer(lambda: entities.GetEntity(request, timeout=SECONDS))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        for who in (name, "admin"):
            asked = auth_pb2.IssueTokenRequest(client_id=who, client_secret="")
            auth = auth_pb2_grpc.AuthServiceStub(channel)
            refused = refused_or_answer(partial(auth.IssueToken, asked, timeout=SECONDS))
            assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        # The services of workers are not at this port, nor are those of clients at theirs.
        workers = subscription_pb2_grpc.SubscriptionServiceStub(channel)
        missing = refused_or_answer(
            lambda: workers.Leave(subscription_pb2.LeaveRequest(), timeout=SECONDS)
        )
        assert missing.code is grpc.StatusCode.UNIMPLEMENTED
    for port in (ports.subscriptions, ports.worker):
        target = tls.MAIN_NAME if port == ports.subscriptions else WORKER
        with mutual_channel(identity, port, target) as channel:
            entities = entity_pb2_grpc.EntityServiceStub(channel)
            missing = refused_or_answer(partial(entities.GetEntity, request, timeout=SECONDS))
            assert missing.code is grpc.StatusCode.UNIMPLEMENTED


def test_without_a_certificate_there_is_no_connection(ports: Ports, making: Intruders) -> None:
    """If this fails, the ports of workers are open to whoever reaches them."""
    roots = grpc.ssl_channel_credentials(ports.own("main").ca_file.read_bytes())
    token = making.root.metadata
    for address, name in ((ports.subscriptions, tls.MAIN_NAME), (ports.worker, WORKER)):
        override = (("grpc.ssl_target_name_override", name),)
        for channel in (
            grpc.secure_channel(address, roots, override),
            grpc.insecure_channel(address),
        ):
            with channel:
                process = processing_pb2_grpc.ProcessingServiceStub(channel).GetStatistics
                request = processing_pb2.GetStatisticsRequest()
                # An administrator's token is no certificate.
                refused = refused_or_answer(
                    partial(process, request, metadata=token, timeout=SECONDS)
                )
                assert refused.code is grpc.StatusCode.UNAVAILABLE
