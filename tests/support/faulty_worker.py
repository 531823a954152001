"""A real Processing Worker whose filesystem stops it, or fails, at a chosen call of a write.

    python -m tests.support.faulty_worker

is `python -m processing_fn` over another filesystem and another clock. `FaultyWorker` starts it in
a running deployment, where it registers as every worker does.
"""

import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from cli.emulation.pki import CertificateAuthority
from main_api.adapters.processing_workers import GrpcWorkers
from main_api.domain import placement
from main_api.domain.registry import WorkerRecord
from main_api.service.workers.ports import WriteItem, WriteKind, Written
from processing_fn import __main__ as worker
from processing_fn import bootstrap
from strongroom.clock import SystemClock
from strongroom.configuration import Database
from strongroom.identity import Identity
from strongroom.metrics.filesystem import MeasuredFilesystem
from strongroom.metrics.instruments import Metrics
from strongroom.process import PARENT_VARIABLE
from strongroom.rpc import tls
from tests.support.deployment import READY_S, Deployment, wait_until
from tests.support.filesystems import ObservedFilesystem
from tests.support.held_identities import live, patient_channel

_PLAN = "STRONGROOM_TEST_PLAN"
_REPOSITORY = Path(__file__).parents[2]
_END_S = 10.0


@dataclass(frozen=True)
class Fault:
    """What happens at one call of the next write: counted from the creation of its first file.

    Attributes:
        call: The name of the call.
        nth: Which one of that name, 0 for the first.
        errno: What it fails with; 0 stops the process with SIGSTOP instead, ahead of the call.
        quotes: Whether it fails, instead, as nobody has foreseen, with a text that quotes all that
            any function on the way there had in its hands.
        passed_s: By how much the machine's boot clock is found to have moved on after the stop.
    """

    call: str
    nth: int = 0
    errno: int = 0
    quotes: bool = False
    passed_s: float = 0.0


class _Plan:
    """Reads a fault from a file, and makes it happen once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._left = 0
        self.passed_s = 0.0

    def before(self, name: str, _: tuple[Any, ...]) -> None:
        with self._lock:
            fault = self._reached(name)
        if fault is None:
            return
        self._path.with_suffix(".met").touch()
        if fault.quotes:
            raise RuntimeError(_all_in_hand())
        if fault.errno:
            raise OSError(fault.errno, os.strerror(fault.errno))
        # To this thread, which then makes no further step; the whole process stops all the same.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        self.passed_s += fault.passed_s

    def _reached(self, name: str) -> Fault | None:
        if name == "create" and self._fault is None and self._path.exists():
            self._fault = Fault(**json.loads(self._path.read_text()))
            self._left = self._fault.nth
            self._path.unlink()
        fault = self._fault
        if fault is None or name != fault.call:
            return None
        self._left -= 1
        if self._left >= 0:
            return None
        self._fault = None
        return fault


def _all_in_hand() -> str:
    """Return the local variables of every function that is being called, as text."""
    values = (value for frame in inspect.stack() for value in frame.frame.f_locals.values())
    return "\n".join(repr(value) for value in values)


class _MovedClock(SystemClock):
    """The system's clock, and what a plan has added."""

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan

    def boot_s(self) -> float:
        return super().boot_s() + self._plan.passed_s


class FaultyWorker:
    """One more worker of a deployment, in a process of its own."""

    def __init__(self, deployment: Deployment, worker_id: str) -> None:
        """Issue its certificate."""
        self.worker_id = worker_id
        self._deployment = deployment
        self._run_dir = Path(tempfile.mkdtemp(dir=deployment.directory))
        self._pki = deployment.root / "pki"
        authority = CertificateAuthority(self._pki, SystemClock())
        self._identity = authority.issue(worker_id, [tls.worker_name(worker_id)])
        self._as_main = GrpcWorkers(
            live(Identity(self._identity.ca_file, self._pki / "main.pem", self._pki / "main.key")),
            patient_channel,
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _plan(self) -> Path:
        return self._run_dir / "plan.json"

    @property
    def _ready_file(self) -> Path:
        return self._run_dir / "ready.json"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of the last start."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it, and wait until it is registered."""
        self._ready_file.unlink(missing_ok=True)
        ports = json.loads((self._deployment.root / "run" / "grpc.ready").read_text())
        environment = {
            **os.environ,
            _PLAN: str(self._plan),
            PARENT_VARIABLE: str(os.getpid()),
            "STRONGROOM_WORKER_ID": self.worker_id,
            "STRONGROOM_SHARED_DIR": str(self._deployment.shared_dir),
            "STRONGROOM_MAIN_ADDRESS": f"127.0.0.1:{ports['subscription_port']}",
            "STRONGROOM_CA_FILE": str(self._identity.ca_file),
            "STRONGROOM_CERTIFICATE_FILE": str(self._identity.certificate_file),
            "STRONGROOM_KEY_FILE": str(self._identity.key_file),
            "STRONGROOM_READY_FILE": str(self._ready_file),
        }
        with (self._run_dir / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.faulty_worker"],
                cwd=_REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        assert wait_until(self._ready_file.exists, READY_S), (self._run_dir / "log").read_text()

    def end(self) -> None:
        """End it, stopped or not; in order where it can be, so that it is listed no longer."""
        self._as_main.close()
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def arm(self, fault: Fault) -> None:
        """Let its next write meet a fault."""
        written = self._plan.with_suffix(".new")
        written.write_text(json.dumps(asdict(fault)))
        written.rename(self._plan)

    def has_met_its_fault(self) -> bool:
        """Tell whether the armed fault has happened."""
        return self._plan.with_suffix(".met").exists()

    def is_stopped(self) -> bool:
        """Tell whether it has been stopped by a signal."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def resume(self) -> None:
        """Let it run on."""
        self.process.send_signal(signal.SIGCONT)

    def is_first_for(self, key: str, *others: str) -> bool:
        """Tell whether this worker, of all, is the one that is asked first for a key."""
        records = [_record(name, "") for name in (self.worker_id, *others)]
        return placement.rank(records, "chatdb", key)[0].worker_id == self.worker_id

    def put(self, key: str, document: bytes, timeout_s: float) -> Written:
        """Put an entity through this very worker, as a Main Worker would that has patience."""
        address = json.loads(self._ready_file.read_text())["address"]
        item = WriteItem(WriteKind.PUT, key, document, request_id=f"/{key}/{len(document)}")
        record = _record(self.worker_id, address)
        return self._as_main.write(record, self._database(), item, timeout_s)

    def _database(self) -> Database:
        stored = json.loads((self._deployment.shared_dir / "databases" / "chatdb.json").read_text())
        return msgspec.convert(stored["body"], Database)


def _record(worker_id: str, address: str) -> WorkerRecord:
    return WorkerRecord(
        worker_id=worker_id, address=address, subscription_id="", registered_at="", lease_until_ms=0
    )


def _doubles(plan: _Plan) -> dict[str, Callable[..., object]]:
    def filesystem(metrics: Metrics) -> ObservedFilesystem:
        return ObservedFilesystem(plan.before, MeasuredFilesystem(metrics))

    return {"MeasuredFilesystem": filesystem, "SystemClock": lambda: _MovedClock(plan)}


def main() -> int:
    """Run the worker's own main function over the doubles."""
    plan = _Plan(Path(os.environ[_PLAN]))
    # The composition root takes no parts from outside. This process has no other purpose.
    for name, double in _doubles(plan).items():
        # Else a part that has another name by now stays in its place, and no fault ever comes.
        assert name in vars(bootstrap), name
        vars(bootstrap)[name] = double
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
