"""Who calls with the token of a foreign issuer: found, verified, and given what its claims come to.

The token's `iss`, not verified, only picks the record of the issuer; then all of it is verified, by
that issuer's keys and as that record has it. What was verified once is kept within its life, while
record and key are the same: a change of either has the token verified anew. Records are read every
`limits.CLIENT_RECORD_CACHE_SECONDS`, like those of clients, so that an issuer that is removed, or a
rule, is out of force as soon as a client would be.
"""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from cachetools import LRUCache

from main_api.domain import claim_rules, foreign_tokens, grants
from main_api.domain.caller import FOREIGN_PREFIX, Caller
from main_api.domain.foreign_tokens import Lifetime, Presented
from main_api.domain.issuer_keys import IssuerKey
from main_api.domain.trusted_issuers import IssuerRecord
from main_api.service.federation.key_sets import KeySets, KeySetState
from main_api.service.ports import ControlStore
from strongroom import limits, logs
from strongroom.clock import Clock
from strongroom.errors import IntegrityError, UnauthenticatedError

_ENTRY_BYTES = 2_048
_log = logs.logger()


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that was verified, by what, and what it comes to."""

    record: IssuerRecord
    key: IssuerKey
    lifetime: Lifetime
    caller: Caller


class ForeignCallers:
    """Finds them. Safe under threads."""

    def __init__(self, store: ControlStore, key_sets: KeySets, clock: Clock) -> None:
        """Start with empty caches."""
        self._store = store
        self._key_sets = key_sets
        self._clock = clock
        self._lock = threading.Lock()
        self._verified: LRUCache[bytes, _Verified] = LRUCache(
            limits.FOREIGN_CALLERS_BYTES_MAX, getsizeof=_size_bytes
        )
        self._reading = threading.Lock()
        self._records: Mapping[str, IssuerRecord] = {}
        self._records_read_s = float("-inf")
        self._unusable: set[str] = set()

    def find(self, token: str) -> Caller | None:
        """Return who calls; None where the token is no trusted issuer's by its own account.

        Raises:
            UnauthenticatedError: It does not verify, or not now, or is not for here.
            UnavailableError: The keys of its issuer, or the records, cannot be read.
        """
        digest = _digest(token)
        with self._lock:
            known = self._verified.get(digest)
        if known is not None and self._holds(known):
            return known.caller
        presented = _read(token)
        record = None if presented is None else self._record(presented.issuer)
        if presented is None or record is None:
            return None
        made = self._verify(presented, record)
        with self._lock:
            self._verified[digest] = made
        return made.caller

    def has_verified(self, token: str) -> bool:
        """Tell whether a token is known to be genuine, without verifying any."""
        with self._lock:
            return _digest(token) in self._verified

    def states(self) -> Mapping[str, KeySetState]:
        """Return how the keys of every issuer stand in this process, by name."""
        return self._key_sets.states(self._current().values())

    def _holds(self, known: _Verified) -> bool:
        """Tell whether what a token was verified by is still so; its time is checked here.

        Raises:
            StaleTokenError: Its time is over.
        """
        if self._record(known.record.trusted.issuer) is not known.record:
            return False
        key = self._key_sets.find(known.record, known.key.kid)
        if key.material != known.key.material or key.algorithms != known.key.algorithms:
            return False
        known.lifetime.check(self._clock.wall_ms() / 1000)
        return True

    def _verify(self, presented: Presented, record: IssuerRecord) -> _Verified:
        # Before a key is looked for: what could never verify makes nobody ask the issuer.
        foreign_tokens.check_form(presented, record.trusted)
        key = self._key_sets.find(record, presented.kid)
        verified = foreign_tokens.verified(
            presented, record.trusted, key, self._clock.wall_ms() / 1000
        )
        granted = claim_rules.granted(record.trusted.rules, verified.claims)
        caller = Caller(
            client_id=FOREIGN_PREFIX + record.name,
            incarnation=record.incarnation,
            subject=verified.subject,
            claims=claim_rules.strings(verified.claims),
            grants=granted,
            scope=frozenset(map(str, grants.actions_of(granted))),
            is_user=True,
        )
        return _Verified(record, key, verified.lifetime, caller)

    def _record(self, issuer: str) -> IssuerRecord | None:
        return self._current().get(issuer)

    def _current(self) -> Mapping[str, IssuerRecord]:
        """Return the records by `iss`, as they were read not long ago."""
        if self._is_fresh():
            return self._records
        with self._reading:
            if not self._is_fresh():
                read_s = self._clock.boot_s()
                self._records = self._read_records()
                self._records_read_s = read_s
                self._key_sets.retain(self._records.values())
            return self._records

    def _is_fresh(self) -> bool:
        age_s = self._clock.boot_s() - self._records_read_s
        return age_s < limits.CLIENT_RECORD_CACHE_SECONDS

    def _read_records(self) -> Mapping[str, IssuerRecord]:
        found: dict[str, list[IssuerRecord]] = {}
        unusable = set()
        for name in self._store.issuers.names():
            try:
                record = self._store.issuers.get(name)
            except IntegrityError:
                unusable.add(name)
                continue
            if record is not None:
                # One that is as it was stays the same object: `_holds` looks at no more.
                before = self._records.get(record.trusted.issuer)
                same = before if before == record else record
                found.setdefault(same.trusted.issuer, []).append(same)
        # Nobody writes a second one. Where somebody has put it there, neither is known to count.
        unusable |= {one.name for records in found.values() if len(records) > 1 for one in records}
        self._tell(unusable)
        return {issuer: records[0] for issuer, records in found.items() if len(records) == 1}

    def _tell(self, unusable: set[str]) -> None:
        """Log which records cannot be used, once each."""
        for name in unusable - self._unusable:
            _log.error("issuer-record-unusable", issuer=name)
        self._unusable = unusable


def _read(token: str) -> Presented | None:
    """Return what a token says, None where it does not say that it is a foreign issuer's."""
    try:
        presented = foreign_tokens.read(token)
    except UnauthenticatedError:
        return None
    # A token of our own is none, and no record is read for it.
    return presented if presented.issuer.startswith(("https://", "http://")) else None


def _digest(token: str) -> bytes:
    """Return what stands for a token in memory, which is shorter, and of no use to anybody."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _size_bytes(verified: _Verified) -> int:
    """Return about what a caller takes, the parts aside that it shares with others."""
    own = (grant for grant in verified.caller.grants if grant.key_prefix)
    texts = sum(len(value) for value in verified.caller.claims.values())
    return _ENTRY_BYTES + texts + sum(512 + len(grant.key_prefix) for grant in own)
