"""Whether the key provider would open the keyring now (design.md section 4).

A running system needs no call to the provider, so an outage of it goes unnoticed until the next
start, which then fails. So the root's message is really unwrapped from time to time. Requests only
see what the last check has found: nobody outside makes this process call the provider.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from main_api.service.keys.ports import KeyProviderUnavailableError
from main_api.service.periodic import Periodic
from strongroom import limits, logs
from strongroom.clock import Clock, rfc3339
from strongroom.errors import StrongroomError

_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_log = logs.logger()


@dataclass(frozen=True, slots=True)
class KeyProviderState:
    """What the last check has found.

    Attributes:
        is_up: Whether the provider has opened the root's message.
        since: RFC 3339: when that began, as far as this process knows.
        reason: What the provider said, as one word; empty while it is up. Anybody may see it: it
            names no key, account or role.
        failures: How many checks of this process have failed.
    """

    is_up: bool
    since: str
    reason: str
    failures: int


class KeyHealth:
    """Checks the key provider. Safe under threads."""

    def __init__(
        self,
        probe: Callable[[], None],
        clock: Clock,
        every_s: float = limits.KEY_PROVIDER_CHECK_SECONDS,
    ) -> None:
        """Take what makes one call to the provider, which has just opened the keyring.

        `probe` raises UnavailableError or IntegrityError, in bounded time.
        """
        self._probe = probe
        self._clock = clock
        self._every_s = every_s
        self._checking = threading.Lock()
        self._checked_s = clock.boot_s()
        self._periodic: Periodic | None = None
        self._state = KeyProviderState(
            is_up=True, since=rfc3339(clock.wall_ms()), reason="", failures=0
        )

    def start(self) -> None:
        """Check in the background from now on: for a process that is not frozen in between."""
        self._periodic = Periodic("key-provider-check", self._every_s, self.check)
        self._periodic.start()

    def stop(self) -> None:
        """Check no more."""
        if self._periodic is not None:
            self._periodic.stop()

    def state(self) -> KeyProviderState:
        """Return what the last check has found.

        Where nothing runs in the background (Lambda), a check is made first if the last one is
        longer ago than the interval; by one caller, the others are not kept waiting.
        """
        if self._periodic is None and self._clock.boot_s() - self._checked_s >= self._every_s:
            self.check()
        return self._state

    def check(self) -> None:
        """Ask the provider, unless another thread is asking."""
        if not self._checking.acquire(blocking=False):
            return
        try:
            self._take(self._outcome())
            self._checked_s = self._clock.boot_s()
        finally:
            self._checking.release()

    def _outcome(self) -> StrongroomError | None:
        try:
            self._probe()
        except StrongroomError as error:
            return error
        return None

    def _take(self, error: StrongroomError | None) -> None:
        """Keep an outcome; log it where it is another one than the last."""
        before, reason = self._state, "" if error is None else _reason(error)
        is_new = reason != before.reason
        self._state = KeyProviderState(
            is_up=error is None,
            since=rfc3339(self._clock.wall_ms())
            if before.is_up != (error is None)
            else before.since,
            reason=reason,
            failures=before.failures + (error is not None),
        )
        if error is None and is_new:
            _log.info("key-provider-available-again")
        elif error is not None and is_new:
            _log.error("key-provider-unavailable", code=error.code, reason=error.detail)


def _reason(error: StrongroomError) -> str:
    """Return one word; what an endpoint says that is no name of an error stays in the log."""
    said = error.reason if isinstance(error, KeyProviderUnavailableError) else ""
    return said if _NAME.fullmatch(said) else error.code
