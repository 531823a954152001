"""Workers that have to forget: revoked under load, cut off from the Main Worker, and crashed."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from processing_fn.adapters.main_worker import GrpcMainWorker
from strongroom import jsontext
from strongroom.crypto.seal import Suite
from strongroom.errors import ForbiddenError
from strongroom.identity import Identity
from tests.support.deployment import CHAT, Deployment, wait_until
from tests.support.direct_calls import DirectCalls
from tests.support.held_identities import live

WORKER = "worker-1"
PATIENCE_S = 30


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment that the test may break."""
    running = Deployment(tmp_path).start()
    yield running
    if not running.process_ended():
        running.stop()


def log_of(deployment: Deployment, name: str) -> str:
    """Return what a process has logged."""
    return (deployment.root / "run" / f"{name}.log").read_text()


def subscription_api(
    deployment: Deployment, worker_id: str, suite: Suite = Suite.X25519
) -> GrpcMainWorker:
    """Return the subscription API as a worker of the deployment has it."""
    ready = jsontext.parse((deployment.root / "run" / "grpc.ready").read_bytes())
    pki = deployment.root / "pki"
    identity = Identity(pki / "ca.pem", pki / f"{worker_id}.pem", pki / f"{worker_id}.key")
    return GrpcMainWorker(
        worker_id, f"127.0.0.1:{ready['subscription_port']}", live(identity), suite
    )


def test_a_worker_is_revoked_under_load(own: Deployment) -> None:
    """A stolen worker goes on reading and writing, or its revocation costs clients a request."""
    unexpected: list[str] = []
    acknowledged: dict[str, int] = {}
    stopping = threading.Event()

    def work(writer: int) -> None:
        with own.http() as http:
            number = 0
            while not stopping.is_set():
                number += 1
                key = f"w{writer}-{number % 7}"
                answer = http.put("/entity/chatdb", json={key: {"chat": [], "n": number}})
                if answer.status_code not in {200, 201}:
                    unexpected.append(answer.text)
                acknowledged[key] = number
                found = http.get("/entity/chatdb", params={"key": key})
                if found.status_code != 200 or found.json()[key]["n"] != number:
                    unexpected.append(found.text)

    direct = DirectCalls(own, WORKER)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(acknowledged) > 20, PATIENCE_S)
    assert direct.get("w0-1") == "ok"
    with own.client() as client:
        client.admin.revoke_worker(WORKER)
        # Its own port, with the Main Worker's certificate: nobody in between could refuse.
        assert wait_until(lambda: direct.get("w0-1") == "unavailable", PATIENCE_S)
        assert [one.worker_id for one in client.admin.workers()] == ["worker-2"]
        assert [one.worker_id for one in client.admin.revoked_workers()] == [WORKER]
        # By the end of its stream, not by a renewal that would have come later.
        assert "subscription-refused" in log_of(own, WORKER)
        assert wait_until(lambda: "keys-forgotten" in log_of(own, WORKER), PATIENCE_S)
        api = subscription_api(own, WORKER)
        with pytest.raises(ForbiddenError, match="revoked"):
            api.subscribe()
        api.close()
        assert wait_until(lambda: "subscription-failed" in log_of(own, WORKER), PATIENCE_S)
        so_far = len(acknowledged) + sum(acknowledged.values())
        assert wait_until(
            lambda: len(acknowledged) + sum(acknowledged.values()) > so_far + 100, PATIENCE_S
        )
        assert direct.get("w0-1") == "unavailable"
        client.admin.reinstate_worker(WORKER)
        assert wait_until(lambda: direct.get("w0-1") == "ok", PATIENCE_S)
        assert len(list(client.admin.workers())) == 2
    stopping.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    direct.close()
    assert unexpected == []


def test_a_revocation_outlives_a_restart(own: Deployment) -> None:
    """A revoked worker waits for the next restart, and is back; or nothing starts without it."""
    with own.client() as client:
        client.admin.revoke_worker(WORKER)
    assert own.stop() == 0
    own.start()
    with own.client() as client:

        def listed() -> list[str]:
            return [one.worker_id for one in client.admin.workers()]

        assert listed() == ["worker-2"]
        assert wait_until(lambda: "subscription-failed" in log_of(own, WORKER), PATIENCE_S)
        assert client.put("chatdb", "there", CHAT).created
        client.admin.reinstate_worker(WORKER)
        assert wait_until(lambda: listed() == [WORKER, "worker-2"], PATIENCE_S)


def test_a_worker_that_nobody_renews_forgets(own: Deployment) -> None:
    """A worker that was cut off from the Main Worker serves on, and keeps its keys for good."""
    with own.client() as client:
        assert client.put("chatdb", "there", CHAT).created
    direct = DirectCalls(own, WORKER)
    assert direct.get("there") == "ok"
    before = log_of(own, WORKER).count("keys-forgotten")
    os.kill(own.facts["pids"]["grpc"], signal.SIGSTOP)
    try:
        assert wait_until(lambda: direct.get("there") == "unavailable", PATIENCE_S)
        assert wait_until(lambda: log_of(own, WORKER).count("keys-forgotten") > before, PATIENCE_S)
        assert direct.get("there") == "unavailable"
    finally:
        os.kill(own.facts["pids"]["grpc"], signal.SIGCONT)
    assert wait_until(lambda: direct.get("there") == "ok", PATIENCE_S)
    direct.close()
    with own.client() as client:
        assert client.get("chatdb", "there").value == CHAT


def test_a_worker_that_is_stopped_forgets(own: Deployment) -> None:
    """A worker that ends in order leaves its keys in memory that the next process is given."""
    os.kill(own.facts["pids"]["workers"][WORKER], signal.SIGTERM)
    assert wait_until(lambda: "keys-forgotten" in log_of(own, WORKER), PATIENCE_S)


def test_a_deployment_with_the_hybrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting reaches not all processes, and keys are sealed with X25519 alone."""
    monkeypatch.setenv("STRONGROOM_SEALING", Suite.MLKEM768_X25519)
    running = Deployment(tmp_path).start()
    try:
        with running.client() as client:
            assert client.put("chatdb", "there", CHAT).created
            client.admin.rotate_keys()
            assert client.get("chatdb", "there").value == CHAT
        classical = subscription_api(running, WORKER)
        with pytest.raises(ForbiddenError, match="STRONGROOM_SEALING=mlkem768-x25519"):
            classical.subscribe()
        classical.close()
        hybrid = subscription_api(running, WORKER, Suite.MLKEM768_X25519)
        assert hybrid.subscribe().keys
        hybrid.close()
    finally:
        assert running.stop() == 0
