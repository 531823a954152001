"""What an operation costs by how many entities a database has, or by how many workers serve it.

Of entities: one request at a time over the gRPC face, as a user's would be, at a database of so
many and, in turn and in the same deployment, at one of a single entity. Of workers: requests in
flight at a deployment of so many and, in turn, at one that has a single worker.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Final, TypeAlias

from benchmarks import documents
from benchmarks.figure import Pair, Pairs
from benchmarks.figures import ycsb
from benchmarks.filling import deployment_with, filled, key
from benchmarks.ground import Ground
from benchmarks.load.closed_loop import Lanes, Request, run
from benchmarks.load.faces import GrpcFace
from tests.support.deployment import Deployment

_DATABASE: Final = "chatdb"
_ALONE: Final = "one"
_HOT: Final = 64
_STEP: Final = 7_919
"""Prime: its multiples come to all entities before they come to one again."""
_IN_FLIGHT: Final = 16
_PAGE: Final = 100
_SHARED: Final = 1_000
_QUICK: Final = 300
_Requests: TypeAlias = Callable[[GrpcFace, int], Iterator[Request]]
"""Yields requests without end to a database of so many entities."""


def read_warm(ground: Ground, entities: int) -> Pairs:
    """Yield reads in a second of entities that the worker has in its cache."""
    return _entities(ground, entities, partial(_reads, among=_HOT))


def read_cold(ground: Ground, entities: int) -> Pairs:
    """Yield reads in a second by a worker that caches none; the kernel's cache has them."""
    return _entities(ground, entities, _reads, {"STRONGROOM_CACHE_BYTES": "1"})


def put(ground: Ground, entities: int) -> Pairs:
    """Yield writes in a second of entities that are there, all over the database."""
    return _entities(ground, entities, _writes)


def page(ground: Ground, entities: int) -> Pairs:
    """Yield first pages of a listing in a second: 100 entities, or as many as there are."""
    return _entities(ground, entities, _pages)


def _entities(
    ground: Ground,
    entities: int,
    requests: _Requests,
    environment: dict[str, str] | None = None,
) -> Pairs:
    number = ground.at_most(entities, min(entities, _QUICK))
    place = deployment_with(ground, number)
    with _running(Deployment(place, ("--workers", "1"), environment=environment or {})) as running:
        many, alone = (GrpcFace.of(running, name) for name in (_DATABASE, _ALONE))
        ours, floor = requests(many, number), requests(alone, 1)
        with _connected(many, 1) as lanes:

            def measure(asked: Iterator[Request]) -> float:
                return run(lanes, asked, 1, ground.slice_s).per_second

            # What is read is cached by then.
            measure(ours), measure(floor)
            while True:
                yield Pair(measure(ours), measure(floor))


def workers_read(ground: Ground, workers: int) -> Pairs:
    """Yield reads in a second by so many workers."""
    return _workers(ground, workers, _reads)


def workers_put(ground: Ground, workers: int) -> Pairs:
    """Yield writes in a second by so many workers."""
    return _workers(ground, workers, _writes)


def _workers(ground: Ground, workers: int, requests: _Requests) -> Pairs:
    entities = ground.at_most(_SHARED, _QUICK)
    one = deployment_with(ground, entities)
    several = ground.folder("workers")
    with (
        _running(Deployment(one, ("--workers", "1"))) as alone,
        _running(Deployment(several, ("--workers", str(workers)))) as many,
    ):
        filled(many, _DATABASE, entities)
        faces = [GrpcFace.of(each, _DATABASE) for each in (many, alone)]
        with _connected(faces[0], _IN_FLIGHT) as ours, _connected(faces[1], _IN_FLIGHT) as floor:
            asked = [requests(face, entities) for face in faces]

            def measure(lanes: Lanes, number: int) -> tuple[float, float]:
                deployment = (many, alone)[number]
                before_s = ycsb.processor_s(deployment)
                seen = run(lanes, asked[number], _IN_FLIGHT, ground.slice_s)
                used_s = ycsb.processor_s(deployment) - before_s
                return seen.per_second, used_s / seen.operations * 1_000

            measure(ours, 0), measure(floor, 1)
            while True:
                mine, theirs = measure(ours, 0), measure(floor, 1)
                beside = {"CPU of 1,000_s": mine[1], "of floor_s": theirs[1]}
                yield Pair(mine[0], theirs[0], beside)


def _reads(face: GrpcFace, entities: int, among: int | None = None) -> Iterator[Request]:
    for turn in count():
        number = (turn % among if among else turn) * _STEP % entities
        yield Request("read", face.get(key(number)), documents.document(number))


def _writes(face: GrpcFace, entities: int) -> Iterator[Request]:
    for turn in count():
        name, number = key(turn * _STEP % entities), turn * _STEP % entities
        yield Request("write", face.put(name, documents.document(number)), name.encode())


def _pages(face: GrpcFace, entities: int) -> Iterator[Request]:
    listed = face.page(min(entities, _PAGE))
    while True:
        yield Request("page", listed, b"user")


@contextmanager
def _running(deployment: Deployment) -> Iterator[Deployment]:
    deployment.ready_file.unlink(missing_ok=True)
    deployment.start()
    try:
        yield deployment
    finally:
        deployment.stop()


@contextmanager
def _connected(face: GrpcFace, in_flight: int) -> Iterator[Lanes]:
    lanes = face.lanes(in_flight)
    try:
        yield lanes
    finally:
        lanes.close()
