"""The keys of a process that reads the keyring's file when it has to, not all the time.

On Lambda, and in the REST face, nothing runs between requests. So whoever signs a token has the
file read where that was some seconds ago, and a token whose `kid` nobody here has heard of has it
read at once: by one thread for all, and once a second at the most, or a stranger with invented ids
would have the disk read for each of them. That is often enough, because a key is known for
`limits.SIGNING_KEY_PUBLISHED_SECONDS` before it signs (`strongroom.signing_keys`).
"""

import math
import threading

from main_api.service.keys.live_keyring import LiveKeyring
from strongroom import limits, logs
from strongroom.clock import Clock
from strongroom.errors import StrongroomError, UnavailableError
from strongroom.keyring import Key, Purpose

_log = logs.logger()


class FollowedKeys:
    """The `Keys` of a live keyring. Safe under threads.

    A file that cannot be read, or does not verify, leaves in use what is.
    """

    def __init__(self, live: LiveKeyring, clock: Clock) -> None:
        """Take what follows the file; it has just been read."""
        self._live = live
        self._clock = clock
        self._lock = threading.Lock()
        self._read_s = -math.inf
        self._trouble = ""

    @property
    def deployment(self) -> str:
        """The deployment's id."""
        return self._live.deployment

    def active(self, purpose: Purpose) -> Key:
        """Return the key in use for a purpose; raises UnavailableError where there is none."""
        return self._live.active(purpose)

    def find(self, key_id: str, purpose: Purpose) -> Key:
        """Return a key by its id, if need be one that was made a moment ago.

        Raises:
            UnavailableError: There is none.
        """
        try:
            return self._live.find(key_id, purpose)
        except UnavailableError:
            self._read(limits.UNKNOWN_KEY_LOOKED_FOR_EVERY_SECONDS)
        return self._live.find(key_id, purpose)

    def of(self, purposes: frozenset[Purpose]) -> tuple[Key, ...]:
        """Return the keys of some purposes, as the file had them some seconds ago or later."""
        self._read(limits.SIGNING_KEYS_READ_EVERY_SECONDS)
        return self._live.of(purposes)

    def _read(self, every_s: float) -> None:
        """Read the file, unless that was done within so many seconds."""
        with self._lock:
            now_s = self._clock.boot_s()
            if now_s - self._read_s < every_s:
                return
            self._read_s = now_s
            trouble = ""
            try:
                self._live.follow()
            except StrongroomError as error:
                trouble = error.detail
                if trouble != self._trouble:
                    _log.error("keyring-unreadable", code=error.code, reason=trouble)
            self._trouble = trouble
