"""HTTP/2 by the frame (RFC 9113), for what no library would send.

    frame = length (3 bytes) | type (1) | flags (1) | stream (4) | payload

Header fields are sent literally (RFC 7541), without Huffman coding and without the dynamic table.
"""

import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION = 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES = 16_384
_PROBE = b"are you?"
Field = tuple[str, str]


@dataclass(frozen=True)
class Frame:
    """A frame as it was received."""

    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass(frozen=True)
class Status:
    """How a call has ended: as gRPC says it, or by the number that its stream was reset with."""

    code: int | None
    message: str = ""
    reset: int | None = None


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return a frame, whether it makes sense or not."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def block(fields: Iterable[Field]) -> bytes:
    """Return a header block."""
    return b"".join(b"\x10" + _text(name) + _text(value) for name, value in fields)


def header_frames(raw: bytes, stream: int = 1, *, ends: bool = True) -> list[bytes]:
    """Return a header block as frames; without its end, it is never finished."""
    pieces = [raw[n : n + FRAME_BYTES] for n in range(0, len(raw), FRAME_BYTES)]
    last = len(pieces) - 1
    return [
        frame(
            CONTINUATION if n else HEADERS, END_HEADERS if ends and n == last else 0, stream, piece
        )
        for n, piece in enumerate(pieces)
    ]


def message(payload: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    """Return a message as gRPC prefixes it; `length` says another one than it has."""
    said = len(payload) if length is None else length
    return struct.pack("!BI", compressed, said) + payload


def a_call(path: str, *more: Field) -> list[Field]:
    """Return the header fields of a call."""
    return [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    ]


def _text(value: str) -> bytes:
    raw = value.encode("latin-1")
    return _integer(len(raw)) + raw


def _integer(value: int) -> bytes:
    if value < 0x7F:
        return bytes([value])
    rest, out = value - 0x7F, bytearray([0x7F])
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


class Connection:
    """A connection over TLS that speaks HTTP/2, and trusts one authority."""

    def __init__(
        self, address: str, ca_file: Path, *, alpn: str = "h2", timeout_s: float = 20.0
    ) -> None:
        """Connect; nothing is sent yet."""
        host, _, port = address.rpartition(":")
        context = ssl.create_default_context(cafile=str(ca_file))
        context.set_alpn_protocols([alpn])
        plain = socket.create_connection((host, int(port)), timeout_s)
        self._socket = context.wrap_socket(plain, server_hostname=host)
        self._buffer = b""
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self._window = {0: 65_535}

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._socket.close()

    def send(self, *raw: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(b"".join(raw))

    def begin(self, *, acknowledges: bool = True) -> None:
        """Send the preface; acknowledge the server's settings, and wait until that is known."""
        self.send(PREFACE, frame(SETTINGS))
        if acknowledges:
            self.send(frame(SETTINGS, ACK))
            assert self.answers_ping()

    def call(self, fields: Iterable[Field], body: bytes = b"", stream: int = 1) -> None:
        """Send a call, and the end of it."""
        self.send(*header_frames(block(fields), stream), frame(DATA, END_STREAM, stream, body))

    def send_body(self, body: bytes, stream: int = 1) -> bool:
        """Send a body of any size as flow control lets it; False when the call ends before."""
        at = 0
        while at < len(body):
            window = min(self._window[0], self._window.setdefault(stream, 65_535), FRAME_BYTES)
            if window <= 0:
                received = next(self.frames(), None)
                if received is None or received.kind in {HEADERS, RST_STREAM, GOAWAY}:
                    return False
                self._count(received)
                continue
            piece = body[at : at + window]
            at += len(piece)
            self.send(frame(DATA, END_STREAM if at == len(body) else 0, stream, piece))
            for one in (0, stream):
                self._window[one] -= len(piece)
        return True

    def _count(self, received: Frame) -> None:
        if received.kind == WINDOW_UPDATE:
            credit = int.from_bytes(received.payload, "big")
            self._window[received.stream] = self._window.get(received.stream, 65_535) + credit

    def status(self, stream: int = 1) -> Status | None:
        """Return how a call has ended; None where the connection ends before that."""
        for received in self.frames():
            if received.kind == HEADERS:
                decoded = self._decoder.decode(received.payload)
                fields = {str(name): str(value) for name, value in decoded}
                if received.stream == stream and "grpc-status" in fields:
                    return Status(int(fields["grpc-status"]), fields.get("grpc-message", ""))
            if received.kind == RST_STREAM and received.stream == stream:
                return Status(None, reset=int.from_bytes(received.payload, "big"))
        return None

    def answers_ping(self) -> bool:
        """Tell whether the connection is still served; what else comes is passed over."""
        try:
            self.send(frame(PING, 0, 0, _PROBE))
        except OSError:
            return False
        return any(one.kind == PING and one.payload == _PROBE for one in self.frames())

    def frames(self) -> Iterator[Frame]:
        """Yield what is received, until the other side closes.

        Raises:
            TimeoutError: Nothing came.
        """
        while (received := self._next()) is not None:
            yield received

    def _next(self) -> Frame | None:
        while len(self._buffer) < 9 or len(self._buffer) < 9 + self._length():
            try:
                chunk = self._socket.recv(65_536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not chunk:
                return None
            self._buffer += chunk
        end = 9 + self._length()
        kind, flags, stream = struct.unpack("!BBI", self._buffer[3:9])
        received = Frame(kind, flags, stream & 0x7FFF_FFFF, self._buffer[9:end])
        self._buffer = self._buffer[end:]
        return received

    def _length(self) -> int:
        return int.from_bytes(self._buffer[:3], "big")
