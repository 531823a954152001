"""A closed loop: so many requests in flight, a new one as soon as an answer has come."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from benchmarks.figure import WrongAnswerError

_SILENCE_S: Final = 20.0
"""How long every lane may be silent before the run is given up."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        kind: What its time is told under, such as "read".
        wire: What a `Lanes` sends of it.
        proof: Stands in the right answer.
        follow_up: What the same lane asks next, as a part of the same operation.
    """

    kind: str
    wire: bytes
    proof: bytes = b""
    follow_up: "Request | None" = None


class Lanes(Protocol):
    """Connections, or streams of one, each with at most one request under way."""

    def send(self, lane: int, wire: bytes) -> None:
        """Send a request."""
        ...

    def receive(self, timeout_s: float) -> Iterable[tuple[int, bytes]]:
        """Wait for answers; return (lane, body) of those that have come.

        Raises:
            WrongAnswerError: The server refuses a request or the connection.
            TimeoutError: None came in time.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(slots=True)
class Run:
    """What one run has seen.

    Attributes:
        seconds: How long it took.
        took_s: The time of each operation, by its kind.
    """

    seconds: float = 0.0
    took_s: dict[str, list[float]] = field(default_factory=dict)

    @property
    def operations(self) -> int:
        """How many operations were answered."""
        return sum(map(len, self.took_s.values()))

    @property
    def per_second(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the time of all operations, in milliseconds (nearest rank)."""
        return percentile([one for kind in self.took_s.values() for one in kind], percent) * 1e3


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of the values that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def run(lanes: Lanes, requests: Iterator[Request], in_flight: int, seconds: float) -> Run:
    """Keep `in_flight` requests under way for that time, or until there are no more; await all.

    Raises:
        WrongAnswerError: An answer is not what it has to be.
        TimeoutError: The server has become silent.
    """
    seen, under_way = Run(), dict[int, tuple[Request, float]]()
    began_s = time.perf_counter()
    ends_s = began_s + seconds

    def begin(lane: int) -> None:
        request = next(requests, None)
        if request is not None:
            under_way[lane] = (request, time.perf_counter())
            lanes.send(lane, request.wire)

    for lane in range(in_flight):
        begin(lane)
    while under_way:
        for lane, body in lanes.receive(_SILENCE_S):
            request, sent_s = under_way.pop(lane)
            if request.proof not in body:
                raise WrongAnswerError(f"{request.kind}: {body[:200]!r}")
            now_s = time.perf_counter()
            if request.follow_up is not None:
                lanes.send(lane, request.follow_up.wire)
                under_way[lane] = (request.follow_up, sent_s)
                continue
            seen.took_s.setdefault(request.kind, []).append(now_s - sent_s)
            if now_s < ends_s:
                begin(lane)
    seen.seconds = time.perf_counter() - began_s
    return seen
