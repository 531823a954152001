"""What no gRPC library would send, to a running deployment: frames, header blocks, bombs, floods.

gRPC's core answers much of it itself, with the codes that gRPC's protocol has for it (INTERNAL for
metadata and compression that cannot be read). What may not happen: that a process dies, that its
memory grows, that others are not served, or that a defect of ours shows.
"""

import gzip
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from strongroom import limits
from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import Deployment, is_alive
from tests.support.raw_http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    Field,
    Status,
    a_call,
    block,
    frame,
    header_frames,
    message,
)

GET = "/strongroom_pb.v1.EntityService/GetEntity"
PUT = "/strongroom_pb.v1.EntityService/PutEntity"
ISSUE = "/strongroom_pb.v1.AuthService/IssueToken"
ASKED = entity_pb2.GetEntityRequest(database="chatdb", key="is-not-there").SerializeToString()
MIB = 1024 * 1024
# What is measured of a process between two looks, its libraries' own habits included.
GROWTH_BYTES_MAX = 64 * MIB
OK, CANCELLED, UNKNOWN, INVALID, DEADLINE, NOT_FOUND = 0, 1, 2, 3, 4, 5
EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 8, 12, 13, 14, 16
CANCEL = struct.pack("!I", 8)


class Face:
    """The gRPC face of a deployment, and the administrator's token."""

    def __init__(self, deployment: Deployment) -> None:
        """Take a running deployment."""
        self.deployment = deployment
        self.token: Field = ("authorization", f"Bearer {deployment.token()}")

    def connect(self, *, alpn: str = "h2") -> Connection:
        """Open a connection; nothing is sent yet."""
        facts = self.deployment.facts
        return Connection(facts["grpc_address"], Path(facts["grpc_ca_file"]), alpn=alpn)

    def ask(self, fields: list[Field], body: bytes) -> Status | None:
        """Make a call on a connection of its own, and return how it ends."""
        with self.connect() as connection:
            connection.begin()
            connection.call(fields, body)
            return connection.status()

    def serves(self) -> bool:
        """Tell whether a call as it should be is answered."""
        status = self.ask(a_call(GET, self.token), message(ASKED))
        return status is not None and status.code == NOT_FOUND

    def memory_bytes(self) -> int:
        """Return what the face's process holds in memory."""
        text = Path(f"/proc/{self.deployment.facts['pids']['grpc']}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.fixture
def face(deployment: Deployment) -> Iterator[Face]:
    """The face, which has to be what it was before when a test is over."""
    face = Face(deployment)
    pids = deployment.all_pids()
    yield face
    assert face.serves()
    assert all(is_alive(pid) for pid in pids)
    assert deployment.reload()["pids"]["grpc"] in pids


def call(stream: int, *more: Field) -> bytes:
    """Return the frames of a call whose token the server has not."""
    return b"".join(
        [
            *header_frames(block(a_call(GET, *more)), stream),
            frame(DATA, END_STREAM, stream, message(ASKED)),
        ]
    )


FIELDS = block(a_call(GET))
# What the server does with each: "ends" the connection, or goes on with it.
FRAMES: dict[str, tuple[bytes, str]] = {
    "data on stream 0": (frame(DATA, 0, 0, b"x"), "goes on"),
    "data on a stream that never was": (frame(DATA, 0, 5, b"x"), "goes on"),
    "a stream of the server's": (frame(HEADERS, END_HEADERS, 2, FIELDS), "goes on"),
    "streams backwards": (call(5) + call(3), "goes on"),
    "a stream twice": (call(1) + call(1), "goes on"),
    "a kind of frame that there is not": (frame(77, 0xFF, 0, b"xxx"), "goes on"),
    "a frame of 1 MiB": (frame(DATA, 0, 1, b"x" * MIB), "ends"),
    "a frame that is announced only": (b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", "ends"),
    "a continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1, FIELDS), "ends"),
    "data within a header block": (
        frame(HEADERS, 0, 1, FIELDS) + frame(DATA, END_STREAM, 1, message(ASKED)),
        "ends",
    ),
    "a header block that is no HPACK": (
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 50),
        "ends",
    ),
    "an index of HPACK that there is not": (
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xfe"),
        "ends",
    ),
    "a table of HPACK of 256 MiB": (
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\xff\xff\x7f" + FIELDS),
        "ends",
    ),
    "a header block cut short": (
        frame(HEADERS, END_HEADERS | END_STREAM, 1, FIELDS[:-20]),
        "ends",
    ),
    "more padding than frame": (
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + FIELDS[:20]),
        "ends",
    ),
    "a stream that depends on itself": (
        frame(HEADERS, END_HEADERS | PRIORITIZED, 1, struct.pack("!IB", 1, 1) + FIELDS),
        "goes on",
    ),
    "a promise of a client's": (
        frame(PUSH_PROMISE, END_HEADERS, 1, b"\x00\x00\x00\x02" + FIELDS),
        "goes on",
    ),
    "settings of 3 bytes": (frame(SETTINGS, 0, 0, b"abc"), "ends"),
    "settings of a stream": (frame(SETTINGS, 0, 1), "ends"),
    "settings acknowledged with some": (frame(SETTINGS, ACK, 0, b"abcdef"), "ends"),
    "a window of 4 GiB": (frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 2**32 - 1)), "ends"),
    "frames of no bytes": (frame(SETTINGS, 0, 0, struct.pack("!HI", 5, 0)), "ends"),
    "a table of 4 GiB": (frame(SETTINGS, 0, 0, struct.pack("!HI", 1, 2**32 - 1)), "goes on"),
    "no more window": (frame(WINDOW_UPDATE, 0, 0, bytes(4)), "ends"),
    "a window of 1 byte's size": (frame(WINDOW_UPDATE, 0, 0, b"\x00"), "ends"),
    "a ping of 3 bytes": (frame(PING, 0, 0, b"123"), "ends"),
    "a reset of nothing": (frame(RST_STREAM, 0, 7, CANCEL), "goes on"),
    "a reset of 1 byte": (frame(RST_STREAM, 0, 1, b"\x00"), "ends"),
    "a priority of 1 byte": (frame(PRIORITY, 0, 1, b"\x00"), "goes on"),
    "a farewell": (frame(GOAWAY, 0, 0, bytes(8)), "goes on"),
    "a farewell of 3 bytes": (frame(GOAWAY, 0, 0, b"abc"), "ends"),
}


@pytest.mark.parametrize("case", FRAMES)
def test_a_malformed_frame_ends_its_connection_at_most(face: Face, case: str) -> None:
    """A frame that no library sends ends the process, or others are not served any more."""
    raw, what = FRAMES[case]
    with face.connect() as connection:
        connection.begin()
        try:
            connection.send(raw)
        except OSError:
            assert what == "ends"
            return
        if what == "goes on":
            assert connection.answers_ping()
        else:
            assert not connection.answers_ping()


NOT_HTTP2 = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: strongroom\r\n\r\n",
    "zeros": bytes(1000),
    "a preface that goes wrong": PREFACE[:-4] + b"XX\r\n",
}


@pytest.mark.parametrize("case", NOT_HTTP2)
def test_what_is_no_http2_is_hung_up_on(face: Face, case: str) -> None:
    """Something else on the port is answered at length, or holds a connection for ever."""
    with face.connect() as connection:
        connection.send(NOT_HTTP2[case])
        assert list(connection.frames()) == [] or not connection.answers_ping()


def _with(name: str, value: str) -> list[Field]:
    return [(n, value if n == name else v) for n, v in a_call(GET)]


def _without(name: str) -> list[Field]:
    return [(n, v) for n, v in a_call(GET) if n != name]


# Header fields (the token is added), the body, and the codes with which the call may end; None:
# its stream is reset.
CALLS: dict[str, tuple[list[Field], bytes, set[int | None]]] = {
    "as it should be": (a_call(GET), message(ASKED), {NOT_FOUND}),
    "a GET": (_with(":method", "GET"), message(ASKED), {None}),
    "no path": (_without(":path"), message(ASKED), {None}),
    "no scheme": (_without(":scheme"), message(ASKED), {None, NOT_FOUND}),
    "no authority": (_without(":authority"), message(ASKED), {None, NOT_FOUND}),
    "no te": (_without("te"), message(ASKED), {None}),
    "a path to nothing": (_with(":path", "/x/y"), message(ASKED), {UNIMPLEMENTED}),
    # Up to grpcio 1.83 the call alone fails, from 1.84 on the server ends (ADR 0021).
    "a path that is no UTF-8": (
        _with(":path", "/\xff/y"),
        message(ASKED),
        {UNIMPLEMENTED, UNKNOWN},
    ),
    "a path of odd characters": (_with(":path", "/\x00/\x7f"), message(ASKED), {UNIMPLEMENTED}),
    "a long path": (_with(":path", "/" + "x" * 8_000), message(ASKED), {UNIMPLEMENTED}),
    "two paths": (a_call(GET, (":path", PUT)), message(ASKED), {None, NOT_FOUND, INVALID}),
    "no body": (a_call(GET), b"", {INVALID}),
    "half a prefix": (a_call(GET), b"\x00\x00", {INVALID}),
    "half a message": (a_call(GET), message(ASKED, length=1_000), {INVALID}),
    "4 GiB announced": (a_call(GET), message(b"x", length=2**32 - 1), {EXHAUSTED}),
    "two messages": (a_call(GET), message(ASKED) * 2, {NOT_FOUND}),
    "no message of this call": (a_call(GET), message(b"\xff" * 9), {INVALID}),
    "a flag that there is not": (a_call(GET), message(ASKED, compressed=7), {NOT_FOUND, INVALID}),
    "compressed by nothing": (a_call(GET), message(ASKED, compressed=1), {NOT_FOUND, INTERNAL}),
    "compressed by what nobody knows": (
        a_call(GET, ("grpc-encoding", "br")),
        message(ASKED, compressed=1),
        {INTERNAL, UNIMPLEMENTED},
    ),
    "compressed well": (
        a_call(GET, ("grpc-encoding", "gzip")),
        message(gzip.compress(ASKED), compressed=1),
        {NOT_FOUND},
    ),
    "no gzip": (
        a_call(GET, ("grpc-encoding", "gzip")),
        message(b"not gzip", compressed=1),
        {INTERNAL},
    ),
    "gzip cut short": (
        a_call(GET, ("grpc-encoding", "gzip")),
        message(gzip.compress(ASKED)[:-6], compressed=1),
        {INTERNAL},
    ),
    "a timeout in words": (a_call(GET, ("grpc-timeout", "soon")), message(ASKED), {INTERNAL}),
    "a timeout in the past": (a_call(GET, ("grpc-timeout", "-1S")), message(ASKED), {INTERNAL}),
    "no time at all": (a_call(GET, ("grpc-timeout", "0n")), message(ASKED), {DEADLINE}),
    "11,000 years": (a_call(GET, ("grpc-timeout", "99999999H")), message(ASKED), {NOT_FOUND}),
    "binary that is none": (a_call(GET, ("x-bin", "***")), message(ASKED), {INTERNAL}),
    "a name in capitals": (a_call(GET, ("X-Upper", "1")), message(ASKED), {INTERNAL}),
    "a value with a NUL": (a_call(GET, ("x-odd", "a\x00b")), message(ASKED), {NOT_FOUND, INTERNAL}),
    "a name of nothing": (a_call(GET, ("", "x")), message(ASKED), {INTERNAL}),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_malformed_call_ends_with_a_status(face: Face, case: str) -> None:
    """A call that cannot be read is taken for another one, or ends as a defect of ours."""
    fields, body, codes = CALLS[case]
    status = face.ask([*fields, face.token], body)
    assert status is not None
    assert status.code in codes, status
    assert "internal error; the log" not in status.message


TOKENS: dict[str, list[Field]] = {
    "none": [],
    "binary": [("authorization-bin", "AAAA")],
    "no text": [("authorization", "Bearer \xff\xfe")],
    "one of 15 KiB": [("authorization", "Bearer " + "x" * 15_000)],
}


@pytest.mark.parametrize("case", TOKENS)
def test_an_odd_token_is_no_proof(face: Face, case: str) -> None:
    """Bytes that are no token let somebody in, or end as a defect."""
    status = face.ask(a_call(GET, *TOKENS[case]), message(ASKED))
    assert status is not None
    assert status.code == UNAUTHENTICATED


MANY = [(f"x-{n}", "1") for n in range(10_000)]


@pytest.mark.parametrize("acknowledges", [True, False])
@pytest.mark.parametrize("more", [MANY, [("x-large", "x" * MIB)]], ids=["10,000", "1 MiB"])
def test_too_many_metadata_are_refused(
    face: Face, more: list[Field], *, acknowledges: bool
) -> None:
    """Metadata, which come before any token is looked at, fill the memory."""
    before = face.memory_bytes()
    for _ in range(4):
        with face.connect() as connection:
            connection.begin(acknowledges=acknowledges)
            connection.call(a_call(GET, face.token, *more), message(ASKED))
            status = connection.status()
            assert status is not None
            assert status.code in {INVALID, EXHAUSTED}
    assert face.memory_bytes() - before < GROWTH_BYTES_MAX


def test_a_header_block_without_end_is_not_kept(face: Face) -> None:
    """A stranger that never ends its headers fills the memory."""
    before = face.memory_bytes()
    endless = [*a_call(GET), *[("x-more", "1")] * 200_000]
    for raw in (block(endless), block(a_call(GET, ("x-large", "x" * 20 * MIB)))):
        for _ in range(4):
            with face.connect() as connection:
                connection.begin()
                try:
                    connection.send(*header_frames(raw, ends=False))
                except OSError:
                    continue
                assert face.memory_bytes() - before < GROWTH_BYTES_MAX


def test_who_acknowledges_no_settings_is_hung_up_on(face: Face) -> None:
    """The bound on metadata holds from the acknowledgement on; a stranger waits with that."""
    with face.connect() as connection:
        connection.begin(acknowledges=False)
        begun_s = time.monotonic()
        assert [one.kind for one in connection.frames()][-1] == GOAWAY
        assert time.monotonic() - begun_s < limits.CONNECTION_BEGUN_SECONDS + 5


@cache
def _bomb(size_bytes: int, encoding: str) -> bytes:
    """Return zeros of that size, compressed."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    piece = bytes(MIB)
    return b"".join(deflate.compress(piece) for _ in range(size_bytes // MIB)) + deflate.flush()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", [PUT, ISSUE])
def test_a_bomb_is_not_unpacked(face: Face, path: str, encoding: str) -> None:
    """A small message becomes one of gigabytes, a stranger's too."""
    bomb = message(_bomb(512 * MIB, encoding), compressed=1)
    before = face.memory_bytes()
    for _ in range(3):
        with face.connect() as connection:
            connection.begin()
            fields = a_call(path, face.token, ("grpc-encoding", encoding))
            connection.send(*header_frames(block(fields)))
            connection.send_body(bomb)
            assert face.memory_bytes() - before < GROWTH_BYTES_MAX
    assert face.ask(fields, message(_bomb(8 * MIB, encoding), compressed=1)) == Status(
        EXHAUSTED, "Decompressed message larger than max"
    )


def _rapid_reset(first: int) -> bytes:
    streams = range(first, first + 2_000, 2)
    return b"".join(
        frame(HEADERS, END_HEADERS, stream, FIELDS) + frame(RST_STREAM, 0, stream, CANCEL)
        for stream in streams
    )


FLOODS: dict[str, Callable[[int], bytes]] = {
    "calls that are reset at once": _rapid_reset,
    "pings": lambda _: frame(PING, 0, 0, b"12345678") * 1_000,
    "settings": lambda _: frame(SETTINGS) * 1_000,
    "priorities": lambda _: frame(PRIORITY, 0, 1, struct.pack("!IB", 0, 1)) * 1_000,
    "empty data": lambda n: frame(HEADERS, END_HEADERS, n, FIELDS) + frame(DATA, 0, n) * 1_000,
}


@pytest.mark.parametrize("case", FLOODS)
def test_a_flood_on_one_connection_leaves_others_served(face: Face, case: str) -> None:
    """A stranger with one connection stops the service for everybody."""
    before = face.memory_bytes()
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            with face.connect() as connection:
                connection.send(PREFACE, frame(SETTINGS), frame(SETTINGS, ACK))
                try:
                    for n in range(20):
                        connection.send(FLOODS[case](1 + n * 2_000))
                except (OSError, TimeoutError):
                    continue

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        assert all(face.serves() for _ in range(20))
    finally:
        over.set()
        flooding.join(30)
    assert face.memory_bytes() - before < GROWTH_BYTES_MAX


def test_slow_calls_end_and_hold_nobody_up(face: Face) -> None:
    """Clients that send nothing, or a byte now and then, hold places for as long as they like."""
    ends: dict[str, float] = {}

    def slow(name: str, token: list[Field], *, drips: bool) -> None:
        with face.connect() as connection:
            connection.begin()
            path = GET if token else ISSUE
            connection.send(*header_frames(block(a_call(path, *token))))
            begun_s = time.monotonic()
            body = message(ASKED.ljust(1_000, b"\x00"))
            if drips:
                for byte in body[:120]:
                    connection.send(frame(DATA, 0, 1, bytes([byte])))
                    time.sleep(0.1)
            status = connection.status()
            assert status is not None
            assert status.code in {DEADLINE, EXHAUSTED}, (name, status)
            ends[name] = time.monotonic() - begun_s

    kinds = [
        (name, token, drips)
        for name, token in (("client", [face.token]), ("stranger", []))
        for drips in (False, True)
    ]
    threads = [
        threading.Thread(target=slow, args=(f"{name} {drips}", token), kwargs={"drips": drips})
        for name, token, drips in kinds
    ]
    for thread in threads:
        thread.start()
    assert all(face.serves() for _ in range(5))
    for thread in threads:
        thread.join(60)
    assert len(ends) == len(kinds)
    assert max(ends.values()) < limits.BODY_SECONDS + limits.RECEIVE_WAIT_SECONDS + 5
