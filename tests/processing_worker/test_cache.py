"""The cache, seen through its counters: hit, miss, eviction, expiry, a write by another worker."""

import threading

from processing_fn.cache.document_cache import DocumentCache
from processing_fn.domain.coherence import witness
from processing_fn.service.ports import CachedEntity
from strongroom.entity import Metadata
from tests.support.clocks import ManualClock
from tests.support.engines import Rig
from tests.support.filesystems import ObservedFilesystem


def _counted(worker_counters: dict[str, int]) -> dict[str, int]:
    return {name.removeprefix("cache_"): count for name, count in worker_counters.items() if count}


def test_a_miss_then_hits(rig: Rig) -> None:
    """Every read goes to the disk and decrypts."""
    rig.worker("writer").put("a", b"{}")
    reader = rig.worker("reader")
    for _ in range(3):
        reader.get("a")
    counted = _counted(reader.counters())
    assert (counted["misses"], counted["hits"]) == (1, 2)


def test_the_writer_has_what_it_wrote(rig: Rig) -> None:
    """A read after one's own write loads it again."""
    worker = rig.worker()
    worker.put("a", b"{}")
    worker.get("a")
    assert _counted(worker.counters())["hits"] == 1
    assert "misses" not in _counted(worker.counters())


def test_a_write_by_another_worker_is_seen_by_the_next_read(rig: Rig) -> None:
    """A cached copy outlives an acknowledged write."""
    one, two = rig.worker("one"), rig.worker("two")
    one.put("a", b'{"n": 1}')
    two.get("a")
    one.put("a", b'{"n": 2}')
    assert two.get("a") == (2, b'{"n": 2}')
    counted = _counted(two.counters())
    assert (counted["stale"], counted["misses"]) == (1, 2)


def test_the_least_recently_used_goes_first_at_the_bound_in_bytes(rig: Rig) -> None:
    """The cache grows past its bound, or throws out what is in use."""
    document = b'{"text": "' + b"x" * 1_000 + b'"}'
    room = 3 * 2_300
    worker = rig.worker(cache_bytes=room)
    for key in ("a", "b", "c"):
        worker.put(key, document)
    worker.get("a")
    worker.put("d", document)
    counted = _counted(worker.counters())
    assert (counted["evictions"], counted["entries"]) == (1, 3)
    assert counted["bytes"] <= room
    for key in ("a", "c", "d"):
        worker.get(key)
    assert "misses" not in _counted(worker.counters())
    worker.get("b")
    assert _counted(worker.counters())["misses"] == 1


def test_an_entity_larger_than_the_cache_is_served_and_not_kept(rig: Rig) -> None:
    """A large entity cannot be read, or empties the cache."""
    worker = rig.worker(cache_bytes=4_000)
    worker.put("small", b"{}")
    large = b'{"text": "' + b"x" * 5_000 + b'"}'
    worker.put("large", large)
    assert worker.get("large") == (1, large)
    worker.get("small")
    counted = _counted(worker.counters())
    assert (counted["entries"], counted["hits"]) == (1, 1)


def test_what_is_too_old_leaves_without_a_reader(rig: Rig) -> None:
    """A decrypted document stays in memory for ever because nobody asks for it."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = rig.worker(cache_ttl_s=10)
    worker.put("a", b"{}")
    clock.advance(9.9)
    worker.get("a")
    clock.advance(0.1)
    worker.cache.expire()
    counted = _counted(worker.counters())
    assert (counted["expirations"], "entries" in counted) == (1, False)
    worker.get("a")
    assert _counted(worker.counters())["misses"] == 1


def test_forgetting_drops_every_document(rig: Rig) -> None:
    """A worker without a lease still has documents in its memory."""
    worker = rig.worker()
    worker.put("a", b"{}")
    worker.engine.forget()
    assert worker.counters()["cache_entries"] == 0


def test_concurrent_reads_of_a_cold_entity_load_it_once(rig: Rig) -> None:
    """A popular entity that falls out of the cache is decrypted by everybody at once."""
    rig.worker("writer").put("a", b'{"n": 1}')
    readers = 64
    started, opened = threading.Barrier(readers), []

    def before(name: str, arguments: tuple[object, ...]) -> None:
        if name == "open" and str(arguments[0]).endswith(".json.enc"):
            opened.append(name)

    reader = rig.worker("reader", filesystem=ObservedFilesystem(before))
    found: list[tuple[int, bytes]] = []

    def read() -> None:
        started.wait(30)
        found.append(reader.get("a"))

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [(1, b'{"n": 1}')] * readers
    assert len(opened) == 1


def test_a_reader_that_joins_after_a_write_gets_that_write(rig: Rig) -> None:
    """A read that begins after an acknowledgement is answered from a load that began before it."""
    writer = rig.worker("writer")
    writer.put("a", b'{"n": 1}')
    loading, written = threading.Event(), threading.Event()

    def before(name: str, arguments: tuple[object, ...]) -> None:
        # The first reader has read the old blob's directory; it goes on once the write is done.
        if name == "open" and str(arguments[0]).endswith(".json.enc") and not loading.is_set():
            loading.set()
            written.wait(30)

    reader = rig.worker("reader", filesystem=ObservedFilesystem(before))
    first: list[tuple[int, bytes]] = []
    thread = threading.Thread(target=lambda: first.append(reader.get("a")))
    thread.start()
    loading.wait(30)
    joined: list[tuple[int, bytes]] = []
    writer.put("a", b'{"n": 2}')
    joining = threading.Thread(target=lambda: joined.append(reader.get("a")))
    joining.start()
    written.set()
    thread.join(30)
    joining.join(30)
    assert joined == [(2, b'{"n": 2}')]
    assert first[0] in [(1, b'{"n": 1}'), (2, b'{"n": 2}')]


def test_an_entry_accounts_for_at_least_its_bytes() -> None:
    """The bound in bytes is passed because keys do not count."""
    clock = ManualClock()
    cache = DocumentCache(clock, 10_000, 10)
    metadata = Metadata(1, "", "", None, "s", 1)
    entity = CachedEntity("k" * 100, "d", "00" * 16, metadata, b"x" * 1_000, None, witness(b""))
    cache.put(b"1" * 32, entity)
    assert cache.statistics()["cache_bytes"] >= 1_100
