"""Rewrap and destroy with real processes: killed, stopped, and written to meanwhile."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from strongroom import blob
from tests.support.deployment import CHAT, Deployment, kill, wait_until
from tests.support.faulty_worker import Fault, FaultyWorker

LONG_S = 90.0
MANY = 1_500
BATCH = 100
AT_THE_COMMIT_POINT = Fault("rename")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment of its own: keys are destroyed in it."""
    deployment = Deployment(tmp_path_factory.mktemp("rewrap")).start()
    yield deployment
    assert deployment.stop() == 0


@pytest.fixture
def http(running: Deployment) -> Iterator[httpx.Client]:
    """An authorized client."""
    with running.http() as client:
        yield client


@pytest.fixture
def faulty(running: Deployment) -> Iterator[FaultyWorker]:
    """One more worker, which can be stopped in the middle of a write."""
    worker = FaultyWorker(running, "faulty")
    worker.start()
    yield worker
    worker.end()


def _document(number: int) -> dict[str, Any]:
    return {**CHAT, "n": number}


def _rotate(http: httpx.Client) -> tuple[str, str]:
    """Return the ids of (the key that was active, the new one)."""
    keys = http.get("/keys").json()["keys"]
    (old,) = [key["key_id"] for key in keys if key["state"] == "active"]
    return old, http.post("/keys/rotate").json()["key_id"]


def _begin(http: httpx.Client, path: str, body: dict[str, Any] | None = None) -> str:
    answer = http.post(path, json=body or {})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def _job(http: httpx.Client, job_id: str) -> dict[str, Any]:
    answer = http.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _finished(http: httpx.Client, job_id: str) -> dict[str, Any]:
    assert wait_until(lambda: _job(http, job_id)["state"] != "running", LONG_S), _job(http, job_id)
    return _job(http, job_id)


def _headers(running: Deployment) -> Counter[str]:
    """Count the keys that the headers of all blobs name."""
    blobs = (running.shared_dir / "files").glob("*/*/*.json.enc")
    return Counter(blob.parse(path.read_bytes()).header.key_id for path in blobs)


@dataclass
class Writer:
    """Writes its own entities over and over, and knows what was acknowledged last of each."""

    name: str
    acknowledged: dict[str, int] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    def work(self, running: Deployment, stopping: threading.Event) -> None:
        """Write until told to stop."""
        with running.http() as http:
            number = 0
            while not stopping.is_set():
                number += 1
                key = f"{self.name}-{number % 25}"
                self.tried[key] = number
                answer = http.put("/entity/chatdb", json={key: _document(number)})
                if answer.status_code in {200, 201}:
                    self.acknowledged[key] = number
                else:
                    assert answer.status_code == 503, answer.text
                    self.refused += 1


def test_nothing_is_lost_when_those_who_rewrap_are_killed(
    running: Deployment, http: httpx.Client
) -> None:
    """A kill ends the job, loses an update, changes a version, or leaves a file behind."""
    for start in range(0, MANY, BATCH):
        batch = {f"e{number}": _document(number) for number in range(start, start + BATCH)}
        assert http.put("/entity/chatdb", json=batch).status_code == 201
    old, new = _rotate(http)
    stopping = threading.Event()
    writers = [Writer("ada"), Writer("bob")]
    threads = [threading.Thread(target=one.work, args=(running, stopping)) for one in writers]
    for thread in threads:
        thread.start()
    job_id = _begin(http, "/keys/rewrap")
    pids = running.facts["pids"]
    for victim in (pids["workers"]["worker-1"], pids["grpc"]):
        before = _job(http, job_id)["done"]
        assert wait_until(lambda b=before: _is_beyond(_job(http, job_id), b), LONG_S)  # type: ignore[misc]
        kill(victim)
    ended = _finished(http, job_id)
    stopping.set()
    for thread in threads:
        thread.join()
    running.reload()
    assert ended["state"] == "done", ended
    assert ended["done"] == ended["total"] >= MANY
    assert (ended["left"], ended["unreadable"]) == ({"files": 0, "entities": 0}, 0)
    assert _headers(running)[old] == 0
    assert _headers(running)[new] >= MANY
    for start in range(0, MANY, BATCH):
        keys = [f"e{number}" for number in range(start, start + BATCH)]
        found = http.get("/entity/chatdb", params={"key": keys}).json()
        assert found == {f"e{number}": _document(number) for number in range(start, start + BATCH)}
    assert http.get("/entity/chatdb", params={"key": "e7"}).headers["ETag"] == '"1"'
    for writer in writers:
        assert len(writer.acknowledged) == 25
        for key, number in writer.acknowledged.items():
            last = http.get("/entity/chatdb", params={"key": key}).json()[key]["n"]
            assert number <= last <= writer.tried[key]


def _is_beyond(job: dict[str, Any], done: int) -> bool:
    return bool(job["state"] != "running" or (job["phase"] == "rewrapping" and job["done"] > done))


@pytest.mark.parametrize("is_new", [False, True], ids=["replaced", "created behind the scan"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["goes on", "killed"])
def test_a_writer_stopped_under_the_old_key_is_waited_for(
    running: Deployment, http: httpx.Client, faulty: FaultyWorker, *, is_new: bool, is_killed: bool
) -> None:
    """An acknowledged write lies under a key that was destroyed while its writer was stopped."""
    key = f"stalled-{is_new}-{is_killed}"
    if not is_new:
        assert http.put("/entity/chatdb", json={key: _document(1)}).status_code == 201
    faulty.arm(AT_THE_COMMIT_POINT)
    with ThreadPoolExecutor() as pool:
        stopped = pool.submit(faulty.put, key, json.dumps(_document(2)).encode(), LONG_S)
        assert wait_until(faulty.is_stopped, LONG_S)
        old, _ = _rotate(http)
        rewrap = _begin(http, "/keys/rewrap")
        destroy = _begin(http, f"/keys/{old}/destroy")
        # Its lease ends in time, and what is left of it is its lock.
        assert wait_until(lambda: "lock" in _job(http, rewrap)["detail"], LONG_S)
        time.sleep(1)
        assert _job(http, rewrap)["phase"] == "settling"
        assert _job(http, destroy)["state"] == "running"
        states = {one["key_id"]: one["state"] for one in http.get("/keys").json()["keys"]}
        assert states[old] == "decrypt-only"
        if is_killed:
            kill(faulty.process.pid)
            assert stopped.exception() is not None
        else:
            faulty.resume()
            assert stopped.result().metadata.version == (1 if is_new else 2)
    assert _finished(http, rewrap)["state"] == "done"
    assert _finished(http, destroy)["state"] == "done"
    answer = http.get("/entity/chatdb", params={"key": key})
    if is_killed and is_new:
        assert answer.status_code == 404
    else:
        assert answer.status_code == 200, answer.text
        assert answer.json()[key]["n"] == (1 if is_killed else 2)
    assert _headers(running)[old] == 0


def test_a_shredded_entity_is_gone_for_every_client(
    running: Deployment, http: httpx.Client
) -> None:
    """A shredded entity is served from a worker's memory, or as a stack trace."""
    assert http.put("/entity/chatdb", json={"secret": _document(1)}).status_code == 201
    old, _ = _rotate(http)
    for _ in range(4):
        assert http.get("/entity/chatdb", params={"key": "secret"}).status_code == 200
    refused = _finished(http, _begin(http, f"/keys/{old}/destroy"))
    assert refused["state"] == "failed"
    assert http.put("/entity/chatdb", json={"later": _document(2)}).status_code == 201
    entities = refused["left"]["entities"]
    assert f"{refused['left']['files']} files need it" in refused["detail"]
    assert f"{entities} of them entities" in refused["detail"]
    order = {"shred": True, "entities": entities}
    assert _finished(http, _begin(http, f"/keys/{old}/destroy", order))["state"] == "done"
    for _ in range(4):
        answer = http.get("/entity/chatdb", params={"key": "secret"})
        assert answer.status_code == 410
        assert answer.json()["type"] == "urn:strongroom:problem:key-destroyed"
        assert old in answer.json()["detail"]
    assert http.get("/entity/chatdb", params={"key": "later"}).status_code == 200
    assert http.put("/entity/chatdb", json={"secret": _document(3)}).status_code == 410
    running.stop()
    running.start()
    with running.http() as again:
        assert again.get("/entity/chatdb", params={"key": "secret"}).status_code == 410
        states = {one["key_id"]: one["state"] for one in again.get("/keys").json()["keys"]}
        assert states[old] == "destroyed"
