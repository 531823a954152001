"""What a cached entity takes in memory, against the bytes that it consists of."""

import gc
import tracemalloc
from typing import Final

from benchmarks import documents
from benchmarks.figure import Figure, Pair, Pairs, WrongAnswerError, at_most
from benchmarks.ground import Ground
from strongroom.clock import SystemClock
from tests.support.engines import Rig

_ENTITIES: Final = 1_000
_CACHE_BYTES: Final = 64 * 1024 * 1024


def _pairs(ground: Ground) -> Pairs:
    count = ground.at_most(_ENTITIES, 200)
    rig = Rig(ground.folder("cached"), clock=SystemClock())
    keys = [f"k{n}" for n in range(count)]
    writer = rig.worker()
    for n, key in enumerate(keys):
        writer.put(key, documents.document(n))
    while True:
        worker = rig.worker(cache_bytes=_CACHE_BYTES)
        worker.get(keys[0])
        worker.cache.clear()
        gc.collect()
        tracemalloc.start()
        try:
            size_bytes = sum(len(worker.get(key)[1]) for key in keys)
            gc.collect()
            taken_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        counters = worker.counters()
        if counters["cache_entries"] != count:
            raise WrongAnswerError("not everything was cached")
        worker.engine.forget()
        rig.close()
        counted = counters["cache_bytes"] / count
        yield Pair(taken_bytes / count, size_bytes / count, {"counted as_bytes": counted})


FIGURES: Final = (
    Figure(
        name="memory-cached",
        measures="memory of a cached entity of 1.1 KB",
        floor="its bytes",
        unit="bytes",
        goal=at_most(2.0),
        pairs=_pairs,
        rounds=3,
    ),
)
