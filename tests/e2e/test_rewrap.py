"""Rewrap and destroy with real processes: killed, stopped, and written to meanwhile."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from strongroom import blob
from strongroom_client import (
    Client,
    GoneError,
    NotFoundError,
    OutcomeUnknownError,
    UnavailableError,
)
from strongroom_client.administration import FilesLeft, Job
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
def client(running: Deployment) -> Iterator[Client]:
    """An administrator's client."""
    with running.client() as client:
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


def _rotate(client: Client) -> tuple[str, str]:
    """Return the ids of (the key that was active, the new one)."""
    (old,) = [key.key_id for key in client.admin.data_keys() if key.state == "active"]
    return old, client.admin.rotate_keys()


def _states(client: Client) -> dict[str, str]:
    return {key.key_id: key.state for key in client.admin.data_keys()}


def _finished(client: Client, job_id: str) -> Job:
    assert wait_until(lambda: client.admin.job(job_id).state != "running", LONG_S)
    return client.admin.job(job_id)


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

    def work(self, running: Deployment, stopping: threading.Event) -> None:
        """Write until told to stop."""
        with running.client() as client:
            number = 0
            while not stopping.is_set():
                number += 1
                key = f"{self.name}-{number % 25}"
                self.tried[key] = number
                with suppress(UnavailableError, OutcomeUnknownError):
                    client.put("chatdb", key, _document(number))
                    self.acknowledged[key] = number


def test_nothing_is_lost_when_those_who_rewrap_are_killed(
    running: Deployment, client: Client
) -> None:
    """A kill ends the job, loses an update, changes a version, or leaves a file behind."""
    for start in range(0, MANY, BATCH):
        batch = {f"e{number}": _document(number) for number in range(start, start + BATCH)}
        assert all(one.created for one in client.put_many("chatdb", batch).values())
    old, new = _rotate(client)
    stopping = threading.Event()
    writers = [Writer("ada"), Writer("bob")]
    threads = [threading.Thread(target=one.work, args=(running, stopping)) for one in writers]
    for thread in threads:
        thread.start()
    job_id = client.admin.rewrap_keys()
    pids = running.facts["pids"]
    for victim in (pids["workers"]["worker-1"], pids["grpc"]):
        before = client.admin.job(job_id).done
        assert wait_until(lambda b=before: _is_beyond(client.admin.job(job_id), b), LONG_S)  # type: ignore[misc]
        kill(victim)
    ended = _finished(client, job_id)
    assert wait_until(lambda: all(len(one.acknowledged) == 25 for one in writers), LONG_S)
    stopping.set()
    for thread in threads:
        thread.join()
    running.reload()
    assert ended.state == "done", ended
    assert ended.done == ended.total >= MANY
    assert (ended.left, ended.unreadable) == (FilesLeft(), 0)
    assert _headers(running)[old] == 0
    assert _headers(running)[new] >= MANY
    found = client.get_many("chatdb", [f"e{number}" for number in range(MANY)])
    assert {key: (one.version, one.value) for key, one in found.items()} == {
        f"e{number}": (1, _document(number)) for number in range(MANY)
    }
    for writer in writers:
        for key, number in writer.acknowledged.items():
            assert number <= client.get("chatdb", key).value["n"] <= writer.tried[key]


def _is_beyond(job: Job, done: int) -> bool:
    return job.state != "running" or (job.phase == "rewrapping" and job.done > done)


@pytest.mark.parametrize("is_new", [False, True], ids=["replaced", "created behind the scan"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["goes on", "killed"])
def test_a_writer_stopped_under_the_old_key_is_waited_for(
    running: Deployment, client: Client, faulty: FaultyWorker, *, is_new: bool, is_killed: bool
) -> None:
    """An acknowledged write lies under a key that was destroyed while its writer was stopped."""
    key = f"stalled-{is_new}-{is_killed}"
    if not is_new:
        assert client.put("chatdb", key, _document(1)).created
    faulty.arm(AT_THE_COMMIT_POINT)
    with ThreadPoolExecutor() as pool:
        stopped = pool.submit(faulty.put, key, json.dumps(_document(2)).encode(), LONG_S)
        assert wait_until(faulty.is_stopped, LONG_S)
        old, _ = _rotate(client)
        rewrap = client.admin.rewrap_keys()
        destroy = client.admin.destroy_key(old)
        # Its lease ends in time, and what is left of it is its lock.
        assert wait_until(lambda: "lock" in client.admin.job(rewrap).detail, LONG_S)
        time.sleep(1)
        assert client.admin.job(rewrap).phase == "settling"
        assert client.admin.job(destroy).state == "running"
        assert _states(client)[old] == "decrypt-only"
        if is_killed:
            kill(faulty.process.pid)
            assert stopped.exception() is not None
        else:
            faulty.resume()
            assert stopped.result().metadata.version == (1 if is_new else 2)
    assert _finished(client, rewrap).state == "done"
    assert _finished(client, destroy).state == "done"
    if is_killed and is_new:
        with pytest.raises(NotFoundError):
            client.get("chatdb", key)
    else:
        assert client.get("chatdb", key).value["n"] == (1 if is_killed else 2)
    assert _headers(running)[old] == 0


def test_a_shredded_entity_is_gone_for_every_client(running: Deployment, client: Client) -> None:
    """A shredded entity is served from a worker's memory, or as a stack trace."""
    assert client.put("chatdb", "secret", _document(1)).created
    old, _ = _rotate(client)
    for _ in range(4):
        assert client.get("chatdb", "secret").value == _document(1)
    refused = _finished(client, client.admin.destroy_key(old))
    assert refused.state == "failed"
    assert client.put("chatdb", "later", _document(2)).created
    entities = refused.left.entities
    assert f"{refused.left.files} files need it" in refused.detail
    assert f"{entities} of them entities" in refused.detail
    shredding = client.admin.destroy_key(old, shred=True, entities=entities)
    assert _finished(client, shredding).state == "done"
    for _ in range(4):
        with pytest.raises(GoneError, match=old):
            client.get("chatdb", "secret")
    assert client.get("chatdb", "later").value == _document(2)
    with pytest.raises(GoneError):
        client.put("chatdb", "secret", _document(3))
    running.stop()
    running.start()
    with running.client() as again:
        with pytest.raises(GoneError):
            again.get("chatdb", "secret")
        assert _states(again)[old] == "destroyed"
