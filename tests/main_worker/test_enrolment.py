"""A new worker gets its first certificate by itself: who may ask, for which name, for how long."""

import json
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from main_api.adapters.authority_files import AuthorityFiles
from main_api.domain.registry import Revocation
from processing_fn import settings
from processing_fn.adapters.enrolment import enrol
from strongroom import certificates, limits, task_metadata
from strongroom.clock import SystemClock, rfc3339
from strongroom.errors import (
    ConflictError,
    ForbiddenError,
    InvalidArgumentError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.identity import Identity
from strongroom.rpc import tls
from strongroom_pb.v1 import subscription_pb2 as pb
from tests.support import short_lived
from tests.support.main_fakes import a_worker
from tests.support.rpc_mains import SECONDS
from tests.support.served_mains import Served, refused, subscribe

NEW = "task-1"
_DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def own(served: Served) -> Served:
    """Serve a Main Worker that has the key of its authority."""
    ca = served.pki.ca_file.parent
    served.rig.authority = AuthorityFiles(ca / "ca.pem", ca / "ca.key")
    served.serve_anew()
    return served


def _enrolment(own: Served, left_s: float = 3600.0) -> str:
    """Return what a worker is given to enrol with."""
    ca = own.pki.ca_file.parent
    key, certificate = short_lived.pair(ca, [tls.ENROLMENT_NAME], left_s)
    members = {"ca": own.pki.ca_file.read_bytes(), "certificate": certificate, "key": key}
    return json.dumps({name: value.decode() for name, value in members.items()})


def _settings(own: Served, directory: Path, enrolment: str) -> settings.Settings:
    environment = {
        "STRONGROOM_WORKER_ID": NEW,
        "STRONGROOM_SHARED_DIR": str(directory),
        "STRONGROOM_MAIN_ADDRESS": own.face.subscriptions,
        "STRONGROOM_CA_FILE": str(directory / "run" / "ca.pem"),
        "STRONGROOM_CERTIFICATE_FILE": str(directory / "run" / "own.pem"),
        "STRONGROOM_KEY_FILE": str(directory / "run" / "own.key"),
        "STRONGROOM_ENROLMENT": enrolment,
    }
    return settings.from_environment(environment)


def test_a_new_worker_enrols_and_is_vended_keys(own: Served, tmp_path: Path) -> None:
    """A worker that autoscaling starts has no certificate, and nobody brings one."""
    configured = _settings(own, tmp_path, _enrolment(own))
    enrol(configured)
    files = configured.identity
    made = certificates.require_pair(
        files.certificate_file.read_bytes(), files.key_file.read_bytes()
    )
    assert made.names == (tls.worker_name(NEW),)
    left_ms = made.ends_ms - SystemClock().wall_ms()
    assert left_ms <= limits.ENROLLED_CERTIFICATE_DAYS * _DAY_MS
    assert files.key_file.stat().st_mode & 0o077 == 0
    channel, stub = own.stub(files)
    with channel:
        subscribe(stub, NEW)


def test_a_worker_that_has_a_certificate_keeps_it(own: Served, tmp_path: Path) -> None:
    """A container that is started again asks anew each time, and is refused at the tenth."""
    configured = _settings(own, tmp_path, _enrolment(own))
    enrol(configured)
    first = configured.identity.certificate_file.read_bytes()
    enrol(replace(configured, main_address="127.0.0.1:1"))
    assert configured.identity.certificate_file.read_bytes() == first


def test_only_the_enrolments_certificate_enrols(own: Served) -> None:
    """A worker makes itself a second one; or somebody of another deployment makes one."""
    for files in (own.pki.workers["worker-1"], own.pki.main):
        channel, stub = own.stub(files)
        with channel:
            error = refused(partial(stub.Enrol, _request(), timeout=SECONDS))
        assert isinstance(error, UnauthenticatedError)


def test_the_enrolments_certificate_does_nothing_else(own: Served, tmp_path: Path) -> None:
    """Whoever reads it from a task's settings is vended the data keys."""
    channel, stub = own.stub(_written(own, tmp_path))
    with channel:
        error = refused(lambda: subscribe(stub, NEW))
        assert isinstance(error, UnauthenticatedError)
        request = pb.RenewCertificateRequest(worker_id=NEW, request=_request().request)
        error = refused(lambda: stub.RenewCertificate(request, timeout=SECONDS))
        assert isinstance(error, UnauthenticatedError)


def test_nobody_enrols_in_the_place_of_another_worker(own: Served, tmp_path: Path) -> None:
    """A live worker's name, or a revoked one's, is given to whoever asks for it."""
    clock = own.rig.clock
    own.rig.store.put_worker(
        msgspec.structs.replace(a_worker("worker-1"), lease_until_ms=clock.wall_ms() + 5_000)
    )
    own.rig.store.revocations.put(
        "worker-2", Revocation(worker_id="worker-2", revoked_at=rfc3339(clock.wall_ms()))
    )
    channel, stub = own.stub(_written(own, tmp_path))
    with channel:
        for name, kind in (
            ("worker-1", ConflictError),
            ("worker-2", ForbiddenError),
            ("../main", InvalidArgumentError),
        ):
            error = refused(partial(stub.Enrol, _request(name), timeout=SECONDS))
            assert isinstance(error, kind), name


def test_a_main_worker_without_the_authoritys_key_enrols_nobody(
    served: Served, tmp_path: Path
) -> None:
    """It answers something that no TLS takes."""
    channel, stub = served.stub(_written(served, tmp_path))
    with channel:
        error = refused(lambda: stub.Enrol(_request(), timeout=SECONDS))
    assert isinstance(error, UnavailableError)


def test_an_enrolment_that_is_none_is_told_without_its_key(own: Served, tmp_path: Path) -> None:
    """A task fails, and its log has the key that enrols workers."""
    for text in ("no json PRIVATE", json.dumps({"ca": "PRIVATE"})):
        with pytest.raises(InvalidArgumentError, match="JSON object") as caught:
            enrol(_settings(own, tmp_path, text))
        assert "PRIVATE" not in caught.value.detail
        assert caught.value.__cause__ is None
    assert "PRIVATE" not in repr(_settings(own, tmp_path, "PRIVATE"))


def test_a_task_knows_its_name_and_address() -> None:
    """Workers of one service are all called the same, and take each other's place."""
    told = {
        "TaskARN": "arn:aws:ecs:eu-central-1:123456789012:task/strongroom/0f1e2d3c4b5a",
        "Containers": [{"Networks": [{"IPv4Addresses": ["10.64.3.7"]}]}],
    }
    with _Metadata(json.dumps(told).encode()) as url:
        completed = task_metadata.environment({task_metadata.VARIABLE: url})
    assert completed["STRONGROOM_WORKER_ID"] == "task-0f1e2d3c4b5a"
    assert completed["STRONGROOM_ADVERTISE_HOST"] == "10.64.3.7"
    with _Metadata(b'{"TaskARN": "x"}') as url, pytest.raises(UnavailableError, match="metadata"):
        task_metadata.environment({task_metadata.VARIABLE: url})
    given = {"STRONGROOM_WORKER_ID": "worker-1", task_metadata.VARIABLE: "http://127.0.0.1:1"}
    assert task_metadata.environment(given) == given
    assert task_metadata.environment({}) == {}


def _request(worker_id: str = NEW) -> pb.EnrolRequest:
    request = certificates.signing_request(certificates.new_key())
    return pb.EnrolRequest(worker_id=worker_id, request=request)


def _written(served: Served, directory: Path) -> Identity:
    ca = served.pki.ca_file.parent
    pair = short_lived.pair(ca, [tls.ENROLMENT_NAME], 3600.0)
    return short_lived.written(directory, "enrolment", pair, ca)


class _Metadata:
    """Answers as ECS's endpoint does."""

    def __init__(self, body: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/v4/abc/task" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/v4/abc"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
