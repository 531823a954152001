"""Headers, metadata and credentials without end: refused, and nobody else notices.

Over REST a head of more than 64 KiB is refused, at 128 at the latest, and one of more than 100
fields; over gRPC metadata of more than 16 KiB. A token is looked at up to 4 KiB.
"""

import base64
import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2
from tests.support.attackers import (
    SECONDS,
    Intruders,
    answers_of,
    raw_exchange,
    refused_or_answer,
)
from tests.support.deployment import CHAT, Deployment, is_alive

MIB = 1024 * 1024
HELD = 400
HEAD_BYTES_MAX = 128 * 1024  # hyper reads ahead, up to twice what it is told


def resident_bytes(pid: int) -> int:
    """Return how much memory a process and its children have."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
        except OSError:
            continue
        if pid in {int(fields["Pid"]), int(fields["PPid"])} and "VmRSS" in fields:
            total += int(fields["VmRSS"].split()[0]) * 1024
    return total


def head(*lines: str) -> bytes:
    """Return a request for something that anybody may have."""
    begun = ["GET /healthz HTTP/1.1", "Host: strongroom", "Connection: close", *lines]
    return ("\r\n".join(begun) + "\r\n\r\n").encode()


HEADS = {
    "one field": head("X-A: " + "a" * MIB),
    "one name": head("X-" + "a" * MIB + ": a"),
    "the token": head("Authorization: Bearer " + "a" * MIB),
    "credentials": head("Authorization: Basic " + "QUFB" * (MIB // 4)),
    "a cookie": head("Cookie: " + "a=b; " * (MIB // 5)),
    "the trace": head("tracestate: " + "a=b," * (MIB // 4)),
    "the forwarding": head("X-Forwarded-For: " + "10.0.0.1, " * (MIB // 10)),
    "tags": head("If-None-Match: " + '"1", ' * (MIB // 5)),
    "media types": head("Accept: " + "a/b;q=0.1, " * (MIB // 11)),
    "fields": head(*(f"X-{n}: a" for n in range(10_000))),
    "the same field": head(*("X-A: a" for _ in range(10_000))),
    "the path": b"GET /" + b"a" * MIB + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "the query": b"GET /healthz?" + b"a=b&" * (MIB // 4) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "the method": b"G" * MIB + b" / HTTP/1.1\r\nHost: a\r\n\r\n",
    "the version": b"GET / HTTP/1." + b"1" * MIB + b"\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_without_end_is_refused(deployment: Deployment, case: str) -> None:
    """If this fails, one client fills the memory of a face by headers alone."""
    answers = answers_of(raw_exchange(deployment, HEADS[case]))
    # A server that has read enough may close without a word.
    assert all(400 <= answer.status < 500 for answer in answers), answers
    assert httpx.get(f"{deployment.facts['http_url']}/healthz").status_code == 200


LARGE_YET_TAKEN = {
    "the token": ("Authorization: Bearer " + "a" * 50_000, 401),
    "segments": ("Authorization: Bearer " + "a." * 25_000, 401),
    "credentials": ("Authorization: Basic " + "QUFB" * 12_000, 401),
    "the trace": ("tracestate: " + "a=b," * 12_000, 401),
    "the forwarding": ("X-Forwarded-For: " + "10.0.0.1, " * 5_000, 401),
    "tags": ("If-None-Match: " + '"1", ' * 10_000, 401),
    "media types": ("Accept: " + "a/b;q=0.1, " * 4_000, 401),
    "the content's coding": ("Content-Encoding: " + "gzip, " * 8_000, 401),
}


@pytest.mark.parametrize("case", LARGE_YET_TAKEN)
def test_what_is_taken_is_read_in_time(deployment: Deployment, case: str) -> None:
    """If this fails, a header that is within the bound keeps a thread busy for seconds."""
    line, status = LARGE_YET_TAKEN[case]
    raw = head(line).replace(b"GET /healthz", b"GET /clients")
    for _ in range(3):
        # Quadratic work on it would take a minute; a busy machine has five seconds.
        (answer,) = answers_of(raw_exchange(deployment, raw, ends_in_s=5.0))
        assert answer.status == status


def test_many_heads_at_once_leave_room(deployment: Deployment) -> None:
    """If this fails, some connections with long heads, never ended, take a face's memory."""
    rest = deployment.facts["pids"]["rest"]
    host, port = deployment.facts["http_url"].removeprefix("http://").split(":")
    before = resident_bytes(rest)
    with ExitStack() as held:
        for _ in range(HELD):
            connection = socket.create_connection((host, int(port)), SECONDS)
            held.enter_context(connection).sendall(head("X-A: " + "a" * 60_000)[:-2])
        with deployment.http() as http:
            assert http.put("/entity/chatdb", json={"oversized": CHAT}).status_code in {200, 201}
        gained = resident_bytes(rest) - before
    assert gained < HELD * HEAD_BYTES_MAX + MIB * 32
    assert all(is_alive(pid) for pid in deployment.all_pids())


METADATA: dict[str, tuple[tuple[str, str | bytes], ...]] = {
    "one value": (("x-a", "a" * 100_000),),
    "the token": (("authorization", "Bearer " + "a" * 100_000),),
    "many": tuple((f"x-{n}", "a" * 100) for n in range(1_000)),
    "the same name": tuple(("x-a", "a" * 100) for _ in range(1_000)),
    "bytes": (("x-bin", b"\x00" * 100_000),),
    "a name": (("x-" + "a" * 60_000, "a"),),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_without_end_is_refused(
    deployment: Deployment, making: Intruders, case: str
) -> None:
    """If this fails, one client fills the memory of the gRPC face before it has proven anything."""
    request = entity_pb2.GetEntityRequest(database="chatdb", key="x")
    # A face of its own: what is refused may cost the connection.
    with deployment.channel() as channel:
        stub = type(making.root.entities)(channel)
        for proven in ((), making.root.metadata):
            metadata = (*proven, *METADATA[case])
            call = partial(stub.GetEntity, request, metadata=metadata, timeout=SECONDS)
            answer = refused_or_answer(call)
            assert answer.code in {
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.UNAUTHENTICATED,
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.INTERNAL,
            }
    served = making.root.call(making.root.entities.GetEntity, request)
    assert served.code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("size", [5_000, 60_000, 200_000])
def test_credentials_without_end_are_refused(deployment: Deployment, size: int) -> None:
    """If this fails, a MAC is computed over whatever somebody sends, or an id is looked up."""
    long = "a" * size
    url = f"{deployment.facts['http_url']}/oauth/token"
    for auth in ((long, "x"), ("admin", long)):
        basic = base64.b64encode(":".join(auth).encode()).decode()
        raw = httpx.Request(
            "POST",
            url,
            data={"grant_type": "client_credentials"},
            headers={"Authorization": f"Basic {basic}"},
        )
        lines = [f"{name}: {value}" for name, value in raw.headers.items()]
        sent = "\r\n".join(["POST /oauth/token HTTP/1.1", *lines, "Connection: close"])
        answers = answers_of(raw_exchange(deployment, sent.encode() + b"\r\n\r\n" + raw.content))
        assert all(answer.status in {401, 431} for answer in answers)
        with deployment.channel() as channel:
            asked = auth_pb2.IssueTokenRequest(client_id=auth[0], client_secret=auth[1])
            stub: Any = auth_pb2_grpc.AuthServiceStub(channel)
            answer = refused_or_answer(partial(stub.IssueToken, asked, timeout=SECONDS))
            assert answer.reason in {"unauthenticated", "too-large"}
