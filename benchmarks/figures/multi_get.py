"""Many entities in one request against as many requests, in a worker's time on its core."""

from functools import partial
from typing import Final

from benchmarks import documents
from benchmarks.figure import Figure, Pair, Pairs, WrongAnswerError, at_least
from benchmarks.ground import Ground, apart
from benchmarks.load.calls import Calls
from benchmarks.worker import WorkerOf, read
from strongroom import limits
from strongroom_pb.v1 import processing_pb2 as pb

_MANY: Final = limits.ENTITIES_PER_REQUEST_MAX
_IN_FLIGHT: Final = 4


def _pairs(ground: Ground) -> Pairs:
    worker = WorkerOf.of(ground.deployment())
    stored = {f"many-{n}": documents.document(n) for n in range(_MANY)}
    worker.filled(stored)
    many = worker.get_many(list(stored))
    single = [worker.get(key) for key in stored]
    with worker.calls("ProcessBatch") as batches, worker.calls() as calls, apart(worker.pid):
        all_of_them = batches.one(many)
        answers = pb.ProcessBatchResponse.FromString(all_of_them).responses
        if [one.result.document for one in answers] != list(stored.values()):
            raise WrongAnswerError("a read of many has other documents than were put")
        each = [calls.one(request) for request in single]
        if [read(one).document for one in each] != list(stored.values()):
            raise WrongAnswerError("a single read has another document than was put")
        mine = partial(_measure, batches, [many], [all_of_them], ground.slice_s)
        theirs = partial(_measure, calls, single, each, ground.slice_s)
        while True:
            yield Pair(mine() * _MANY, theirs())


def _measure(calls: Calls, requests: list[bytes], expected: list[bytes], seconds: float) -> float:
    def check(number: int, answer: bytes) -> None:
        if answer != expected[number % len(expected)]:
            raise WrongAnswerError("a read has another answer than the one before")

    load = calls.run(lambda n: requests[n % len(requests)], check, _IN_FLIGHT, seconds=seconds)
    return load.per_second


FIGURES: Final = (
    Figure(
        name="multi-get",
        measures=f"entities of reads of {_MANY} at once, worker on one core",
        floor="single reads",
        unit="/s",
        goal=at_least(15),
        pairs=_pairs,
    ),
)
