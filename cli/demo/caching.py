"""Steps 4 to 6: a miss and a hit, an eviction, another worker's write and the reload."""

from collections.abc import Mapping
from typing import Any, Final

from cli.demo.stage import CACHE_BYTES, Stage, document, text_in
from cli.demo.step import Step

_COUNTERS: Final = ("cache_hits", "cache_misses", "cache_stale", "cache_evictions")
_ENTITIES_MAX: Final = 20
_WARMTH: Final = (
    "Each worker keeps what it has decrypted in memory. The one that has not seen the entity"
    " misses: it reads the two files and decrypts. After that it hits: it only asks the disk"
    " whether the sidecar is still the one that it knows."
)
_EVICTION: Final = (
    "The cache is bounded in bytes; here the bound is set low. What was used least recently goes"
    " when there is no room, and is read from the disk when it is asked for again."
)
_RELOAD: Final = (
    "Any worker may write any entity. It tells the others, who drop their copies; and where that"
    " message is late or lost, the reader sees by the sidecar that its copy is stale. Either way it"
    " reloads, so no client reads an old version."
)


def show_miss_and_hit(stage: Stage) -> Step:
    """Read twice through the worker that did not write the entity."""
    writer, reader = stage.writer_and_other()
    first, second = _read(stage, reader), _read(stage, reader)
    return Step(
        name="miss-and-hit",
        title="A miss, then a hit",
        meaning=_WARMTH,
        observed={"written_by": writer, "reads": [first, second]},
        expected={
            "the first read is a miss": _only(first, "cache_misses"),
            "the second read is a hit": _only(second, "cache_hits"),
            "both answer with the document as it was put": (
                first["text"] == second["text"] == stage.text
            ),
        },
    )


def show_eviction(stage: Stage) -> Step:
    """Write entities through one worker until something has to go, and read what that was."""
    _, worker = stage.writer_and_other()
    before = stage.statistics(worker)
    writes = _fill(stage, worker)
    kept = _read(stage, worker, writes[-1]["entity"])
    evicted = _read(stage, worker)
    bytes_most = max(write["cache_bytes"] for write in writes)
    return Step(
        name="eviction",
        title="An eviction",
        meaning=_EVICTION,
        observed={
            "bound_of_the_cache_in_bytes": CACHE_BYTES,
            "before": {name: before[name] for name in ("cache_entries", "cache_bytes")},
            "writes": writes,
            "reads": [kept, evicted],
        },
        expected={
            "a write evicted one entity": (
                writes[-1]["cache_evictions"] == before["cache_evictions"] + 1
            ),
            "the cache never held more than its bound": bytes_most <= CACHE_BYTES,
            "it filled up before anything had to go": (
                writes[-1]["cache_entries"] == writes[-2]["cache_entries"]
            ),
            "what was written last is still there: a hit": _only(kept, "cache_hits"),
            "what was used least recently is gone: a miss": _rose(evicted, "cache_misses"),
            "and is read from the disk": evicted["text"] == stage.text,
        },
    )


def show_reload(stage: Stage) -> Step:
    """Write through the other worker; read twice through the one that holds the old version."""
    writer, reader = stage.writer_and_other()
    held = _read(stage, reader)
    text = stage.text.replace("noon", "six")
    written = stage.write(writer, stage.entity_key, document(text))
    first, second = _read(stage, reader), _read(stage, reader)
    return Step(
        name="reload",
        title="A write by another worker, and the reload",
        meaning=_RELOAD,
        observed={
            "read_before": [held],
            "written": {"by": writer, "version": written.metadata.version, "text": text},
            "reads_after": [first, second],
        },
        expected={
            "the reader held the old version: a hit": _only(held, "cache_hits"),
            "it was told, or its next read finds that stale; that read misses": (
                _only(first, "cache_misses") or _only(first, "cache_stale", "cache_misses")
            ),
            "it answers with the new version": (
                first["version"] == written.metadata.version == held["version"] + 1
                and first["text"] == text
            ),
            "the one after that is a hit again": (
                _only(second, "cache_hits") and second["text"] == text
            ),
        },
    )


def _read(stage: Stage, worker_id: str, entity_key: str = "") -> dict[str, Any]:
    """Read an entity, the stage's own by default, and look at the counters around it."""
    key = entity_key or stage.entity_key
    before = stage.statistics(worker_id)
    found = stage.read(worker_id, key)
    after = stage.statistics(worker_id)
    return {
        "worker": worker_id,
        "entity": key,
        "version": found.metadata.version,
        "text": text_in(found.document),
        "counters": {name: (before[name], after[name]) for name in _COUNTERS},
    }


def _fill(stage: Stage, worker_id: str) -> list[dict[str, Any]]:
    """Write small entities until the worker evicts, and not without end where it never does."""
    evictions = stage.statistics(worker_id)["cache_evictions"]
    writes: list[dict[str, Any]] = []
    while len(writes) < _ENTITIES_MAX:
        key = f"Note_{len(writes) + 1}"
        stage.write(worker_id, key, document(f"note {len(writes) + 1}"))
        counters = stage.statistics(worker_id)
        shown = ("cache_entries", "cache_bytes", "cache_evictions")
        writes.append({"worker": worker_id, "entity": key, **{n: counters[n] for n in shown}})
        if counters["cache_evictions"] > evictions:
            break
    return writes


def _rose(read: Mapping[str, Any], counter: str) -> bool:
    before, after = read["counters"][counter]
    return bool(after == before + 1)


def _only(read: Mapping[str, Any], *counters: str) -> bool:
    """Tell whether these counters rose by one, and no other one did."""
    changed = {name for name, (before, after) in read["counters"].items() if before != after}
    return changed == set(counters) and all(_rose(read, name) for name in counters)
