"""YCSB's core workloads A, B, C, D and F: reads and writes mixed, some entities far more popular.

B. Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", SoCC 2010. E is left out: there
is no order of keys to scan by. An entity is always put with the document that it has, which costs
what another one would; so each read is compared to the byte.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from benchmarks import documents
from benchmarks.figure import Figure, Pair, Pairs
from benchmarks.filling import filled, key
from benchmarks.ground import Ground
from benchmarks.load.closed_loop import Request, run
from benchmarks.load.faces import Face, GrpcFace, RestFace
from benchmarks.load.keys import Zipfian
from tests.support.deployment import Deployment

_DATABASE: Final = "ycsb"
_ENTITIES: Final = 100_000
_IN_FLIGHT: Final = 16
_SLICES: Final = 4
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_FACES: Final = {"grpc": GrpcFace, "rest": RestFace}


class Mix(NamedTuple):
    """What a workload consists of.

    Attributes:
        reads: Share of reads.
        writes: What the other operations are.
        is_latest: Whether those that were inserted last are the popular ones.
    """

    reads: float
    writes: str
    is_latest: bool = False


MIXES: Final = {
    "a": Mix(0.5, "update"),
    "b": Mix(0.95, "update"),
    "c": Mix(1.0, ""),
    "d": Mix(0.95, "insert", is_latest=True),
    "f": Mix(0.5, "read-modify-write"),
}


def operations(face: Face, mix: Mix, chosen: Zipfian, newest: int) -> Iterator[Request]:
    """Yield operations without end; `newest` is the number of the entity that was inserted last."""

    def read(number: int, follow_up: Request | None = None) -> Request:
        kind = "read" if follow_up is None else mix.writes
        return Request(kind, face.get(key(number)), documents.document(number), follow_up)

    def write(number: int) -> Request:
        name = key(number)
        return Request(mix.writes, face.put(name, documents.document(number)), name.encode())

    while True:
        if chosen.is_one_of(mix.reads):
            # What is on its way still may be read by nobody yet.
            latest = newest - 2 * _IN_FLIGHT - chosen.rank() if mix.is_latest else chosen.place()
            yield read(max(0, latest))
        elif mix.writes == "insert":
            newest += 1
            yield write(newest)
        elif mix.writes == "update":
            yield write(chosen.place())
        else:
            number = chosen.place()
            yield read(number, write(number))


def _pairs(ground: Ground, mix: Mix, face_of: type[GrpcFace] | type[RestFace]) -> Pairs:
    deployment, count = _filled(ground), ground.at_most(_ENTITIES, 400)
    yield from turns(ground, deployment, face_of.of(deployment, _DATABASE), mix, count)


def turns(ground: Ground, deployment: Deployment, face: Face, mix: Mix, count: int) -> Pairs:
    """Measure a mix over the first `count` entities of a face's database, again and again."""
    newest = _newest(deployment, face.database, count)
    requests = operations(face, mix, Zipfian(count), newest)
    lanes = face.lanes(_IN_FLIGHT)
    try:
        while True:
            before_s = processor_s(deployment)
            seen = run(lanes, requests, _IN_FLIGHT, ground.slice_s * _SLICES)
            used_s = processor_s(deployment) - before_s
            beside = {
                "p50_ms": seen.percentile_ms(50),
                "p99_ms": seen.percentile_ms(99),
                "CPU of 1,000_s": used_s / seen.operations * 1_000,
            }
            yield Pair(seen.per_second, beside=beside)
    finally:
        lanes.close()


def processor_s(deployment: Deployment) -> float:
    """Return the processor time of all processes of a deployment until now, in seconds."""
    session, ticks = str(deployment.facts["pids"]["up"]), 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def _newest(deployment: Deployment, database: str, count: int) -> int:
    """Return the number of the last entity: mixes before this one may have inserted some."""
    with deployment.http() as client:

        def is_there(number: int) -> bool:
            path = f"/entity/{database}"
            return client.get(path, params={"key": key(number)}).status_code == httpx.codes.OK

        there, step = count - 1, 1
        while is_there(there + step):
            step *= 2
        missing = there + step
        while missing - there > 1:
            middle = (there + missing) // 2
            there, missing = (middle, missing) if is_there(middle) else (there, middle)
    return there


def _filled(ground: Ground) -> Deployment:
    """Return the deployment, with the database, which is filled when it is asked for first."""
    deployment = ground.deployment()
    with deployment.http() as client:
        if client.get(f"/databases/{_DATABASE}").is_success:
            return deployment
        client.put(f"/databases/{_DATABASE}", json={"schema_id": "chat.v1"}).raise_for_status()
    filled(deployment, _DATABASE, ground.at_most(_ENTITIES, 400))
    return deployment


def _figure(name: str, face: str) -> Figure:
    mix = MIXES[name]
    rest = f", {1 - mix.reads:.0%} {mix.writes}" if mix.writes else ""
    latest = ", latest" if mix.is_latest else ""
    return Figure(
        name=f"ycsb-{name}-{face}",
        measures=f"YCSB {name.upper()}: {mix.reads:.0%} read{latest}{rest}; 16 in flight",
        floor="",
        unit="/s",
        goal=None,
        pairs=partial(_pairs, mix=mix, face_of=_FACES[face]),
        rounds=2,
    )


FIGURES: Final = tuple(_figure(name, face) for name in MIXES for face in _FACES)
