"""HTTP/1.1 over as many kept-alive connections as there are requests in flight (RFC 9112)."""

import re
import selectors
import socket
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from benchmarks.figure import WrongAnswerError

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_GOOD: Final = frozenset({b"200", b"201", b"204"})
_STATUS: Final = slice(9, 12)
_CHUNK_BYTES: Final = 256 * 1024


class Form:
    """How requests to one host are written."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """Take a `http:` URL of which the host counts, and the headers of every request."""
        fields = {"Host": urlsplit(url).netloc, **headers}
        self._common = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()

    def wire(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return a request."""
        head = f"{method} {path} HTTP/1.1\r\n".encode() + self._common
        if not body:
            return head + b"\r\n"
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head + length.encode() + body


class Http1:
    """The `Lanes` of HTTP/1.1: a lane is a connection. Answers need a Content-Length.

    Attributes:
        retried: How many requests were sent again, as the server asked for.
    """

    def __init__(self, url: str, lanes: int, retry: Collection[bytes] = ()) -> None:
        """Connect to the host of a `http:` URL; what is answered with `retry` is sent again."""
        self.retried = 0
        self._retry = frozenset(retry)
        self._sent = [b""] * lanes
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 80)
        self._selector = selectors.DefaultSelector()
        self._received = [b""] * lanes
        self._sockets = [socket.create_connection(address) for _ in range(lanes)]
        for lane, one in enumerate(self._sockets):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(one, selectors.EVENT_READ, lane)

    def send(self, lane: int, wire: bytes) -> None:
        """Send a request on a connection."""
        self._sent[lane] = wire
        self._sockets[lane].sendall(wire)

    def receive(self, timeout_s: float) -> list[tuple[int, bytes]]:
        """Wait for answers; there may be none yet where requests were sent again."""
        ready = self._selector.select(timeout_s)
        if not ready:
            raise TimeoutError("no answer")
        done = []
        for key, _ in ready:
            lane = key.data
            chunk = self._sockets[lane].recv(_CHUNK_BYTES)
            if not chunk:
                raise WrongAnswerError("the server has closed the connection")
            self._received[lane] += chunk
            received = self._received[lane]
            body = _complete(received)
            if body is None:
                continue
            self._received[lane] = b""
            if received[_STATUS] in self._retry:
                self.retried += 1
                self.send(lane, self._sent[lane])
            elif received[_STATUS] in _GOOD:
                done.append((lane, body))
            else:
                raise WrongAnswerError(received[:600].decode(errors="replace"))
        return done

    def close(self) -> None:
        """Close the connections."""
        self._selector.close()
        for one in self._sockets:
            one.close()


def _complete(received: bytes) -> bytes | None:
    """Return the body of an answer, None while a part of it has not come."""
    head_ends = received.find(_HEAD_END)
    if head_ends < 0:
        return None
    length = _LENGTH.search(received, 0, head_ends)
    body = received[head_ends + len(_HEAD_END) :]
    if len(body) < (int(length[1]) if length else 0):
        return None
    return body
