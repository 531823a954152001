"""A call that its caller has given up: what a worker does with it from then on."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processing_fn.service import deadline
from processing_fn.service.keyed_mutex import KeyedMutex
from processing_fn.service.requests import Put
from processing_fn.service.scanning import Query
from processing_fn.storage.locks import EntityLocks
from strongroom import limits
from strongroom.clock import SystemClock
from strongroom.durable import LocalFilesystem
from strongroom.errors import BusyError, NotFoundError, UnavailableError
from tests.support.deployment import wait_until
from tests.support.engines import Rig
from tests.support.filesystems import ObservedFilesystem

PATIENCE_S = 30
QUERY = Query(prefix="", key_prefixes=("",), filter="", select="", limit=1_000, cursor="", scope="")


class Call:
    """A call as its server knows it."""

    def __init__(self, left_s: float | None = None) -> None:
        """Begin with a caller that waits."""
        self.is_wanted = True
        self.left_s = left_s

    def is_active(self) -> bool:
        """Tell whether its caller waits."""
        return self.is_wanted

    def time_remaining(self) -> float | None:
        """Tell how long it does."""
        return self.left_s


def served(call: Call, work: Callable[[], object]) -> Exception | None:
    """Serve a call; return how it has failed."""
    try:
        with deadline.Serving(call):
            work()
    except Exception as error:  # noqa: BLE001 - it is what the test looks at
        return error
    return None


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a shared directory."""
    made = Rig(tmp_path, clock=SystemClock())
    yield made
    made.close()


def test_a_call_that_nobody_waits_for_is_not_begun() -> None:
    """Calls that have waited for a thread longer than their callers are served all the same."""
    call = Call()
    call.is_wanted = False
    assert isinstance(served(call, lambda: pytest.fail("it was begun")), UnavailableError)


def test_a_write_that_waits_for_a_lock_is_given_up_with_its_caller(rig: Rig) -> None:
    """A client hangs up, and its write is committed when the lock is free at last."""
    attempts: list[str] = []
    waiting = ObservedFilesystem(lambda name, _: attempts.append(name))
    worker, call = rig.worker(filesystem=waiting), Call()
    file_id = worker.file_id("people", "00" * 16, "k")
    others = EntityLocks(LocalFilesystem(), rig.layout, SystemClock())
    with ThreadPoolExecutor(1) as pool, others.exclusive(file_id):
        writing = pool.submit(served, call, lambda: worker.put("k", b"{}"))
        assert wait_until(lambda: attempts.count("try_lock") > 2, PATIENCE_S)
        call.is_wanted = False
        failure = writing.result(limits.LOCK_WAIT_SECONDS / 2)
    assert isinstance(failure, UnavailableError)
    assert not isinstance(failure, BusyError)
    with pytest.raises(NotFoundError):
        worker.get("k")
    others.close()


def test_who_waits_for_another_thread_is_given_up_too() -> None:
    """Requests of clients that have hung up hold the threads of a worker."""
    mutex, call, held = KeyedMutex(), Call(), threading.Event()

    def wait() -> None:
        with mutex.exclusive(b"k", PATIENCE_S):
            pytest.fail("two threads hold the key")

    with ThreadPoolExecutor(1) as pool, mutex.exclusive(b"k", PATIENCE_S):
        waiting = pool.submit(served, call, wait)
        assert not held.wait(0.05)
        call.is_wanted = False
        failure = waiting.result(PATIENCE_S / 2)
    assert isinstance(failure, UnavailableError)
    assert not isinstance(failure, BusyError)


def test_nobody_waits_for_a_lock_longer_than_its_caller(rig: Rig) -> None:
    """A client with a deadline of half a second leaves a thread that waits for five."""
    worker = rig.worker()
    file_id = worker.file_id("people", "00" * 16, "k")
    others, clock = EntityLocks(LocalFilesystem(), rig.layout, SystemClock()), SystemClock()
    with others.exclusive(file_id):
        began_s = clock.boot_s()
        assert isinstance(served(Call(0.1), lambda: worker.put("k", b"{}")), BusyError)
        assert clock.boot_s() - began_s < limits.LOCK_WAIT_SECONDS / 2
    others.close()


def test_a_page_that_nobody_waits_for_is_read_no_further(rig: Rig) -> None:
    """A client hangs up on a query, and its worker reads the whole database for nobody."""
    reads: list[str] = []
    call = Call()

    def before(name: str, _: tuple[object, ...]) -> None:
        reads.append(name)
        call.is_wanted = call.is_wanted and reads.count("open_directory") < 5

    writer, worker = rig.worker(), rig.worker(filesystem=ObservedFilesystem(before))
    for number in range(60):
        writer.put(f"k{number}", b"{}")
    failure = served(call, lambda: worker.engine.page(rig.binding, QUERY))
    assert isinstance(failure, UnavailableError)
    assert reads.count("open_directory") < 25
    worker.engine.forget()


def test_of_many_puts_none_is_begun_any_more(rig: Rig) -> None:
    """A client hangs up on a request of a hundred puts, and all of them are written."""
    call = Call()
    renames: list[str] = []

    def before(name: str, _: tuple[object, ...]) -> None:
        renames.append(name)
        # Two renames publish an entity.
        call.is_wanted = call.is_wanted and renames.count("rename") < 2

    worker = rig.worker(filesystem=ObservedFilesystem(before))
    puts = [Put(f"k{number}", b"{}") for number in range(10)]
    with deadline.Serving(call):
        answers = worker.engine.put_many(rig.binding, puts)
    assert [isinstance(answer, UnavailableError) for answer in answers] == [False] + [True] * 9
    assert worker.get("k0")[0] == 1
