"""Passes on what workers commit to the other workers, as they tell it (design.md section 3).

Nothing is kept and nothing is waited for: whoever does not read its messages loses the oldest.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from strongroom import limits
from strongroom_pb.v1 import subscription_pb2 as pb

_FILE_ID_BYTES: Final = 32


class CommitHub:
    """The streams of one Main Worker's subscribers, on one event loop."""

    def __init__(self, until_revoked: Callable[[str], Awaitable[None]]) -> None:
        """Take what returns when a worker is revoked."""
        self._until_revoked = until_revoked
        self._waiting: dict[object, asyncio.Queue[pb.Commits | None]] = {}
        self.lost = 0
        """How many messages were lost because somebody did not read."""

    async def share(
        self, worker_id: str, told: AsyncIterator[pb.Commits]
    ) -> AsyncIterator[pb.Commits]:
        """Pass on what a worker tells, and yield what the others do; ends when it is revoked."""
        stream = object()
        waiting = self._waiting[stream] = asyncio.Queue(limits.COMMIT_MESSAGES_WAITING_MAX)
        tasks = [
            asyncio.create_task(self._pass_on(stream, told)),
            asyncio.create_task(self._end(waiting, worker_id)),
        ]
        try:
            while (message := await waiting.get()) is not None:
                yield message
        finally:
            del self._waiting[stream]
            for task in tasks:
                task.cancel()

    async def _pass_on(self, stream: object, told: AsyncIterator[pb.Commits]) -> None:
        async for message in told:
            commits = message.commits[: limits.COMMITS_PER_MESSAGE_MAX]
            passed = pb.Commits(commits=[c for c in commits if len(c.file_id) == _FILE_ID_BYTES])
            for other, waiting in self._waiting.items():
                if other is not stream:
                    self._put(waiting, passed)
        self._put(self._waiting[stream], None)

    async def _end(self, waiting: asyncio.Queue[pb.Commits | None], worker_id: str) -> None:
        await self._until_revoked(worker_id)
        self._put(waiting, None)

    def _put(self, waiting: asyncio.Queue[pb.Commits | None], message: pb.Commits | None) -> None:
        if waiting.full():
            waiting.get_nowait()
            self.lost += 1
        waiting.put_nowait(message)
