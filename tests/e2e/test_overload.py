"""More than is taken: exactly so much is served, one more is refused, and then it goes on.

The gRPC face has its own page, tests/main_worker/test_gate.py.
"""

import json
import resource
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from processing_fn.rpc import server
from processing_fn.rpc.processing_service import ProcessingService
from processing_fn.service.engine import Engine
from strongroom import limits
from strongroom.errors import RateLimitedError, UnavailableError
from strongroom.rpc import status, tls
from strongroom_pb.v1 import processing_pb2, processing_pb2_grpc
from tests.support.deployment import CHAT, Deployment, wait_until
from tests.support.held_identities import live, mutual_channel
from tests.support.rpc_mains import SECONDS, Pki

LARGE_BODIES = limits.LARGE_BYTES_IN_FLIGHT_MAX // limits.MESSAGE_BYTES_MAX
FILES_OF_A_SHELL = 1_024
FILES_SPARE = 200
UNREAD = 2
SMALL_WINDOW_BYTES = 4_096
PIECE_BYTES = 64 * 1024
ENDLESS_PIECES = 1_000
JSON = {"Content-Type": "application/json"}


@contextmanager
def _room_for_files(wanted: int) -> Iterator[None]:
    """Let this process open that many files more than it may have open already."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before + wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment that was started from a shell with its usual bound on open files."""
    directory = tmp_path_factory.mktemp("crowded")
    deployment = Deployment(directory, open_files=FILES_OF_A_SHELL).start()
    yield deployment
    assert deployment.stop() == 0


@pytest.fixture
def http(crowded: Deployment) -> Iterator[httpx.Client]:
    """An authorized client."""
    with crowded.http() as client:
        yield client


def _document(size_bytes: int) -> bytes:
    return b'{"chat":[],"s":"' + b"x" * (size_bytes - len('{"chat":[],"s":""}')) + b'"}'


def _put_large(http: httpx.Client) -> httpx.Response:
    body = b'{"large":%s}' % _document(limits.ENTITY_BYTES_MAX)
    return http.put("/entity/chatdb", content=body, headers=JSON)


def _put_small(http: httpx.Client) -> int:
    return http.put("/entity/chatdb", json={"small": CHAT}).status_code


class _Raw:
    """One connection that a test holds in its hands."""

    def __init__(self, deployment: Deployment, window_bytes: int = 0) -> None:
        host, port = deployment.facts["http_url"].removeprefix("http://").split(":")
        self._socket = socket.socket()
        if window_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
        self._socket.settimeout(SECONDS)
        self._socket.connect((host, int(port)))

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes, *, is_last: bool = False) -> None:
        """Send a part of a body; after the last one, nothing is sent any more."""
        self._socket.sendall(data)
        if is_last:
            self._socket.shutdown(socket.SHUT_WR)

    def begin(self, method: str, path: str, token: str, length: int | None) -> None:
        """Send a request without its body; None for one in chunks."""
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: strongroom",
            f"Authorization: Bearer {token}",
            "Content-Type: application/json",
            "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}",
        ]
        self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")

    def status(self) -> int:
        """Return the status of the answer, 0 while there is none; what came stays to be read."""
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        if not ready.poll(0):
            return 0
        line = self._socket.recv(len("HTTP/1.1 200"), socket.MSG_PEEK)
        return int(line.split()[1]) if len(line) == len("HTTP/1.1 200") else 0

    def answer(self) -> tuple[int, dict[str, str], int]:
        """Return status, headers and how much of a body there was, up to the end of either."""
        received = b""
        while b"\r\n\r\n" not in received and (chunk := self._socket.recv(65_536)):
            received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        size, length = len(body), int(headers["content-length"])
        while size < length and (chunk := self._socket.recv(65_536)):
            size += len(chunk)
        return int(first.split()[1]), headers, size


@contextmanager
def _raw(deployment: Deployment, window_bytes: int = 0) -> Iterator[_Raw]:
    connection = _Raw(deployment, window_bytes)
    try:
        yield connection
    finally:
        connection.close()


def test_one_request_more_than_are_taken_is_refused(
    crowded: Deployment, http: httpx.Client
) -> None:
    """Requests pile up without end, fewer are served than could be, or descriptors run out."""
    assert _put_small(http) in {200, 201}
    with _room_for_files(limits.MAIN_CONCURRENT_REQUESTS_MAX + FILES_SPARE), ExitStack() as held:
        waiting = []
        for _ in range(limits.MAIN_CONCURRENT_REQUESTS_MAX + 1):
            connection = held.enter_context(_raw(crowded))
            connection.begin("PUT", "/entity/chatdb", "none", 100)
            waiting.append(connection)
        assert wait_until(lambda: any(one.status() for one in waiting), SECONDS)
        (refused,) = [one for one in waiting if one.status()]
        code, headers, _ = refused.answer()
        assert (code, headers["retry-after"]) == (429, "1")
        answer = http.get("/healthz")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        waiting[waiting.index(refused) - 1].close()
        assert wait_until(lambda: http.get("/healthz").status_code == 200, SECONDS)
        assert wait_until(lambda: _put_small(http) == 200, SECONDS)


def test_one_large_body_more_than_there_is_room_for_is_refused(
    crowded: Deployment, http: httpx.Client
) -> None:
    """Large bodies and answers fill the memory, keep small ones out, or hold room for good."""
    token = crowded.token()
    assert _put_large(http).is_success
    with ExitStack() as held:
        unread = [held.enter_context(_raw(crowded, SMALL_WINDOW_BYTES)) for _ in range(UNREAD)]
        for connection in unread:
            connection.begin("GET", "/entity/chatdb?key=large", token, 0)
        assert wait_until(lambda: {one.status() for one in unread} == {200}, SECONDS)
        unsent = [held.enter_context(_raw(crowded)) for _ in range(LARGE_BODIES + 1 - UNREAD)]
        for connection in unsent:
            connection.begin("PUT", "/entity/chatdb", token, limits.MESSAGE_BYTES_MAX)
        assert wait_until(lambda: any(one.status() for one in unsent), SECONDS)
        (refused,) = [one for one in unsent if one.status()]
        code, headers, _ = refused.answer()
        assert (code, headers["retry-after"]) == (429, "1")
        # Compressed, this document would be a small one.
        as_it_is = {"Accept-Encoding": "identity"}
        large = http.get("/entity/chatdb", params={"key": "large"}, headers=as_it_is)
        assert large.status_code == 429
        assert _put_small(http) in {200, 201}
        # Whoever does not send or read for a while is not waited for.
        assert {one.answer()[0] for one in unsent if one is not refused} == {408}
        assert wait_until(lambda: _put_large(http).status_code == 200, SECONDS)
        for connection in unread:
            code, headers, size = connection.answer()
            assert code == 200
            assert size < int(headers["content-length"])
    assert http.get("/entity/chatdb", params={"key": "large"}).status_code == 200


def test_a_stranger_is_refused_before_a_large_body_is_read(crowded: Deployment) -> None:
    """Without any token, large bodies can be sent until there is no room for clients."""
    with ExitStack() as held:
        strangers = [held.enter_context(_raw(crowded)) for _ in range(2 * LARGE_BODIES)]
        for stranger in strangers:
            stranger.begin("PUT", "/entity/chatdb", "none", limits.MESSAGE_BYTES_MAX)
        with crowded.http() as http:
            assert _put_large(http).is_success
        # At once, though they send nothing more; and they may send on.
        assert {stranger.answer()[0] for stranger in strangers} == {401}


def test_a_body_in_chunks_that_grows_large_takes_room(http: httpx.Client) -> None:
    """A client that does not tell the length beforehand is bounded by nothing, or refused."""
    document = _document(limits.ENTITY_BYTES_MAX)
    starts = range(0, len(document), PIECE_BYTES)
    pieces = [b'{"chunks":', *[document[n : n + PIECE_BYTES] for n in starts], b"}"]
    assert http.put("/entity/chatdb", content=iter(pieces), headers=JSON).status_code == 201


def test_a_body_in_chunks_that_is_cut_short_is_not_executed(
    crowded: Deployment, http: httpx.Client
) -> None:
    """A connection that breaks within a request leaves half of it written."""
    whole = json.dumps({"cut": CHAT}).encode()
    with _raw(crowded) as connection:
        connection.begin("PUT", "/entity/chatdb", crowded.token(), None)
        connection.send(b"%x\r\n%s\r\n" % (len(whole), whole), is_last=True)
        assert connection.answer()[0] == 400
    assert http.get("/entity/chatdb", params={"key": "cut"}).status_code == 404


def test_a_refused_client_that_is_still_sending_sees_why(crowded: Deployment) -> None:
    """A client that sends too much is left with a broken connection, and tries again for ever."""
    body = bytes(3 * limits.MESSAGE_BYTES_MAX)
    with _raw(crowded) as connection:
        connection.begin("PUT", "/entity/chatdb", crowded.token(), len(body))
        connection.send(body)
        assert connection.answer()[0] == 413


def test_a_body_without_an_end_is_not_read_to_it(http: httpx.Client) -> None:
    """A client that never ends its body is read for as long as it likes."""
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(ENDLESS_PIECES):
            sent += 1
            yield bytes(PIECE_BYTES)

    assert http.put("/entity/chatdb", content=pieces(), headers=JSON).status_code == 413
    assert sent < ENDLESS_PIECES


def test_more_connections_than_a_shell_allows_files(crowded: Deployment) -> None:
    """A thousand idle clients of the gRPC face keep all others out."""
    host, port = crowded.facts["grpc_address"].split(":")
    with _room_for_files(FILES_OF_A_SHELL + FILES_SPARE), ExitStack() as held:
        for _ in range(FILES_OF_A_SHELL):
            held.enter_context(socket.create_connection((host, int(port)), SECONDS))
        with crowded.channel() as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            assert stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS).status == 1


def test_one_call_more_than_a_worker_takes_is_refused(tmp_path: Path) -> None:
    """Calls pile up in a worker without end, or fewer are served than could be."""
    let = threading.Event()
    # On a machine that is busy with other things the calls come slowly.
    seconds = 4 * SECONDS

    def engine() -> Engine:
        let.wait(seconds)
        raise UnavailableError("there is none")

    pki = Pki.make(tmp_path, ["worker-1"])
    service = ProcessingService(engine, dict, lambda: None)
    worker, port = server.start(service, live(pki.workers["worker-1"]), "127.0.0.1:0")
    try:
        with mutual_channel(pki.main, f"127.0.0.1:{port}", tls.worker_name("worker-1")) as channel:
            stub: Any = processing_pb2_grpc.ProcessingServiceStub(channel)
            request = processing_pb2.ProcessRequest(database_name="chatdb")
            most = limits.WORKER_CONCURRENT_REQUESTS_MAX
            calls = [stub.Process.future(request, timeout=seconds) for _ in range(most + 1)]
            assert wait_until(lambda: any(call.done() for call in calls), seconds)
            (refused,) = [call for call in calls if call.done()]
            assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            named = status.from_rpc_error(refused.exception())
            assert (type(named), named.retry_after_s) == (RateLimitedError, 1)
            let.set()
            assert sum(call.exception() is None for call in calls) == most
            assert stub.Process(request, timeout=SECONDS).HasField("status")
    finally:
        let.set()
        worker.stop(None).wait()
