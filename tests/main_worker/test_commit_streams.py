"""How workers tell each other of commits: through every gRPC Main Worker; nobody is waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from main_api.rpc.commits import CommitHub
from processing_fn.adapters.commit_links import CommitLinks
from processing_fn.service.coherence import Commit, Unsent
from strongroom import limits
from strongroom_pb.v1 import subscription_pb2 as pb
from tests.support.deployment import wait_until
from tests.support.held_identities import live
from tests.support.rpc_mains import SECONDS, ServedMain
from tests.support.served_mains import Served

FILE_ID = b"\x01" * 32
OVERFLOW = 10


@dataclass
class Teller:
    """A worker's streams: what it tells, and what it has heard."""

    links: CommitLinks
    unsent: Unsent
    heard: list[int] = field(default_factory=list)


@pytest.fixture
def tellers(served: Served) -> Iterator[Callable[[str, tuple[str, ...]], Teller]]:
    """Return what makes the streams of a worker that is in service."""
    made: list[Teller] = []

    def teller(worker_id: str, addresses: tuple[str, ...]) -> Teller:
        worker = served.worker(worker_id)
        renewal = worker.register(worker.subscribe().token, "127.0.0.1:1234")
        worker.close()
        unsent, heard = Unsent(), list[int]()
        links = CommitLinks(
            worker_id,
            live(served.pki.workers[worker_id]),
            unsent,
            lambda _, version: heard.append(version),
        )
        links.follow(addresses, renewal.token)
        made.append(Teller(links, unsent, heard))
        return made[-1]

    yield teller
    for one in made:
        one.links.close()


def test_commits_are_told_through_every_main_worker_that_is_there(
    served: Served, tellers: Callable[[str, tuple[str, ...]], Teller]
) -> None:
    """With one of two Main Workers gone, copies live as long as their bound."""
    first, other = served.face, ServedMain(served.rig.main(), served.pki)
    addresses = (first.subscriptions, other.subscriptions)
    one, two = tellers("worker-1", addresses), tellers("worker-2", addresses)
    version = 0

    def is_told() -> bool:
        nonlocal version
        version += 1
        told = version
        one.unsent.note(Commit(FILE_ID, told))
        return wait_until(lambda: told in two.heard, 3.0)

    assert wait_until(is_told, SECONDS)
    # Whichever of its streams takes a commit: the other side listens at each.
    assert all(is_told() for _ in range(20))
    assert one.heard == [], "what a worker has committed itself"
    served.face = other
    first.stop()
    # Of the stream that broke one message may be lost, no more.
    assert [is_told() for _ in range(20)].count(False) <= 1


async def _never(_: str) -> None:
    await asyncio.Event().wait()


async def _silent() -> AsyncIterator[pb.Commits]:
    await asyncio.Event().wait()
    yield pb.Commits()


async def _telling(count: int) -> AsyncIterator[pb.Commits]:
    for version in range(count):
        yield pb.Commits(commits=[pb.Commit(file_id=FILE_ID, version=version)])
    await asyncio.Event().wait()


async def _next(stream: AsyncIterator[pb.Commits]) -> pb.Commits:
    return await anext(stream)


async def _ended(task: "asyncio.Task[pb.Commits]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_who_does_not_read_loses_the_oldest_and_holds_nobody_up() -> None:
    """A worker that hangs fills the memory of the Main Worker, or keeps the others from hearing."""
    count = limits.COMMIT_MESSAGES_WAITING_MAX + OVERFLOW

    async def heard(stream: AsyncIterator[pb.Commits]) -> int:
        message = await asyncio.wait_for(_next(stream), SECONDS)
        return message.commits[0].version

    async def scenario() -> tuple[list[int], int]:
        hub = CommitHub(_never)
        listening = hub.share("worker-2", _silent())
        first = asyncio.create_task(heard(listening))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(_next(hub.share("worker-1", _telling(count))))
        versions = [await first]
        # It does not read while all the others are told.
        for _ in range(count):
            await asyncio.sleep(0)
        while versions[-1] < count - 1:
            versions.append(await heard(listening))
        await _ended(waiting)
        return versions, hub.lost

    versions, lost = asyncio.run(scenario())
    assert lost >= OVERFLOW - 1
    assert versions == sorted(set(versions))
    assert len(versions) + lost == count


def test_a_message_that_is_none_is_not_passed_on() -> None:
    """A worker that is taken over makes the others do work for what no file is."""

    async def telling() -> AsyncIterator[pb.Commits]:
        many = limits.COMMITS_PER_MESSAGE_MAX + 1
        yield pb.Commits(commits=[pb.Commit(file_id=b"short", version=1)] * 3)
        yield pb.Commits(commits=[pb.Commit(file_id=FILE_ID, version=1)] * many)
        await asyncio.Event().wait()

    async def scenario() -> list[int]:
        hub = CommitHub(_never)
        listening = hub.share("worker-2", _silent())
        first = asyncio.create_task(_next(listening))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(_next(hub.share("worker-1", telling())))
        sizes = [len((await first).commits), len((await _next(listening)).commits)]
        await _ended(waiting)
        return sizes

    assert asyncio.run(scenario()) == [0, limits.COMMITS_PER_MESSAGE_MAX]
