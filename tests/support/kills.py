"""Real processes that kill themselves at a chosen filesystem call."""

import os
import signal
from collections.abc import Callable

from strongroom.durable import Filesystem
from tests.support.filesystems import ObservedFilesystem


def killed_at(nth: int, run: Callable[[Filesystem], object]) -> bool:
    """Run something in a process that SIGKILLs itself at its n-th call; tell whether it ended."""
    pid = os.fork()
    if pid == 0:
        left = nth

        def before(_name: str, _arguments: tuple[object, ...]) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            run(ObservedFilesystem(before))
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child of pytest must not go on as pytest
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True
