"""The keys of foreign issuers as this process has them: when they are read, and how long kept.

A key that is known is used without a wait. Keys are read anew, by a thread of their own, when they
are `limits.JWKS_FRESH_SECONDS` old; the ones so far serve meanwhile, and while the issuer cannot be
reached, until they are `limits.JWKS_KEPT_SECONDS` old. From then on its tokens are refused: whether
a key is still the issuer's is not known any more.

A key that is not known may be new: the keys are read once more. Anybody can name a key that there
is not. So that is done at most every `limits.JWKS_ASKED_APART_SECONDS` for an issuer, by one thread
for all who wait; few may wait, and not for long.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from main_api.domain.issuer_keys import IssuerKey, IssuerKeySet
from main_api.domain.trusted_issuers import IssuerRecord
from main_api.service.federation.ports import IssuerUnreachableError, KeySetSource
from strongroom import limits, logs
from strongroom.clock import Clock
from strongroom.errors import UnauthenticatedError, UnavailableError

_NO_KEYS: Final = IssuerKeySet({})
_log = logs.logger()


@dataclass(frozen=True, slots=True)
class KeySetState:
    """How the keys of an issuer stand.

    Attributes:
        age_s: How old they are; infinite for never read.
        kids: Which there are.
        reason: Why the last attempt to read them has failed; empty where it has not.
        failures: How many attempts have failed in this process.
    """

    age_s: float
    kids: tuple[str, ...]
    reason: str
    failures: int


@dataclass
class _Slot:
    """What is known of one issuer's keys; all times on the boot clock."""

    keys: IssuerKeySet = _NO_KEYS
    read_s: float = -inf
    asked_s: float = -inf
    sought_s: float = -inf
    flight: threading.Event | None = None
    reason: str = ""
    failures: int = 0


class KeySets:
    """Has them. Safe under threads."""

    def __init__(self, source: KeySetSource, clock: Clock) -> None:
        """Start with none."""
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = threading.Semaphore(limits.JWKS_WAITERS_MAX)
        self._slots: dict[tuple[str, ...], _Slot] = {}

    def find(self, record: IssuerRecord, kid: str) -> IssuerKey:
        """Return a key of an issuer.

        Raises:
            UnauthenticatedError: It has none of this id, as far as it was asked.
            UnavailableError: Its keys are not known now.
        """
        with self._lock:
            slot = self._slots.setdefault(_place(record), _Slot())
            key = self._known(slot, kid)
            if key is not None:
                if self._age_s(slot) >= limits.JWKS_FRESH_SECONDS:
                    self._renew(record, slot)
                return key
            flight = slot.flight or self._seek(record, slot)
        if flight is not None:
            self._wait(flight)
        with self._lock:
            key = self._known(slot, kid)
            is_certain = self._age_s(slot) < limits.JWKS_KEPT_SECONDS and not slot.reason
        if key is not None:
            return key
        if is_certain and (flight is None or flight.is_set()):
            raise UnauthenticatedError("the token does not verify")
        raise _unavailable()

    def retain(self, records: Iterable[IssuerRecord]) -> None:
        """Forget the keys of every issuer but these."""
        places = {_place(record) for record in records}
        with self._lock:
            self._slots = {at: slot for at, slot in self._slots.items() if at in places}

    def states(self, records: Iterable[IssuerRecord]) -> Mapping[str, KeySetState]:
        """Return how the keys of issuers stand, by the names of their records."""
        with self._lock:
            return {
                record.name: self._state(self._slots.get(_place(record), _Slot()))
                for record in records
            }

    def _known(self, slot: _Slot, kid: str) -> IssuerKey | None:
        is_kept = self._age_s(slot) < limits.JWKS_KEPT_SECONDS
        return slot.keys.keys.get(kid) if is_kept else None

    def _age_s(self, slot: _Slot) -> float:
        return self._clock.boot_s() - slot.read_s

    def _renew(self, record: IssuerRecord, slot: _Slot) -> None:
        if slot.flight is None and self._is_apart(slot.asked_s):
            self._begin(record, slot)

    def _seek(self, record: IssuerRecord, slot: _Slot) -> threading.Event | None:
        """Read keys for the sake of one that is not known; None where that was done just now."""
        if self._age_s(slot) >= limits.JWKS_KEPT_SECONDS:
            return self._begin(record, slot) if self._is_apart(slot.asked_s) else None
        if not self._is_apart(slot.sought_s):
            return None
        slot.sought_s = self._clock.boot_s()
        return self._begin(record, slot)

    def _is_apart(self, before_s: float) -> bool:
        return self._clock.boot_s() - before_s >= limits.JWKS_ASKED_APART_SECONDS

    def _begin(self, record: IssuerRecord, slot: _Slot) -> threading.Event | None:
        slot.asked_s, flight = self._clock.boot_s(), threading.Event()
        # Not waited for when the process ends.
        thread = threading.Thread(
            target=self._read, args=(record, slot, flight), name="issuer-keys", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            slot.reason = "no-thread"
            return None
        slot.flight = flight
        return flight

    def _read(self, record: IssuerRecord, slot: _Slot, flight: threading.Event) -> None:
        found, reason = _NO_KEYS, "internal"
        try:
            found, reason = self._source.read(record.trusted), ""
        except IssuerUnreachableError as error:
            reason = error.reason
        except Exception:  # noqa: BLE001 - the boundary of a thread: somebody waits for it
            _log.exception("issuer-keys-failed", issuer=record.name)
        finally:
            with self._lock:
                self._take(record, slot, found, reason)
                slot.flight = None
            flight.set()

    def _take(self, record: IssuerRecord, slot: _Slot, found: IssuerKeySet, reason: str) -> None:
        """Keep what was read; log it where it is another thing than before."""
        before, slot.reason = slot.reason, reason
        if reason:
            slot.failures += 1
            if reason != before:
                _log.error("issuer-keys-unavailable", issuer=record.name, reason=reason)
            return
        if before:
            _log.info("issuer-keys-available-again", issuer=record.name)
        if found.exposed and found.exposed != slot.keys.exposed:
            _log.error(
                "issuer-publishes-private-keys", issuer=record.name, count=len(found.exposed)
            )
        slot.keys, slot.read_s = found, self._clock.boot_s()

    def _wait(self, flight: threading.Event) -> None:
        if not self._waiting.acquire(blocking=False):
            raise _unavailable()
        try:
            flight.wait(limits.JWKS_WAIT_SECONDS)
        finally:
            self._waiting.release()

    def _state(self, slot: _Slot) -> KeySetState:
        kids = tuple(sorted(slot.keys.keys))
        return KeySetState(self._age_s(slot), kids, slot.reason, slot.failures)


def _place(record: IssuerRecord) -> tuple[str, ...]:
    """Return what makes the keys another issuer's, or others of the same."""
    trusted = record.trusted
    return record.name, record.incarnation, trusted.jwks_uri, trusted.ca_certificates


def _unavailable() -> UnavailableError:
    return UnavailableError(
        "the keys of the token's issuer cannot be read now",
        retry_after_s=round(limits.JWKS_FETCH_SECONDS),
    )
