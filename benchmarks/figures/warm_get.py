"""A read of what a worker has cached: one core for the worker, another one for who asks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from benchmarks import documents
from benchmarks.figure import Figure, Pair, Pairs, WrongAnswerError, at_least
from benchmarks.floors.running import Running, running
from benchmarks.ground import Ground, apart, processor_s
from benchmarks.load.calls import Calls, Load
from benchmarks.worker import FIELDS, WorkerOf, read
from strongroom import limits

_KEYS: Final = 64
_KEPT_BYTES: Final = 4 * 1024 * 1024
_PATH: Final = "/bare/Echo"


def pairs(ground: Ground, in_flight: int, size_bytes: int = 1_100) -> Pairs:
    """Yield reads in a second, of documents of a size."""
    worker = WorkerOf.of(ground.deployment())
    count = ground.at_most(min(_KEYS, max(2, _KEPT_BYTES // size_bytes)), 2)
    stored = {f"warm-{n}": documents.document(n, size_bytes) for n in range(count)}
    worker.filled(stored)
    requests = [worker.get(key) for key in stored]
    with worker.calls() as calls:
        expected = [calls.one(request) for request in requests]
    for answer, document in zip(expected, stored.values(), strict=True):
        if read(answer).document != document:
            raise WrongAnswerError("another document than the one that was put")
    with (
        bare(ground, worker, expected[0]) as floor,
        apart(worker.pid, floor.pid),
        worker.calls() as ours,
        Calls(floor.address, worker.certificates, _PATH, *FIELDS) as theirs,
    ):
        ask = partial(_asked, requests=requests, in_flight=in_flight, seconds=ground.slice_s)
        # Both start their threads, and take their time to.
        ask(ours, check=_against(expected))
        ask(theirs, check=_against(expected[:1]))
        while True:
            before = processor_s(worker.pid), processor_s(floor.pid)
            mine = ask(ours, check=_against(expected))
            bare_ = ask(theirs, check=_against(expected[:1]))
            took = processor_s(worker.pid) - before[0], processor_s(floor.pid) - before[1]
            beside = {
                "processor_us": took[0] * 1e6 / mine.calls,
                "of_floor_us": took[1] * 1e6 / bare_.calls,
            }
            yield Pair(mine.per_second, bare_.per_second, beside)


@contextmanager
def bare(ground: Ground, worker: WorkerOf, answer: bytes) -> Iterator[Running]:
    """Run a bare server that answers as the worker does, with as many threads."""
    file = ground.folder("bare") / "answer"
    file.write_bytes(answer)
    threads = limits.WORKER_THREADS
    arguments = [*worker.floor_arguments(), "--threads", threads, "--answer", file]
    with running("benchmarks.floors.call", *arguments) as floor:
        yield floor


def _asked(
    calls: Calls,
    *,
    requests: list[bytes],
    in_flight: int,
    seconds: float,
    check: Callable[[int, bytes], None],
) -> Load:
    return calls.run(lambda n: requests[n % len(requests)], check, in_flight, seconds=seconds)


def _against(expected: list[bytes]) -> Callable[[int, bytes], None]:
    def check(number: int, answer: bytes) -> None:
        if answer != expected[number % len(expected)]:
            raise WrongAnswerError("a warm read has another answer than the one before")

    return check


def _figure(in_flight: int) -> Figure:
    return Figure(
        name=f"get-grpc-{in_flight}",
        measures=f"warm read, gRPC, worker on one core, {in_flight} in flight",
        floor="a bare grpcio thread pool that answers the same bytes over the same mutual TLS",
        unit="/s",
        goal=at_least(0.85),
        pairs=lambda ground: pairs(ground, in_flight),
    )


FIGURES: Final = (_figure(1), _figure(32))
