"""A query over all entities of a database, none of them cached: what it looks at in a second."""

from typing import Final

import jmespath
import msgspec

from benchmarks import documents, pace
from benchmarks.figure import Figure, Pair, Pairs, WrongAnswerError, at_least
from benchmarks.floors.store import KEY_BYTES, Store
from benchmarks.ground import Ground
from processing_fn.service.scanning import Query
from processing_fn.storage.overlap import is_network
from strongroom.clock import SystemClock
from tests.support.engines import Rig, Worker

_ENTITIES: Final = 3_000
_MATCHING: Final = 1
_FILTER: Final = "chat[0].text == '77'"


def _pairs(ground: Ground) -> Pairs:
    count = ground.at_most(_ENTITIES, 400)
    rig = Rig(ground.folder("scan"), clock=SystemClock())
    rig.is_network = is_network(rig.root)
    worker = rig.worker(cache_bytes=1)
    store = Store(ground.folder("bare") / "files")
    names = [n.to_bytes(KEY_BYTES, "big") for n in range(count)]
    for n, name in enumerate(names):
        worker.put(f"k{n}", documents.document(n))
        store.put(name + documents.document(n))
    expression = jmespath.compile(_FILTER)

    def ours() -> int:
        return _queried(worker, count)

    def floor() -> int:
        found = sum(expression.search(msgspec.json.decode(store.get(name))) for name in names)
        if found != _MATCHING:
            raise WrongAnswerError(f"{found} entities match, not {_MATCHING}")
        return count

    while True:
        yield Pair(pace.per_second(ours, ground.slice_s), pace.per_second(floor, ground.slice_s))


def _queried(worker: Worker, count: int) -> int:
    """Read pages to the end; return how many entities were looked at."""
    binding, cursor, examined, found = worker.rig.binding, "", 0, 0
    while True:
        page = worker.engine.page(binding, Query(filter=_FILTER, cursor=cursor))
        examined, found, cursor = examined + page.examined, found + len(page.items), page.cursor
        if not cursor:
            break
    if (examined, found) != (count, _MATCHING):
        raise WrongAnswerError(f"of {count} entities {examined} were looked at, {found} match")
    return examined


FIGURES: Final = (
    Figure(
        name="query-scan",
        measures="entities of a query without an index, by the engine",
        floor="open and read two files, derive, decrypt, parse, JMESPath, in a loop",
        unit="/s",
        goal=at_least(0.8),
        pairs=_pairs,
        rounds=9,
    ),
)
