"""A worker that is stopped in order, under load: nobody notices."""

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Self

import grpc
import pytest

from strongroom_client import Client
from strongroom_client.administration import Worker
from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import CHAT, Deployment, is_alive, wait_until

PATIENCE_S = 30.0
CLIENTS = 3
DOCUMENT = b'{"chat": []}'


class Load:
    """Clients of both faces that read and write, and keep what they should not have been told."""

    def __init__(self, deployment: Deployment) -> None:
        """Begin nothing yet."""
        self._deployment = deployment
        self._stopping = threading.Event()
        self.served = 0
        self.unexpected: list[str] = []
        clients = [self._rest, self._rpc] * CLIENTS
        self._threads = [
            threading.Thread(target=client, args=(number,)) for number, client in enumerate(clients)
        ]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _rest(self, client: int) -> None:
        with self._deployment.http() as http:
            number = 0
            while not self._stopping.is_set():
                number += 1
                key = f"drain-{client}-{number % 11}"
                put = http.put("/entity/chatdb", json={key: CHAT})
                got = http.get("/entity/chatdb", params={"key": key})
                self.unexpected += [a.text for a in (put, got) if not a.is_success]
                self.served += 1

    def _rpc(self, client: int) -> None:
        stub, metadata = self._deployment.grpc()
        number = 0
        while not self._stopping.is_set():
            number += 1
            key = f"drain-{client}-{number % 11}"
            put = entity_pb2.PutEntityRequest(database="chatdb", key=key, document=DOCUMENT)
            get = entity_pb2.GetEntityRequest(database="chatdb", key=key)
            try:
                stub.PutEntity(put, metadata=metadata, timeout=PATIENCE_S)
                stub.GetEntity(get, metadata=metadata, timeout=PATIENCE_S)
            except grpc.RpcError as error:
                self.unexpected.append(str(error))
            self.served += 1


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment that the test may break."""
    running = Deployment(tmp_path).start()
    yield running
    running.stop()


def test_no_request_fails_while_one_worker_after_the_other_is_replaced(own: Deployment) -> None:
    """An update of the workers, one by one, fails requests of clients."""
    with own.client() as client, Load(own) as load:
        for name in ("worker-1", "worker-2"):
            served = load.served
            assert wait_until(partial(_more_than, load, served + 50), PATIENCE_S)
            pid = own.facts["pids"]["workers"][name]
            before = _listed(client)[name]
            os.kill(pid, signal.SIGTERM)
            assert wait_until(partial(_is_draining_or_gone, client, before), PATIENCE_S)
            assert wait_until(partial(_is_back, client, before), PATIENCE_S)
            assert not is_alive(pid)
    assert load.unexpected == []
    # Without a drain they would be served as well, by a second attempt each.
    for face in ("rest", "grpc"):
        assert "worker-lost" not in (own.root / "run" / f"{face}.log").read_text()


def _more_than(load: Load, served: int) -> bool:
    return load.served > served


def _listed(client: Client) -> dict[str, Worker]:
    return {one.worker_id: one for one in client.admin.workers()}


def _is_draining_or_gone(client: Client, before: Worker) -> bool:
    now = _listed(client).get(before.worker_id)
    return now is None or now.state == "draining"


def _is_back(client: Client, before: Worker) -> bool:
    now = _listed(client).get(before.worker_id)
    return now is not None and now.address != before.address and now.state == "live"
