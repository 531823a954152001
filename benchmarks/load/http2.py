"""Unary gRPC calls on the streams of one HTTP/2 connection (RFC 9113), written out by the frame.

grpcio's client takes 170 us of a core for a call, more than the server that it would measure; this
one takes about 40. Header fields are compressed as a library does (RFC 7541): what was sent once is
an index of a byte from then on.
"""

import socket
import ssl
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
    frame,
    message,
)

_HEAD: Final = struct.Struct("!HBBBI")
_SETTING: Final = struct.Struct("!HI")
_NUMBER: Final = struct.Struct("!I")
_INITIAL_WINDOW: Final = 4
_WINDOW_BYTES: Final = 1 << 30
_FIRST_WINDOW_BYTES: Final = 65_535
_PREFIX_BYTES: Final = 5
_READ_BYTES: Final = 1 << 18
_CONNECTS_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files by which both sides prove who they are, and the name that the server has to have.

    Without a certificate of its own the client shows none.
    """

    ca_file: Path
    certificate_file: Path | None
    key_file: Path | None
    server_name: str


@dataclass(slots=True)
class _Unsent:
    stream: int
    body: bytes
    window_bytes: int


class Connection:
    """A connection, and the calls that are under way on it; each has a stream."""

    def __init__(
        self,
        address: str,
        fields: tuple[Field, ...] = (),
        certificates: Certificates | None = None,
    ) -> None:
        """Connect.

        Args:
            address: host:port.
            fields: More header fields, the same with every call.
            certificates: Of both sides; without them there is no TLS.
        """
        host, _, port = address.rpartition(":")
        plain = socket.create_connection((host, int(port)), _CONNECTS_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = plain if certificates is None else _over_tls(plain, certificates)
        self._timeout_s = _CONNECTS_S
        self._scheme = "http" if certificates is None else "https"
        self._authority = address
        self._fields = fields
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self._blocks: dict[str, bytes] = {}
        self._decoded: dict[bytes, dict[str, str]] = {}
        self._received = b""
        self._answers: dict[int, list[bytes]] = {}
        self._next_stream = 1
        self._window_bytes = self._stream_window_bytes = _FIRST_WINDOW_BYTES
        self._taken_bytes = 0
        self._unsent: deque[_Unsent] = deque()
        self._out = [
            PREFACE,
            frame(SETTINGS, payload=_SETTING.pack(_INITIAL_WINDOW, _WINDOW_BYTES)),
            frame(WINDOW_UPDATE, payload=_NUMBER.pack(_WINDOW_BYTES)),
        ]

    def begin(self, method: str, request: bytes) -> int:
        """Begin a call of /package.Service/Method; return its stream. `flush` sends it."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._out.append(frame(HEADERS, END_HEADERS, stream, self._block(method)))
        self._unsent.append(_Unsent(stream, message(request), self._stream_window_bytes))
        return stream

    def flush(self) -> None:
        """Send what was begun, as far as flow control lets it out, in its order."""
        while self._unsent:
            first = self._unsent[0]
            body = first.body
            size = min(len(body), self._window_bytes, first.window_bytes, FRAME_BYTES)
            if size <= 0:
                break
            self._window_bytes -= size
            first.window_bytes -= size
            first.body = body[size:]
            self._out.append(
                frame(DATA, 0 if first.body else END_STREAM, first.stream, body[:size])
            )
            if not first.body:
                self._unsent.popleft()
        if self._out:
            self._socket.sendall(b"".join(self._out))
            self._out.clear()

    def ended(self, timeout_s: float) -> list[tuple[int, bytes]]:
        """Wait until calls have ended; return (stream, message) of each.

        Raises:
            WrongAnswerError: One was refused or has no message, or the connection was closed.
            TimeoutError: Nothing came in time.
        """
        done: list[tuple[int, bytes]] = []
        while not done:
            self._read(timeout_s)
            for kind, flags, stream, payload in self._frames():
                if kind == DATA:
                    self._answers.setdefault(stream, []).append(payload)
                    self._taken_bytes += len(payload)
                elif kind == HEADERS:
                    self._status(payload, is_last=bool(flags & END_STREAM))
                    if flags & END_STREAM:
                        done.append((stream, self._answer(stream)))
                else:
                    self._attend(kind, flags, stream, payload)
            self.flush()
        return done

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _block(self, method: str) -> bytes:
        known = self._blocks.get(method)
        if known is not None:
            return known
        newest = _newest(self._encoder)
        block = self._encoder.encode(
            [
                (":method", "POST"),
                (":scheme", self._scheme),
                (":path", method),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                *self._fields,
            ]
        )
        # The first one of a method fills the server's table, the next ones only point into it.
        if _newest(self._encoder) is newest:
            self._blocks[method] = block
        else:
            self._blocks.clear()
        return block

    def _status(self, block: bytes, *, is_last: bool) -> None:
        fields = self._decoded.get(block)
        if fields is None:
            newest = _newest(self._decoder)
            fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
            if _newest(self._decoder) is newest:
                self._decoded[block] = fields
            else:
                self._decoded.clear()
        if is_last and fields.get("grpc-status") != "0":
            raise WrongAnswerError(str(fields))

    def _answer(self, stream: int) -> bytes:
        prefixed = b"".join(self._answers.pop(stream, ()))
        if len(prefixed) < _PREFIX_BYTES:
            raise WrongAnswerError("a call was answered without a message")
        return prefixed[_PREFIX_BYTES:]

    def _attend(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Do what the connection itself asks for."""
        if kind == SETTINGS and not flags & ACK:
            self._set(payload)
            self._out.append(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self._out.append(frame(PING, ACK, payload=payload))
        elif kind == WINDOW_UPDATE:
            (more,) = _NUMBER.unpack(payload)
            if stream == 0:
                self._window_bytes += more
            for one in self._unsent:
                if one.stream == stream:
                    one.window_bytes += more
        elif kind in {RST_STREAM, GOAWAY}:
            raise WrongAnswerError(f"a call was broken off: {payload.hex()}")

    def _set(self, settings: bytes) -> None:
        for name, value in _SETTING.iter_unpack(settings):
            if name == _INITIAL_WINDOW:
                for one in self._unsent:
                    one.window_bytes += value - self._stream_window_bytes
                self._stream_window_bytes = value

    def _read(self, timeout_s: float) -> None:
        if timeout_s != self._timeout_s:
            self._socket.settimeout(timeout_s)
            self._timeout_s = timeout_s
        chunk = self._socket.recv(_READ_BYTES)
        if not chunk:
            raise WrongAnswerError("the server has closed the connection")
        self._received += chunk
        if self._taken_bytes > _WINDOW_BYTES // 2:
            self._out.append(frame(WINDOW_UPDATE, payload=_NUMBER.pack(self._taken_bytes)))
            self._taken_bytes = 0

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        received, at = self._received, 0
        while len(received) - at >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(received, at)
            ends = at + _HEAD.size + (high << 8 | low)
            if ends > len(received):
                break
            yield kind, flags, stream, received[at + _HEAD.size : ends]
            at = ends
        self._received = received[at:]


class Grpc:
    """The `Lanes` of gRPC: a lane is a stream, the method and the answer's message are bytes."""

    def __init__(
        self, address: str, metadata: tuple[Field, ...] = (), ca_file: str | None = None
    ) -> None:
        """Connect to host:port, over TLS where there is a CA."""
        host, _, _ = address.rpartition(":")
        trusted = None if ca_file is None else Certificates(Path(ca_file), None, None, host)
        self._connection = Connection(address, metadata, trusted)
        self._lanes: dict[int, int] = {}

    @staticmethod
    def wire(method: str, request: bytes) -> bytes:
        """Return a request: its method, a newline, and its message."""
        return f"{method}\n".encode() + request

    def send(self, lane: int, wire: bytes) -> None:
        """Begin a stream."""
        method, _, request = wire.partition(b"\n")
        self._lanes[self._connection.begin(method.decode(), request)] = lane
        self._connection.flush()

    def receive(self, timeout_s: float) -> list[tuple[int, bytes]]:
        """Wait for answers."""
        answers = self._connection.ended(timeout_s)
        return [(self._lanes.pop(stream), answer) for stream, answer in answers]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _newest(coder: hpack.Encoder | hpack.Decoder) -> object:
    """Return what its table was given last: while that stays, the same bytes mean the same."""
    return next(iter(coder.header_table.dynamic_entries), None)


def _over_tls(plain: socket.socket, certificates: Certificates) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    context.set_alpn_protocols(["h2"])
    if certificates.certificate_file is not None:
        context.load_cert_chain(certificates.certificate_file, certificates.key_file)
    return context.wrap_socket(plain, server_hostname=certificates.server_name)
