"""A store as it is measured: started by the program, asked over loopback, told what it does."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from benchmarks.figure import WrongAnswerError
from benchmarks.load.closed_loop import Lanes, Request, Run, run
from benchmarks.peers.ledger import KEYS, Ledger

_FILLING_IN_FLIGHT: Final = 16
_FILLING_S: Final = 300.0
_ANSWER_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Traits:
    """What a store does for the price that is measured, each in a few words."""

    encryption: str
    schema: str
    durability: str
    transport: str
    caller: str

    def over(self, transport: str) -> "Traits":
        """Return the same over another transport."""
        return replace(self, transport=transport)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is started.

    Attributes:
        directory: On a disk; others may pass through it.
        server_core: The processor that everything of it runs on.
        downloads: Where what is downloaded for it is kept.
    """

    directory: Path
    server_core: int
    downloads: Path


@dataclass(frozen=True, slots=True)
class Told:
    """One measured turn: operations per second, and milliseconds that half, 99 % do not exceed."""

    per_second: float
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seen: Run) -> "Told":
        """Return what a run has seen."""
        return cls(seen.per_second, seen.percentile_ms(50), seen.percentile_ms(99))


class Store(Protocol):
    """One store, or one face of it.

    Attributes:
        name: In the table.
        traits: What it does.
    """

    name: str
    traits: Traits

    def start(self, place: Place, stack: ExitStack) -> None:
        """Start it, with a document under each key; `stack` ends it.

        Raises:
            NotHereError: It is not on this machine.
        """
        ...

    def get(self, in_flight: int, seconds: float) -> Told:
        """Read for a time; raises WrongAnswerError."""
        ...

    def put(self, in_flight: int, seconds: float) -> Told:
        """Write for a time, and see that it is there; raises WrongAnswerError."""
        ...


@dataclass
class Asked(ABC):
    """A store that is asked over connections; a subclass says how."""

    _ledger: Ledger = field(default_factory=Ledger, init=False)

    @abstractmethod
    def lanes(self, in_flight: int) -> Lanes:
        """Connect."""
        ...

    @abstractmethod
    def get_wire(self, key: str) -> bytes:
        """Return a read."""
        ...

    @abstractmethod
    def put_wire(self, key: str, document: bytes) -> bytes:
        """Return a write."""
        ...

    def holds(self, answer: bytes, document: bytes) -> bool:
        """Tell whether the answer to a read has a document."""
        return document in answer

    def fill(self) -> None:
        """Put a document under each key."""
        lanes = self.lanes(_FILLING_IN_FLIGHT)
        try:
            run(lanes, islice(self._puts(), KEYS), _FILLING_IN_FLIGHT, _FILLING_S)
        finally:
            lanes.close()

    def get(self, in_flight: int, seconds: float) -> Told:
        """Read the keys in turn; each answer has to be the one that was judged before."""
        lanes = self.lanes(in_flight)
        try:
            judged = [self._judged(lanes, key) for key in self._ledger.all()]
            return Told.of(run(lanes, _again_and_again(judged), in_flight, seconds))
        finally:
            lanes.close()

    def put(self, in_flight: int, seconds: float) -> Told:
        """Write the keys in turn, then read back those that were written."""
        lanes = self.lanes(in_flight)
        try:
            told = Told.of(run(lanes, self._puts(), in_flight, seconds))
            for key in self._ledger.since():
                self._judged(lanes, key)
        finally:
            lanes.close()
        return told

    def _judged(self, lanes: Lanes, key: str) -> Request:
        """Return a read of a key with its right answer; raises WrongAnswerError."""
        wire = self.get_wire(key)
        answers: list[tuple[int, bytes]] = []
        lanes.send(0, wire)
        while not answers:
            answers = list(lanes.receive(_ANSWER_S))
        ((_, answer),) = answers
        if not any(self.holds(answer, one) for one in self._ledger.last(key)):
            raise WrongAnswerError(f"{key}: {answer[:200]!r}")
        return Request("get", wire, answer)

    def _puts(self) -> Iterator[Request]:
        while True:
            key, document = self._ledger.put()
            yield Request("put", self.put_wire(key, document))


def _again_and_again(requests: list[Request]) -> Iterator[Request]:
    while True:
        yield from requests
