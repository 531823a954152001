"""Of very many like records some are written, the others counted: nobody fills the disk.

A stranger may fail to authenticate as often as the network lets him, and a client may be refused as
often as it likes. Each of them has a bucket, and strangers have one for all of them together. What
finds it empty is counted, by who it was, what it wanted and why it was refused, and told once a
minute: one record for each of `limits.AUDIT_COUNTED_MAX` of these, one for all the rest. So nothing
goes untold, and by limits that do not depend on anybody's doing a process writes no more than some
megabytes a day for strangers, and as much for each client.
"""

import threading
from dataclasses import dataclass
from typing import Final, NamedTuple

from main_api.domain.buckets import Policy
from main_api.service.buckets import Buckets
from strongroom import limits
from strongroom.clock import Clock

STRANGERS: Final = "strangers"
_EACH: Final = Policy("audit", limits.AUDIT_LIKE_RECORDS_PER_MINUTE / 60, limits.AUDIT_LIKE_BURST)


class Alike(NamedTuple):
    """What is counted as one: by whom, what, and how it ended."""

    client: str
    worker: str
    network: str
    act: str
    outcome: str


REST: Final = Alike("", "", "", "", "")
"""What stands for all that was not counted by itself."""


@dataclass(slots=True)
class Count:
    """How many there were, and when the first and the last (ms since 1970)."""

    number: int
    first_ms: int
    last_ms: int


class Thinning:
    """Decides which are written. Safe under threads."""

    def __init__(self, clock: Clock) -> None:
        """Start with full buckets."""
        self._clock = clock
        self._lock = threading.Lock()
        self._each: Buckets[tuple[str, str, str]] = Buckets(_EACH, limits.ADDRESSES_THROTTLED_MAX)
        self._strangers: Buckets[str] = Buckets(_EACH, 1)
        self._counts: dict[Alike, Count] = {}
        self._due_s = 0.0

    def passes(self, alike: Alike) -> bool:
        """Tell whether a record is written; else it was counted."""
        who = (alike.client, alike.worker, alike.network)
        is_stranger = not (alike.client or alike.worker)
        now_s = self._clock.boot_s()
        with self._lock:
            has_room = self._each.standing(who, now_s).available > 0
            if is_stranger:
                has_room &= self._strangers.standing(STRANGERS, now_s).available > 0
            if not has_room:
                self._count(alike, now_s)
                return False
            self._each.charge(who, 1, now_s)
            if is_stranger:
                self._strangers.charge(STRANGERS, 1, now_s)
            return True

    def due(self) -> dict[Alike, Count]:
        """Return what was counted, once a minute; nothing in between."""
        with self._lock:
            is_due = bool(self._counts) and self._clock.boot_s() >= self._due_s
            return self._taken() if is_due else {}

    def rest(self) -> dict[Alike, Count]:
        """Return what was counted and not told yet."""
        with self._lock:
            return self._taken()

    def _taken(self) -> dict[Alike, Count]:
        taken, self._counts = self._counts, {}
        return taken

    def _count(self, alike: Alike, now_s: float) -> None:
        if not self._counts:
            self._due_s = now_s + limits.AUDIT_COUNTED_SECONDS
        now_ms = self._clock.wall_ms()
        if alike not in self._counts and len(self._counts) >= limits.AUDIT_COUNTED_MAX:
            alike = REST
        count = self._counts.setdefault(alike, Count(0, now_ms, now_ms))
        count.number += 1
        count.last_ms = now_ms
