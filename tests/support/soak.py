"""A whole deployment under mixed load for a time: what it serves, and what grows or stays behind.

    python -m tests.support.soak [--seconds 600] [--seed 1] [--clients 3]

Clients of both faces, built on the client library, read and write keys of their own while workers
are killed (SIGKILL) and drained (SIGTERM), and data keys are rotated, rewrapped and destroyed. The
first worker is spared, so that its growth is seen. Each request is sent once: what a client would
try again by itself is an error here. Ends with 1 where `verdict` finds something.
"""

import argparse
import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.scale.fleet import Draws
from cli.progress import Bar
from strongroom.clock import SystemClock
from strongroom.layout import TEMPORARY_PREFIX
from strongroom_client import Client, ClientCredentials, Options
from strongroom_client.core.retrying import Retries
from tests.support.deployment import Deployment, is_alive, wait_until
from tests.support.process_usage import Usage, locks_held, usage
from tests.support.soak_clients import Met, SoakClient
from tests.support.torture import Torture

WORKERS: Final = 3
PATIENCE_S: Final = 40.0
WARM_UP_S_MAX: Final = 30.0
ROTATED_EVERY_S: Final = 5.0
GROWN_BYTES_MAX: Final = 64 * 1024 * 1024
"""How much resident memory a process may gain after the warm-up."""

GROWN_DESCRIPTORS_MAX: Final = 32
"""How many more descriptors it may have open; connections come and go."""

FAILED_SHARE_MAX: Final = 0.1
"""Which share of the requests may fail; those that are under way at a worker's death do."""

KILLED_WRITE_S: Final = 3.0
"""Of what age a temporary file may be that a killed worker leaves; it is swept later."""


@dataclass
class Found:
    """What a run found.

    Attributes:
        met: What the clients met.
        seconds: How long they worked.
        before: What each process used after the warm-up, by name.
        after: The same at the end, under load still.
        of_the_killed: Temporary files that the death of a worker explains.
        leaked: Those that nothing explains.
        locks: Locks that are held though nobody asks for anything, beyond those at first, by file.
        faults: What was done to workers and keys, in words.
    """

    met: Met
    seconds: float
    before: Mapping[str, Usage]
    after: Mapping[str, Usage]
    of_the_killed: Sequence[str] = ()
    leaked: Sequence[str] = ()
    locks: Counter[str] = field(default_factory=Counter)
    faults: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of all is at most; 0 for none at all."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0


def verdict(found: Found) -> list[str]:
    """Return what must not be, a line each."""
    lines = [f"wrong answer: {text}" for text in found.met.wrong]
    failed, requests = found.met.errors.total(), found.met.requests
    if failed > FAILED_SHARE_MAX * requests:
        lines.append(f"{failed} of {requests} requests have failed")
    lines += [f"a temporary file is left behind: {name}" for name in found.leaked]
    lines += [f"{n} locks are still held on {name}" for name, n in found.locks.items()]
    for name, before in found.before.items():
        after = found.after.get(name)
        if after is None:
            lines.append(f"{name} is gone")
            continue
        if after.resident_bytes - before.resident_bytes > GROWN_BYTES_MAX:
            lines.append(f"{name} has grown by over {GROWN_BYTES_MAX >> 20} MiB")
        if (after.descriptors or 0) - (before.descriptors or 0) > GROWN_DESCRIPTORS_MAX:
            lines.append(f"{name} has over {GROWN_DESCRIPTORS_MAX} more descriptors open")
    return lines


def left_behind(
    written_s: Mapping[str, float], kills_s: Sequence[float]
) -> tuple[list[str], list[str]]:
    """Part temporary files into those of killed workers and those of nobody.

    Args:
        written_s: When each was last written, seconds since 1970.
        kills_s: When workers were killed.
    """
    killed = [
        name
        for name, at_s in written_s.items()
        if any(0 <= kill_s - at_s <= KILLED_WRITE_S for kill_s in kills_s)
    ]
    return killed, [name for name in written_s if name not in killed]


class Faults:
    """Kills and drains workers, one after the other, but never the first one."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        """Take a deployment that may be broken."""
        self._deployment = deployment
        self._draws = Draws(seed)
        self.kills_s: list[float] = []
        self.drains = 0

    def work(self, stopping: threading.Event) -> None:
        """Break a worker every four to ten seconds, and wait until it is back."""
        while not stopping.wait(4 + self._drawn(7)):
            workers = list(self._workers().values())
            self._break(workers[1 + self._drawn(len(workers) - 1)])

    def _break(self, pid: int) -> None:
        if self._drawn(2):
            os.kill(pid, signal.SIGKILL)
            # The death of a process takes a moment, and it may write until then.
            self.kills_s.append(SystemClock().wall_ms() / 1000 + 0.1)
        else:
            os.kill(pid, signal.SIGTERM)
            self.drains += 1
        wait_until(lambda: not is_alive(pid), PATIENCE_S)
        wait_until(lambda: all(map(is_alive, self._workers().values())), PATIENCE_S)

    def _workers(self) -> dict[str, int]:
        workers: dict[str, int] = self._deployment.reload()["pids"]["workers"]
        return workers

    def _drawn(self, below: int) -> int:
        (drawn,) = self._draws.choices([1] * below, 1)
        return drawn


def run(deployment: Deployment, seconds: float, seed: int, each: int) -> Found:
    """Work a deployment for a time with so many clients of each face; return what was found."""
    root, stopping, healing = deployment.shared_dir, threading.Event(), threading.Event()
    clients = _clients(deployment, seed, each)
    faults, turning = Faults(deployment, seed), Torture(deployment, seed)
    at_first = locks_held(root)
    began_s = time.monotonic()
    with ThreadPoolExecutor(len(clients) + 2) as pool, Bar("soak") as bar:
        at_work = [pool.submit(client.work, stopping) for client in clients]
        try:
            _wait(bar, clients, began_s, min(WARM_UP_S_MAX, seconds / 4), seconds)
            before = _usages(deployment)
            breaking = [
                pool.submit(faults.work, healing),
                pool.submit(turning.turn_keys, healing, ROTATED_EVERY_S),
            ]
            _wait(bar, clients, began_s, seconds, seconds)
            healing.set()
            # Else a worker that is about to come back would count as gone.
            wait(breaking)
            after = _usages(deployment)
        finally:
            healing.set()
            stopping.set()
    found = Found(Met(), time.monotonic() - began_s, before, after)
    for client in clients:
        client.finish()
        found.met.add(client.met)
    ended = [str(error) for one in at_work + breaking if (error := one.exception()) is not None]
    found.met.wrong += [*turning.report.violations, *ended]
    found.faults = (
        f"{len(faults.kills_s)} workers killed, {faults.drains} drained; data keys rotated"
        f" {turning.report.rotations} times, {turning.report.keys_destroyed} destroyed"
    )
    found.of_the_killed, found.leaked = left_behind(_temporary(root), faults.kills_s)
    wait_until(lambda: not locks_held(root) - at_first, PATIENCE_S)
    found.locks = locks_held(root) - at_first
    return found


def _clients(deployment: Deployment, seed: int, each: int) -> list[SoakClient]:
    facts, ca_file = deployment.facts, deployment.facts["grpc_ca_file"]
    options = Options(ca_file=ca_file, retries=Retries(attempts=1))
    urls = [facts["http_url"], f"grpc://{facts['grpc_address']}"] * each
    return [
        SoakClient(
            Client(url, ClientCredentials(*deployment.credentials()), options),
            f"{seed}-{number}",
            1_000 * seed + number,
        )
        for number, url in enumerate(urls)
    ]


def _wait(
    bar: Bar, clients: Sequence[SoakClient], began_s: float, until_s: float, total_s: float
) -> None:
    while (elapsed_s := time.monotonic() - began_s) < until_s:
        done = sum(client.met.requests for client in clients)
        wrong = sum(len(client.met.wrong) for client in clients)
        bar.count(int(elapsed_s), int(total_s))
        bar.tell(f"soak: {done:,} requests, {done / elapsed_s:,.0f}/s, {wrong} wrong answers")
        time.sleep(0.5)


def _usages(deployment: Deployment) -> dict[str, Usage]:
    pids = deployment.reload()["pids"]
    named = {name: pids[name] for name in ("up", "rest", "grpc")} | pids["workers"]
    locks = deployment.shared_dir / "locks"
    found = {}
    for name, pid in named.items():
        # One that does not come back is told of by its absence.
        with suppress(FileNotFoundError, ProcessLookupError):
            found[name] = usage(pid, locks)
    return found


def _temporary(root: Path) -> dict[str, float]:
    found = {}
    for path in root.rglob(f"{TEMPORARY_PREFIX}*"):
        with suppress(FileNotFoundError):
            found[str(path.relative_to(root))] = path.stat().st_mtime
    return found


def report(found: Found) -> str:
    """Return what is told at the end."""
    met, seconds = found.met, found.seconds
    files = f"{len(found.of_the_killed)} of killed workers, {len(found.leaked)} leaked"
    held = found.locks.total()
    return "\n".join(
        [
            f"{met.requests:,} requests in {seconds:.0f} s, {met.requests / seconds:,.0f}/s",
            found.faults,
            "",
            "| operation | requests | p50 | p99 | errors |",
            "|---|---|---|---|---|",
            *(_operation(met, name) for name in met.took_s),
            "",
            "| process | resident, MiB | at the end | open descriptors | at the end |",
            "|---|---|---|---|---|",
            *(_process(found, name) for name in found.before),
            "",
            f"temporary files: {files}; locks still held: {held}; wrong answers: {len(met.wrong)}",
        ]
    )


def _operation(met: Met, name: str) -> str:
    took_s = met.took_s[name]
    p50, p99 = (f"{percentile(took_s, share) * 1e3:,.1f} ms" for share in (0.5, 0.99))
    errors = [f"{n} {code}" for (of, code), n in sorted(met.errors.items()) if of == name]
    return f"| {name} | {len(took_s)} | {p50} | {p99} | {', '.join(errors) or 'none'} |"


def _process(found: Found, name: str) -> str:
    both = (found.before[name], found.after.get(name, Usage(0, None)))
    mebibytes = " | ".join(f"{one.resident_bytes / 2**20:.1f}" for one in both)
    return f"| {name} | {mebibytes} | {' | '.join(map(_descriptors, both))} |"


def _descriptors(used: Usage) -> str:
    return "not shown" if used.descriptors is None else str(used.descriptors)


def main() -> int:
    """Run for a time with a seed; 1 where something must not be."""
    arguments = argparse.ArgumentParser(description="Mixed load on a deployment, for a time.")
    arguments.add_argument("--seconds", type=float, default=600)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--clients", type=int, default=3, help="of each face")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        running = Deployment(Path(directory), ("--workers", str(WORKERS))).start()
        try:
            found = run(running, given.seconds, given.seed, given.clients)
        finally:
            code = running.stop()
    lines = verdict(found) + ([f"the deployment ended with {code}"] if code else [])
    sys.stdout.write("\n".join([f"seed {given.seed}: {report(found)}", *lines]) + "\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
