"""The cache never holds more than it was given, and holds what fits."""

import pytest
from cachetools import TTLCache
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processing_fn.cache.document_cache import DocumentCache
from processing_fn.domain.coherence import witness
from processing_fn.service.ports import CachedEntity
from processing_fn.service.scanning import Query
from strongroom.entity import Condition, Metadata
from strongroom.errors import NotFoundError, PreconditionFailedError
from tests.support.clocks import ManualClock
from tests.support.engines import Rig, Worker
from tests.support.filesystems import UnsyncedFilesystem

_ROOM = 5_000
_TTL_S = 5.0


@pytest.fixture
def worker(rig: Rig) -> Worker:
    """Return a worker under a template that takes everything."""
    rig.filesystem = UnsyncedFilesystem()
    rig.put_template(b"true", 2)
    return rig.worker()


def _size_in_cache(worker: Worker, key: str) -> int:
    binding = worker.rig.binding
    entry = worker.cache.get(worker.file_id(binding.database, binding.incarnation, key))
    return 0 if entry is None else entry.size_bytes()


def test_an_entity_of_exactly_the_size_of_the_cache_is_kept(rig: Rig, worker: Worker) -> None:
    """The cache holds a byte more than it may, or does not hold what it could."""
    worker.put("a", b'"x"')
    size_bytes = _size_in_cache(worker, "a")
    for room, kept in ((size_bytes, True), (size_bytes - 1, False)):
        reader = rig.worker("reader", cache_bytes=room)
        for _ in range(2):
            assert reader.get("a") == (1, b'"x"')
        assert reader.counters()["cache_entries"] == int(kept)
        assert reader.counters()["cache_hits"] == int(kept)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    room=st.integers(0, 8_000),
    steps=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["put", "get", "delete", "list"])),
        max_size=20,
    ),
    sizes=st.lists(st.integers(0, 4_000), min_size=20, max_size=20),
)
def test_the_cache_never_holds_more_than_its_bound(
    worker: Worker, room: int, steps: list[tuple[str, str]], sizes: list[int]
) -> None:
    """Some sequence of operations makes the cache grow past the memory that it was given."""
    small = worker.rig.worker("small", cache_bytes=room)
    for (key, operation), size in zip(steps, sizes, strict=False):
        try:
            if operation == "put":
                small.put(key, b'"%s"' % (b"x" * size))
            elif operation == "get":
                small.get(key)
            elif operation == "delete":
                small.delete(key, Condition(if_present=True))
            else:
                small.engine.page(worker.rig.binding, Query())
        except (NotFoundError, PreconditionFailedError):
            assert operation in {"get", "delete"}
        held = sum(_size_in_cache(small, other) for other in "abcd")
        assert held == small.counters()["cache_bytes"] <= room


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "get", "get", "drop", "expire", "wait"]),
            st.sampled_from([b"a", b"b", b"c", b"d"]),
            st.integers(0, 1_500),
        ),
        max_size=40,
    )
)
def test_use_and_age_decide_what_is_kept(steps: list[tuple[str, bytes, int]]) -> None:
    """What is in use makes room for what nobody reads, or what is too old is answered.

    cachetools' TTLCache says what a cache of this size and time to live holds.
    """
    clock = ManualClock()
    cache = DocumentCache(clock, _ROOM, _TTL_S)
    model: TTLCache[bytes, CachedEntity] = TTLCache(
        _ROOM, _TTL_S, timer=clock.boot_s, getsizeof=CachedEntity.size_bytes
    )
    for step, key, number in steps:
        if step == "put":
            entity = _entity(number)
            cache.put(key, entity)
            if entity.size_bytes() <= _ROOM:
                model[key] = entity
            else:
                model.pop(key, None)
        elif step == "get":
            assert cache.get(key) is model.get(key)
        elif step == "drop":
            cache.drop(key)
            model.pop(key, None)
        elif step == "expire":
            cache.expire()
            model.expire()
        else:
            clock.advance(number / 500)
        held = cache.statistics()
        assert (held["cache_entries"], held["cache_bytes"]) == (len(model), model.currsize)


def _entity(size_bytes: int) -> CachedEntity:
    metadata = Metadata(1, "", "", None, "s", 1)
    return CachedEntity("k", "d", "00" * 16, metadata, b"x" * size_bytes, None, witness(b""))
