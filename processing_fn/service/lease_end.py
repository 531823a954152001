"""Notices the end of a lease while whoever renews it waits for an answer."""

import threading
from collections.abc import Callable
from typing import Final

from processing_fn.service.session import Lease

_LONGEST_LOOK_AWAY_S: Final = 0.25
"""Waiting does not count while a machine sleeps; the lease does."""


class LeaseEnd:
    """Calls `forget` when a lease has ended, from a thread of its own."""

    def __init__(self, lease: Lease, forget: Callable[[], None]) -> None:
        """Take the lease; nothing is watched yet."""
        self._lease = lease
        self._forget = forget
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(min(self._lease.left_s(), _LONGEST_LOOK_AWAY_S)):
            if self._lease.has_ended():
                self._forget()
                return
