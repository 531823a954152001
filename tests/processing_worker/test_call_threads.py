"""The threads that serve a worker's requests, as grpcio uses them."""

import gc
import threading
import weakref

import pytest

from processing_fn.rpc.call_threads import CallThreads, Served

_S = 10.0


def test_as_many_requests_are_served_at_once_as_there_are_threads() -> None:
    """One slow request must not hold the others up, and one too many waits and is counted."""
    threads, both = CallThreads(2), threading.Barrier(3)
    release = threading.Event()

    def serve() -> None:
        both.wait(_S)
        release.wait(_S)

    threads.submit(serve)
    threads.submit(serve)
    both.wait(_S)
    ended = threading.Event()
    threads.submit(ended.set)
    assert threads.waiting == 1
    assert not ended.is_set()
    release.set()
    assert ended.wait(_S)
    assert threads.waiting == 0


def test_a_request_that_fails_takes_no_thread_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """After as many defects as there are threads, the worker would answer nobody any more."""
    threads, told = CallThreads(1), threading.Event()

    threads.submit(_fail).add_done_callback(lambda _: told.set())
    assert told.wait(_S), "grpcio would count it as under way for ever"
    served = threading.Event()
    threads.submit(served.set)
    assert served.wait(_S)
    capsys.readouterr()


def _fail() -> None:
    raise ValueError("a defect")


def test_everybody_is_told_once_whenever_they_ask() -> None:
    """Otherwise grpcio's count of calls would drift, until it refused all of them or none."""
    threads, told = CallThreads(4), threading.Semaphore(0)
    count = 2_000
    for _ in range(count):
        # It may be over before this thread comes to asking: both race here.
        threads.submit(lambda: None).add_done_callback(lambda _: told.release())

    for _ in range(count):
        assert told.acquire(timeout=_S)
    assert not told.acquire(blocking=False)

    over = Served()
    over.end()
    late: list[Served] = []
    over.add_done_callback(late.append)
    assert late == [over]


def test_an_idle_thread_holds_nothing_of_its_last_request() -> None:
    """A document would stay in memory for as long as nobody asks for another one."""

    class Document:
        pass

    document, done = Document(), threading.Event()
    gone = weakref.ref(document)
    threads = CallThreads(1)
    threads.submit(lambda _: None, document).add_done_callback(lambda _: done.set())
    assert done.wait(_S)
    del document
    # Served by the same thread, so that the one before is behind it.
    after = threading.Event()
    threads.submit(after.set)
    assert after.wait(_S)
    gc.collect()
    assert gone() is None
