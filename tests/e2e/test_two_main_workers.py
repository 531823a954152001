"""Two Main Workers over one directory, both rotating: every key stays, one of them is in use."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.deployment import CHAT, wait_until
from tests.support.faulty_kms import FaultyDeployment

SECONDS = 60.0
ROTATIONS = 6


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
