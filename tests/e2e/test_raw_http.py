"""What no HTTP library would send, to a running deployment."""

import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support.deployment import CHAT, Deployment

STALLED = 64


def _connect(deployment: Deployment) -> socket.socket:
    host, port = deployment.facts["http_url"].removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 20)


@pytest.fixture
def token(deployment: Deployment) -> str:
    """An access token of the administrator."""
    return deployment.token()


@pytest.fixture
def http(deployment: Deployment) -> Iterator[httpx.Client]:
    """An authorized client."""
    with deployment.http() as client:
        yield client


def _put(token: str, body: bytes, *headers: str) -> bytes:
    lines = [
        "PUT /entity/chatdb HTTP/1.1",
        "Host: strongroom",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _exchange(deployment: Deployment, request: bytes, *, cut: bool = False) -> bytes:
    """Send a request, end the sending side where it is to be cut, and return the answer."""
    with _connect(deployment) as connection:
        connection.sendall(request)
        if cut:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


def test_unfinished_uploads_hold_nobody_up(deployment: Deployment) -> None:
    """A few clients that send half a body stop the service for all others."""
    begun = b"PUT /entity/chatdb HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{"
    with ExitStack() as stalled, deployment.http() as http:
        for _ in range(STALLED):
            stalled.enter_context(_connect(deployment)).sendall(begun)
        assert http.get("/healthz").status_code == 200
        assert http.put("/entity/chatdb", json={"raw": CHAT}).status_code in {200, 201}


def test_a_body_cut_short_is_not_executed(
    deployment: Deployment, token: str, http: httpx.Client
) -> None:
    """A connection that breaks within a request leaves half of it written."""
    key = f"cut-{uuid.uuid4().hex}"
    body = json.dumps({key: CHAT}).encode()
    request = _put(token, body, f"Content-Length: {len(body) + 9}")
    assert _exchange(deployment, request, cut=True).startswith(b"HTTP/1.1 400 ")
    assert http.get("/entity/chatdb", params={"key": key}).status_code == 404


def test_a_whole_body_in_chunks_is_executed(deployment: Deployment, token: str) -> None:
    """A client that does not know the length beforehand cannot write."""
    key = f"chunked-{uuid.uuid4().hex}"
    body = json.dumps({key: CHAT}).encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = _exchange(deployment, _put(token, chunked, "Transfer-Encoding: chunked"))
    assert answer.startswith(b"HTTP/1.1 201 ")


def test_an_underscore_is_not_a_hyphen(
    deployment: Deployment, token: str, http: httpx.Client
) -> None:
    """A header that a proxy passes over takes the place of a condition."""
    key = f"underscore-{uuid.uuid4().hex}"
    http.put("/entity/chatdb", json={key: CHAT})
    body = json.dumps({key: CHAT}).encode()
    for headers in (('If-Match: "999"', "If_Match: *"), ("If_Match: *", 'If-Match: "999"')):
        request = _put(token, body, f"Content-Length: {len(body)}", *headers)
        assert _exchange(deployment, request).startswith(b"HTTP/1.1 412 ")


@pytest.mark.parametrize("value", ["", "clé", "a" * 129])
def test_an_idempotency_key_that_is_none_is_refused(
    deployment: Deployment, token: str, value: str
) -> None:
    """A client believes that its request is applied once, and it is applied twice."""
    body = json.dumps({"raw": CHAT}).encode()
    headers = (f"Content-Length: {len(body)}", f"Idempotency-Key: {value}")
    assert _exchange(deployment, _put(token, body, *headers)).startswith(b"HTTP/1.1 400 ")


def test_of_two_credentials_none_is_chosen(deployment: Deployment, token: str) -> None:
    """A proxy checks one token, and this service another one."""
    body = json.dumps({"raw": CHAT}).encode()
    twice = ("Authorization: Bearer x", f"Authorization: Bearer {token}")
    answer = _exchange(deployment, _put(token, body, f"Content-Length: {len(body)}", *twice))
    assert answer[9:12] == b"401"


def test_two_conditions_are_one_list(
    deployment: Deployment, token: str, http: httpx.Client
) -> None:
    """Of two conditions, one is chosen (RFC 9110 section 5.3)."""
    key = f"twice-{uuid.uuid4().hex}"
    http.put("/entity/chatdb", json={key: CHAT})
    body = json.dumps({key: CHAT}).encode()
    for versions, status in ((("7", "8"), b"412"), (("7", "1"), b"200"), (("2", "7"), b"200")):
        twice = [f'If-Match: "{version}"' for version in versions]
        request = _put(token, body, f"Content-Length: {len(body)}", *twice)
        assert _exchange(deployment, request)[9:12] == status


def test_head_ends_with_the_headers(deployment: Deployment, http: httpx.Client) -> None:
    """A client that asks with HEAD waits for a body, or takes the next answer for one."""
    key = f"head-{uuid.uuid4().hex}"
    http.put("/entity/chatdb", json={key: {"chat": [], "text": "again and again " * 500}})
    for coding in ("identity", "gzip"):
        sent = {"Accept-Encoding": coding}
        head, get = (
            http.request(method, f"/entity/chatdb?key={key}", headers=sent)
            for method in ("HEAD", "GET")
        )
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == get.headers["Content-Length"]
        assert head.headers.get("Content-Encoding") == get.headers.get("Content-Encoding")
    two = b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    two += b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answers = _exchange(deployment, two)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b'{"status":"ok"}') == 1


def test_options_of_the_whole_service(deployment: Deployment) -> None:
    """The asterisk form of a request target ends in a 500 (RFC 9112 section 3.2.4)."""
    request = b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert _exchange(deployment, request)[9:12] == b"204"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"PUT /entity/chatdb HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n{}",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00" * 1_000,
    ],
)
def test_malformed_requests_are_refused(deployment: Deployment, request_bytes: bytes) -> None:
    """Bytes that are no request end in a 500, or in a dead process."""
    try:
        answer = _exchange(deployment, request_bytes, cut=True)
    except OSError:  # closed while it was sent
        answer = b""
    assert answer == b"" or answer[9:10] == b"4"
    with deployment.http() as http:
        assert http.get("/healthz").status_code == 200
