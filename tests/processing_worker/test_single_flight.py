"""Many readers of one entity at once: one load for all of them, and a check of its own for each."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from sys import getswitchinterval, setswitchinterval

import pytest

from strongroom.errors import NotFoundError
from tests.support.engines import Rig, Worker
from tests.support.filesystems import ObservedFilesystem, UnsyncedFilesystem
from tests.support.threads import at_once

READERS, JOINING = 1_000, 300
WRITES, READERS_DURING_WRITES = 150, 16


class SlowBlobs(ObservedFilesystem):
    """Lets the first load go on when every reader is on its way; counts who opens what.

    Attributes:
        on_their_way: Released by every reader before it reads.
        blobs: How many blobs each thread has opened.
        sidecars: The same of sidecars.
    """

    def __init__(self, readers: int, error: Exception | None = None) -> None:
        """Take how many to wait for, and the error that the first load ends with."""
        self.on_their_way = threading.Semaphore(0)
        self.blobs: Counter[int] = Counter()
        self.sidecars: Counter[int] = Counter()
        self._readers = readers
        self._error = error
        self._pause = threading.Event()
        super().__init__(self._before)

    def _before(self, name: str, arguments: tuple[object, ...]) -> None:
        if name == "open" and str(arguments[0]).endswith(".meta.json"):
            self.sidecars[threading.get_ident()] += 1
        if name == "open" and str(arguments[0]).endswith(".json.enc"):
            self.blobs[threading.get_ident()] += 1
            if self.blobs.total() == 1:
                for _ in range(self._readers):
                    assert self.on_their_way.acquire(timeout=30)
                self._pause.wait(0.1)  # from there to the load that they join is not far
                if self._error is not None:
                    raise self._error


@contextmanager
def _restless_threads() -> Iterator[None]:
    """Have the interpreter change threads a thousand times as often as it does by itself."""
    before = getswitchinterval()
    setswitchinterval(5e-6)
    try:
        yield
    finally:
        setswitchinterval(before)


def test_a_thousand_cold_reads_are_one_load_and_a_thousand_checks(rig: Rig) -> None:
    """An entity that everybody wants is decrypted by everybody; or some take another one's word."""
    rig.worker("writer").put("a", b'{"n": 1}')
    disk = SlowBlobs(READERS)
    reader = rig.worker("reader", filesystem=disk)

    def read() -> tuple[int, bytes]:
        disk.on_their_way.release()
        return reader.get("a")

    assert at_once([read] * READERS) == [(1, b'{"n": 1}')] * READERS
    assert disk.blobs.total() == 1
    # The one that loads reads the sidecar too, and that is its check.
    assert len(disk.sidecars) == READERS
    assert set(disk.sidecars.values()) == {1}
    counters = reader.counters()
    assert counters["cache_misses"] == 1
    assert counters["cache_joined"] + counters["cache_hits"] == READERS - 1


def test_reads_of_other_entities_do_not_wait_for_a_load(rig: Rig) -> None:
    """One slow load holds the reads of every other entity up."""
    writer = rig.worker("writer")
    for key in ("slow", "fast"):
        writer.put(key, b"{}")
    loading, go_on = threading.Event(), threading.Event()
    slow_blob = writer.files("slow")[0].name

    def before(name: str, arguments: tuple[object, ...]) -> None:
        if name == "open" and arguments[0] == slow_blob:
            loading.set()
            go_on.wait(30)

    reader = rig.worker("reader", filesystem=ObservedFilesystem(before))
    thread = threading.Thread(target=reader.get, args=("slow",))
    thread.start()
    assert loading.wait(30)
    assert at_once([lambda: reader.get("fast")] * 20) == [(1, b"{}")] * 20
    go_on.set()
    thread.join(30)


def test_a_load_that_fails_is_the_failure_of_nobody_else(rig: Rig) -> None:
    """One failed load is the answer of everybody who waited for it, or they wait for ever."""
    rig.worker("writer").put("a", b"{}")
    disk = SlowBlobs(50, ZeroDivisionError())
    reader = rig.worker("reader", filesystem=disk)

    def read() -> tuple[int, bytes] | None:
        disk.on_their_way.release()
        try:
            return reader.get("a")
        except ZeroDivisionError:
            return None

    found = at_once([read] * 50)
    assert (found.count((1, b"{}")), found.count(None)) == (49, 1)
    assert disk.blobs.total() == 2


def test_nobody_who_joins_after_a_write_gets_what_a_load_has_read_before_it(rig: Rig) -> None:
    """A load that began before a write answers readers that came after its acknowledgement."""
    writer = rig.worker("writer")
    writer.put("a", b'{"n": 1}')
    on_their_way, has_read = threading.Semaphore(0), threading.Event()
    calls: list[str] = []

    def before(name: str, _: tuple[object, ...]) -> None:
        calls.append(name)
        # Sidecar and blob of version 1 are read; what is done with them comes later.
        if name == "close" and calls.count("read") == 2 and not has_read.is_set():
            has_read.set()
            for _number in range(JOINING):
                assert on_their_way.acquire(timeout=30)
            threading.Event().wait(0.1)  # from there to the load that they join is not far

    reader = rig.worker("reader", filesystem=ObservedFilesystem(before))
    # The binding is read from the disk once; from here on only the entity is.
    with pytest.raises(NotFoundError):
        reader.get("nothing")
    calls.clear()

    def join() -> tuple[int, bytes]:
        on_their_way.release()
        return reader.get("a")

    def write_and_join() -> list[tuple[int, bytes]]:
        assert has_read.wait(30)
        writer.put("a", b'{"n": 2}')
        return at_once([join] * JOINING)

    first, joined = at_once([lambda: [reader.get("a")], write_and_join])
    assert first == [(1, b'{"n": 1}')]
    assert joined == [(2, b'{"n": 2}')] * JOINING


@pytest.mark.parametrize("cache_bytes", [1_048_576, 0], ids=["a cache", "no cache"])
def test_no_reader_gets_less_than_what_is_known(rig: Rig, cache_bytes: int) -> None:
    """A read shows less than a write acknowledged before it began, or than a read before it."""
    rig.filesystem = UnsyncedFilesystem()
    writer = rig.worker("writer")
    readers = [rig.worker(name, cache_bytes=cache_bytes) for name in ("reader", "other")]
    # What was acknowledged or read; threads may lose a step of each other, which only asks less.
    known = [writer.put("a", b'{"n": 1}')]
    ended, pause = threading.Event(), threading.Event()

    def write() -> int:
        try:
            for number in range(2, WRITES + 1):
                assert writer.put("a", b'{"n": %d}' % number) == number
                known[0] = number
                if number % 7 == 0:
                    readers[0].cache.clear()
                # A load that meets a commit waits for the lock, which is not handed over in turn.
                pause.wait(0.001)
        finally:
            ended.set()
        return 0

    def read(reader: Worker) -> int:
        reads = 0
        while not ended.is_set():
            at_least = known[0]
            version, document = reader.get("a")
            assert version >= at_least, "a reader was given an older version than is known"
            assert document == b'{"n": %d}' % version
            known[0] = max(known[0], version)
            reads += 1
        return reads

    with _restless_threads():
        calls: list[Callable[[], int]] = [write]
        calls += [partial(read, readers[n % 2]) for n in range(READERS_DURING_WRITES)]
        assert sum(at_once(calls)) > WRITES
