"""grpc.health.v1: whether the process answers, and whether it can serve entities.

The empty name is the process, as `/healthz` over REST. `EntityService` is served while a worker is
available, as `/readyz` says it; the other services need none.
"""

import asyncio
from collections.abc import Callable, Iterable, Sized

from grpc_health.v1 import health, health_pb2

from strongroom import limits
from strongroom.errors import StrongroomError

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Readiness:
    """Follows what can be served, and tells those who ask and those who watch."""

    def __init__(self, live_workers: Callable[[], Sized], needs_workers: str) -> None:
        """Take the way to the workers, and the name of the service that needs one."""
        self.servicer = health.aio.HealthServicer()
        self._live_workers = live_workers
        self._needs_workers = needs_workers

    async def serve(self, services: Iterable[str]) -> None:
        """Say that services are served."""
        for name in services:
            await self.servicer.set(name, _SERVING)
        await self._follow()

    async def run(self) -> None:
        """Follow, until cancelled."""
        while True:
            await asyncio.sleep(limits.REGISTRY_REFRESH_SECONDS)
            await self._follow()

    async def end(self) -> None:
        """Say that nothing is served any more, so that nobody begins what will not be finished."""
        await self.servicer.enter_graceful_shutdown()

    async def _follow(self) -> None:
        try:
            is_ready = len(await asyncio.to_thread(self._live_workers)) > 0
        except StrongroomError:
            is_ready = False
        await self.servicer.set(self._needs_workers, _SERVING if is_ready else _NOT_SERVING)
