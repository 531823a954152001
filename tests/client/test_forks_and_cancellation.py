"""Processes that fork, tasks that are cancelled, loops that end: what a client does then."""

import asyncio
import json
import subprocess
import sys
from contextlib import suppress

import pytest

from strongroom_client import AsyncClient, ConfigurationError, Options, Retries, StaticToken
from strongroom_client.rest import aio_channel
from tests.support.faulty_deployments import VERSION, Fault, Script, over_http

CALLS = 60
FORKS = f"""
import json, os, sys
from strongroom_client import Client, ClientCredentials, StrongroomClientError

client = Client(sys.argv[1], ClientCredentials("me", "hunter2"))
client.get("d", "before")
client._driver._alone.acquire()  # As a thread that is fetching a token while another one forks.
reading, writing = os.pipe()
is_child = os.fork() == 0
if is_child:
    client._conversation._tokens.refuse("token-1")
odd = []
for n in range({CALLS}):
    key = f"{{'child' if is_child else 'parent'}}-{{n}}"
    try:
        odd += [key] if client.get("d", key, timeout_s=10.0).key != key else []
    except StrongroomClientError as error:
        odd.append(f"{{key}}: {{error.detail}}")
if is_child:
    os.write(writing, json.dumps(odd[:5]).encode())
    os._exit(0)
os.wait()
print(json.dumps([odd[:5], json.loads(os.read(reading, 4096))]))
"""


def test_after_a_fork_each_process_has_its_own_answers() -> None:
    """A server of several processes answers one user with what another one has asked for."""
    script = Script([Fault.NONE])
    with over_http(script) as url:
        ended = subprocess.run(  # noqa: S603 - no text of anybody else's
            [sys.executable, "-c", FORKS, url], capture_output=True, check=True, timeout=60
        )
    assert json.loads(ended.stdout) == [[], []]
    assert len(script.asked) == 1 + 2 * CALLS
    assert len(script.connections) == 2


def test_cancelled_tasks_use_up_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program whose users hang up now and then cannot ask anything any more after a day."""
    monkeypatch.setattr(aio_channel, "CONNECTIONS_MAX", 2)

    async def course(url: str) -> int:
        async with AsyncClient(url, StaticToken("t")) as client:
            for n in range(200):
                asking = asyncio.create_task(client.get("d", f"cancelled-{n}"))
                await asyncio.sleep(0.0001 * (n % 30))
                asking.cancel()
                with suppress(asyncio.CancelledError):
                    await asking
            return (await client.get("d", "k", timeout_s=5.0)).version

    with over_http(Script([Fault.NONE])) as url:
        assert asyncio.run(course(url)) == VERSION


def test_a_cancelled_task_ends_at_once_and_so_does_its_request() -> None:
    """Whoever gives up waits all the same, or a server that hangs holds connections for nobody."""

    async def course(url: str) -> float:
        options = Options(retries=Retries(attempts=1), attempt_s=60.0)
        async with AsyncClient(url, StaticToken("t"), options) as client:
            asking = asyncio.create_task(client.get("d", "k", timeout_s=60.0))
            while not script.asked:  # noqa: ASYNC110 - by another thread
                await asyncio.sleep(0.01)
            began = asyncio.get_running_loop().time()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - the client's own
                await asyncio.sleep(0.01)
            return asyncio.get_running_loop().time() - began

    script = Script([Fault.SILENCE])
    with over_http(script) as url:
        assert asyncio.run(course(url)) < 5.0


def test_a_client_of_another_loop_is_refused() -> None:
    """A program that calls asyncio.run twice is told of a loop that is closed, now and then."""
    with over_http(Script([Fault.NONE])) as url:
        client = AsyncClient(url, StaticToken("t"))

        async def course(*, is_last: bool) -> int:
            try:
                return (await client.get("d", "k")).version
            finally:
                if not is_last:
                    await client._channel.close()  # noqa: SLF001 - the client itself stays

        assert asyncio.run(course(is_last=False)) == VERSION
        with pytest.raises(ConfigurationError, match="one event loop"):
            asyncio.run(course(is_last=True))
