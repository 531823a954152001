"""Performs the core's steps on an event loop."""

import asyncio
import inspect
from typing import Any, Protocol, TypeVar

from strongroom_client.core.steps import Alone, AskSource, Exchange, Pause, Step, Steps
from strongroom_client.credentials import AsyncTokenSource
from strongroom_client.errors import ConfigurationError

T = TypeVar("T")


class AsyncChannel(Protocol):
    """Carries requests of a transport; for one event loop."""

    async def exchange(self, request: Any, timeout_s: float) -> Any:  # noqa: ANN401 - a transport's
        """Return the response, or `Broken`."""

    async def close(self) -> None:
        """Give up what is open."""


class AsyncDriver:
    """Performs steps in the task that asks."""

    def __init__(self, channel: AsyncChannel, source: AsyncTokenSource | None) -> None:
        """Take what carries requests, and the application's own source of tokens."""
        self._channel = channel
        self._source = source
        self._alone = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, steps: Steps[T]) -> T:
        """Perform steps to their end and return their result.

        Raises:
            ConfigurationError: Another event loop than this one has its connections.
        """
        running = asyncio.get_running_loop()
        self._loop = self._loop or running
        if running is not self._loop:
            raise ConfigurationError("a client is for one event loop; make another one here")
        try:
            step = next(steps)
            while True:
                try:
                    outcome = await self._do(step)
                except BaseException as error:  # noqa: BLE001 - whatever it is, the core decides
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _do(self, step: Step) -> Any:  # noqa: ANN401 - of the step's own type
        match step:
            case Exchange(request, timeout_s):
                return await self._channel.exchange(request, timeout_s)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case AskSource(timeout_s):
                assert self._source is not None, "without credentials there is a source"  # noqa: S101
                token = self._source()
                if inspect.isawaitable(token):
                    async with asyncio.timeout(timeout_s):
                        token = await token
                return token
            case Alone(steps, timeout_s):
                async with asyncio.timeout(timeout_s), self._alone:
                    return await self.run(steps)
