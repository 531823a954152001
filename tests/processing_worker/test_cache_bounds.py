"""The cache never holds more than it was given, and holds what fits."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processing_fn.service.scanning import Query
from strongroom.entity import Condition
from strongroom.errors import NotFoundError, PreconditionFailedError
from tests.support.engines import Rig, Worker
from tests.support.filesystems import UnsyncedFilesystem


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
