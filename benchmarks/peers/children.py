"""Other projects' servers as child processes: on one core, and ended with this program."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.figure import NotHereError
from benchmarks.peers.stores import Place

_READY_S: Final = 60.0
_STOP_S: Final = 20.0
_POLL_S: Final = 0.05
_LOG_TAIL_CHARS: Final = 2_000


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def tool(name: str, package: str, *more: Path) -> str:
    """Return the path of a program, on PATH or in `more` directories.

    Raises:
        NotHereError: It is not there.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, more)])
    found = shutil.which(name, path=path)
    if found is None:
        raise NotHereError(f"there is no {name}: install {package}")
    return found


def run_tool(
    command: Sequence[str], environment: Mapping[str, str] | None = None, text: str | None = None
) -> str:
    """Run a program to its end; return what it printed.

    Raises:
        NotHereError: It failed; the message has what it said.
    """
    done = subprocess.run(  # noqa: S603 - programs of ordinary packages
        command,
        check=False,
        capture_output=True,
        env={**os.environ, **(environment or {})},
        input=text,
        text=True,
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-_LOG_TAIL_CHARS:]
        raise NotHereError(f"{Path(command[0]).name} failed: {said}")
    return done.stdout


def serve(
    command: Sequence[str],
    log: Path,
    place: Place,
    stack: ExitStack,
    environment: Mapping[str, str] | None = None,
) -> Callable[[Callable[[], bool]], None]:
    """Start a server on the place's core; `stack` ends it, and so does the end of this program.

    The answer waits until a condition holds; it raises NotHereError where the server ends instead.
    """
    pinned = ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(place.server_core), *command]
    with log.open("ab") as out:
        child = subprocess.Popen(  # noqa: S603 - programs of ordinary packages
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **(environment or {})},
        )
    stack.callback(_end, child)

    def wait_until(is_ready: Callable[[], bool]) -> None:
        ends_s = time.monotonic() + _READY_S
        while not is_ready():
            if child.poll() is not None or time.monotonic() > ends_s:
                said = log.read_text(errors="replace")[-_LOG_TAIL_CHARS:]
                raise NotHereError(f"{Path(command[0]).name} does not come to serve: {said}")
            time.sleep(_POLL_S)

    return wait_until


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
