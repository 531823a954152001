"""A client that has gone: on REST by the end of its connection, on gRPC by cancelling its call.

Of writes: every lock is held by the test, so that a write waits; and it must not be there when they
are free. Of reads: the workers are busy with them, and must not be any more.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
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


# -- reads -----------------------------------------------------------------------------------------

# It takes a worker a hundredth of a second and more to find out that a document is none of these.
FILTER = " || ".join(f"a[?@ == `-{number}`]" for number in range(1, 5))
WIDE = {"chat": [], "a": list(range(1_500))}
MANY = 400
# A page that is read to its end takes a second; on a busy machine it takes its time to say stop.
BUSY_S_MAX = 0.6


@pytest.fixture(scope="module")
def wide(deployment: Deployment) -> Iterator[str]:
    """Return a database that takes the workers several seconds to search."""
    with deployment.http() as http:
        assert http.put("/databases/wide", json={"schema_id": "chat.v1"}).is_success
        for first in range(0, MANY, 100):
            documents = {f"wide-{number}": WIDE for number in range(first, first + 100)}
            assert http.put("/entity/wide", json=documents).is_success
        yield "wide"
        assert http.delete("/databases/wide").is_success


def _busy_s(deployment: Deployment) -> float:
    """Return how much of a processor's time the workers have used."""
    ticks = 0
    for pid in deployment.reload()["pids"]["workers"].values():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def leave_a_stream(deployment: Deployment, database: str) -> None:
    """Read a page of a stream, and no more."""
    stub, metadata = deployment.grpc()
    request = entity_pb2.ListEntitiesRequest(database=database, filter=FILTER)
    stream = stub.StreamEntities(request, metadata=metadata)
    assert next(stream).next_page_token
    stream.cancel()


def leave_a_page(deployment: Deployment, database: str) -> None:
    """Ask for a page, and do not wait for it."""
    stub, metadata = deployment.grpc()
    request = entity_pb2.ListEntitiesRequest(database=database, filter=FILTER)
    call = stub.ListEntities.future(request, metadata=metadata)
    before_s = _busy_s(deployment)
    assert wait_until(lambda: _busy_s(deployment) > before_s + 0.1, PATIENCE_S)
    call.cancel()


def leave_a_query_over_rest(deployment: Deployment, database: str) -> None:
    """Ask for a page, and hang up."""
    url = urlsplit(deployment.facts["http_url"])
    body = json.dumps({"filter": FILTER}).encode()
    head = (
        f"POST /entity/{database}/query HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {deployment.token()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    before_s = _busy_s(deployment)
    with socket.create_connection((url.hostname, url.port)) as client:
        client.sendall(head.encode() + body)
        assert wait_until(lambda: _busy_s(deployment) > before_s + 0.1, PATIENCE_S)


@pytest.mark.parametrize("leave", [leave_a_stream, leave_a_page, leave_a_query_over_rest])
def test_what_nobody_waits_for_is_read_no_further(
    deployment: Deployment, wide: str, leave: Callable[[Deployment, str], None]
) -> None:
    """Workers go on searching for a client that has given up, page after page."""
    leave(deployment, wide)
    before_s = _busy_s(deployment)
    assert not wait_until(lambda: _busy_s(deployment) > before_s + BUSY_S_MAX, 1.5)
