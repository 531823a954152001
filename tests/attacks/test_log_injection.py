r"""Text of a client's choosing on its way into the logs, and into the answers' headers.

Whoever can begin a line of a log can make it say anything: a login that was not, another client's
deed. Whoever can send escape sequences writes on the terminal of the operator who reads it. So:
every line of every log is one JSON object of known members, in printable ASCII, whatever was sent.
"""

import json
import socket
import ssl
import subprocess
import sys
import uuid
from typing import Any

import grpc
import pytest

from strongroom import logs
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2
from tests.support.attackers import (
    SECONDS,
    Intruders,
    answers_of,
    grant,
    raw_exchange,
    refused_or_answer,
)
from tests.support.deployment import Deployment

LINE = '{"event": "forged-%s", "level": "info", "client_id": "admin"}'
ESCAPE = "\x1b[2J\x1b]0;%s\x07"


def texts(mark: str) -> list[str]:
    """Return what somebody could send; each holds a mark to look for."""
    line = LINE % mark
    return [
        f"x\n{line}",
        f"x\r\n{line}",
        f"x\r{line}",
        f"x\u2028{line}",
        f"x\u0085{line}",
        f'x", "event": "forged-{mark}',
        f"x\\n{line}",
        f"x\\u000a{line}",
        ESCAPE % mark,
        f"\x9b2J{mark}",
        f"\u202e{mark}",
        f"x\x00{mark}",
        f"x\x7f\x08\x08{mark}",
        f"%0d%0a{line}",
        f"${{jndi:ldap://{mark}}}",
    ]


def every_line(deployment: Deployment) -> list[dict[str, Any]]:
    """Return every line of every log; each has to be what a line is."""
    found = []
    for path in sorted((deployment.root / "run").glob("*.log")):
        raw = path.read_bytes()
        # Before it is taken apart: what a terminal or `grep` would see.
        assert not set(raw) - set(range(0x20, 0x7F)) - {0x0A}, path
        for line in raw.decode("ascii").splitlines():
            told = json.loads(line)
            assert isinstance(told, dict), (path, line)
            assert {"event", "level", "timestamp", "process"} <= told.keys(), (path, line)
            assert told.keys() <= logs._ALLOWED  # noqa: SLF001 - the list that binds
            found.append(told)
    return found


def forged(lines: list[dict[str, Any]], mark: str) -> list[dict[str, Any]]:
    """Return the lines that a client has written: their event is not one of ours."""
    return [line for line in lines if mark in str(line["event"]) or mark in str(line["process"])]


@pytest.fixture
def mark() -> str:
    """Return what is looked for."""
    return uuid.uuid4().hex


def over_rest(making: Intruders, text: str) -> None:
    """Put a text wherever a request over REST takes one."""
    rest = making.root.rest
    named = {"key": text, "prefix": text, "select": text, "cursor": text, "limit": text}
    for name, value in named.items():
        rest.get("/entity/chatdb", params={name: value})
    for path in ("/entity/", "/databases/", "/schemas/", "/clients/", "/workers/", "/jobs/"):
        with_it = path + quoted(text)
        rest.get(with_it)
        rest.put(with_it, json={})
        rest.delete(with_it)
    rest.put("/entity/chatdb", json={text: {"chat": text}})
    rest.post("/entity/chatdb/query", json={"filter": text, "prefix": text})
    rest.post("/entity/chatdb/transform", json={"key": text, "expression": text})
    rest.put("/clients/injected", json={"grants": [grant(text, text, key_prefix=text)]})
    rest.put("/schemas/injected", json={"$schema": text, "$ref": text})
    rest.post("/keys/" + quoted(text) + "/destroy", json={})
    rest.get("/" + quoted(text))
    for auth in ((text, "x"), ("admin", text)):
        rest.post(
            "/oauth/token",
            data={"grant_type": text, "scope": text},
            auth=(quoted(auth[0]), quoted(auth[1])),
        )
    rest.post("/workers/subscribe", json={"worker_id": text, "pubkey": text, "suite": text})


def quoted(text: str) -> str:
    """Return a text with every byte of it escaped."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def over_grpc(making: Intruders, deployment: Deployment, text: str) -> None:
    """Put a text wherever a call takes one."""
    who = making.root
    named: dict[str, Any] = {"database": text, "key": text}
    who.call(who.entities.GetEntity, entity_pb2.GetEntityRequest(**named))
    who.call(
        who.entities.PutEntity,
        entity_pb2.PutEntityRequest(**named, document=text.encode(), request_id=text),
    )
    who.call(
        who.entities.ListEntities,
        entity_pb2.ListEntitiesRequest(
            database="chatdb", prefix=text, filter=text, select=text, page_token=text
        ),
    )
    asked = auth_pb2.IssueTokenRequest(client_id=text, client_secret=text, scope=text)
    with deployment.channel() as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        refused_or_answer(lambda: auth.IssueToken(asked, timeout=SECONDS))


def test_no_parameter_begins_a_line_of_a_log(
    deployment: Deployment, making: Intruders, mark: str
) -> None:
    """If this fails, a client writes entries into the log, or onto an operator's terminal."""
    for text in texts(mark):
        over_rest(making, text)
        over_grpc(making, deployment, text)
    lines = every_line(deployment)
    assert forged(lines, mark) == []
    for name in ("/schemas/injected", "/clients/injected"):
        making.root.rest.delete(name)


HEADERS = (
    "User-Agent",
    "X-Request-ID",
    "traceparent",
    "tracestate",
    "X-Forwarded-For",
    "Referer",
    "Origin",
    "Accept",
    "Content-Type",
    "Content-Encoding",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Authorization",
    "Cookie",
    "Host",
)


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_begins_a_line_of_a_log_or_of_an_answer(
    deployment: Deployment, making: Intruders, mark: str, name: str
) -> None:
    """If this fails, a client writes into the log, or sets a header of its own answer."""
    token = making.root.token
    for text in texts(mark):
        value = text.encode("utf-8")
        head = b"GET /entity/chatdb?key=x HTTP/1.1\r\n"
        if name != "Host":
            head += b"Host: strongroom\r\n"
        if name != "Authorization":
            head += f"Authorization: Bearer {token}\r\n".encode()
        head += name.encode() + b": " + value + b"\r\nConnection: close\r\n\r\n"
        for answer in answers_of(raw_exchange(deployment, head)):
            assert mark.encode() not in answer.head, (name, text, answer.head)
            assert b"forged" not in answer.body.replace(b'\\"', b""), answer.body
    assert forged(every_line(deployment), mark) == []


def test_an_id_that_is_taken_over_is_printable(deployment: Deployment, mark: str) -> None:
    """If this fails, a request id of a client's own is more than a word in the log."""
    for odd in ("<script>", "a b", 'a"b', "a,b", "a;b", "a:b", "a/b", "a=b", "a{b", "a\\b", "a(b"):
        head = (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            f"X-Request-ID: {odd}{mark}\r\n\r\n"
        )
        (answer,) = answers_of(raw_exchange(deployment, head.encode()))
        assert (answer.status, mark.encode() in answer.head) == (200, False)


def test_metadata_of_a_call_begins_no_line(
    deployment: Deployment, making: Intruders, mark: str
) -> None:
    """If this fails, what REST refuses reaches the log over gRPC.

    HTTP/2 itself has no line breaks in metadata, and grpcio sends none; what it does send:
    """
    printable = [text for text in texts(mark) if text.isascii() and text.isprintable()]
    assert len(printable) > 3
    request = entity_pb2.GetEntityRequest(database="nowhere", key="x")
    for text in printable:
        for name in ("x-request-id", "traceparent", "tracestate", "x-forwarded-for", "user-agent"):
            metadata = (*making.root.metadata, (name, text), ("x-bin", text.encode()))
            with pytest.raises(grpc.RpcError) as refused:
                making.root.entities.GetEntity(request, metadata=metadata, timeout=SECONDS)
            error: Any = refused.value
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert mark not in str(error.trailing_metadata())
    assert forged(every_line(deployment), mark) == []


def client_hello(name: bytes) -> bytes:
    """Return how a handshake begins that asks for a server of some name, whatever its bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    # A label of a name has at most 63 letters.
    stand_in = "".join("." if at % 50 == 49 else "a" for at in range(len(name) - 1)) + "a"
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(came, goes, server_hostname=stand_in).do_handshake()
    written = goes.read()
    assert written.count(stand_in.encode()) == 1
    return written.replace(stand_in.encode(), name)


def test_the_name_in_a_handshake_begins_no_line(
    deployment: Deployment, making: Intruders, mark: str
) -> None:
    """If this fails, whoever reaches a port writes entries into the log, without any token.

    gRPC core logs the name of a server that it is not, as it came.
    """
    ready = json.loads((deployment.root / "run" / "grpc.ready").read_text())
    workers = making.root.rest.get("/workers").json()["workers"]
    for address in (
        deployment.facts["grpc_address"],
        f"127.0.0.1:{ready['subscription_port']}",
        *(one["address"] for one in workers),
    ):
        host, port = address.split(":")
        for text in (f"x\n{LINE % mark}", f"x\r{ESCAPE % mark}", f"plain-{mark}"):
            with socket.create_connection((host, int(port)), SECONDS) as connection:
                connection.sendall(client_hello(text.encode()))
                connection.recv(1)
    # A handshake that is cut, and one that is none.
    for sent in (
        client_hello(b"cut-short-by-somebody")[:40],
        b"\x16\x03\x01\xff\xff" + b"\n" * 100,
    ):
        with socket.create_connection((host, int(port)), SECONDS) as connection:
            connection.sendall(sent)
    raw = b"".join(path.read_bytes() for path in (deployment.root / "run").glob("*.log"))
    assert mark.encode() not in raw
    assert every_line(deployment)


def test_the_lines_that_are_looked_at_are_there(deployment: Deployment) -> None:
    """If this fails, the tests above have looked at nothing."""
    logged = {path.name for path in (deployment.root / "run").glob("*.log")}
    assert {"rest.log", "grpc.log", "worker-1.log", "worker-2.log"} <= logged
    assert any(line["event"] == "registered" for line in every_line(deployment))


WRITER = """
import json, sys
from strongroom import logs
logs.configure("tester")
for text in json.load(sys.stdin):
    logs.logger().error("something", reason=text, database=text, client_id=text)
"""


def test_what_is_logged_is_escaped(mark: str) -> None:
    """If this fails, the first field that does hold a client's text opens the log to it."""
    ended = subprocess.run(  # noqa: S603 - the project's own code
        [sys.executable, "-c", WRITER],
        input=json.dumps(texts(mark)).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert set(ended.stderr) <= {*range(0x20, 0x7F), 0x0A}
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["reason"] for line in lines] == texts(mark)
    assert {line["event"] for line in lines} == {"something"}
