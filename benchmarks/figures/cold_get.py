"""A read of what is in nobody's cache but the kernel's."""

from itertools import cycle
from typing import Final

import msgspec

from benchmarks import documents, pace
from benchmarks.figure import Figure, Pair, Pairs, WrongAnswerError, at_least
from benchmarks.floors.store import KEY_BYTES, Store
from benchmarks.ground import Ground
from processing_fn.storage.overlap import is_network
from strongroom.clock import SystemClock
from tests.support.engines import Rig

_KEYS: Final = 512
_CACHE_BYTES: Final = 6_000


def _pairs(ground: Ground) -> Pairs:
    count = ground.at_most(_KEYS, 8)
    rig = Rig(ground.folder("cold"), clock=SystemClock())
    rig.is_network = is_network(rig.root)
    # Its cache holds two entities, and they are read in turn: every read is the first one.
    worker = rig.worker(cache_bytes=_CACHE_BYTES)
    store = Store(ground.folder("bare") / "files")
    stored = {f"k{n}": documents.document(n) for n in range(count)}
    for n, (key, document) in enumerate(stored.items()):
        worker.put(key, document)
        store.put(n.to_bytes(KEY_BYTES, "big") + document)
        if worker.get(key)[1] != document or store.get(n.to_bytes(KEY_BYTES, "big")) != document:
            raise WrongAnswerError(f"{key} does not read back as it was put")
    hits = worker.counters()["cache_hits"]
    keys, names = cycle(stored), cycle(n.to_bytes(KEY_BYTES, "big") for n in range(count))

    def ours() -> int:
        return bool(worker.get(next(keys))[1])

    def floor() -> int:
        msgspec.json.decode(store.get(next(names)))
        return 1

    while True:
        mine, bare = pace.per_second(ours, ground.slice_s), pace.per_second(floor, ground.slice_s)
        if worker.counters()["cache_hits"] != hits:
            raise WrongAnswerError("a cold read was a warm one")
        yield Pair(mine, bare)


FIGURES: Final = (
    Figure(
        name="get-cold",
        measures="cold read by the engine, one thread, page cache warm",
        floor="open and read two files, derive, decrypt, parse",
        unit="/s",
        goal=at_least(0.6),
        pairs=_pairs,
        rounds=15,
    ),
)
