"""Many clients, few entities, processes that die: whether what clients saw can be right.

Meanwhile data keys are rotated, everything is rewrapped, and old keys are destroyed.

    python -m tests.support.torture --seconds 600 --seed 1

Works a deployment of its own for a time and prints operations, faults and violations.
"""

import argparse
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx
from rich.progress import Progress

from tests.support.deployment import Deployment, is_alive, kill, wait_until
from tests.support.linearizability import FOREVER, Operation, is_linearizable

KEYS_PER_ROUND = 3
OPERATIONS_PER_KEY_MAX = 60
WAIT_S = 30.0
ROUND_S = 5.0
Act = Callable[[httpx.Client, str, Random], "Operation | None"]


@dataclass
class Report:
    """What a run did and found."""

    operations: int = 0
    unknown: int = 0
    refused: int = 0
    rotations: int = 0
    keys_destroyed: int = 0
    faults: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return it in one line."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.operations} operations ({self.unknown} of unknown outcome, {self.refused}"
            f" refused), {self.keys_destroyed} data keys destroyed, faults: {faults or 'none'},"
            f" violations: {len(self.violations)}"
        )


class Torture:
    """Runs rounds against a deployment; each has keys of its own and ends in a judgement."""

    def __init__(self, deployment: Deployment, seed: int, clients: int = 6) -> None:
        """Take a deployment that may be broken, and the seed of what is done to it."""
        self._deployment = deployment
        self._random = Random(seed)  # noqa: S311 - which fault comes next is no secret
        self._clients = clients
        self.report = Report()

    def round(self, duration_s: float) -> None:
        """Let the clients work while faults come, then judge what they saw."""
        keys = [f"torture-{secrets.token_hex(4)}-{n}" for n in range(KEYS_PER_ROUND)]
        histories: dict[str, list[Operation]] = {key: [] for key in keys}
        stopping = threading.Event()
        seeds = [self._random.random() for _ in range(self._clients)]
        threads = [
            threading.Thread(target=self._client, args=(seed, histories, stopping))
            for seed in seeds
        ]
        for thread in threads:
            thread.start()
        ends_at = time.monotonic() + duration_s
        while time.monotonic() < ends_at:
            stopping.wait(self._random.uniform(0.2, 0.8))
            self._fault()
        stopping.set()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive(), "a client hangs"
        for key, history in histories.items():
            self._judge(key, history)

    def turn_keys(self, stopping: threading.Event, every_s: float = 0.0) -> None:
        """Rotate, rewrap and destroy over and over; what must not fail is a violation."""
        while not stopping.wait(every_s):
            try:
                # A token ends after ten minutes, and this goes on for longer.
                with self._deployment.http() as http:
                    self._turn_key(http, stopping)
            except httpx.TransportError:
                stopping.wait(1)

    def _turn_key(self, http: httpx.Client, stopping: threading.Event) -> None:
        orders = ["/keys/rotate", "/keys/rewrap"]
        old = [k["key_id"] for k in http.get("/keys").json()["keys"] if k["state"] == "active"]
        for path in [*orders, *(f"/keys/{key_id}/destroy" for key_id in old)]:
            answer = http.post(path)
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                return
            assert answer.is_success, answer.text
            self.report.rotations += path == "/keys/rotate"
            job_id = answer.json().get("job_id")
            while job_id is not None and not stopping.wait(0.1):
                seen = http.get(f"/jobs/{job_id}")
                job = seen.json() if seen.is_success else {"state": "running"}
                if job["state"] == "failed":
                    self.report.violations.append(f"a job failed: {job}")
                if job["state"] != "running":
                    self.report.keys_destroyed += job["kind"] == "destroy"
                    job_id = None

    def _client(
        self, seed: float, histories: dict[str, list[Operation]], stopping: threading.Event
    ) -> None:
        try:
            _work(self._deployment, seed, histories, stopping)
        except AssertionError as error:
            self.report.violations.append(f"an answer that must not be: {error}")

    def _judge(self, key: str, history: list[Operation]) -> None:
        report = self.report
        report.operations += len(history)
        report.unknown += sum(1 for o in history if o.answered_s == FOREVER)
        report.refused += sum(1 for o in history if o.refused)
        if not is_linearizable(history):
            lines = [str(o) for o in sorted(history, key=lambda o: o.called_s)]
            report.violations.append(f"{key}:\n  " + "\n  ".join(lines))

    def _fault(self) -> None:
        workers: dict[str, int] = self._deployment.reload()["pids"]["workers"]
        alive = [pid for pid in workers.values() if is_alive(pid)]
        fault = self._random.choice(["kill", "stop", "none", "end", "stop", "none", "kill main"])
        if fault == "none" or len(alive) < len(workers):
            return
        self.report.faults[fault] += 1
        pid = self._random.choice(alive)
        main = self._deployment.facts["pids"]["grpc"]
        if fault == "kill main":
            if is_alive(main):
                kill(main)
        elif fault in {"kill", "end"}:
            os.kill(pid, signal.SIGKILL if fault == "kill" else signal.SIGTERM)
            wait_until(lambda: not is_alive(pid), WAIT_S)
            wait_until(lambda: len(self._alive()) == len(workers), WAIT_S)
        else:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(self._random.uniform(0.1, 1.5))
            if is_alive(pid):
                os.kill(pid, signal.SIGCONT)

    def _alive(self) -> list[int]:
        pids = self._deployment.reload()["pids"]["workers"].values()
        return [pid for pid in pids if is_alive(pid)]


def _work(
    deployment: Deployment,
    seed: float,
    histories: dict[str, list[Operation]],
    stopping: threading.Event,
) -> None:
    random = Random(seed)  # noqa: S311 - which operation comes next is no secret
    with deployment.http() as http:
        while not stopping.is_set():
            # A history that is judged has to stay short: the search is exponential at its worst.
            open_keys = [k for k, h in histories.items() if len(h) < OPERATIONS_PER_KEY_MAX]
            if not open_keys:
                return
            key = random.choice(open_keys)
            act: Act = random.choice(_ACTS)
            operation = act(http, key, random)
            if operation is not None:
                histories[key].append(operation)
            stopping.wait(random.uniform(0, 0.05))


def _read(http: httpx.Client, key: str, _: Random) -> Operation | None:
    called = time.monotonic()
    try:
        answer = http.get("/entity/chatdb", params={"key": key})
    except httpx.TransportError:
        return None
    answered = time.monotonic()
    if answer.status_code == httpx.codes.NOT_FOUND:
        return Operation("read", called, answered)
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return None
    assert answer.status_code == httpx.codes.OK, answer.text
    version = int(answer.headers["ETag"].strip('"'))
    return Operation("read", called, answered, answer.json()[key]["v"], version)


def _put(
    http: httpx.Client, key: str, random: Random, if_version: int | None = None
) -> Operation | None:
    value = f"{random.getrandbits(48):012x}"
    headers = {"If-Match": f'"{if_version}"'} if if_version else {}
    return _write(
        lambda: http.put("/entity/chatdb", json={key: {"chat": [], "v": value}}, headers=headers),
        key,
        value,
        if_version,
    )


def _conditional_put(http: httpx.Client, key: str, random: Random) -> Operation | None:
    seen = _read(http, key, random)
    if seen is None or seen.version is None:
        return seen
    return _put(http, key, random, seen.version)


def _patch(http: httpx.Client, key: str, random: Random) -> Operation | None:
    """Patch the version that was just read, so that what it makes is known."""
    seen = _read(http, key, random)
    if seen is None or seen.version is None:
        return seen
    value = f"{random.getrandbits(48):012x}"
    headers = {
        "Content-Type": "application/merge-patch+json",
        "If-Match": f'"{seen.version}"',
    }
    return _write(
        lambda: http.patch("/entity/chatdb", json={key: {"v": value}}, headers=headers),
        key,
        value,
        seen.version,
    )


def _delete(http: httpx.Client, key: str, _: Random) -> Operation | None:
    called = time.monotonic()
    try:
        answer = http.delete("/entity/chatdb", params={"key": key})
    except httpx.TransportError:
        return Operation("delete", called, FOREVER)
    answered = time.monotonic()
    if answer.status_code == httpx.codes.NO_CONTENT:
        return Operation("delete", called, answered)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return Operation("delete", called, answered, refused=True)
    return _failed(answer, Operation("delete", called, FOREVER))


def _write(
    send: Callable[[], httpx.Response], key: str, value: str, if_version: int | None
) -> Operation | None:
    called = time.monotonic()
    unknown = Operation("write", called, FOREVER, value, None, if_version)
    try:
        answer = send()
    except httpx.TransportError:
        return unknown
    answered = time.monotonic()
    if answer.is_success:
        version = int(answer.json()[key]["version"])
        return Operation("write", called, answered, value, version, if_version)
    if answer.status_code == httpx.codes.PRECONDITION_FAILED:
        version = int(answer.json()["current_version"])
        return Operation("write", called, answered, value, version, if_version, refused=True)
    if answer.status_code == httpx.codes.NOT_FOUND:
        # A patch of what a delete has removed since it was read.
        return Operation("write", called, answered, value, 0, if_version, refused=True)
    return _failed(answer, unknown)


def _failed(answer: httpx.Response, unknown: Operation) -> Operation | None:
    """Nothing was done where the answer says so; else the outcome is unknown."""
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
    nothing_done = answer.json()["type"].rpartition(":")[2] in {"unavailable", "busy"}
    return None if nothing_done else unknown


_ACTS: list[Act] = [_read, _read, _put, _put, _conditional_put, _patch, _delete]


def main() -> int:
    """Run for a time with a seed; 1 where a violation was found."""
    arguments = argparse.ArgumentParser(description="Torture a deployment of three workers.")
    arguments.add_argument("--seconds", type=float, default=600)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        running = Deployment(Path(directory), ("--workers", "3")).start()
        torture = Torture(running, given.seed)
        stopping = threading.Event()
        turning = threading.Thread(target=torture.turn_keys, args=(stopping,))
        turning.start()
        try:
            _run(torture, given.seconds)
        finally:
            stopping.set()
            turning.join(WAIT_S)
            running.stop()
    sys.stdout.write(f"seed {given.seed}: {torture.report.line()}\n")
    sys.stdout.write("\n".join(torture.report.violations))
    return 1 if torture.report.violations else 0


def _run(torture: Torture, seconds: float) -> None:
    began = time.monotonic()
    with Progress() as progress:
        task = progress.add_task("torture", total=seconds)
        while time.monotonic() - began < seconds and not torture.report.violations:
            torture.round(ROUND_S)
            progress.update(
                task, completed=time.monotonic() - began, description=torture.report.line()
            )


if __name__ == "__main__":
    sys.exit(main())
