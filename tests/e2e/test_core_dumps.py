"""A crash leaves no core: seen on every process of a deployment that has keys in its memory."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from strongroom import jsontext, process
from tests.support.deployment import NOBODY_TRUSTED, Deployment, is_alive, kill, wait_until
from tests.support.faulty_kms import FaultyDeployment

pytestmark = pytest.mark.xdist_group("core-dumps")
PATIENCE_S = 30
PORTS = ("HTTP_LISTEN", "GRPC_LISTEN", "SUBSCRIPTION_LISTEN")
LISTEN = {f"STRONGROOM_{port}": "127.0.0.1:0" for port in PORTS}
ALLOWED = "ulimit -c unlimited; exec "
MODULES = {"worker-1": "processing_fn", "grpc": "main_api.rpc", "rest": "main_api.rest"}


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyDeployment]:
    """Return a deployment in whose surroundings more processes can be started."""
    made = FaultyDeployment(tmp_path_factory.mktemp("cores") / "root")
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def dumps() -> None:
    """Skip where nothing may dump its memory, whatever it does itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard != resource.RLIM_INFINITY:
        pytest.skip("nothing may dump its memory here")


def wait_status(started: subprocess.Popen[bytes]) -> int:
    """Return the wait status of a process that has ended by a signal."""
    _, status = os.waitpid(started.pid, 0)
    started.returncode = status
    assert os.WIFSIGNALED(status)
    return status


def serves(ready: Path) -> bool:
    """Tell whether a process serves; what REST is served by comes after its ready file."""
    port = jsontext.parse(ready.read_bytes()).get("port") if ready.exists() else 0
    if not port:
        return ready.exists()
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", verify=NOBODY_TRUSTED).is_success
    except httpx.TransportError:
        return False


def descendants(pid: int) -> set[int]:
    """Return the pids of the processes below one."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    children = {int(child) for child in listed}
    return children | {d for child in children for d in descendants(child)}


@pytest.mark.parametrize("crash", [signal.SIGSEGV, signal.SIGABRT])
@pytest.mark.parametrize("name", MODULES)
def test_a_crash_leaves_no_core(
    around: FaultyDeployment, tmp_path: Path, name: str, crash: signal.Signals
) -> None:
    """A crash writes the keys to the disk: who has started the process has allowed it any dump."""
    ready = tmp_path / "ready"
    environment = around.child_environment(name) | {
        **LISTEN,
        process.PARENT_VARIABLE: str(os.getpid()),
        "STRONGROOM_READY_FILE": str(ready),
    }
    command = [sys.executable, "-m", MODULES[name]]
    started = subprocess.Popen(  # noqa: S603 - the project's own processes
        ["/bin/bash", "-c", f'{ALLOWED}"$@"', "bash", *command],
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: serves(ready), PATIENCE_S)
        below = descendants(started.pid)
        assert bool(below) is (name == "rest"), "REST is served by a process of its own"
        for pid in below:
            os.kill(pid, crash)
            assert wait_until(lambda pid=pid: not is_alive(pid), PATIENCE_S)  # type: ignore[misc]
        assert not list(tmp_path.glob("*core*"))
        if not below:
            os.kill(started.pid, crash)
            assert not os.WCOREDUMP(wait_status(started))
            assert not list(tmp_path.glob("*core*"))
    finally:
        if started.returncode is None:
            kill(started.pid)
            started.wait(PATIENCE_S)


@pytest.mark.parametrize("is_private", [True, False])
def test_a_process_that_allows_it_would_leave_one(tmp_path: Path, *, is_private: bool) -> None:
    """The test above sees nothing because this machine dumps nothing anyway."""
    script = "import os; from strongroom import process\n"
    script += "process.keep_memory_private()\n" if is_private else ""
    started = subprocess.Popen(  # noqa: S603 - our own script
        ["/bin/bash", "-c", f'{ALLOWED}"$@"', "bash", sys.executable, "-c", f"{script}os.abort()"],
        cwd=tmp_path,
    )
    assert os.WCOREDUMP(wait_status(started)) is not is_private


def test_no_process_of_a_deployment_may_dump_its_memory(deployment: Deployment) -> None:
    """The same, by the limits of processes that `strongroom up` has started."""
    pids = set(deployment.all_pids())
    for pid in list(pids):
        pids |= descendants(pid)
    assert len(pids) > len(deployment.all_pids())
    for pid in pids:
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (line,) = [one for one in limits if one.startswith("Max core file size")]
        assert line.split()[4:6] == ["0", "0"], pid
