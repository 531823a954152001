"""A durable write, by writers that each wait for the answer of theirs."""

import os
from functools import partial
from itertools import count
from typing import Final

from benchmarks import documents
from benchmarks.figure import Figure, Pair, Pairs, WrongAnswerError, at_least
from benchmarks.floors.running import running
from benchmarks.floors.store import KEY_BYTES
from benchmarks.ground import Ground, apart
from benchmarks.load.calls import Calls
from benchmarks.worker import FIELDS, WorkerOf, written
from strongroom import limits

_KEYS: Final = 256
_DOCUMENTS: Final = 16
_PATH: Final = "/bare/Put"


def pairs(ground: Ground, writers: int, size_bytes: int = 1_100) -> Pairs:
    """Yield writes in a second, of documents of a size."""
    worker = WorkerOf.of(ground.deployment())
    store = ground.folder("store") / "files"
    threads = limits.WORKER_THREADS
    arguments = [*worker.floor_arguments(), "--threads", threads, "--store", store]
    with (
        running("benchmarks.floors.call", *arguments) as floor,
        apart(worker.pid, floor.pid),
        worker.calls() as ours,
        Calls(floor.address, worker.certificates, _PATH, *FIELDS) as theirs,
    ):
        keys = ground.at_most(_KEYS, 2 * writers)
        written_ = [documents.document(n, size_bytes) for n in range(_DOCUMENTS)]
        mine = partial(_Ours(worker, keys, written_).measure, ours, writers, ground.slice_s)
        bare = partial(_measure_floor, theirs, keys, written_, writers, ground.slice_s)
        mine(), bare()
        while True:
            yield Pair(mine(), bare())


class _Ours:
    """Writes over a number of keys in turn, each under an id, and knows the version of each."""

    def __init__(self, worker: WorkerOf, keys: int, given: list[bytes]) -> None:
        self._given = given
        self._worker = worker
        self._keys = [f"put-{n}" for n in range(keys)]
        self._versions: dict[str, int] = {}
        self._ids = count()
        self._nonce = os.urandom(8).hex()

    def measure(self, calls: Calls, writers: int, seconds: float) -> float:
        return calls.run(self._request, self._check, writers, seconds=seconds).per_second

    def _request(self, number: int) -> bytes:
        key, request_id = self._keys[number % len(self._keys)], f"{self._nonce}-{next(self._ids)}"
        return self._worker.put(key, self._given[number % len(self._given)], request_id)

    def _check(self, number: int, answer: bytes) -> None:
        key, version = self._keys[number % len(self._keys)], written(answer)
        if version != self._versions.get(key, version - 1) + 1:
            raise WrongAnswerError(f"a write made version {version} of {self._versions[key]}")
        self._versions[key] = version


def _measure_floor(
    calls: Calls, keys: int, given: list[bytes], writers: int, seconds: float
) -> float:
    def request(number: int) -> bytes:
        return _key(number % keys) + given[number % len(given)]

    def check(number: int, answer: bytes) -> None:
        if answer != _key(number % keys):
            raise WrongAnswerError("the floor has written something else")

    return calls.run(request, check, writers, seconds=seconds).per_second


def _key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def _figure(writers: int) -> Figure:
    return Figure(
        name=f"put-grpc-{writers}",
        measures=f"put, gRPC, worker on one core, {writers} writer{'s' if writers > 1 else ''}",
        floor="a bare gRPC handler: lock, encrypt, 2 files, fsync, rename, fsync of the directory",
        unit="/s",
        goal=at_least(0.85),
        pairs=lambda ground: pairs(ground, writers),
    )


FIGURES: Final = (_figure(1), _figure(16))
