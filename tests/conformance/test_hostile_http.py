"""A generated corpus of hostile requests through the REST face of a deployment.

Always a problem document, never a 500, never a dead process, never growth of memory.
"""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import hostile_requests
from tests.support.deployment import Deployment, is_alive, wait_until
from tests.support.hostile_requests import Hostile

SECONDS = 20.0
GROWTH_BYTES_MAX = 48 * 1024 * 1024
REQUESTS_MIN = 2_000
SLOW = 200
MEANT = {"another host's target"}
"""What RFC 9112 has a server take."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment that lets a client fail to authenticate as often as a test has to."""
    names = ("FAILED_AUTHENTICATIONS_PER_MINUTE", "FAILED_AUTHENTICATIONS_PER_ADDRESS_PER_MINUTE")
    environment = {f"STRONGROOM_{name}": "1000000" for name in names}
    running = Deployment(tmp_path_factory.mktemp("hostile"), environment=environment).start()
    yield running
    assert running.stop() == 0


def _exchange(deployment: Deployment, request: bytes, until: bytes = b"") -> bytes:
    """Send a request and return the answer, to its end or to the bytes given.

    What is sent may be refused before its end.
    """
    host, port = deployment.facts["http_url"].removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        try:
            connection.sendall(request)
            while not (until and until in answer) and (chunk := connection.recv(65_536)):
                answer += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass
    return answer


def _judged(request: Hostile, answer: bytes) -> str:
    """Return what is wrong with an answer, empty for nothing."""
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split()[1]) if first.startswith("HTTP/1.1 ") else 0
    fields = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    if not 200 <= status < 500:
        return f"status {status}"
    if status < 400 or request.method == "HEAD":
        return "" if b"Traceback" not in body else "a stack trace"
    if fields.get("content-type") != "application/problem+json":
        return f"{status} as {fields.get('content-type')}: {body[:100]!r}"
    problem: dict[str, Any] = json.loads(body)
    if problem["status"] != status or problem["request_id"] != fields["x-request-id"]:
        return f"a problem that is another one: {problem}"
    return "a stack trace" if "Traceback" in problem["detail"] else ""


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [one for one in status.splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def _rest_bytes(deployment: Deployment) -> int:
    """Return how much memory the processes of the REST face have."""
    parent = deployment.facts["pids"]["rest"]
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return sum(_resident_bytes(int(pid)) for pid in (parent, *children))


def test_every_operation_refuses_every_trick(deployment: Deployment) -> None:
    """A strange request is a defect of ours, or means something, or says nothing to its client."""
    document = httpx.get(f"{deployment.facts['http_url']}/openapi.json").json()
    token = deployment.token()
    requests = list(hostile_requests.corpus(document))
    assert len(requests) > REQUESTS_MIN
    warm, rest = requests[: len(requests) // 4], requests[len(requests) // 4 :]
    wrong: Counter[str] = Counter()

    def send_all(some: list[Hostile]) -> None:
        for request in some:
            found = _judged(request, _exchange(deployment, request.raw(token)))
            if found:
                wrong[f"{request} -> {found}"] += 1

    send_all(warm)
    before_bytes = _rest_bytes(deployment)
    send_all(rest)
    assert wrong == {}
    assert _rest_bytes(deployment) - before_bytes < GROWTH_BYTES_MAX
    assert all(is_alive(pid) for pid in deployment.all_pids())
    with deployment.http() as http:
        assert http.get("/readyz").status_code == httpx.codes.OK


@pytest.mark.parametrize("case", hostile_requests.malformed())
def test_what_is_no_http_is_refused_or_cut_off(deployment: Deployment, case: str) -> None:
    """Bytes that are no request end in a 500, or in a dead process."""
    answer = _exchange(deployment, hostile_requests.malformed()[case], b"\r\n\r\n")
    assert answer == b"" or answer[9:10] == b"4" or case in MEANT
    assert httpx.get(f"{deployment.facts['http_url']}/healthz").status_code == httpx.codes.OK


def test_slow_clients_are_told_and_let_go(deployment: Deployment) -> None:
    """Clients that send a byte now and then hold connections and memory for ever."""
    host, port = deployment.facts["http_url"].removeprefix("http://").split(":")
    before_bytes = _rest_bytes(deployment)
    head = b"POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
    held = [socket.create_connection((host, int(port)), SECONDS) for _ in range(SLOW)]
    try:
        for connection in held:
            connection.sendall(head)
        assert httpx.get(f"{deployment.facts['http_url']}/healthz").is_success

        def trickle() -> bool:
            for connection in held:
                try:
                    connection.send(b"x", socket.MSG_DONTWAIT)
                except OSError:
                    return True
            return False

        assert not trickle()
        answers = [connection.recv(12) for connection in held]
        assert set(answers) == {b"HTTP/1.1 408"}
    finally:
        for connection in held:
            connection.close()
    assert wait_until(lambda: _rest_bytes(deployment) - before_bytes < GROWTH_BYTES_MAX, SECONDS)
