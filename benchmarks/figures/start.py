"""What a deployment takes from its start to its first answer, with entities on its disk or none."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from benchmarks import documents
from benchmarks.figure import Figure, NotHereError, Pair, Pairs, WrongAnswerError, at_most
from benchmarks.filling import filled, key
from benchmarks.ground import Ground
from tests.support.deployment import Deployment

_DATABASE: Final = "chatdb"
_FEWEST, _MILLION = 10_000, 1_000_000
_OPTION: Final = "BENCH_MILLION"


def _pairs(ground: Ground, entities: int) -> Pairs:
    if ground.is_quick and entities > _FEWEST:
        raise NotHereError("the same as with fewer, where it is only tried")
    if entities >= _MILLION and not os.environ.get(_OPTION):
        raise NotHereError(f"takes minutes and 10 GB of disk: set {_OPTION}=1")
    full = _stopped(ground.folder("full"), ground.at_most(entities, 300))
    # With one, so that there is something to answer.
    empty = _stopped(ground.folder("empty"), 1)
    while True:
        yield Pair(_until_answer_ms(full), _until_answer_ms(empty))


def _stopped(place: Path, entities: int) -> Path:
    """Make a deployment with entities, and end it."""
    deployment = Deployment(place, ("--workers", "1")).start()
    try:
        filled(deployment, _DATABASE, entities)
    finally:
        deployment.stop()
    return place


def _until_answer_ms(place: Path) -> float:
    """Start, read an entity, and end; return the milliseconds until it was read."""
    deployment = Deployment(place, ("--workers", "1"))
    deployment.ready_file.unlink(missing_ok=True)
    began_s = time.perf_counter()
    deployment.start()
    try:
        with deployment.http() as client:
            answer = client.get(f"/entity/{_DATABASE}", params={"key": key(0)})
        took_s = time.perf_counter() - began_s
    finally:
        deployment.stop()
    if answer.status_code != httpx.codes.OK or documents.document(0) not in answer.content:
        raise WrongAnswerError(answer.text)
    return took_s * 1_000


def _figure(entities: int) -> Figure:
    return Figure(
        name=f"start-{entities}",
        measures=f"start to first answer, {entities:,} entities on disk",
        floor="the same with one entity",
        unit="ms",
        goal=at_most(1.2),
        pairs=partial(_pairs, entities=entities),
        rounds=3,
    )


FIGURES: Final = (_figure(_FEWEST), _figure(100_000), _figure(_MILLION))
