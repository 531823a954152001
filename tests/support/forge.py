"""Processes of the project without the time that their imports take: forked from one that has them.

The suite starts hundreds of them, and most of what one costs is importing the same modules again.
The forge is a process of its own, started once by each process of pytest; it has one thread and
touches nothing. What it forks runs the same `main`, in the environment, directory and files of its
order. That commands and modules start by themselves is shown by the tests of docs/, of the
containers and of the faults, which start them as a shell does.
"""

import atexit
import functools
import importlib
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing.process import BaseProcess
from typing import IO

import msgspec

from cli.emulation.launching import Order as Ordered
from cli.emulation.launching import Running
from strongroom import process

MODULES = (
    "cli.main",
    "cli.up",
    "cli.verify",
    "cli.emulation.kms",
    "main_api.rest.__main__",
    "main_api.rpc.__main__",
    "processing_fn.__main__",
    # What these import no sooner than they need it.
    "main_api.service.admin.admission",
    "typer._adapters",
)
FORK = multiprocessing.get_context("fork")
READY_S = 60.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A process to be started: `main` of a module; what it reads and writes are files."""

    module: str
    environment: dict[str, str]
    output: str
    errors: str
    arguments: tuple[str, ...] = ()
    directory: str = ""
    input: str = os.devnull
    new_session: bool = False


class Forged:
    """A process that was started, as `subprocess.Popen` shows one."""

    def __init__(self, forge: "Forge", pid: int) -> None:
        """Take hold of it; nobody reaps it before this asks for its exit code."""
        self.pid = pid
        self.returncode: int | None = None
        self._forge = forge
        self._descriptor = os.pidfd_open(pid)
        self._end = select.poll()
        self._end.register(self._descriptor, select.POLLIN)

    def __del__(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        if self.returncode is None and self._end.poll(0):
            self.returncode = self._forge.exit_code(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit code."""
        if self.returncode is None:
            if not self._end.poll(None if timeout is None else timeout * 1_000):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            self.returncode = self._forge.exit_code(self.pid)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Forge:
    """The process that others are forked from, which dies with this one."""

    def __init__(self) -> None:
        """Start it; it imports meanwhile."""
        ours, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(  # noqa: S603 - this module
            [sys.executable, "-m", "tests.support.forge", str(theirs.fileno())],
            env={**os.environ, process.PARENT_VARIABLE: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        ours.settimeout(READY_S)
        self._ours = ours
        self._asked, self._answers = ours.makefile("wb"), ours.makefile("rb")

    @property
    def pid(self) -> int:
        """Its own, which is the parent's of what it starts."""
        return self._process.pid

    def start(self, order: Order) -> Forged:
        """Start a process."""
        with self._lock:
            return Forged(self, self._ask(msgspec.json.encode(order)))

    def launch(self, order: Ordered) -> Running:
        """Start a process of a deployment (`cli.emulation.launching.Launch`)."""
        # It dies with the forge, as others do with who has started them.
        environment = {**order.environment, process.PARENT_VARIABLE: str(self.pid)}
        module, log = f"{order.module}.__main__", order.log_file
        return self.start(Order(module=module, environment=environment, output=log, errors=log))

    def exit_code(self, pid: int) -> int:
        """Return the exit code of a process that has ended."""
        with self._lock:
            return self._ask(str(pid).encode())

    def close(self) -> None:
        """End it; what it has started dies with it."""
        self._ours.shutdown(socket.SHUT_RDWR)
        self._process.wait(READY_S)

    def _ask(self, line: bytes) -> int:
        say(self._asked, line)
        return int(self._answers.readline())


@functools.cache
def forge() -> Forge:
    """Return the forge of this process."""
    made = Forge()
    atexit.register(made.close)
    return made


def serve(theirs: socket.socket) -> None:
    """Start and reap what is ordered, until whoever orders it is gone."""
    process.die_with_parent()
    for module in MODULES:
        importlib.import_module(module)
    process.settle()
    orders, answers = theirs.makefile("rb"), theirs.makefile("wb")
    children: dict[int, BaseProcess] = {}
    for line in orders:
        if line.strip().isdigit():
            child = children.pop(int(line))
            child.join()
            assert child.exitcode is not None
            say(answers, str(child.exitcode).encode())
        else:
            order = msgspec.json.decode(line, type=Order)
            held = (orders, answers, theirs)
            child = FORK.Process(target=become, args=(os.getpid(), order, held))
            child.start()
            assert child.pid is not None
            children[child.pid] = child
            say(answers, str(child.pid).encode())
    # Nobody waits for those that are left: multiprocessing would.
    os._exit(0)


def become(forge_pid: int, order: Order, held: tuple[IO[bytes], IO[bytes], socket.socket]) -> None:
    """Be the process that was ordered, for as long as the forge is there."""
    for one in held:
        one.close()
    os.environ[process.PARENT_VARIABLE] = str(forge_pid)
    process.die_with_parent()
    if order.new_session:
        os.setsid()
    # The forge leaves a Ctrl-C to pytest.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if order.directory:
        os.chdir(order.directory)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    opened = (os.open(order.input, os.O_RDONLY), os.open(order.output, flags, 0o644))
    for number, descriptor in enumerate((*opened, os.open(order.errors, flags, 0o644))):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv = ["strongroom", *order.arguments]
    sys.exit(importlib.import_module(order.module).main())


def say(file: IO[bytes], line: bytes) -> None:
    """Write a line."""
    file.write(line + b"\n")
    file.flush()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
