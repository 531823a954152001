"""What a process does with itself: seen on real processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom import process

SECONDS = 30.0

CHILD = """
import os, sys, threading
from strongroom import process
process.die_with_parent()
print("child", os.getpid(), flush=True)
threading.Event().wait()
"""

PARENT = """
import os, subprocess, sys, threading
os.environ["STRONGROOM_PARENT_PID"] = str(os.getpid())
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
threading.Event().wait()
"""

GRANDPARENT = """
import os, subprocess, sys, threading
os.environ["STRONGROOM_PARENT_PID"] = str(os.getpid())
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
threading.Event().wait()
"""

MIDDLE = """
import os, subprocess, sys, threading
from strongroom import process
process.die_with_parent()
process.become_parent()
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
threading.Event().wait()
"""


@pytest.fixture
def started() -> Iterator[list[int]]:
    """Collect the pids of processes that a failing test could leave behind."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def killed_parent_takes_its_children(arguments: list[str], started: list[int]) -> None:
    """Start a family of which the youngest reports; kill the eldest; wait for the end of all."""
    eldest = subprocess.Popen(  # noqa: S603 - our own scripts
        [sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert eldest.stdout is not None
    with eldest, eldest.stdout:
        word, pid = eldest.stdout.readline().split()
        assert word == "child"
        started.append(int(pid))
        eldest.kill()
        # Every one of them has inherited the pipe: it ends when the last one has.
        out, _ = eldest.communicate(timeout=SECONDS)
    assert out == ""


def test_a_child_dies_with_its_parent(started: list[int]) -> None:
    """A killed `strongroom up` leaves workers behind that keep ports, locks and keys."""
    killed_parent_takes_its_children([PARENT, CHILD], started)


def test_a_grandchild_dies_with_its_parent(started: list[int]) -> None:
    """A killed `strongroom up` leaves granian's own worker process behind."""
    killed_parent_takes_its_children([GRANDPARENT, MIDDLE, CHILD], started)


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, with some variables of the environment besides this one's."""
    clean = {k: v for k, v in os.environ.items() if k != process.PARENT_VARIABLE}
    return subprocess.run(  # noqa: S603 - our own scripts
        [sys.executable, "-c", script, *arguments],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


DIES_OR_GOES_ON = "from strongroom import process; process.die_with_parent(); print('goes on')"


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    """A parent that is killed while it starts its children leaves them behind."""
    ended = run(DIES_OR_GOES_ON, STRONGROOM_PARENT_PID=str(os.getppid()))
    assert ended.returncode != 0
    assert "goes on" not in ended.stdout


def test_without_a_named_parent_a_process_outlives_it() -> None:
    """Started by systemd or docker, a worker refuses to run."""
    ended = run(DIES_OR_GOES_ON)
    assert (ended.returncode, ended.stdout) == (0, "goes on\n")


def test_memory_is_kept_private() -> None:
    """A crash writes the data key to the disk, in a core dump."""
    ended = run(
        "import ctypes, resource\n"
        "from strongroom import process\n"
        "process.keep_memory_private()\n"
        "dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), dumpable)\n"
    )
    assert ended.stdout == "(0, 0) 0\n"


def test_a_process_announces_itself_in_one_step(tmp_path: Path) -> None:
    """Whoever waits for a process reads half a file, or waits forever."""
    ready = tmp_path / "run" / "ready"
    process.announce(str(ready), {"port": 1})
    process.announce(str(ready), {"port": 2})
    process.announce(None, {"port": 3})
    process.announce("", {"port": 4})
    assert json.loads(ready.read_text()) == {"port": 2}
    assert [p.name for p in ready.parent.iterdir()] == ["ready"]


UNTIL_SIGNAL = """
import os, signal, sys, threading
from strongroom import process
stopping = threading.Event()
def work():
    assert threading.current_thread() is not threading.main_thread()
    if sys.argv[1] == "raises":
        raise ValueError
    if sys.argv[1] == "in-bad-health":
        return False
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    return stopping.wait()
sys.exit(0 if process.run_until_signal(work, stopping.set) else 3)
"""


@pytest.mark.parametrize(
    ("how", "code"), [("SIGTERM", 0), ("SIGINT", 0), ("in-bad-health", 3), ("raises", 3)]
)
def test_work_ends_in_order_at_a_signal(how: str, code: int) -> None:
    """A worker that is stopped does not finish its requests, or its failure looks like success."""
    assert run(UNTIL_SIGNAL, how).returncode == code
