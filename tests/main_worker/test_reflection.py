"""What a client finds that knows only an address: health, and by reflection everything else."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from main_api.rpc import declared
from main_api.rpc.server import CLIENT_SERVICES
from strongroom import limits
from tests.support.deployment import wait_until
from tests.support.mains import MainRig
from tests.support.reflected import ReflectedClient, in_json
from tests.support.rpc_mains import SECONDS, Pki, ServedMain

PACKAGE = "strongroom_pb.v1"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Served:
    """A served Main Worker with one worker, and a channel to it."""

    rig: MainRig
    face: ServedMain
    channel: grpc.Channel

    def health(self, service: str) -> int:
        """Ask for the health of a service."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        request = health_pb2.HealthCheckRequest(service=service)
        return int(stub.Check(request, timeout=SECONDS).status)

    def lose_workers(self) -> None:
        """Have no worker any more."""
        for worker in self.rig.store.workers():
            self.rig.store.remove_worker(worker.worker_id)
        self.rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def served(pki: Pki) -> Iterator[Served]:
    """Serve a Main Worker."""
    rig = MainRig()
    rig.add_workers("worker-1")
    face = ServedMain(rig.main(), pki)
    with pki.client_channel(face.clients) as channel:
        yield Served(rig, face, channel)
    face.stop()


def test_a_client_without_stubs_puts_and_gets(served: Served) -> None:
    """Tools that know no service of ours (grpcurl and such) cannot use this one."""
    client = ReflectedClient(served.channel)
    ada = served.rig.add_client("ada")
    issued = client.call(
        f"{PACKAGE}.AuthService.IssueToken", {"client_id": "ada", "client_secret": ada.secret}
    )
    client.metadata = (("authorization", f"Bearer {issued['access_token']}"),)
    entities = f"{PACKAGE}.EntityService"
    document = in_json(b'{"n": 1}')
    one = {"database": "chatdb", "key": "k"}
    put = client.call(f"{entities}.PutEntity", one | {"document": document})
    assert (put["created"], put["metadata"]["version"]) == (True, "1")
    assert client.call(f"{entities}.GetEntity", one)["document"] == document
    (page,) = client.call(f"{entities}.StreamEntities", {"database": "chatdb"})
    assert [entity["key"] for entity in page["entities"]] == ["k"]
    names = client.call(f"{PACKAGE}.AdminService.ListDatabases", {})
    assert [one["name"] for one in names["databases"]] == ["chatdb"]


def test_reflection_shows_what_clients_may_call_and_nothing_else(served: Served) -> None:
    """A method cannot be found, or the workers' own services are shown to everybody."""
    client = ReflectedClient(served.channel)
    names = set(client.services())
    ours = {descriptor.full_name for descriptor in CLIENT_SERVICES}
    assert names == ours | {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    for method in declared.methods(CLIENT_SERVICES):
        assert client.method(method.full_name).name == method.name


def test_reflection_shows_which_right_a_method_takes(served: Served) -> None:
    """A generic client cannot tell what it needs for a call."""
    client = ReflectedClient(served.channel)
    assert client.rights(f"{PACKAGE}.AdminService.RotateKeys") == ["RIGHT_EVERYWHERE"]
    assert client.rights(f"{PACKAGE}.EntityService.PutEntity") == ["RIGHT_WRITE"]


def test_the_health_of_the_process_and_of_each_service(served: Served) -> None:
    """An orchestrator takes a process that answers for dead, or one that cannot serve for ready."""
    entities = f"{PACKAGE}.EntityService"
    assert served.health("") == SERVING
    for descriptor in CLIENT_SERVICES:
        assert served.health(descriptor.full_name) == SERVING
    served.lose_workers()
    assert wait_until(lambda: served.health(entities) == NOT_SERVING, SECONDS)
    assert served.health("") == SERVING
    assert served.health(f"{PACKAGE}.AdminService") == SERVING
    served.rig.add_workers("worker-2")
    assert wait_until(lambda: served.health(entities) == SERVING, SECONDS)
    with pytest.raises(grpc.RpcError) as unknown:
        served.health("nobody")
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_disk_that_does_not_answer_is_no_readiness(served: Served) -> None:
    """While the shared directory is gone, requests are sent here and fail."""
    served.rig.memory.down = True
    served.rig.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
    entities = f"{PACKAGE}.EntityService"
    assert wait_until(lambda: served.health(entities) == NOT_SERVING, SECONDS)
    assert served.health("") == SERVING


def test_who_watches_is_told_of_the_end(served: Served) -> None:
    """A balancer sends requests to a process that is about to end."""
    stub: Any = health_pb2_grpc.HealthStub(served.channel)
    watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert next(watched).status == SERVING
    served.face.end()
    assert next(watched).status == NOT_SERVING
    watched.cancel()
