"""Unary gRPC calls on the streams of one HTTP/2 connection (RFC 9113), written out by the frame.

grpcio's client takes 170 us of a core for a call, more than the server that it would measure; this
one takes about 40. Header fields are compressed as a library does (RFC 7541): what was sent once is
an index of a byte from then on.
"""

import select
import socket
import ssl
import struct
from collections.abc import Iterator
from typing import Final

import hpack

from benchmarks.figure import WrongAnswerError

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD: Final = struct.Struct("!HBBBI")
_INITIAL_WINDOW: Final = 4
_WINDOW_BYTES: Final = 2**31 - 1
_OWN_WINDOW_BYTES: Final = 2**30
_FIRST_WINDOW_BYTES: Final = 65_535
_FRAME_BYTES: Final = 16_384
_CHUNK_BYTES: Final = 256 * 1024
_INDEXED, _LONG = 0x80, 0xFF


class Grpc:
    """The `Lanes` of gRPC: a lane is a stream, the method and the answer's message are bytes."""

    def __init__(
        self, address: str, metadata: tuple[tuple[str, str], ...] = (), ca_file: str | None = None
    ) -> None:
        """Connect to host:port, over TLS where there is a CA."""
        host, _, port = address.rpartition(":")
        plain = socket.create_connection((host, int(port)))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = plain if ca_file is None else _over_tls(plain, host, ca_file)
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._scheme = "http" if ca_file is None else "https"
        self._authority = address
        self._metadata = metadata
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self._blocks: dict[bytes, bytes] = {}
        self._decoded: dict[bytes, dict[str, str]] = {}
        self._received = b""
        self._next_stream = 1
        self._lanes: dict[int, int] = {}
        self._messages: dict[int, bytes] = {}
        self._window_bytes, self._taken_bytes = _FIRST_WINDOW_BYTES, 0
        self._waiting: list[tuple[bytes, int]] = []
        settings = struct.pack("!HI", _INITIAL_WINDOW, _WINDOW_BYTES)
        credit = struct.pack("!I", _OWN_WINDOW_BYTES)
        self._socket.sendall(
            _PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, credit)
        )

    @staticmethod
    def wire(method: str, message: bytes) -> bytes:
        """Return a request: its method, a newline, and its message as gRPC prefixes it."""
        return f"{method}\n".encode() + struct.pack("!BI", 0, len(message)) + message

    def send(self, lane: int, wire: bytes) -> None:
        """Begin a stream, or wait until the server has room for it."""
        method, _, body = wire.partition(b"\n")
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._lanes[stream] = lane
        block = self._block(method)
        frames = [_frame(HEADERS, _END_HEADERS, stream, block)]
        pieces = [body[at : at + _FRAME_BYTES] for at in range(0, len(body), _FRAME_BYTES)]
        for number, piece in enumerate(pieces, 1):
            flags = _END_STREAM if number == len(pieces) else 0
            frames.append(_frame(DATA, flags, stream, piece))
        self._waiting.append((b"".join(frames), len(body)))
        self._flush()

    def receive(self, timeout_s: float) -> list[tuple[int, bytes]]:
        """Wait for answers."""
        done: list[tuple[int, bytes]] = []
        while not done:
            self._fill(timeout_s)
            for kind, flags, stream, payload in self._frames():
                if kind == DATA:
                    self._messages[stream] = self._messages.get(stream, b"") + payload
                    self._taken_bytes += len(payload)
                elif kind == HEADERS:
                    self._status(payload, is_last=bool(flags & _END_STREAM))
                    if flags & _END_STREAM:
                        done.append((self._lanes.pop(stream), self._messages.pop(stream, b"")[5:]))
                else:
                    self._control(kind, flags, stream, payload)
        return done

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _block(self, method: bytes) -> bytes:
        known = self._blocks.get(method)
        if known is not None:
            return known
        block = self._encoder.encode(
            [
                (":method", "POST"),
                (":scheme", self._scheme),
                (":path", method.decode()),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                *self._metadata,
            ]
        )
        # The first one of a method fills the server's table, the next ones only point into it.
        if _is_indexed(block):
            self._blocks[method] = block
        else:
            self._blocks.clear()
        return block

    def _status(self, block: bytes, *, is_last: bool) -> None:
        fields = self._decoded.get(block)
        if fields is None:
            fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
            if _is_indexed(block):
                self._decoded[block] = fields
            else:
                self._decoded.clear()
        if is_last and fields.get("grpc-status") != "0":
            raise WrongAnswerError(str(fields))

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & _ACK:
            self._socket.sendall(_frame(SETTINGS, _ACK, 0, b""))
        elif kind == PING and not flags & _ACK:
            self._socket.sendall(_frame(PING, _ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            # That of a stream needs no account: no request is larger than its first window.
            self._window_bytes += int.from_bytes(payload, "big")
            self._flush()
        elif kind in {RST_STREAM, GOAWAY}:
            raise WrongAnswerError(f"the server has ended the call: {payload!r}")

    def _flush(self) -> None:
        while self._waiting and self._waiting[0][1] <= self._window_bytes:
            raw, data_bytes = self._waiting.pop(0)
            self._window_bytes -= data_bytes
            self._socket.sendall(raw)

    def _fill(self, timeout_s: float) -> None:
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            timeout_s = 0.0
        elif not self._readable.poll(timeout_s * 1_000):
            raise TimeoutError("no answer")
        chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise WrongAnswerError("the server has closed the connection")
        self._received += chunk
        if self._taken_bytes > _OWN_WINDOW_BYTES // 2:
            credit = struct.pack("!I", self._taken_bytes)
            self._socket.sendall(_frame(WINDOW_UPDATE, 0, 0, credit))
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


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def _is_indexed(block: bytes) -> bool:
    """Tell whether a block is nothing but indices of a byte each, and so means the same again."""
    return all(_INDEXED < byte < _LONG for byte in block)


def _over_tls(plain: socket.socket, host: str, ca_file: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(plain, server_hostname=host)
