"""A floor that is a process of its own, for as long as it is needed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

_ENDS_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server on the loopback."""

    pid: int
    port: int

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def running(module: str, *arguments: object) -> Iterator[Running]:
    """Run `python -m module`, which prints its port once it serves.

    Raises:
        RuntimeError: It does not serve.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    # In a session of its own, as a deployment is: where others use the machine too, the kernel
    # shares it out by sessions (sched(7), "The autogroup feature").
    process = subprocess.Popen(  # noqa: S603 - our own module
        command, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        told = process.stdout.readline() if process.stdout is not None else b""
        if not told.strip().isdigit():
            raise RuntimeError(f"{module} does not serve")
        yield Running(process.pid, int(told))
    finally:
        process.terminate()
        try:
            process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
