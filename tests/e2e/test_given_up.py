"""A client that has gone: on REST by the end of its connection, on gRPC by cancelling its call.

Every lock is held by the test, so that a write waits; and it must not be there when they are free.
"""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import grpc
import pytest

from strongroom import filelock
from strongroom.clock import SystemClock
from strongroom.durable import LocalFilesystem
from strongroom.layout import Layout
from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import CHAT, Deployment, wait_until

PATIENCE_S = 30.0
NOTICED_S = 1.0


@contextmanager
def every_lock(deployment: Deployment) -> Iterator[None]:
    """Hold every lock that a writer could want."""
    filesystem, clock = LocalFilesystem(), SystemClock()
    locks = Layout(deployment.shared_dir).locks()
    with ExitStack() as held:
        for number in range(256):
            descriptor = filelock.open_file(filesystem, locks / f"{number:02x}.lock")
            held.callback(filesystem.close, descriptor)
            until_s = clock.boot_s() + PATIENCE_S
            assert filelock.acquire_file(filesystem, clock, descriptor, until_s)
        yield


def hang_up_over_rest(deployment: Deployment, key: str, begun: Callable[[], None]) -> None:
    """Send a put, and close the connection once it is under way."""
    url = urlsplit(deployment.facts["http_url"])
    body = json.dumps({key: CHAT}).encode()
    head = (
        f"PUT /entity/chatdb HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {deployment.token()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((url.hostname, url.port)) as client:
        client.sendall(head.encode() + body)
        begun()


def hang_up_over_grpc(deployment: Deployment, key: str, begun: Callable[[], None]) -> None:
    """Begin to put, and cancel the call once it is under way."""
    stub, metadata = deployment.grpc()
    document = json.dumps(CHAT).encode()
    request = entity_pb2.PutEntityRequest(database="chatdb", key=key, document=document)
    call = stub.PutEntity.future(request, metadata=metadata)
    begun()
    call.cancel()


def run_out_over_grpc(deployment: Deployment, key: str, begun: Callable[[], None]) -> None:
    """Begin to put with a short deadline."""
    stub, metadata = deployment.grpc()
    document = json.dumps(CHAT).encode()
    request = entity_pb2.PutEntityRequest(database="chatdb", key=key, document=document)
    with pytest.raises(grpc.RpcError) as caught:
        stub.PutEntity(request, metadata=metadata, timeout=0.7)
    assert isinstance(caught.value, grpc.Call)
    # The worker has waited for the lock just as long, and may be the first to say so.
    assert caught.value.code() in {
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAVAILABLE,
    }
    begun()


@pytest.mark.parametrize("hang_up", [hang_up_over_rest, hang_up_over_grpc, run_out_over_grpc])
def test_what_nobody_waits_for_is_not_written(
    deployment: Deployment, hang_up: Callable[[Deployment, str, Callable[[], None]], None]
) -> None:
    """A client hangs up, and its write is applied when nobody expects it any more."""
    key = hang_up.__name__
    pause = SystemClock()

    def wait_s(seconds: float) -> None:
        ends_s = pause.boot_s() + seconds
        assert wait_until(lambda: pause.boot_s() >= ends_s, PATIENCE_S)

    with every_lock(deployment):
        hang_up(deployment, key, lambda: wait_s(0.5))
        wait_s(NOTICED_S)
    wait_s(0.5)
    with deployment.http() as http:
        assert http.get("/entity/chatdb", params={"key": key}).status_code == 404
        assert http.put("/entity/chatdb", json={key: CHAT}).headers["ETag"] == '"1"'


def test_what_somebody_waits_for_is_written(deployment: Deployment) -> None:
    """A write that has to wait for its lock is given up though its client is there."""
    with deployment.http() as http, ThreadPoolExecutor(1) as pool:
        with every_lock(deployment):
            writing = pool.submit(http.put, "/entity/chatdb", json={"somebody": CHAT})
            assert not wait_until(writing.done, NOTICED_S)
        assert writing.result(PATIENCE_S).status_code == 201
