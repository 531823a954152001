"""What an operation costs by how many entities a database has, or by how many workers serve it.

Of entities: one request at a time over the gRPC face, as a user's would be, at a database of so
many and, in turn and in the same deployment, at one of a single entity. Of workers: requests in
flight at a deployment of so many and, in turn, at one that has a single worker. To start and to
fill takes longer than to measure: figures in a row share a deployment.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Final, TypeAlias

from benchmarks import documents
from benchmarks.figure import Pair, Pairs
from benchmarks.figures import ycsb
from benchmarks.filling import filled, key
from benchmarks.ground import Ground
from benchmarks.load.closed_loop import Lanes, Request, run
from benchmarks.load.faces import GrpcFace
from tests.support.deployment import Deployment

ENTITIES: Final = (1, 1_000, 10_000, 100_000)
_SHARED: Final = "shared"
_HOT: Final = 64
_STEP: Final = 7_919
"""Prime: its multiples come to all entities before they come to one again."""
_IN_FLIGHT: Final = 16
_PAGE: Final = 100
_AMONG_WORKERS: Final = 1_000
_QUICK: Final = 300
_ONE_WORKER: Final = ("--workers", "1")
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
    number = _number(ground, entities)
    name = "with a cache" if environment is None else "without a cache"
    running = ground.in_turn(name, _on_all(ground, environment or {}))
    many, alone = (GrpcFace.of(running, _database(each)) for each in (number, 1))
    ours, floor = requests(many, number), requests(alone, 1)
    with _connected(many, 1) as lanes:

        def measure(asked: Iterator[Request]) -> float:
            return run(lanes, asked, 1, ground.slice_s).per_second

        # What is read is cached by then.
        measure(ours), measure(floor)
        while True:
            yield Pair(measure(ours), measure(floor))


def _number(ground: Ground, entities: int) -> int:
    return ground.at_most(entities, min(entities, _QUICK))


def _database(entities: int) -> str:
    return f"with-{entities}"


@contextmanager
def _on_all(ground: Ground, environment: dict[str, str]) -> Iterator[Deployment]:
    """Run a deployment that has a database of each number of entities."""
    place = ground.scratch / "of-each-number"
    is_new = not place.exists()
    place.mkdir(exist_ok=True)
    with _running(Deployment(place, _ONE_WORKER, environment=environment)) as running:
        for number in {_number(ground, each) for each in ENTITIES} if is_new else ():
            _fill(running, _database(number), number)
        yield running


def workers_read(ground: Ground, workers: int) -> Pairs:
    """Yield reads in a second by so many workers."""
    return _workers(ground, workers, _reads)


def workers_put(ground: Ground, workers: int) -> Pairs:
    """Yield writes in a second by so many workers."""
    return _workers(ground, workers, _writes)


def _workers(ground: Ground, workers: int, requests: _Requests) -> Pairs:
    alone = ground.deployment()
    many = ground.in_turn(f"{workers} workers", _with_workers(ground, workers))
    entities = _shared(ground)
    faces = [GrpcFace.of(each, _SHARED) for each in (many, alone)]
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


@contextmanager
def _with_workers(ground: Ground, workers: int) -> Iterator[Deployment]:
    """Run a deployment of so many workers that has what the run's own has too."""
    place = ground.folder("workers")
    with _running(Deployment(place, ("--workers", str(workers)))) as running:
        for each in (running, ground.deployment()):
            _fill(each, _SHARED, _shared(ground))
        yield running


def _shared(ground: Ground) -> int:
    return ground.at_most(_AMONG_WORKERS, _QUICK)


def _fill(deployment: Deployment, database: str, entities: int) -> None:
    """Fill a database, unless it is there."""
    with deployment.http() as client:
        if client.get(f"/databases/{database}").is_success:
            return
        client.put(f"/databases/{database}", json={"schema_id": "chat.v1"}).raise_for_status()
    filled(deployment, database, entities)


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
