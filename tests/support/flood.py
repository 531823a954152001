"""Thousands of clients with the largest bodies there are, and what the processes need for them.

    python -m tests.support.flood --clients 10000

Each client connects, puts or gets an entity of 4 MiB over REST or gRPC, and leaves; so many of them
at a time. Prints what they were answered, and the most memory that each process has had.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from strongroom import limits
from strongroom_pb.v1 import entity_pb2, entity_pb2_grpc
from tests.support.deployment import Deployment

KEYS = 20
CONNECTIONS = 300
SLOW_ONE_IN = 5
SLOW_S = 0.5
LONG_S = 120.0
DOCUMENT = b'{"chat":[],"s":"' + b"x" * (limits.ENTITY_BYTES_MAX - 18) + b'"}'
Client = Callable[[int], Awaitable[str]]


class Flood:
    """Floods a deployment; `answers` counts what the clients were told."""

    def __init__(self, deployment: Deployment) -> None:
        """Take a running deployment."""
        self._deployment = deployment
        self._token = deployment.token()
        self._roots = Path(deployment.facts["grpc_ca_file"]).read_bytes()
        self.answers: Counter[str] = Counter()

    def run(self, clients: int, connections: int) -> None:
        """Send clients of each kind, so many at a time."""
        asyncio.run(self._crowd(self._rest_put, KEYS, connections=2))
        for client in (self._rest_put, self._rest_get, self._rpc_put, self._rpc_get):
            asyncio.run(self._crowd(client, clients, connections))

    def peaks(self) -> dict[str, int]:
        """Return the most bytes of memory that each process has had, by its name."""
        pids = self._deployment.reload()["pids"]
        named = {"grpc": pids["grpc"], **pids["workers"]}
        # granian serves in a process of its own.
        named |= {f"rest-{pid}": pid for pid in (pids["rest"], *_children(pids["rest"]))}
        return {name: _peak_bytes(pid) for name, pid in named.items()}

    async def _crowd(self, client: Client, clients: int, connections: int) -> None:
        numbers = iter(range(clients))
        await asyncio.gather(
            *[self._one_after_another(client, numbers) for _ in range(connections)]
        )

    async def _one_after_another(self, client: Client, numbers: Iterator[int]) -> None:
        for number in numbers:
            try:
                answer = await client(number)
            except (OSError, asyncio.IncompleteReadError) as error:
                answer = type(error).__name__
            self.answers[f"{client.__name__.strip('_')} {answer}"] += 1

    async def _rest_put(self, number: int) -> str:
        body = b'{"flood-%d":%s}' % (number % KEYS, DOCUMENT)
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
        return await self._rest(number, f"PUT /entity/chatdb HTTP/1.1\r\n{length}", body)

    async def _rest_get(self, number: int) -> str:
        return await self._rest(
            number, f"GET /entity/chatdb?key=flood-{number % KEYS} HTTP/1.1", b""
        )

    async def _rest(self, number: int, head: str, body: bytes) -> str:
        loop = asyncio.get_running_loop()
        host, port = self._deployment.facts["http_url"].removeprefix("http://").split(":")
        with socket.socket() as connection:
            connection.setblocking(False)  # noqa: FBT003 - its only argument
            await loop.sock_connect(connection, (host, int(port)))
            start = f"{head}\r\nHost: a\r\nAuthorization: Bearer {self._token}\r\n\r\n"
            await loop.sock_sendall(connection, start.encode())
            await loop.sock_sendall(connection, body)
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                if number % SLOW_ONE_IN == 0:
                    await asyncio.sleep(SLOW_S)
                answered = await reader.readuntil(b"\r\n\r\n")
                lines = answered.decode().lower().split("\r\n")
                (length,) = [n for n in lines if n.startswith("content-length:")]
                await reader.readexactly(int(length.partition(":")[2]))
                return lines[0].split()[1]
            finally:
                writer.close()

    async def _rpc_put(self, number: int) -> str:
        request = entity_pb2.PutEntityRequest(
            database="chatdb", key=f"flood-{number % KEYS}", document=DOCUMENT
        )
        return await self._rpc(lambda stub: stub.PutEntity, request)

    async def _rpc_get(self, number: int) -> str:
        request = entity_pb2.GetEntityRequest(database="chatdb", key=f"flood-{number % KEYS}")
        return await self._rpc(lambda stub: stub.GetEntity, request)

    async def _rpc(self, method: Callable[[Any], Any], request: object) -> str:
        credentials = grpc.ssl_channel_credentials(self._roots)
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        metadata = (("authorization", f"Bearer {self._token}"),)
        address = self._deployment.facts["grpc_address"]
        async with grpc.aio.secure_channel(address, credentials, options) as channel:
            call = method(entity_pb2_grpc.EntityServiceStub(channel))
            try:
                await call(request, metadata=metadata, timeout=LONG_S)
            except grpc.aio.AioRpcError as error:
                return error.code().name
        return "OK"


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for listed in lists for child in listed.read_text().split()]


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak) * 1024


def bound_bytes(name: str) -> int:
    """Return what the process of a name may have at most."""
    if name.startswith("worker"):
        return limits.CACHE_BYTES + limits.WORKER_MEMORY_BESIDE_CACHE_BYTES_MAX
    return limits.MAIN_MEMORY_BYTES_MAX


def main() -> int:
    """Send clients, a quarter of them of each kind; 1 where a process has needed too much."""
    arguments = argparse.ArgumentParser(description="Flood a deployment with large bodies.")
    arguments.add_argument("--clients", type=int, default=10_000)
    arguments.add_argument("--connections", type=int, default=CONNECTIONS)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        running = Deployment(Path(directory)).start()
        try:
            began = time.monotonic()
            flood = Flood(running)
            flood.run(given.clients // 4, given.connections)
            peaks = flood.peaks()
            seconds = time.monotonic() - began
        finally:
            running.stop()
    sys.stdout.write(f"{given.clients} clients in {seconds:.0f} s\n")
    for answer, count in sorted(flood.answers.items()):
        sys.stdout.write(f"{answer}: {count}\n")
    for name, peak in peaks.items():
        sys.stdout.write(f"{name}: {peak >> 20} MiB of {bound_bytes(name) >> 20}\n")
    return int(any(peak > bound_bytes(name) for name, peak in peaks.items()))


if __name__ == "__main__":
    sys.exit(main())
