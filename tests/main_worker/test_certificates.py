"""Certificates are renewed: by whom, for whom, for how long, and while everything serves."""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from main_api.adapters.authority_files import AuthorityFiles
from main_api.adapters.processing_workers import GrpcWorkers
from main_api.rest import routes
from main_api.service.workers.certificates import Certificates
from processing_fn.adapters.main_worker import GrpcMainWorker
from processing_fn.rpc import server
from processing_fn.rpc.processing_service import ProcessingService
from processing_fn.service.certificate_renewal import CertificateRenewal
from processing_fn.service.engine import Engine
from strongroom import certificates, limits
from strongroom.certificates import Certificate
from strongroom.clock import SystemClock
from strongroom.errors import (
    ForbiddenError,
    InvalidArgumentError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.identity import Identity
from strongroom.rpc import tls
from strongroom_pb.v1 import processing_pb2 as processing
from strongroom_pb.v1 import processing_pb2_grpc
from tests.support import short_lived
from tests.support.clocks import ManualClock
from tests.support.held_identities import live, mutual_channel
from tests.support.main_fakes import a_worker
from tests.support.mains import Built
from tests.support.rpc_mains import SECONDS
from tests.support.served_mains import Served, refused, subscribe
from tests.support.wsgi import WsgiClient

WORKER = "worker-1"
OWN = tls.worker_name(WORKER)
ADDRESS = "127.0.0.1:4711"
# Time enough to connect on a busy machine.
SOON_S = 5.0


def request() -> bytes:
    """Return a request for a certificate of a fresh key."""
    return certificates.signing_request(certificates.new_key())


@dataclass
class Registered:
    """A worker that is in service, and how it stands with a Main Worker."""

    main: GrpcMainWorker
    token: str

    def renewed(self, asked: bytes | None = None) -> bytes:
        """Have a certificate issued."""
        return self.main.renew_certificate(self.token, request() if asked is None else asked)


@pytest.fixture
def own(served: Served) -> Served:
    """Serve a Main Worker that has the key of its authority."""
    ca = served.pki.ca_file.parent
    served.rig.authority = AuthorityFiles(ca / "ca.pem", ca / "ca.key")
    served.serve_anew()
    return served


def registered(served: Served, worker_id: str = WORKER) -> Registered:
    """Bring a worker into service."""
    main = served.worker(worker_id)
    return Registered(main, main.register(main.subscribe().token, ADDRESS).token)


def test_a_worker_is_given_a_certificate_as_its_own(own: Served) -> None:
    """A worker's certificate ends, and somebody has to take a new one to every machine."""
    worker = registered(own)
    key = certificates.new_key()
    made = worker.renewed(certificates.signing_request(key))
    given = certificates.require_pair(made, certificates.private_pem(key))
    present = certificates.parse(own.pki.workers[WORKER].certificate_file.read_bytes())
    assert given.names == (OWN,)
    assert given.lifetime_ms == present.lifetime_ms
    assert given.ends_ms >= present.ends_ms
    certificates.require_issued(made, own.pki.ca_file.read_bytes())
    usage = x509.load_pem_x509_certificate(made).extensions
    assert not usage.get_extension_for_class(x509.BasicConstraints).value.ca
    worker.main.close()


def test_whom_a_request_names_does_not_matter(own: Served) -> None:
    """A worker has itself made another worker, a Main Worker or an authority."""
    worker, key = registered(own), certificates.new_key()
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, tls.MAIN_NAME)]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(tls.MAIN_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = worker.renewed(greedy.public_bytes(serialization.Encoding.DER))
    assert certificates.parse(made).names == (OWN,)
    extensions = x509.load_pem_x509_certificate(made).extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    worker.main.close()


def unsigned() -> bytes:
    """Return a request whose signature was made by another key."""
    changed = bytearray(request())
    changed[-1] ^= 1
    return bytes(changed)


def of_kind(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """Return a request for another kind of key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("case", ["nothing", "garbage", "unsigned", "rsa", "p384", "long", "PEM"])
def test_what_is_no_request_is_refused(own: Served, case: str) -> None:
    """Somebody has a key certified that he does not hold, or keeps a process busy."""
    asked: dict[str, Callable[[], bytes]] = {
        "nothing": lambda: b"",
        "garbage": lambda: b"\x30\x82" + b"\xff" * 200,
        "unsigned": unsigned,
        "rsa": lambda: of_kind(rsa.generate_private_key(65537, 2048)),
        "p384": lambda: of_kind(ec.generate_private_key(ec.SECP384R1())),
        "long": lambda: request() + b"\x00" * limits.CERTIFICATE_REQUEST_BYTES_MAX,
        "PEM": own.pki.workers[WORKER].certificate_file.read_bytes,
    }
    worker = registered(own)
    with pytest.raises(InvalidArgumentError):
        worker.renewed(asked[case]())
    worker.main.close()


def test_who_is_not_in_service_gets_none(own: Served) -> None:
    """Whoever has a worker's certificate, or another one's token, goes on for ever."""
    one, other = registered(own), registered(own, "worker-2")
    for token in ("", "nonsense", other.token, own.rig.bearer(own.rig.add_client("root"))[7:]):
        with pytest.raises(UnauthenticatedError):
            one.main.renew_certificate(token, request())
    # In another worker's name, with everything else of one's own.
    impostor = GrpcMainWorker("worker-2", own.face.subscriptions, live(own.pki.workers[WORKER]))
    for token in (one.token, other.token):
        with pytest.raises(UnauthenticatedError):
            impostor.renew_certificate(token, request())
    own.rig.clock.advance(limits.LEASE_SECONDS)
    with pytest.raises(UnauthenticatedError):
        one.renewed()
    for worker in (one.main, other.main, impostor):
        worker.close()


def test_a_revoked_worker_gets_none(own: Served) -> None:
    """A thief whose worker was revoked has his certificate renewed, and waits."""
    worker = registered(own)
    worker.renewed()
    root = own.rig.access.authenticate(own.rig.bearer(own.rig.add_client("root")))
    own.rig.administration.revoke_worker(root, WORKER)
    with pytest.raises(ForbiddenError, match="revoked"):
        worker.renewed()
    worker.main.close()


@pytest.mark.parametrize("case", ["none", "missing", "readable", "other", "garbage"])
def test_a_main_worker_without_the_authoritys_key_says_so(
    served: Served, tmp_path: Path, case: str
) -> None:
    """A worker is given nonsense for a certificate, or nobody learns why there is none."""
    ca = served.pki.ca_file.parent
    key_file: Path | None = tmp_path / "ca.key"
    assert key_file is not None
    if case == "none":
        key_file = None
    elif case == "readable":
        key_file.write_bytes((ca / "ca.key").read_bytes())
        key_file.chmod(0o644)
    elif case != "missing":
        other = (served.foreign.ca_file.parent / "ca.key").read_bytes()
        key_file.write_bytes(other if case == "other" else b"garbage")
        key_file.chmod(0o600)
    served.rig.authority = AuthorityFiles(ca / "ca.pem", key_file)
    served.serve_anew()
    worker = registered(served)
    with structlog.testing.capture_logs() as told:
        for _ in range(2):
            with pytest.raises(UnavailableError, match="STRONGROOM_CA_KEY_FILE") as refusal:
                worker.renewed()
    # The log says which file and why, once; the worker is not told of the Main Worker's disk.
    assert [one["event"] for one in told] == ["authority-unusable"] * (case != "none")
    assert str(tmp_path) not in refusal.value.detail
    worker.main.close()


def test_a_worker_renews_while_it_serves(own: Served, tmp_path: Path) -> None:
    """A worker goes out of service with its certificate, or loses its place by the new one."""
    ca = own.pki.ca_file.parent
    files = short_lived.written(tmp_path, WORKER, short_lived.pair(ca, [OWN], SOON_S), ca)
    identity = live(files)
    main = GrpcMainWorker(WORKER, own.face.subscriptions, identity)
    token = main.register(main.subscribe().token, ADDRESS).token
    before = identity.current()
    renewal = CertificateRenewal(identity, main, lambda: token, SystemClock())
    assert renewal.step() == limits.CERTIFICATE_CHECKED_EVERY_SECONDS
    after = identity.current()
    assert after.key_pem != before.key_pem
    assert after.certificate.lifetime_ms == before.certificate.lifetime_ms
    assert not after.certificate.is_due(SystemClock().wall_ms())
    # What an operator is told is of the certificate that the worker shows.
    token = main.renew(token, "", 0).token
    (listed,) = own.rig.store.workers()
    assert listed.certificate_until_ms == after.certificate.ends_ms
    wait_until_the_end(before.certificate)
    token = main.renew(token, "", 0).token
    # And after a restart.
    again = GrpcMainWorker(WORKER, own.face.subscriptions, live(files))
    again.renew(token, "", 0)
    again.close()
    main.close()


def test_a_connection_does_not_outlive_its_certificate(own: Served, tmp_path: Path) -> None:
    """Who connected in time, a worker or a Main Worker, goes on for ever with what has ended."""
    ca = own.pki.ca_file.parent
    late = short_lived.written(tmp_path, WORKER, short_lived.pair(ca, [OWN], SOON_S), ca)
    certificate = certificates.parse(late.certificate_file.read_bytes())
    main = short_lived.written(tmp_path, "main", short_lived.pair(ca, [tls.MAIN_NAME], SOON_S), ca)
    channel, stub = own.stub(late)
    service = ProcessingService(_no_engine, dict, lambda: None)
    worker, port = server.start(service, live(own.pki.workers[WORKER]), "127.0.0.1:0")
    to_worker = mutual_channel(main, f"127.0.0.1:{port}", OWN)
    ask = processing_pb2_grpc.ProcessingServiceStub(to_worker).GetStatistics
    with channel, to_worker:
        subscribe(stub)
        ask(processing.GetStatisticsRequest(), timeout=SECONDS)
        wait_until_the_end(certificate)
        for call in (
            lambda: subscribe(stub),
            lambda: ask(processing.GetStatisticsRequest(), timeout=SECONDS),
        ):
            error = refused(call)
            assert (type(error), error.detail) == (
                UnauthenticatedError,
                "the certificate has ended",
            )
    worker.stop(None).wait()


def _no_engine() -> Engine:
    raise UnavailableError("this worker has no subscription")


def shown(address: str, identity: Identity) -> bytes:
    """Return the certificate that a server shows now, PEM."""
    host, port = address.split(":")
    context = ssl.create_default_context(cafile=str(identity.ca_file))
    context.check_hostname = False
    context.load_cert_chain(str(identity.certificate_file), str(identity.key_file))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), SECONDS) as plain,
        context.wrap_socket(plain) as secured,
    ):
        found = secured.getpeercert(binary_form=True)
    assert found is not None
    return ssl.DER_cert_to_PEM_cert(found).encode()


def wait_until_the_end(certificate: Certificate) -> None:
    """Wait until a certificate has ended, by the machine's clock."""
    time.sleep(max(0.0, certificate.ends_ms - SystemClock().wall_ms() + 1) / 1000)


def rereading() -> None:
    """Wait until files are read again."""
    time.sleep(limits.CERTIFICATE_REREAD_SECONDS)


def test_a_server_shows_a_replaced_certificate_without_a_restart(
    served: Served, tmp_path: Path
) -> None:
    """A Main Worker's certificate is renewed by a restart, which interrupts everybody."""
    ca = served.pki.ca_file.parent
    main = short_lived.written(tmp_path, "main", short_lived.pair(ca, [tls.MAIN_NAME], 60.0), ca)
    to_clients = short_lived.pair(ca, ["localhost", "127.0.0.1"], 60.0)
    seen = short_lived.written(tmp_path, "server", to_clients, ca)
    served.serve_anew(replace(served.pki, main=main, server=seen))
    worker = registered(served)
    ports = {served.face.subscriptions: main, served.face.clients: seen}
    before = {address: shown(address, served.pki.main) for address in ports}
    for files in ports.values():
        assert files.certificate_file.read_bytes() in before.values()
        short_lived.replace(files, 3600.0)
    rereading()
    for address, files in ports.items():
        assert shown(address, served.pki.main) == files.certificate_file.read_bytes()
    assert not set(before.values()) & {shown(a, served.pki.main) for a in ports}
    # A connection of before is still there.
    worker.main.renew(worker.token, "", 0)
    worker.main.close()


def test_a_main_worker_calls_with_its_new_certificate(tmp_path: Path, served: Served) -> None:
    """A Main Worker's certificate ends, and workers refuse it until it is started anew."""
    ca = served.pki.ca_file.parent
    main = short_lived.written(tmp_path, "main", short_lived.pair(ca, [tls.MAIN_NAME], SOON_S), ca)
    service = ProcessingService(_no_engine, lambda: {"n": 1}, lambda: None)
    running, port = server.start(service, live(served.pki.workers[WORKER]), "127.0.0.1:0")
    workers, listed = GrpcWorkers(live(main)), a_worker(WORKER, address=f"127.0.0.1:{port}")
    assert workers.statistics(listed, SECONDS) == {"n": 1}
    first = certificates.parse(main.certificate_file.read_bytes())
    short_lived.replace(main, 3600.0)
    rereading()
    wait_until_the_end(first)
    assert workers.statistics(listed, SECONDS) == {"n": 1}
    workers.close()
    running.stop(None).wait()


def test_a_main_worker_renews_its_own_when_they_are_due(tmp_path: Path, served: Served) -> None:
    """A Main Worker's certificate ends on a day that nobody has in mind."""
    ca = served.pki.ca_file.parent
    hosts = ["localhost", "127.0.0.1"]
    due = short_lived.written(tmp_path, "main", short_lived.pair(ca, [tls.MAIN_NAME], 60.0), ca)
    not_yet = short_lived.written(tmp_path, "a", short_lived.pair(ca, hosts, 31 * 86_400.0), ca)
    server_due = short_lived.written(tmp_path, "b", short_lived.pair(ca, hosts, 29 * 86_400.0), ca)
    identities = {name: live(f) for name, f in (("main", due), ("a", not_yet), ("b", server_due))}
    before = {name: identity.current() for name, identity in identities.items()}
    keeper = AuthorityFiles(ca / "ca.pem", ca / "ca.key")
    Certificates(served.rig.subscriptions, keeper, SystemClock()).renew_own(identities)
    after = {name: identity.current() for name, identity in identities.items()}
    assert {name for name in after if after[name] is not before[name]} == {"main", "b"}
    for name in ("main", "b"):
        assert after[name].certificate.names == before[name].certificate.names
        assert after[name].certificate.lifetime_ms == before[name].certificate.lifetime_ms
        assert not after[name].certificate.is_due(SystemClock().wall_ms())


def test_what_it_cannot_renew_is_told_hourly(tmp_path: Path, served: Served) -> None:
    """A certificate ends, and nothing has said that it would."""
    ca, other = served.pki.ca_file.parent, served.foreign.ca_file.parent
    due = short_lived.written(tmp_path, "main", short_lived.pair(ca, [tls.MAIN_NAME], 60.0), ca)
    clock = ManualClock(wall_ms=SystemClock().wall_ms())
    for keeper in (
        AuthorityFiles(ca / "ca.pem", None),
        # An authority of another kind has issued it: a public one, say.
        AuthorityFiles(other / "ca.pem", other / "ca.key"),
    ):
        own = Certificates(served.rig.subscriptions, keeper, clock)
        with structlog.testing.capture_logs() as told:
            for _ in range(3):
                own.renew_own({"main": live(due)})
                clock.advance(limits.CERTIFICATE_RETRIED_SECONDS_MAX / 2)
        assert [one["event"] for one in told] == ["certificate-ends-soon"] * 2
        assert told[0]["until"] == certificates.parse(due.certificate_file.read_bytes()).until
    assert due.key_file.with_name("main.key.next").exists() is False


def test_the_end_of_a_certificate_is_shown_to_administrators(own: Served) -> None:
    """Nobody sees that a worker's certificate is about to end."""
    worker = registered(own)
    ends = certificates.parse(own.pki.workers[WORKER].certificate_file.read_bytes())
    main = own.rig.main()
    http = WsgiClient(
        routes.build(Built(main)), authorization=own.rig.bearer(own.rig.add_client("root"))
    )
    own.live()
    (shown_worker,) = http("GET", "/workers").json()["workers"]
    assert shown_worker["certificate_until"] == ends.until
    lines = http("GET", "/metrics").body.decode().splitlines()
    name = "strongroom_certificate_end_timestamp_seconds"
    (line,) = [one for one in lines if one.startswith(name + "{")]
    assert line.startswith(f'{name}{{holder="{WORKER}",role="worker"}} ')
    assert float(line.split()[-1]) == ends.ends_ms / 1000
    worker.main.close()


def test_an_authority_is_replaced_by_way_of_both(tmp_path: Path, served: Served) -> None:
    """An authority that ends, or whose key has leaked, is replaced by a new deployment only."""
    ca, other = served.pki.ca_file.parent, served.foreign.ca_file.parent
    both = tmp_path / "both.pem"
    for order in ((ca, other), (other, ca)):
        both.write_bytes(b"".join((one / "ca.pem").read_bytes() for one in order))
        trusting = [replace(pki.main, ca_file=both) for pki in (served.pki, served.foreign)]
        service = ProcessingService(_no_engine, lambda: {"n": 1}, lambda: None)
        for pki in (served.pki, served.foreign):
            identity = live(replace(pki.workers[WORKER], ca_file=both))
            running, port = server.start(service, identity, "127.0.0.1:0")
            listed = a_worker(WORKER, address=f"127.0.0.1:{port}")
            for main in trusting:
                workers = GrpcWorkers(live(main))
                assert workers.statistics(listed, SECONDS) == {"n": 1}
                workers.close()
            running.stop(None).wait()
