"""The containers, without an engine: each image's own command, from its own lock, without root."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from cli.emulation.pki import CertificateAuthority
from cli.emulation.seed import seed
from main_api import bootstrap
from main_api.settings import KeySettings, ProviderKind, Settings
from strongroom.clock import SystemClock
from strongroom.rpc import tls
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2, entity_pb2_grpc
from tests.support.container_image import ROOT, Dockerfile, Image, give
from tests.support.deployment import Metadata, wait_until

DOCKERFILES = [ROOT / "main_api" / "Dockerfile", ROOT / "processing_fn" / "Dockerfile"]
HEALTHY_S = 40.0


@dataclass
class Containers:
    """A Main Worker and a Processing Worker as their images run them."""

    main: Image
    worker: Image
    main_settings: dict[str, str]
    worker_settings: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]]
    ca: bytes
    secret: str

    def health(self, image: Image, settings: dict[str, str]) -> int:
        """Run an image's health check and return its exit code."""
        check = image.start(settings, image.dockerfile.health_check)
        check.communicate(timeout=20)
        return check.returncode

    def is_healthy(self, image: Image, settings: dict[str, str]) -> bool:
        """Tell whether an image's health check is content."""
        # A check is a process: it is not started as long as nobody listens.
        return _is_listening(settings) and self.health(image, settings) == 0

    def start(self, name: str) -> None:
        """Start a container; it need not be healthy yet."""
        image, settings = self.kinds[name]
        self.running[name] = image.start(settings)

    def become_healthy(self, name: str) -> None:
        """Wait until a container's health check is content."""
        ends_s = time.monotonic() + HEALTHY_S
        while not self.is_healthy(*self.kinds[name]):
            process = self.running[name]
            if process.poll() is not None:
                pytest.fail(f"{name} ended with {process.returncode}: {process.communicate()[1]!r}")
            assert time.monotonic() < ends_s, f"{name} is not healthy"
            time.sleep(0.1)

    @property
    def kinds(self) -> dict[str, tuple[Image, dict[str, str]]]:
        """The image and the settings of each container."""
        return {
            "main": (self.main, self.main_settings),
            "worker": (self.worker, self.worker_settings),
        }

    def client(self) -> tuple[entity_pb2_grpc.EntityServiceStub, Metadata]:
        """Return a stub for the administrator."""
        channel = grpc.secure_channel(
            self.main_settings["STRONGROOM_GRPC_LISTEN"], grpc.ssl_channel_credentials(self.ca)
        )
        issued = auth_pb2_grpc.AuthServiceStub(channel).IssueToken(
            auth_pb2.IssueTokenRequest(client_id="admin", client_secret=self.secret)
        )
        return (
            entity_pb2_grpc.EntityServiceStub(channel),
            (("authorization", f"Bearer {issued.access_token}"),),
        )


def _is_listening(settings: dict[str, str]) -> bool:
    port = settings.get("STRONGROOM_LISTEN_PORT")
    address = f"127.0.0.1:{port}" if port else settings["STRONGROOM_SUBSCRIPTION_LISTEN"]
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory that another user can reach, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="strongroom-images-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def containers(directory: Path) -> Iterator[Containers]:
    """Both images, and settings by which they find each other; nothing runs yet."""
    images = [
        Image(Dockerfile.read(path), directory / path.parent.name).build() for path in DOCKERFILES
    ]
    state = directory / "state"
    shared, pki = state / "shared", state / "pki"
    shared.mkdir(parents=True)
    pki.mkdir()
    authority = CertificateAuthority(pki, SystemClock())
    main_identity = authority.issue("main", [tls.MAIN_NAME])
    server = authority.issue("server", ["localhost", "127.0.0.1"])
    worker_identity = authority.issue("worker-1", [tls.worker_name("worker-1")])
    keys = KeySettings(ProviderKind.FILE, master_key_file=state / "master.key")
    configured = Settings(shared, keys, main_identity)
    bootstrap.create_deployment(configured)
    built = bootstrap.build(configured)
    seed(built.provisioning)
    secret = built.provisioning.put_administrator("admin")
    give(state)
    subscription = f"127.0.0.1:{_free_port()}"
    common = {"STRONGROOM_SHARED_DIR": str(shared), "STRONGROOM_CA_FILE": str(pki / "ca.pem")}
    found = Containers(
        main=images[0],
        worker=images[1],
        main_settings={
            **common,
            "STRONGROOM_KEY_PROVIDER": "file",
            "STRONGROOM_MASTER_KEY_FILE": str(keys.master_key_file),
            "STRONGROOM_CERTIFICATE_FILE": str(main_identity.certificate_file),
            "STRONGROOM_KEY_FILE": str(main_identity.key_file),
            "STRONGROOM_SERVER_CERTIFICATE_FILE": str(server.certificate_file),
            "STRONGROOM_SERVER_KEY_FILE": str(server.key_file),
            "STRONGROOM_GRPC_LISTEN": f"127.0.0.1:{_free_port()}",
            "STRONGROOM_SUBSCRIPTION_LISTEN": subscription,
        },
        worker_settings={
            **common,
            "STRONGROOM_WORKER_ID": "worker-1",
            "STRONGROOM_MAIN_ADDRESS": subscription,
            "STRONGROOM_CERTIFICATE_FILE": str(worker_identity.certificate_file),
            "STRONGROOM_KEY_FILE": str(worker_identity.key_file),
            "STRONGROOM_LISTEN_HOST": "127.0.0.1",
            "STRONGROOM_LISTEN_PORT": str(_free_port()),
        },
        running={},
        ca=authority.certificate_file.read_bytes(),
        secret=secret,
    )
    yield found
    for process in found.running.values():
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def serving(containers: Containers) -> Containers:
    """Both, healthy, whatever a test before has ended."""
    for name in containers.kinds:
        if name not in containers.running or containers.running[name].poll() is not None:
            containers.start(name)
    for name in containers.kinds:
        containers.become_healthy(name)
    return containers


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_keeps_to_the_rules(path: Path) -> None:
    """An image runs as root, without an init, or from what nobody has locked."""
    text, found = path.read_text(), Dockerfile.read(path)
    assert found.user == "10001:10001"
    assert found.entrypoint == ["/usr/bin/tini", "--"]
    assert found.stop_signal == "SIGTERM"
    assert "--require-hashes" in text
    assert text.count("\nFROM ") == 2
    assert found.health_check == ["python", "-m", "strongroom.rpc.probe"]
    # No bytecode is looked for in vain, and none is written.
    assert found.environment["PYTHONDONTWRITEBYTECODE"] == "1"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_linter_finds_nothing(path: Path) -> None:
    """A Dockerfile falls behind what its own field has agreed upon."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, path], check=False, capture_output=True, text=True)  # noqa: S603
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_both_become_healthy_and_serve(serving: Containers) -> None:
    """An image lacks a module, wants to write where it may not, or is never found healthy."""
    stub, metadata = serving.client()
    request = entity_pb2.PutEntityRequest(database="chatdb", key="k", document=b'{"chat": []}')
    stub.PutEntity(request, metadata=metadata, timeout=10, wait_for_ready=True)
    got = stub.GetEntity(
        entity_pb2.GetEntityRequest(database="chatdb", key="k"), metadata=metadata, timeout=10
    )
    assert got.document == b'{"chat": []}'


def test_the_health_check_tells_what_is_wrong(serving: Containers) -> None:
    """An orchestrator keeps a container that serves nobody, or ends one that is well."""
    nobody = {**serving.worker_settings, "STRONGROOM_LISTEN_PORT": str(_free_port())}
    assert serving.health(serving.worker, nobody) == 2
    unset = {k: v for k, v in serving.worker_settings.items() if "CERTIFICATE" not in k}
    assert serving.health(serving.worker, unset) == 1
    other = {**serving.worker_settings, "STRONGROOM_WORKER_ID": "worker-2"}
    assert serving.health(serving.worker, other) == 2


def test_they_run_without_root(serving: Containers) -> None:
    """Whoever breaks out of a process is root on the host."""
    for process in serving.running.values():
        status = Path(f"/proc/{process.pid}/status").read_text()
        (uids,) = (line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
        assert uids == [str(10001 if os.getuid() == 0 else os.getuid())] * 4


def test_sigterm_drains(serving: Containers) -> None:
    """A deployment of a new version loses writes that were under way, or ends with an error."""
    stub, metadata = serving.client()
    failed: list[grpc.StatusCode] = []
    done: list[str] = []
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            key = f"drained-{len(done)}"
            request = entity_pb2.PutEntityRequest(
                database="chatdb", key=key, document=b'{"chat": []}', request_id=key
            )
            try:
                stub.PutEntity(request, metadata=metadata, timeout=10)
                done.append(key)
            except grpc.RpcError as error:
                failed.append(error.code())

    writer = threading.Thread(target=write)
    writer.start()
    assert wait_until(lambda: len(done) >= 20, 20)
    worker = serving.running["worker"]
    worker.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    worker.communicate(timeout=15)
    assert worker.returncode == 0
    assert time.monotonic() - began_s < 10
    ended.set()
    writer.join()
    # The only worker is gone: later requests find none, and say so.
    assert set(failed) <= {grpc.StatusCode.UNAVAILABLE}
    serving.start("worker")
    serving.become_healthy("worker")
    keys = done[-100:]
    got = stub.BatchGetEntities(
        entity_pb2.BatchGetEntitiesRequest(database="chatdb", keys=keys),
        metadata=metadata,
        timeout=20,
    )
    assert {entity.key for entity in got.entities} == set(keys)
    main = serving.running["main"]
    main.send_signal(signal.SIGTERM)
    main.communicate(timeout=15)
    assert main.returncode == 0
