"""`python -m benchmarks.audit`: what recording reads and writes costs.

The floor is the same deployment with `STRONGROOM_AUDIT_READS` and `_WRITES` off. One with each
setting is up at the same time, and they are asked in turn, for a moment each: entities over REST,
by one client and by sixteen. Told are the medians of the ratios of each turn: requests in a second,
and processor time of the Main Worker for each of them.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.support.deployment import CHAT, Deployment

_SETTINGS: Final = ("off", "batched", "required")
_CLIENTS: Final = (1, 16)
_METHODS: Final = {"read": "GET", "write": "PUT"}
_TURNS: Final = 15
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """Of one turn: requests in a second, and the Main Worker's microseconds for each."""

    per_second: float
    processor_us: float


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each turn lasts")
    parser.add_argument("--turns", type=int, default=_TURNS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        deployments = [
            stack.enter_context(_deployment(Path(folder) / setting, setting))
            for setting in _SETTINGS
        ]
        for what in _METHODS:
            for clients in _CLIENTS:
                turns = [
                    [_turn(one, what, clients, given.seconds) for one in deployments]
                    for _ in range(given.turns)
                ]
                _report(what, clients, turns)
    return 0


@contextmanager
def _deployment(directory: Path, setting: str) -> Iterator[Deployment]:
    directory.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRONGROOM_AUDIT_READS", setting)
        patch.setenv("STRONGROOM_AUDIT_WRITES", setting)
        running = Deployment(directory).start()
    try:
        yield running
    finally:
        running.stop()


def _turn(running: Deployment, what: str, clients: int, seconds: float) -> Measured:
    processes = _family(running.facts["pids"]["rest"])
    asking = _Asking(running, _METHODS[what], clients)
    with ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(asking.run, number) for number in range(clients)]
        asking.ready.wait()
        began, used = time.monotonic(), _processor_s(processes)
        asking.stop.wait(seconds)
        asking.stop.set()
        requests = sum(one.result() for one in done)
        took, used = time.monotonic() - began, _processor_s(processes) - used
    return Measured(requests / took, used * 1e6 / requests)


class _Asking:
    """Clients that ask for an entity each until they are stopped."""

    def __init__(self, running: Deployment, method: str, clients: int) -> None:
        self._token = running.token()
        self._address = urlsplit(running.facts["http_url"])
        self._method = method
        self.ready = threading.Barrier(clients + 1)
        self.stop = threading.Event()

    def run(self, number: int) -> int:
        """Ask; return how often."""
        host, port = self._address.hostname or "", self._address.port
        connection = http.client.HTTPConnection(host, port, timeout=30)
        self._ask(connection, "PUT", f"key-{number}")
        self.ready.wait()
        done = 0
        while not self.stop.is_set():
            self._ask(connection, self._method, f"key-{number}")
            done += 1
        connection.close()
        return done

    def _ask(self, connection: http.client.HTTPConnection, method: str, key: str) -> None:
        target = "/entity/chatdb" if method == "PUT" else f"/entity/chatdb?key={key}"
        body = json.dumps({key: CHAT}) if method == "PUT" else None
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status not in {200, 201}:
            raise RuntimeError(f"{method} {target} is answered with {answer.status}")


def _family(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _processor_s(processes: list[int]) -> float:
    stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in processes)
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / _TICKS


def _report(what: str, clients: int, turns: list[list[Measured]]) -> None:
    for number, setting in enumerate(_SETTINGS):
        mine, floor = [turn[number] for turn in turns], [turn[0] for turn in turns]
        rate = statistics.median(one.per_second for one in mine)
        ratio = statistics.median(
            one.per_second / other.per_second for one, other in zip(mine, floor, strict=True)
        )
        processor = statistics.median(one.processor_us for one in mine)
        more = statistics.median(
            one.processor_us / other.processor_us for one, other in zip(mine, floor, strict=True)
        )
        sys.stdout.write(
            f"{what:5} {clients:2} clients  {setting:8} {rate:6.0f}/s {ratio:5.2f}"
            f"   {processor:6.0f} us {more:5.2f}\n"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
