"""The client library in its four combinations, each asked in the same words, blocking."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from strongroom_client import AsyncClient, Client, ClientCredentials, Options, StaticToken
from strongroom_client.aio_admin import AsyncAdmin

Asked = Any
"""A `Client`, or a `Blocking` one: whatever one of them is asked for, the other is too."""

Credentials = ClientCredentials | StaticToken | Callable[[], str]
COMBINATIONS: Final = ("rest-sync", "rest-async", "grpc-sync", "grpc-async")


@dataclass(frozen=True)
class Where:
    """Where a deployment is, by the name of a transport, and whom to trust there."""

    urls: dict[str, str]
    ca_file: str | None = None


class Blocking:
    """An asynchronous client, asked on a loop of its own: what it answers is waited for."""

    def __init__(self, client: AsyncClient | AsyncAdmin, runner: asyncio.Runner) -> None:
        """Take both."""
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return the method of a name, blocking."""
        method = getattr(self._client, name)

        def ask(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - any method of it
            answer: Any = method(*given, **named)
            if isinstance(answer, AsyncGenerator):
                return self._each(answer)
            return self._runner.run(answer)

        return ask

    @property
    def admin(self) -> "Blocking":
        """Administration, blocking."""
        assert isinstance(self._client, AsyncClient)
        return Blocking(self._client.admin, self._runner)

    def together(self, *asked: Callable[[Any], Any]) -> list[Any]:
        """Ask several things at once."""

        async def gather() -> list[Any]:
            return await asyncio.gather(*(one(self._client) for one in asked))

        return self._runner.run(gather())

    def _each(self, answers: AsyncGenerator[Any, None]) -> Iterator[Any]:
        async def next_one() -> list[Any]:
            return [one async for one in _first(answers)]

        while got := self._runner.run(next_one()):
            yield from got
        self._runner.run(answers.aclose())


async def _first(answers: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    try:
        yield await anext(answers)
    except StopAsyncIteration:
        return


@contextmanager
def client_of(
    combination: str, where: Where, credentials: Credentials, options: Options | None = None
) -> Iterator[Asked]:
    """Return a client in one of the combinations; closed at the end."""
    transport, _, kind = combination.partition("-")
    chosen = options or Options(ca_file=where.ca_file if transport == "grpc" else None)
    if kind == "sync":
        with Client(where.urls[transport], credentials, chosen) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        asynchronous = AsyncClient(where.urls[transport], credentials, chosen)
        yield Blocking(asynchronous, runner)
        runner.run(asynchronous.close())
