"""Several Main Workers over one directory: they agree, and none is needed for another to serve."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from strongroom import limits
from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import CHAT, wait_until
from tests.support.faulty_kms import FaultyDeployment

SECONDS = 60.0
ROTATIONS = 6
DOCUMENT = json.dumps(CHAT).encode()


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[FaultyDeployment]:
    """Return a deployment with a second REST process."""
    made = FaultyDeployment(tmp_path / "root", workers=2)
    made.start()
    made.start_one_more("rest", "rest-2")
    yield made
    made.stop()


@pytest.fixture
def faces(deployment: FaultyDeployment) -> Iterator[list[httpx.Client]]:
    """Return a client of each REST process."""
    with deployment.http("rest") as one, deployment.http("rest-2") as other:
        yield [one, other]


def test_rotations_of_two_main_workers_at_once_are_all_kept(
    deployment: FaultyDeployment, faces: list[httpx.Client]
) -> None:
    """A key is lost, and with it what was written under it; or two keys are in use at once."""
    made: dict[str, str] = {}

    def rotate(http: httpx.Client, name: str) -> None:
        for number in range(ROTATIONS):
            rotated = http.post("/keys/rotate")
            assert rotated.status_code == 201, rotated.text
            key = f"{name}-{number}"
            assert http.put("/entity/chatdb", json={key: CHAT}).status_code == 201
            made[key] = rotated.json()["key_id"]

    threads = [
        threading.Thread(target=rotate, args=(http, f"face-{face}-{nth}"))
        for face, http in enumerate(faces)
        for nth in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(set(made.values())) == len(threads) * ROTATIONS
    ours, theirs = map(_keys, faces)
    assert ours == theirs
    assert set(made.values()) <= set(ours)
    assert list(ours.values()) == ["decrypt-only"] * len(made) + ["active"]
    active = list(ours)[-1]
    assert wait_until(lambda: _written_under(deployment, faces[0]) == {active}, SECONDS)
    for name in deployment.worker_names:
        deployment.restart(name)
        for http in faces:
            assert all(_entity(http, key) == {key: CHAT} for key in made)


def _keys(http: httpx.Client) -> dict[str, str]:
    return {key["key_id"]: key["state"] for key in http.get("/keys").json()["keys"]}


def _entity(http: httpx.Client, key: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/entity/chatdb", params={"key": key}).json()
    return found


def _written_under(deployment: FaultyDeployment, http: httpx.Client) -> set[str]:
    """Return the keys of entities that were written this moment, by both workers."""
    assert http.put("/databases/probes", json={"schema_id": "chat.v1"}).status_code in {200, 201}
    for number in range(16):
        assert http.put("/entity/probes", json={f"{number}": CHAT}).status_code in {200, 201}
    sidecars = (deployment.shared_dir / "files" / "probes").glob("*/*.meta.json")
    return {json.loads(sidecar.read_text())["key_id"] for sidecar in sidecars}


# -- none is needed for another to serve -----------------------------------------------------------

Ask = Callable[[str], None]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[FaultyDeployment]:
    """Return a deployment with a second gRPC process, and nobody who restarts what was killed."""
    made = FaultyDeployment(tmp_path / "root", workers=2)
    made.start()
    made.start_one_more("grpc", "grpc-2")
    yield made
    made.stop()


def _by_rest(http: httpx.Client) -> Ask:
    def ask(key: str) -> None:
        assert http.put("/entity/chatdb", json={key: CHAT}).is_success
        assert _entity(http, key) == {key: CHAT}

    return ask


def _by_grpc(deployment: FaultyDeployment, name: str) -> Ask:
    stub, metadata = deployment.entities(name)

    def ask(key: str) -> None:
        put = entity_pb2.PutEntityRequest(database="chatdb", key=key, document=DOCUMENT)
        stub.PutEntity(put, metadata=metadata, timeout=SECONDS)
        get = entity_pb2.GetEntityRequest(database="chatdb", key=key)
        assert stub.GetEntity(get, metadata=metadata, timeout=SECONDS).document == DOCUMENT

    return ask


def _go_on(faces: dict[str, Ask], seconds: float) -> int:
    """Ask each face all the time; whatever one refuses ends the test. Return how often."""
    asked, ends_at = 0, time.monotonic() + seconds
    while time.monotonic() < ends_at:
        for name, ask in faces.items():
            ask(f"{name}-{asked % 20}")
        asked += 1
    return asked


def test_none_of_several_main_workers_is_needed_for_another_to_serve(
    alone: FaultyDeployment,
) -> None:
    """With one Main Worker goes the service of the others, at once or when the leases end."""
    with alone.http() as http:
        faces = {
            "rest": _by_rest(http),
            "grpc": _by_grpc(alone, "grpc"),
            "grpc-2": _by_grpc(alone, "grpc-2"),
        }
        told_s = limits.LEASE_SECONDS / limits.LEASE_RENEWALS_PER_LEASE
        assert _go_on(faces, told_s + 1) > 0
        before = http.get("/workers").json()["workers"]
        once = http.put(
            "/entity/chatdb",
            content=b'{"once": %s}' % DOCUMENT,
            headers={"Content-Type": "application/json", "Idempotency-Key": "the-one"},
        )
        alone.kill("grpc")
        del faces["grpc"]
        assert _go_on(faces, limits.LEASE_SECONDS + 2) > 0
        after = http.get("/workers").json()["workers"]
    # It were no proof if they had lost their leases, and come back.
    assert [one["registered_at"] for one in after] == [one["registered_at"] for one in before]
    alone.kill("rest")
    del faces["rest"]
    assert _go_on(faces, 1) > 0
    for name in alone.worker_names:
        assert "main-worker-left" in alone.log(name)
    assert "worker-lost" not in alone.log("grpc-2")
    # What became of a write knows each of them, whoever has died since, its worker too.
    alone.kill("worker-1")
    stub, metadata = alone.entities("grpc-2")
    again = entity_pb2.PutEntityRequest(
        database="chatdb", key="once", document=DOCUMENT, request_id="the-one"
    )
    repeated = stub.PutEntity(again, metadata=metadata, timeout=SECONDS)
    assert (repeated.created, repeated.etag) == (True, once.headers["ETag"])
    assert repeated.metadata.updated_at == once.json()["once"]["updated_at"]
