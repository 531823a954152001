"""The process that those of `strongroom up` are forked from, and what is asked of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.deployment import is_alive, wait_until

SECONDS = 30.0
# A process of its own: what the nursery is forked from has a single thread.
_SCRIPT = """
import json, os, resource, sys
from cli.emulation.launching import Nursery, Order
from strongroom.errors import UnavailableError

nursery = Nursery()
order = Order(
    name="worker",
    module="processing_fn",
    environment={**os.environ, "STRONGROOM_WORKER_ID": "no/name"},
    log_file=sys.argv[1],
)
nursery.start(order).wait(30)
pid, files = nursery._process.pid, resource.RLIMIT_NOFILE
soft, hard = resource.prlimit(pid, files)
resource.prlimit(pid, files, (0, hard))
try:
    nursery.start(order)
    said = ""
except UnavailableError as error:
    said = error.detail
resource.prlimit(pid, files, (soft, hard))
nursery.start(order).wait(30)
is_its_child = nursery._process.is_alive()
nursery.close()
print(json.dumps([said, is_its_child]))
"""


def test_what_the_nursery_cannot_do_once_does_not_end_it(tmp_path: Path) -> None:
    """One process that cannot be started takes all others with it; a shell's odd variable, too."""
    log = tmp_path / os.fsdecode(b"log-\xff")
    ended = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _SCRIPT, log],
        env={**os.environ, "ODD": os.fsdecode(b"\xff")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    said, is_alive = json.loads(ended.stdout)
    assert said == "worker cannot be started: Too many open files"
    assert is_alive
    assert log.read_text().count("a worker id is a DNS label") == 2


_UNHEARD = """
import os, sys, time
from pathlib import Path
from cli.emulation.launching import Nursery, Order

nursery = Nursery()
order = Order(name="x", module="sleeping", environment={**os.environ}, log_file=os.devnull)
nursery._connection.send(order)
while not Path("pid").exists():
    time.sleep(0.01)
nursery.close()
"""


def test_what_is_started_while_a_signal_comes_is_left_nowhere(tmp_path: Path) -> None:
    """Ctrl-C while a worker comes up: the deployment does not end, or leaves a process behind."""
    (tmp_path / "sleeping").mkdir()
    (tmp_path / "sleeping" / "__main__.py").write_text(
        "import os, pathlib, time\n"
        "def main():\n"
        "    pathlib.Path('pid.part').write_text(str(os.getpid()))\n"
        "    os.rename('pid.part', 'pid')\n"
        "    time.sleep(600)\n"
    )
    subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _UNHEARD],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        timeout=SECONDS,
        check=True,
    )
    pid = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not is_alive(pid), SECONDS)


def test_up_that_cannot_begin_ends(tmp_path: Path) -> None:
    """It has said why, and stays there for ever."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    command = Path(sys.executable).parent / "strongroom"
    ended = subprocess.run(  # noqa: S603 - the project's own command
        [command, "up", "--root", loop],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 1
