"""How a process of the deployment is started: afresh, or forked from one that has the imports.

Most of what a Python process costs before it serves are its imports, half a second of processor
time for a Main Worker. The nursery imports what all of them need once. It is forked from
`strongroom up` before that has read anything or begun a thread, and has a single thread itself, so
that forking it again is safe, and what its children share with it is code and no key.
"""

import importlib
import multiprocessing
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Protocol

import msgspec

from strongroom import process
from strongroom.errors import UnavailableError
from strongroom.process import PARENT_VARIABLE

MODULES: Final = ("main_api.rest", "main_api.rpc", "processing_fn")
_FORK: Final = multiprocessing.get_context("fork")
_LOG_MODE: Final = 0o644


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A process to be started: `python -m <module>` with an environment.

    Attributes:
        name: What it is called in a list of processes.
        module: What it runs.
        environment: Its whole environment.
        log_file: Where its standard output and error go.
    """

    name: str
    module: str
    environment: dict[str, str]
    log_file: str


class Running(Protocol):
    """A process that was started; as `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def poll(self) -> int | None:
        """Return None while it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired."""
        ...


Launch = Callable[[Order], Running]


def afresh(order: Order) -> Running:
    """Start a process that imports everything itself; it dies with this one."""
    environment = {**order.environment, PARENT_VARIABLE: str(os.getpid())}
    with Path(order.log_file).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", order.module],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


class Nursery:
    """The process that others are forked from; to be made while this one has a single thread."""

    def __init__(self) -> None:
        """Fork it; it imports meanwhile."""
        ours, theirs = _FORK.Pipe()
        self._process = _FORK.Process(
            target=_serve, args=(os.getpid(), ours, theirs), name="nursery"
        )
        self._process.start()
        theirs.close()
        self._connection = ours

    def start(self, order: Order) -> Running:
        """Start a process, which dies with the nursery, as that does with this one.

        Where somebody has ended the nursery, the process is started afresh.

        Raises:
            UnavailableError: The kernel does not let it fork.
        """
        try:
            self._connection.send(order)
            said = self._connection.recv()
        except (OSError, EOFError):
            return afresh(order)
        if isinstance(said, OSError):
            raise UnavailableError(f"{order.name} cannot be started: {said.strerror}") from said
        return _Forked(said)

    def close(self) -> None:
        """End it; all that it has started has ended before."""
        self._connection.close()
        self._process.join()


class _Forked:
    """A process that is a child of the nursery, known by a descriptor of its own (pidfd_open(2)).

    The nursery does not reap it before it starts another one, so its pid was nobody else's when
    the descriptor was made.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self._end = select.poll()
        self._end.register(self._descriptor, select.POLLIN)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def poll(self) -> int | None:
        return 0 if self._end.poll(0) else None

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if not self._end.poll(None if timeout is None else timeout * 1_000):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return 0

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)


def _serve(parent_pid: int, ours: Connection, theirs: Connection) -> None:
    """Start what is ordered, until whoever ordered it is gone."""
    ours.close()
    _die_with(parent_pid)
    # A signal to the whole group is for whoever is in charge of it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    process.take_name("nursery")
    process.keep_memory_private()
    for module in MODULES:
        importlib.import_module(f"{module}.__main__")
    process.settle()
    with suppress(OSError, EOFError):
        while True:
            theirs.send(_fork(theirs.recv(), theirs))
    # A signal may have kept whoever ordered a process from hearing of it. It dies with this one;
    # multiprocessing would wait for its end.
    os._exit(0)


def _fork(order: Order, theirs: Connection) -> int | OSError:
    """Start what is ordered, and return its pid; or why not: the others need the nursery."""
    child = _FORK.Process(target=_become, args=(os.getpid(), order, theirs))
    try:
        child.start()
    except OSError as error:
        return error
    assert child.pid is not None, "it was started"  # noqa: S101
    return child.pid


def _become(nursery_pid: int, order: Order, theirs: Connection) -> None:
    """Be the process that was ordered; what the nursery holds is not for it."""
    theirs.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log = os.open(order.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _LOG_MODE)
    for standard in (1, 2):
        os.dup2(log, standard)
    os.close(log)
    process.take_name(order.name)
    os.environ.clear()
    os.environ.update(order.environment)
    _die_with(nursery_pid)
    sys.exit(importlib.import_module(f"{order.module}.__main__").main())


def _die_with(parent_pid: int) -> None:
    os.environ[PARENT_VARIABLE] = str(parent_pid)
    process.die_with_parent()
