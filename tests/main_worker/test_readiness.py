"""`/readyz?verbose` and grpc.health.v1: what is wrong with a Main Worker, for anybody to see."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import msgspec
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from main_api.domain.audit.acts import Recording
from main_api.domain.audit.policy import AuditPolicy
from main_api.rest import routes
from strongroom import limits, readiness
from strongroom.clock import SystemClock
from strongroom.errors import IntegrityError
from strongroom.readiness import Name, Reason
from tests.support.deployment import wait_until
from tests.support.filesystems import ObservedFilesystem
from tests.support.main_fakes import a_worker
from tests.support.mains import Built, MainRig
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.rpc_mains import SECONDS, Pki, ServedMain
from tests.support.wsgi import Answer, WsgiClient

CHECKS = {
    "workers",
    "registry",
    "clock",
    "keyring",
    "key-provider",
    "audit-log",
    "storage-read",
    "storage-write",
    "certificate",
}
RECORDED = AuditPolicy(reads=Recording.REQUIRED, writes=Recording.REQUIRED)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


def a_rig(pki: Pki, **parts: Any) -> MainRig:  # noqa: ANN401 - fields of a rig
    """Return a Main Worker that lacks nothing."""
    rig = MainRig(identity=pki.main, **parts)
    # As the certificates have it.
    rig.clock.now_wall_ms = SystemClock().wall_ms()
    until_ms = rig.clock.now_wall_ms + limits.LEASE_SECONDS * 1000
    worker = msgspec.structs.replace(a_worker("worker-1"), lease_until_ms=until_ms)
    rig.store.put_worker(worker)
    rig.clock.advance(1)
    return rig


def asked(rig: MainRig, target: str = "/readyz?verbose") -> Answer:
    """Ask, without a token."""
    return WsgiClient(routes.build(Built(rig.main())))("GET", target)


def checks(answer: Answer) -> dict[str, dict[str, Any]]:
    """Return the checks that an answer lists, by name."""
    return {one["name"]: one for one in answer.json()["checks"]}


@pytest.mark.parametrize("target", ["/readyz?verbose", "/readyz?verbose=true"])
def test_every_check_is_listed_by_name(pki: Pki, target: str) -> None:
    """Whoever looks does not see what was looked at."""
    answer = asked(a_rig(pki), target)
    found = checks(answer)
    assert (answer.status, answer.json()["status"]) == (200, "ok")
    assert set(found) == CHECKS
    assert {one["status"] for one in found.values()} == {"ok"}, found
    assert found["workers"]["facts"] == {"count": 1}
    assert found["keyring"]["facts"] == {"age_seconds": 0}
    assert found["registry"]["facts"]["age_seconds"] >= 0
    assert found["certificate"]["facts"]["until"].endswith("Z")
    assert all(set(one["facts"]) <= readiness.FACTS for one in found.values())
    assert "checks" not in asked(a_rig(pki), "/readyz?verbose=false").json()
    assert asked(a_rig(pki), "/readyz?verbose=perhaps").status == 400


def lose_the_worker(rig: MainRig) -> None:
    """Have no worker any more."""
    rig.store.remove_worker("worker-1")


def change_the_keyring(rig: MainRig) -> None:
    """Have somebody change the keyring's file."""
    raw = rig.keyring_store.read()
    assert raw is not None
    rig.keyring_store.write(raw.replace(b"0", b"1"))


def stop_the_key_provider(rig: MainRig) -> None:
    """Have the key provider refuse; on Lambda the request itself finds out."""
    rig.key_provider.down = True
    rig.clock.advance(limits.KEY_PROVIDER_CHECK_SECONDS)
    renew_the_lease(rig)


def stop_the_audit_log(rig: MainRig) -> None:
    """Have the audit log refuse, and somebody notice."""
    rig.audit_log.down = True
    http = WsgiClient(routes.build(Built(rig.main())))
    assert http("GET", "/databases").status == 401


def set_the_clock_back(rig: MainRig) -> None:
    """Have this machine's clock be behind that of whoever grants leases."""
    rig.clock.now_wall_ms -= 3_000


def renew_the_lease(rig: MainRig) -> None:
    """Renew the worker's lease."""
    until_ms = rig.clock.now_wall_ms + limits.LEASE_SECONDS * 1000
    worker = msgspec.structs.replace(a_worker("worker-1"), lease_until_ms=until_ms)
    rig.store.put_worker(worker)


@pytest.mark.parametrize(
    ("trouble", "status", "name", "told"),
    [
        (lose_the_worker, 503, Name.WORKERS, ("failed", Reason.NO_WORKER)),
        (change_the_keyring, 200, Name.KEYRING, ("warning", Reason.DAMAGED)),
        (
            stop_the_key_provider,
            200,
            Name.KEY_PROVIDER,
            ("warning", Reason.PROVIDER_UNAVAILABLE),
        ),
        (stop_the_audit_log, 200, Name.AUDIT_LOG, ("warning", Reason.UNWRITABLE)),
        (set_the_clock_back, 200, Name.CLOCK, ("warning", Reason.CLOCK_OFF)),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    pki: Pki,
    trouble: Callable[[MainRig], None],
    status: int,
    name: str,
    told: tuple[str, str],
) -> None:
    """An operator reads one sentence that fits everything, or is told of the wrong thing."""
    rig = a_rig(pki)
    assert asked(rig).status == 200
    rig.clock.advance(limits.READINESS_KEPT_SECONDS)
    trouble(rig)
    answer = asked(rig)
    found = checks(answer)
    assert answer.status == status
    assert (found[name]["status"], found[name]["reason"]) == told
    assert found[name]["advice"] == readiness.ADVICE[Reason(told[1])]
    assert {n for n, one in found.items() if one["status"] != "ok"} == {name}
    if status == 503:
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["type"] == "urn:strongroom:problem:unavailable"
        assert name in problem["detail"]


def test_where_nothing_is_served_unrecorded_the_audit_log_is_needed(pki: Pki) -> None:
    """Requests are sent to a process that refuses every one."""
    rig = a_rig(pki, audit_policy=RECORDED)
    stop_the_audit_log(rig)
    assert asked(rig).status == 503


def test_a_mount_that_hangs_is_told_within_the_bound(pki: Pki) -> None:
    """On a dead mount the question itself hangs, until no thread is left for an answer."""
    released, memory = threading.Event(), MemoryFilesystem()

    def hang(name: str, _: tuple[Any, ...]) -> None:
        if name == "list_directory":
            released.wait(SECONDS)

    rig = a_rig(pki, disk=ObservedFilesystem(hang, memory))
    began_s = time.monotonic()
    answer = asked(rig)
    took_s = time.monotonic() - began_s
    released.set()
    assert answer.status == 503
    assert checks(answer)["storage-read"]["reason"] == "no-answer"
    assert checks(answer)["workers"]["status"] == "ok"
    assert took_s < 3 * limits.READINESS_WAIT_SECONDS


def test_nothing_of_the_deployment_is_told(pki: Pki) -> None:
    """A stranger learns paths, names of keys and workers, or what an endpoint has said."""
    rig = a_rig(pki)
    rig.keyring_trouble = IntegrityError("/srv/strongroom/control/keyring.json was changed")
    for trouble in (lose_the_worker, change_the_keyring, stop_the_key_provider):
        trouble(rig)
    rig.clock.advance(limits.READINESS_KEPT_SECONDS)
    text = json.dumps(asked(rig).json()["checks"])
    secret = ["/shared", "/srv", str(pki.ca_file.parent), "worker-1", rig.live.deployment]
    secret += [key.key_id for key in rig.keys.keys]
    assert [word for word in secret if word in text] == []


@dataclass
class Served:
    """A served Main Worker, and how to ask for its health."""

    rig: MainRig
    channel: grpc.Channel

    def serves(self, service: str) -> bool:
        """Ask for the health of a service."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
def served(pki: Pki) -> Iterator[Served]:
    """Serve a Main Worker."""
    rig = a_rig(pki)
    face = ServedMain(rig.main(), pki)
    with pki.client_channel(face.clients) as channel:
        yield Served(rig, channel)
    face.stop()


def test_over_grpc_each_check_is_a_service_of_the_health_protocol(served: Served) -> None:
    """Over gRPC nobody learns what is wrong, or a process that serves is taken for one that not."""
    for name in CHECKS:
        assert served.serves(f"readiness.{name}"), name
    change_the_keyring(served.rig)
    served.rig.clock.advance(limits.READINESS_KEPT_SECONDS)
    assert wait_until(lambda: not served.serves("readiness.keyring"), SECONDS)
    assert served.serves("readiness")
    lose_the_worker(served.rig)
    served.rig.clock.advance(limits.READINESS_KEPT_SECONDS)
    assert wait_until(lambda: not served.serves("readiness"), SECONDS)
    assert not served.serves("readiness.workers")
    assert served.serves("")
