"""Something that a long-running process does again and again."""

import threading
from collections.abc import Callable

from strongroom import logs

_log = logs.logger()


class Periodic:
    """Calls `step` in a thread of its own, one call at a time, with a pause after each.

    What `step` raises is logged, and the next call is made all the same: it says itself what its
    caller should know. A process that ends does not wait for a call that is under way.
    """

    def __init__(self, name: str, pause_s: float, step: Callable[[], object]) -> None:
        """Take what to call; nothing is started yet."""
        self._pause_s = pause_s
        self._step = step
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Make the first call after one pause."""
        self._thread.start()

    def stop(self) -> None:
        """Make no further call."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_s):
            try:
                self._step()
            except Exception:  # noqa: BLE001 - the boundary of a thread: it has to go on
                _log.exception("periodic-work-failed")
