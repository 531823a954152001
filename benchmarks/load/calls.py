"""Calls of one gRPC method, a number of them in flight, each answer judged and timed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from benchmarks.load.http2 import Certificates, Connection
from tests.support.raw_http2 import Field

_SILENCE_S: Final = 20.0


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
        self._connection = Connection(address, fields, certificates)
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

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
            TimeoutError: The server has become silent.
        """
        began_s = time.perf_counter()
        ends_s = began_s + seconds
        under_way: dict[int, tuple[int, float]] = {}
        latencies: list[float] = []
        begun = 0
        while True:
            now_s = time.perf_counter()
            while len(under_way) < in_flight and begun < calls and now_s < ends_s:
                stream = self._connection.begin(self._path, request(begun))
                under_way[stream] = (begun, now_s)
                begun += 1
            if not under_way:
                return Load(len(latencies), time.perf_counter() - began_s, latencies)
            self._connection.flush()
            for stream, answer in self._connection.ended(_SILENCE_S):
                number, sent_s = under_way.pop(stream)
                latencies.append(time.perf_counter() - sent_s)
                check(number, answer)
