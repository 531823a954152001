"""For how long clients notice that a worker is killed, stopped or cut off, and what they lose.

    python -m tests.support.failover [--seconds 8] [--clients 4]

Works a deployment of four workers through both faces, lets each fault come by itself and then all
at once, heals it, and prints for each what clients met. A client owns its keys, so it knows what
every read has to answer. A request is slowed that takes longer than any before the fault, and than
`SLOW_S`. Ends with 1 where an answer was wrong, an acknowledged write is gone, or a request was
slowed or refused later than `limits.WORKER_OUT_OF_THE_WAY_SECONDS` after the fault.
"""

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from strongroom import limits
from strongroom.identity import Identity
from tests.support.black_hole import BlackHole
from tests.support.faulty_kms import FaultyDeployment
from tests.support.owning_clients import PATIENCE_S, Client, Met, clients_of

WORKERS = 4
BEFORE_S = 4.0
SLOW_S = 0.3
OF_A_LOCK = frozenset({"busy", "outcome-unknown"})
_WATCHED_EVERY_S = 0.05
_KILLED, _STOPPED, _CUT_OFF = "worker-1", "worker-2", "worker-3"


class Deployment(FaultyDeployment):
    """A deployment whose third worker is reached through a port that can be cut off."""

    def __init__(self, root: Path) -> None:
        """Start nothing yet."""
        super().__init__(root, workers=WORKERS)
        self._stopping = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.black_hole = BlackHole(("127.0.0.2", self._port), ("127.0.0.1", self._port))

    def start(self) -> None:
        """Start, and from then on whatever has died, anew."""
        super().start()
        threading.Thread(target=self._keep_alive, daemon=True).start()

    def stop(self) -> None:
        """Stop everything."""
        self._stopping.set()
        super().stop()
        self.black_hole.stop()

    def signal(self, name: str, number: int) -> None:
        """Send a process a signal."""
        os.kill(self._children[name].pid, number)

    def _keep_alive(self) -> None:
        while not self._stopping.wait(_WATCHED_EVERY_S):
            self.watch()

    def _worker_environment(self, name: str, identity: Identity) -> dict[str, str]:
        environment = super()._worker_environment(name, identity)
        if name != _CUT_OFF:
            return environment
        port = str(self._port)
        behind = {"STRONGROOM_LISTEN_PORT": port, "STRONGROOM_ADVERTISE_HOST": "127.0.0.2"}
        return environment | behind


Fault = Callable[[Deployment], None]


def _kill(deployment: Deployment) -> None:
    deployment.signal(_KILLED, signal.SIGKILL)


def _stop(deployment: Deployment) -> None:
    deployment.signal(_STOPPED, signal.SIGSTOP)


def _cut_off(deployment: Deployment) -> None:
    deployment.black_hole.open()


def _heal(deployment: Deployment) -> None:
    deployment.signal(_STOPPED, signal.SIGCONT)
    deployment.black_hole.close()


FAULTS: dict[str, tuple[Fault, ...]] = {
    "none": (),
    "kill -9": (_kill,),
    "SIGSTOP": (_stop,),
    "black hole": (_cut_off,),
    "all three": (_kill, _stop, _cut_off),
}


@dataclass
class Seen:
    """What clients met around one fault.

    Attributes:
        fault: Its name.
        requests: How many ended after it.
        refusals: How many of them were refused, by code.
        held: Entities that a worker had locked when the fault came; they stay locked while a
            stopped one has not ended, and do not count in what follows.
        last_refusal_s: How long after the fault the last refusal was; 0 where there was none.
        slowed: How many requests were slowed.
        last_slowed_s: When the last of these was answered.
        longest_s: How long one took at most.
    """

    fault: str
    requests: int
    refusals: Counter[str]
    held: int
    last_refusal_s: float
    slowed: int
    last_slowed_s: float
    longest_s: float

    def line(self) -> str:
        """Return it as a row of a table."""
        refused = ", ".join(f"{n} {code}" for code, n in sorted(self.refusals.items())) or "none"
        share = self.refusals.total() / self.requests
        return (
            f"| {self.fault} | {self.requests} | {refused} | {share:.2%} | {self.held} |"
            f" {self.last_refusal_s:.2f} s | {self.slowed} | {self.longest_s:.2f} s |"
            f" {self.last_slowed_s:.2f} s |"
        )


def seen(fault: str, met: Sequence[Met], fault_s: float) -> Seen:
    """Return what of the requests of a time tells of a fault within it."""
    usual_s = max((m.ended_s - m.began_s for m in met if m.ended_s < fault_s), default=0.0)
    after = [m for m in met if m.ended_s >= fault_s]
    held = {key for m in after if m.refusal in OF_A_LOCK for key in m.keys}
    others = [m for m in after if not held & set(m.keys)]
    slowed = [m for m in others if m.ended_s - m.began_s > max(usual_s, SLOW_S)]
    return Seen(
        fault,
        len(after),
        Counter(m.refusal for m in after if m.refusal),
        len(held),
        max((m.ended_s - fault_s for m in others if m.refusal), default=0.0),
        len(slowed),
        max((m.ended_s - fault_s for m in slowed), default=0.0),
        max(m.ended_s - m.began_s for m in others),
    )


def run(
    deployment: Deployment,
    clients: list[Client],
    faults: Mapping[str, tuple[Fault, ...]],
    before_s: float,
    after_s: float,
) -> list[Seen]:
    """Let each fault come while clients work, then read everything once more."""
    stopping = threading.Event()
    threads = [threading.Thread(target=one.work, args=(stopping,)) for one in clients]
    for thread in threads:
        thread.start()
    rows = []
    try:
        for name, at_once in faults.items():
            time.sleep(before_s)
            for one in clients:
                one.met.clear()
            time.sleep(before_s)
            fault_s = time.monotonic()
            for fault in at_once:
                fault(deployment)
            time.sleep(after_s)
            rows.append(seen(name, [m for one in clients for m in list(one.met)], fault_s))
            _heal(deployment)
            sys.stderr.write(rows[-1].line() + "\n")
            # The lease of one that was stopped has ended; it comes anew.
            time.sleep(limits.LEASE_SECONDS / 2)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    for one in clients:
        one.check_everything()
        one.face.close()
    return rows


def main() -> int:
    """Print a table; 1 where something was lost, or took too long."""
    arguments = argparse.ArgumentParser(description="faults of workers, as clients see them")
    arguments.add_argument("--seconds", type=float, default=8.0)
    arguments.add_argument("--clients", type=int, default=4, help="of each face")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        deployment = Deployment(Path(directory) / "root")
        deployment.start()
        try:
            clients = clients_of(deployment, given.clients)
            rows = run(deployment, clients, FAULTS, BEFORE_S, given.seconds)
        finally:
            deployment.stop()
    wrong = [text for one in clients for text in one.wrong]
    _print(rows, sum(one.acknowledged for one in clients), wrong)
    too_long_s = limits.WORKER_OUT_OF_THE_WAY_SECONDS
    late = [row for row in rows[1:] if max(row.last_slowed_s, row.last_refusal_s) > too_long_s]
    return 1 if wrong or late else 0


def _print(rows: list[Seen], acknowledged: int, wrong: list[str]) -> None:
    """Print what was seen."""
    sys.stdout.write(
        "| fault | requests | refused | share | entities held | last refusal | slowed | longest |"
        " last slowed |\n|---|---|---|---|---|---|---|---|---|\n"
        + "".join(row.line() + "\n" for row in rows)
        + f"{acknowledged} writes were acknowledged; wrong answers, lost ones among them:"
        f" {len(wrong)}\n" + "".join(text + "\n" for text in wrong)
    )


if __name__ == "__main__":
    sys.exit(main())
