"""What every long-running process of the system does with itself."""

import ctypes
import gc
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from strongroom import durable, jsontext

PARENT_VARIABLE: Final = "STRONGROOM_PARENT_PID"
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_JOIN_S: Final = 0.1


def die_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """End this process when the one that `STRONGROOM_PARENT_PID` names dies (prctl(2)).

    Without the variable nothing is done: outside `strongroom up` a supervisor is in charge.
    """
    expected = os.environ.get(PARENT_VARIABLE)
    if expected is None:
        return
    _prctl(_PR_SET_PDEATHSIG, by)
    # A terminal's Ctrl-C reaches the whole process group. Whoever started this process ends it by
    # SIGTERM; two signals at once were seen to leave granian hanging until it was killed.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if os.getppid() != int(expected):
        raise SystemExit("the process that started this one is gone")


def become_parent() -> None:
    """Let processes that this one starts die with it, where it dies with its own parent."""
    if PARENT_VARIABLE in os.environ:
        os.environ[PARENT_VARIABLE] = str(os.getpid())


def keep_memory_private() -> None:
    """Switch core dumps off, so that no key reaches a disk that way."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def take_name(name: str) -> None:
    """Show in lists of processes which this is (15 bytes of it); a fork has its parent's name."""
    _prctl(_PR_SET_NAME, name.encode())


def settle() -> None:
    """Take what there is now, after the imports, to last for as long as the process.

    The collector does not look at it again, and the end of the process does not take it apart,
    which costs a Main Worker 0.1 s of processor time. What is forked from here shares it longer.
    """
    gc.freeze()


def facts() -> dict[str, str | int]:
    """Return what tells this process from all others."""
    return {"pid": os.getpid(), "host": socket.gethostname()}


def announce(ready_file: str | None, facts: dict[str, Any]) -> None:
    """Tell whoever waits for it, by a file written atomically, that this process can serve."""
    if ready_file:
        data = jsontext.dump(facts)
        durable.replace_file(durable.LocalFilesystem(), Path(ready_file), data, is_durable=False)


def run_until_signal(work: Callable[[], bool], stop: Callable[[], None]) -> bool:
    """Run `work` until it returns, and call `stop` at SIGTERM or SIGINT; return its answer.

    `work` gets a thread of its own. A handler only takes a note, and `stop` is called outside of
    it: a second signal may come within the handler of the first one, which would then wait for a
    lock that it holds itself. False when `work` has raised; type and place went to the log.
    """
    answers: list[bool] = []
    signals: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(work()), name="work")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: signals.append(received))
    thread.start()
    while thread.is_alive():
        thread.join(_JOIN_S)
        if signals:
            signals.clear()
            stop()
    return bool(answers and answers[0])


def _prctl(option: int, value: int | bytes) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
