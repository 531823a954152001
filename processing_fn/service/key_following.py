"""Keeping a session's keys as the keyring has them (design.md section 4, "Rotation").

An event stream tells of a change; the keys are fetched, new writes take the new one, and when the
last write under an older one has ended, that is confirmed with the next renewal of the lease. The
stream's end says too that the worker was revoked: then nothing waits for the next renewal.
"""

import threading
from collections.abc import Callable
from typing import Final

from processing_fn.service.ports import KeyringWatch, MainWorker
from processing_fn.service.session import Session
from strongroom import limits, logs
from strongroom.errors import (
    ForbiddenError,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.keyring import Purpose

_RETRY_S: Final = 0.5
_log = logs.logger()


class KeyFollower:
    """Follows the keyring for one session, in a thread of its own."""

    def __init__(
        self,
        session: Session,
        main: MainWorker,
        token: Callable[[], str],
        has_settled: Callable[[], None],
        is_refused: Callable[[], None],
    ) -> None:
        """Take the session, the Main Worker and the subscription's newest token.

        `has_settled` is called each time that there is something new in `confirmed`, `is_refused`
        when this subscription has come to its end: the Main Worker refuses it, or has older keys.
        """
        self._is_refused = is_refused
        self._session = session
        self._main = main
        self._token = token
        self._has_settled = has_settled
        self._stopping = threading.Event()
        self._fetching = threading.Lock()
        self._watch: KeyringWatch | None = None
        self._thread = threading.Thread(target=self._run, name="keyring", daemon=True)
        self.confirmed: tuple[str, int] = ("", 0)
        """The one key that is written under, and the keyring's generation whose keys are here."""
        self._generation = 0

    def start(self) -> None:
        """Begin; from now on the keys of the session ask for newer ones themselves too."""
        self._session.data_keys.asks(self.fetch)
        self._thread.start()

    def fetch(self) -> tuple[str, int]:
        """Take the keys as they are now; return the active one's id, and the keyring's generation.

        Raises:
            UnavailableError: They are of an older keyring than those at hand; this subscription is
                over.
            StrongroomError: As `MainWorker`.
        """
        # One at a time: an answer that was overtaken would bring a former key back, after it was
        # confirmed that nothing is written under it any more.
        with self._fetching:
            vended = self._main.fetch_keys(self._token())
            if vended.generation < self._generation:
                # Of a Main Worker that is behind, or whose keyring was put back. A new subscription
                # has confirmed nothing, so whoever destroys a key waits for it.
                self._is_refused()
                raise UnavailableError("the Main Worker has an older keyring", retry_after_s=1)
            data = tuple(key for key in vended.keys if key.purpose == Purpose.DATA)
            key_id = self._session.data_keys.replace(data)
            self._generation = vended.generation
        _log.info("keys-fetched", worker_id=self._session.worker_id, key_id=key_id)
        return key_id, vended.generation

    def stop(self) -> None:
        """End the stream and the thread."""
        self._stopping.set()
        watch = self._watch
        if watch is not None:
            watch.cancel()
        self._thread.join(_RETRY_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._watch = self._main.watch(self._token())
                for generation in self._watch:
                    if self._stopping.is_set():
                        return
                    self._follow(generation)
            except (UnauthenticatedError, ForbiddenError) as error:
                if not self._stopping.is_set():
                    _log.warning("subscription-refused", code=error.code, reason=error.detail)
                    self._is_refused()
                return
            except StrongroomError as error:
                if not self._stopping.is_set():
                    _log.warning("keyring-watch-ended", code=error.code, reason=error.detail)
            self._stopping.wait(_RETRY_S)

    def _follow(self, generation: int) -> None:
        key_id, fetched = self.fetch()
        if fetched < generation:
            # Another Main Worker has told than has vended.
            raise UnavailableError("the Main Worker is behind the keyring", retry_after_s=1)
        data_keys = self._session.data_keys
        # A write lasts no longer than its lock may be held, unless its disk does not answer.
        while not data_keys.settle(key_id, limits.LOCK_HELD_SECONDS_MAX):
            if self._stopping.is_set() or data_keys.active()[0] != key_id:
                # Of a newer key the stream tells next.
                return
        self.confirmed = (key_id, fetched)
        self._has_settled()
