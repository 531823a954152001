"""HTTP/1.1 requests over kept connections: a client that takes a few microseconds for each."""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from benchmarks.figure import WrongAnswerError
from benchmarks.load.calls import Load

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_READ_BYTES: Final = 1 << 18


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    number: int = -1
    began_s: float = 0.0
    data: bytes = b""


class Requests:
    """Connections on each of which one request after the other is sent."""

    def __init__(self, address: str, connections: int) -> None:
        """Connect to host:port."""
        host, _, port = address.rpartition(":")
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        for _ in range(connections):
            one = socket.create_connection((host, int(port)), 20)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(one, select.EPOLLIN)
            self._connections[one.fileno()] = _Connection(one)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._poll.close()
        for one in self._connections.values():
            one.socket.close()

    def run(
        self,
        request: Callable[[int], bytes],
        check: Callable[[int, bytes, bytes], object],
        *,
        seconds: float = 600.0,
        calls: int = 1 << 30,
    ) -> Load:
        """Send requests for some time, or some; return when all of them are answered.

        Args:
            request: Returns the whole request of a number, from 0 on.
            check: Is given a number, the head of its answer and the body; raises what is wrong.
            seconds: When no further request is sent.
            calls: How many are sent at most.

        Raises:
            WrongAnswerError: A connection was closed.
        """
        began_s = time.perf_counter()
        ends_s = began_s + seconds
        latencies: list[float] = []
        sent = under_way = 0

        def send(one: _Connection) -> None:
            nonlocal sent, under_way
            if sent < calls and time.perf_counter() < ends_s:
                one.number, one.began_s, one.data = sent, time.perf_counter(), b""
                one.socket.sendall(request(sent))
                sent += 1
                under_way += 1

        for one in self._connections.values():
            send(one)
        while under_way:
            for descriptor, _ in self._poll.poll():
                one = self._connections[descriptor]
                answer = _answer(one)
                if answer is not None:
                    under_way -= 1
                    latencies.append(time.perf_counter() - one.began_s)
                    check(one.number, *answer)
                    send(one)
        return Load(len(latencies), time.perf_counter() - began_s, latencies)


def _answer(one: _Connection) -> tuple[bytes, bytes] | None:
    """Read on; return head and body once both are there."""
    data = one.socket.recv(_READ_BYTES)
    if not data:
        raise WrongAnswerError("the server has closed the connection")
    one.data += data
    head, end, body = one.data.partition(_END)
    if not end:
        return None
    lower = head.lower()
    at = lower.find(_LENGTH)
    if at < 0:
        raise WrongAnswerError("an answer without a length")
    length = int(lower[at + len(_LENGTH) :].partition(b"\r")[0])
    return (head, body) if len(body) >= length else None
