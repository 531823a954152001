"""Unary gRPC calls by the frame: a client that takes a few microseconds for each.

grpcio's own client takes longer for a call than a server does to answer it, so it would be what is
measured. This one keeps a number of calls in flight on one connection of HTTP/2 (RFC 9113) over
TLS, and looks at each answer's message; the header fields that come back it does not decode.
"""

import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import hpack

from benchmarks.figure import WrongAnswerError
from tests.support.raw_http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Field,
    a_call,
    frame,
    message,
)

_HEAD: Final = struct.Struct("!BHBBI")
_NUMBER: Final = struct.Struct("!I")
_INITIAL_WINDOW: Final = 4
_WINDOW_BYTES: Final = 1 << 30
_DEFAULT_WINDOW_BYTES: Final = 65_535
_PREFIX_BYTES: Final = 5
_READ_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files by which both sides prove who they are, and the name that the server has to have.

    Without a certificate of its own the client shows none.
    """

    ca_file: Path
    certificate_file: Path | None
    key_file: Path | None
    server_name: str


@dataclass(frozen=True, slots=True)
class Load:
    """What was done in one slice.

    Attributes:
        calls: How many were answered.
        seconds: In what time.
        latencies_s: Of each call, in the order of the answers.
    """

    calls: int
    seconds: float
    latencies_s: Sequence[float]

    @property
    def per_second(self) -> float:
        """Calls in a second."""
        return self.calls / self.seconds


@dataclass(slots=True)
class _Call:
    number: int
    began_s: float
    stream: int
    unsent: bytes
    window: int
    answer: bytes = b""


class Calls:
    """A connection on which one method is called, again and again."""

    def __init__(self, address: str, certificates: Certificates, path: str, *fields: Field) -> None:
        """Connect.

        Args:
            address: host:port.
            certificates: Of both sides.
            path: /package.Service/Method.
            fields: More header fields, the same with every call.
        """
        host, _, port = address.rpartition(":")
        context = ssl.create_default_context(cafile=str(certificates.ca_file))
        context.set_alpn_protocols(["h2"])
        if certificates.certificate_file is not None:
            context.load_cert_chain(certificates.certificate_file, certificates.key_file)
        plain = socket.create_connection((host, int(port)), 20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain, server_hostname=certificates.server_name)
        self._buffer = bytearray()
        self._window = self._stream_window = _DEFAULT_WINDOW_BYTES
        self._waiting: deque[_Call] = deque()
        self._received = 0
        self._stream = 1
        encoder = hpack.Encoder()
        everything = a_call(path, *fields)
        # The first time the fields enter the table of the connection (RFC 7541); after that they
        # are as many single bytes.
        self._first_block = encoder.encode(everything)
        self._block = encoder.encode(everything)
        window = struct.pack("!HI", _INITIAL_WINDOW, _WINDOW_BYTES)
        self._socket.sendall(
            PREFACE
            + frame(SETTINGS, payload=window)
            + frame(WINDOW_UPDATE, payload=_NUMBER.pack(_WINDOW_BYTES))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def one(self, request: bytes) -> bytes:
        """Make one call; return the message of its answer."""
        answers: list[bytes] = []
        self.run(lambda _: request, lambda _, answer: answers.append(answer), 1, calls=1)
        return answers[0]

    def run(
        self,
        request: Callable[[int], bytes],
        check: Callable[[int, bytes], object],
        in_flight: int,
        *,
        seconds: float = 600.0,
        calls: int = 1 << 30,
    ) -> Load:
        """Make calls for some time, or some calls; return when all of them are answered.

        Args:
            request: Returns the message of the call of a number, from 0 on.
            check: Is given a number and the message of its answer; raises what is wrong with it.
            in_flight: How many calls wait for an answer at a time.
            seconds: When no further call is begun.
            calls: How many are begun at most.

        Raises:
            WrongAnswerError: A call was refused, or has no message.
        """
        began_s = time.perf_counter()
        ends_s = began_s + seconds
        under_way: dict[int, _Call] = {}
        latencies: list[float] = []
        begun = 0
        while True:
            now_s = time.perf_counter()
            out: list[bytes] = []
            while len(under_way) < in_flight and begun < calls and now_s < ends_s:
                body = message(request(begun))
                call = _Call(begun, now_s, self._stream, body, self._stream_window)
                under_way[self._stream] = call
                out.append(self._headers())
                self._waiting.append(call)
                begun += 1
            out += self._bodies()
            if out:
                self._socket.sendall(b"".join(out))
            elif not under_way:
                return Load(len(latencies), time.perf_counter() - began_s, latencies)
            for call in self._ended(under_way):
                latencies.append(time.perf_counter() - call.began_s)
                check(call.number, call.answer)

    def _headers(self) -> bytes:
        block, self._first_block = self._first_block or self._block, b""
        headers = frame(HEADERS, END_HEADERS, self._stream, block)
        self._stream += 2
        return headers

    def _bodies(self) -> list[bytes]:
        """Return what flow control lets out of the bodies that wait, in their order."""
        out: list[bytes] = []
        while self._waiting:
            call = self._waiting[0]
            size = min(len(call.unsent), self._window, call.window, FRAME_BYTES)
            if size <= 0:
                return out
            piece, call.unsent = call.unsent[:size], call.unsent[size:]
            self._window -= size
            call.window -= size
            out.append(frame(DATA, 0 if call.unsent else END_STREAM, call.stream, piece))
            if not call.unsent:
                self._waiting.popleft()
        return out

    def _ended(self, under_way: dict[int, _Call]) -> list[_Call]:
        """Read what has come; return the calls that have ended with it."""
        data = self._socket.recv(_READ_BYTES)
        if not data:
            raise WrongAnswerError("the server has closed the connection")
        self._buffer += data
        buffer, at, ended = bytes(self._buffer), 0, []
        while len(buffer) - at >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(buffer, at)
            end = at + _HEAD.size + (high << 16 | low)
            if len(buffer) < end:
                break
            payload = buffer[at + _HEAD.size : end]
            at = end
            if kind == DATA:
                under_way[stream].answer += payload
                self._received += len(payload)
            elif kind == HEADERS and flags & END_STREAM:
                call = under_way.pop(stream)
                if len(call.answer) < _PREFIX_BYTES:
                    raise WrongAnswerError("a call was answered without a message")
                call.answer = call.answer[_PREFIX_BYTES:]
                ended.append(call)
            elif kind in {RST_STREAM, GOAWAY}:
                raise WrongAnswerError(f"a call was broken off: {payload.hex()}")
            else:
                self._attend(kind, flags, under_way.get(stream), payload)
        del self._buffer[:at]
        if self._received > _WINDOW_BYTES // 2:
            self._socket.sendall(frame(WINDOW_UPDATE, payload=_NUMBER.pack(self._received)))
            self._received = 0
        return ended

    def _attend(self, kind: int, flags: int, call: _Call | None, payload: bytes) -> None:
        """Do what the connection itself asks for."""
        if kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack("!HI", payload):
                if name == _INITIAL_WINDOW:
                    for waiting in self._waiting:
                        waiting.window += value - self._stream_window
                    self._stream_window = value
            self._socket.sendall(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self._socket.sendall(frame(PING, ACK, payload=payload))
        elif kind == WINDOW_UPDATE:
            (more,) = _NUMBER.unpack(payload)
            if call is None:
                self._window += more
            else:
                call.window += more
