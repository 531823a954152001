"""Decrypted entities in memory: least recently used goes first, nothing stays past its time.

Two orders of the same entries: by use, for who makes room, and by age, for what is too old. All
live equally long, so the oldest is the one that was put first. cachetools' TTLCache does the same,
but a lookup in vain takes it ten times as long, and to make room three times: every cold read does
both.
"""

import threading
from collections import OrderedDict
from typing import Final

from processing_fn.service.ports import CachedEntity
from strongroom.clock import Clock

EVENTS: Final = ("hits", "misses", "joined", "stale", "unasked", "invalidated")


class DocumentCache:
    """LRU with a time to live and a bound in bytes. Safe under threads."""

    def __init__(self, clock: Clock, size_bytes_max: int, ttl_s: float) -> None:
        """Start empty; an entity larger than the bound is not kept."""
        self._lock = threading.Lock()
        self._counts = dict.fromkeys((*EVENTS, "evictions", "expirations"), 0)
        self._boot_s = clock.boot_s
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._ttl_s = ttl_s
        self._by_use: OrderedDict[bytes, CachedEntity] = OrderedDict()
        self._by_age: OrderedDict[bytes, float] = OrderedDict()
        """When each is too old, on CLOCK_BOOTTIME."""
        self._none_ends_before_s = 0.0

    def get(self, file_id: bytes) -> CachedEntity | None:
        """Return an entry and make it the most recently used one."""
        # One step of the interpreter: what is not there needs no lock.
        entry = self._by_use.get(file_id)
        if entry is None:
            return None
        with self._lock:
            ends_s = self._by_age.get(file_id)
            if ends_s is None or self._boot_s() >= ends_s:
                return None
            self._by_use.move_to_end(file_id)
        return entry

    def put(self, file_id: bytes, entity: CachedEntity) -> None:
        """Keep an entry; a larger one than the whole cache is let go."""
        size_bytes = entity.size_bytes()
        now_s = self._boot_s()
        with self._lock:
            if file_id in self._by_use:
                self._let_go(file_id)
            self._expire(now_s)
            if size_bytes > self._size_bytes_max:
                return
            while self._size_bytes + size_bytes > self._size_bytes_max:
                least, entry = self._by_use.popitem(last=False)
                del self._by_age[least]
                self._size_bytes -= entry.size_bytes()
                self._counts["evictions"] += 1
            self._by_use[file_id] = entity
            self._by_age[file_id] = now_s + self._ttl_s
            self._size_bytes += size_bytes

    def drop(self, file_id: bytes) -> None:
        """Forget an entry."""
        with self._lock:
            self._let_go(file_id)

    def invalidate(self, file_id: bytes, version: int) -> None:
        """Forget an entity of which another worker has committed a version."""
        with self._lock:
            entry = self._by_use.get(file_id)
            if entry is not None and entry.metadata.version < version:
                self._let_go(file_id)
                self._counts["invalidated"] += 1

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._by_use.clear()
            self._by_age.clear()
            self._size_bytes = 0

    def expire(self) -> None:
        """Let go of what is too old, so that no document stays in memory for want of a reader."""
        with self._lock:
            self._expire(self._boot_s())

    def count(self, event: str) -> None:
        """Count an event."""
        with self._lock:
            self._counts[event] += 1

    def statistics(self) -> dict[str, int]:
        """Return the counters, and what is held now."""
        with self._lock:
            self._expire(self._boot_s())
            return {
                **{f"cache_{event}": count for event, count in self._counts.items()},
                "cache_entries": len(self._by_use),
                "cache_bytes": self._size_bytes,
            }

    def _let_go(self, file_id: bytes) -> None:
        entry = self._by_use.pop(file_id, None)
        if entry is not None:
            del self._by_age[file_id]
            self._size_bytes -= entry.size_bytes()

    def _expire(self, now_s: float) -> None:
        if now_s < self._none_ends_before_s:
            return
        while self._by_age:
            oldest, ends_s = next(iter(self._by_age.items()))
            if now_s < ends_s:
                self._none_ends_before_s = ends_s
                return
            self._let_go(oldest)
            self._counts["expirations"] += 1
        # What comes later lives from then on.
        self._none_ends_before_s = now_s + self._ttl_s
