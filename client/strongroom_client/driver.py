"""Performs the core's steps, blocking."""

import threading
import time
from typing import Any, Protocol, TypeVar

from strongroom_client.core.steps import Alone, AskSource, Exchange, Pause, Step, Steps
from strongroom_client.credentials import TokenSource

T = TypeVar("T")


class Channel(Protocol):
    """Carries requests of a transport; for any number of threads."""

    def exchange(self, request: Any, timeout_s: float) -> Any:  # noqa: ANN401 - a transport's
        """Return the response, or `Broken`."""

    def close(self) -> None:
        """Give up what is open."""


class Driver:
    """Performs steps on the thread that asks."""

    def __init__(self, channel: Channel, source: TokenSource | None) -> None:
        """Take what carries requests, and the application's own source of tokens."""
        self._channel = channel
        self._source = source
        self._alone = threading.Lock()

    def run(self, steps: Steps[T]) -> T:
        """Perform steps to their end and return their result."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = self._do(step)
                except BaseException as error:  # noqa: BLE001 - whatever it is, the core decides
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    def _do(self, step: Step) -> Any:  # noqa: ANN401 - of the step's own type
        match step:
            case Exchange(request, timeout_s):
                return self._channel.exchange(request, timeout_s)
            case Pause(seconds):
                return time.sleep(seconds)
            case AskSource():
                assert self._source is not None, "without credentials there is a source"  # noqa: S101
                return self._source()
            case Alone(steps, timeout_s):
                if not self._alone.acquire(timeout=timeout_s):
                    raise TimeoutError
                try:
                    return self.run(steps)
                finally:
                    self._alone.release()
