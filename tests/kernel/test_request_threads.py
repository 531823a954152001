"""The threads that serve requests, as grpcio and the event loops use them."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from strongroom.request_threads import RequestThreads, Served
from tests.support.deployment import wait_until

_S = 10.0


def test_as_many_requests_are_served_at_once_as_there_are_threads() -> None:
    """One slow request must not hold the others up, and one too many waits and is counted."""
    threads, both = RequestThreads(2, "test"), threading.Barrier(3)
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
    threads, told = RequestThreads(1, "test"), threading.Event()

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
    threads, told = RequestThreads(4, "test"), threading.Semaphore(0)
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
    threads = RequestThreads(1, "test")
    threads.submit(lambda _: None, document).add_done_callback(lambda _: done.set())
    assert done.wait(_S)
    del document
    # Served by the same thread, so that the one before is behind it.
    after = threading.Event()
    threads.submit(after.set)
    assert after.wait(_S)
    gc.collect()
    assert gone() is None


def test_a_refused_request_is_let_go_at_once() -> None:
    """The documents of many refused writes would lie about until the collector comes by."""

    class Document:
        pass

    def refuse(_: Document) -> None:
        raise ValueError("refused")

    async def ask(threads: RequestThreads) -> "weakref.ref[Document]":
        document = Document()
        with pytest.raises(ValueError, match="refused"):
            await threads.run(refuse, document)
        # Served by the same thread, so that the one before is behind it.
        await threads.run(int)
        return weakref.ref(document)

    gc.collect()
    gc.disable()
    try:
        gone = asyncio.run(ask(RequestThreads(1, "test")))
        assert gone() is None
    finally:
        gc.enable()


class _LastMoment(list[threading.Lock]):
    """Threads that sleep; when one is about to, a request comes that finds none of them here."""

    def __init__(self, sleeping: list[threading.Lock], come: Callable[[], object]) -> None:
        super().__init__(sleeping)
        self._come = [come]

    def append(self, sleeping: threading.Lock) -> None:
        if self._come:
            self._come.pop()()
        super().append(sleeping)


def test_a_request_of_the_last_moment_is_not_slept_through() -> None:
    """What comes while the only thread falls asleep would wait until the next request."""
    threads, served = RequestThreads(1, "test"), threading.Event()
    assert wait_until(lambda: len(threads._idle) == 1, _S)  # noqa: SLF001 - nothing else tells
    threads._idle = _LastMoment(threads._idle, partial(threads.submit, served.set))  # noqa: SLF001
    threads.submit(int)
    assert served.wait(_S), "it waits, and the thread sleeps"


def test_every_request_is_served_however_they_come() -> None:
    """Otherwise calls hang now and then, where threads fall asleep and are woken all the time."""
    threads, served = RequestThreads(3, "test"), threading.Semaphore(0)
    senders, rounds = 4, 1_500

    def send() -> None:
        for number in range(rounds):
            threads.submit(served.release)
            if number % 7 == 0:
                time.sleep(0.0005)

    sending = [threading.Thread(target=send) for _ in range(senders)]
    for one in sending:
        one.start()
    for one in sending:
        one.join()
    for _ in range(senders * rounds):
        assert served.acquire(timeout=_S), f"{threads.waiting} wait, and nobody serves them"


def test_an_event_loop_has_what_a_thread_returned_or_raised() -> None:
    """A face would answer nothing, or the wrong request's answer."""

    async def ask() -> None:
        threads = RequestThreads(2, "test")
        answers = await asyncio.gather(*(threads.run(divmod, number, 7) for number in range(50)))
        assert answers == [divmod(number, 7) for number in range(50)]
        with pytest.raises(ZeroDivisionError):
            await threads.run(divmod, 1, 0)
        # No future takes this one: it would be waited for without an end.
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(threads.run(next, iter(())), _S)

    asyncio.run(ask())


def test_what_is_cancelled_in_the_loop_is_cancelled_for_who_waits() -> None:
    """A client that goes while its call is refused would be logged as a defect, by each call."""

    async def ask() -> None:
        threads, loop = RequestThreads(1, "test"), asyncio.get_running_loop()

        async def refuse() -> None:
            raise asyncio.CancelledError

        def serve() -> None:
            asyncio.run_coroutine_threadsafe(refuse(), loop).result(_S)

        with pytest.raises(asyncio.CancelledError):
            await threads.run(serve)

    asyncio.run(ask())


def test_what_nobody_waits_for_is_not_begun() -> None:
    """Requests whose clients have gone would still be served, one after the other."""

    async def ask() -> None:
        threads, release, begun = RequestThreads(1, "test"), threading.Event(), threading.Event()
        first = asyncio.create_task(threads.run(release.wait, _S))
        second = asyncio.create_task(threads.run(begun.set))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        release.set()
        assert await first
        # After it on the same thread: what was given up would have been done by now.
        await threads.run(int)
        assert not begun.is_set()

    asyncio.run(ask())
