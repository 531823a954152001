"""grpc.health.v1: whether the process answers, and whether it can serve entities.

The empty name is the process, as `/healthz` over REST. `EntityService` is served while a worker is
available, as `/readyz` says it; the other services need none. `readiness.<check>` is one of the
checks that `/readyz?verbose` tells of, `readiness` all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sized

from grpc_health.v1 import health

from strongroom import limits
from strongroom.errors import StrongroomError
from strongroom.readiness import Checkup
from strongroom.rpc.health import SERVING, status, statuses


class Readiness:
    """Follows what can be served, and tells those who ask and those who watch."""

    def __init__(
        self, live_workers: Callable[[], Sized], needs_workers: str, checkup: Checkup
    ) -> None:
        """Take the way to the workers, the name of the service that needs one, and the checks."""
        self.servicer = health.aio.HealthServicer()
        self._live_workers = live_workers
        self._needs_workers = needs_workers
        self._checkup = checkup

    async def serve(self, services: Iterable[str]) -> None:
        """Say that services are served."""
        for name in services:
            await self.servicer.set(name, SERVING)
        await self._follow()
        await self._look()

    async def run(self) -> None:
        """Follow, until cancelled."""
        await asyncio.gather(
            _again_and_again(limits.REGISTRY_REFRESH_SECONDS, self._follow),
            # Apart: a check may wait for a directory that does not answer.
            _again_and_again(limits.READINESS_KEPT_SECONDS, self._look),
        )

    async def end(self) -> None:
        """Say that nothing is served any more, so that nobody begins what will not be finished."""
        await self.servicer.enter_graceful_shutdown()

    async def _follow(self) -> None:
        try:
            is_ready = len(await asyncio.to_thread(self._live_workers)) > 0
        except StrongroomError:
            is_ready = False
        await self.servicer.set(self._needs_workers, status(serves=is_ready))

    async def _look(self) -> None:
        findings = await asyncio.to_thread(self._checkup.findings)
        for name, told in statuses(findings).items():
            await self.servicer.set(name, told)


async def _again_and_again(pause_s: float, step: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(pause_s)
        await step()
