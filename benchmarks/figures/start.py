"""What a deployment takes from its start to its first answer, with entities on its disk or one.

Both deployments have lain in the kernel's cache since they were made, and are started in turn, now
the one first and now the other. What is set against each other is the time of the processor, of all
of the deployment's processes: on a machine that others use too, the time that a client waits says
little; it stands beside.
"""

import os
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import httpx

from benchmarks import documents
from benchmarks.figure import Figure, NotHereError, Pair, Pairs, WrongAnswerError, at_most
from benchmarks.figures.ycsb import processor_s
from benchmarks.filling import deployment_with, key
from benchmarks.ground import Ground
from tests.support.deployment import Deployment

_DATABASE: Final = "chatdb"
_FEWEST, _MILLION = 10_000, 1_000_000
_OPTION: Final = "BENCH_MILLION"


def pairs(ground: Ground, entities: int) -> Pairs:
    """Yield milliseconds of the processor until the first answer."""
    if ground.is_quick and entities > _FEWEST:
        raise NotHereError("the same as with fewer, where it is only tried")
    if entities >= _MILLION and not os.environ.get(_OPTION):
        raise NotHereError(f"takes minutes and 10 GB of disk: set {_OPTION}=1")
    full = deployment_with(ground, ground.at_most(entities, min(entities, 300)))
    # With one, so that there is something to answer.
    empty = deployment_with(ground, 1)
    for turn in count():
        if turn % 2:
            ours, floor = _until_answer(full), _until_answer(empty)
        else:
            floor, ours = _until_answer(empty), _until_answer(full)
        beside = {"wait_ms": ours[0], "wait_of_floor_ms": floor[0]}
        yield Pair(ours[1], floor[1], beside)


def _until_answer(place: Path) -> tuple[float, float]:
    """Start, read an entity, and end; return the milliseconds until then, and of the processor."""
    deployment = Deployment(place, ("--workers", "1"))
    deployment.ready_file.unlink(missing_ok=True)
    began_s = time.perf_counter()
    deployment.start()
    try:
        with deployment.http() as client:
            answer = client.get(f"/entity/{_DATABASE}", params={"key": key(0)})
        took_s, used_s = time.perf_counter() - began_s, processor_s(deployment)
    finally:
        deployment.stop()
    if answer.status_code != httpx.codes.OK or documents.document(0) not in answer.content:
        raise WrongAnswerError(answer.text)
    return took_s * 1_000, used_s * 1_000


def _figure(entities: int) -> Figure:
    return Figure(
        name=f"start-{entities}",
        measures=f"start to first answer, {entities:,} entities on disk, time of the processor",
        floor="the same with one entity",
        unit="ms",
        goal=at_most(1.2),
        pairs=partial(pairs, entities=entities),
        rounds=5,
    )


FIGURES: Final = (_figure(_FEWEST), _figure(_MILLION))
