"""Decrypted entities in memory: least recently used goes first, nothing stays past its time.

cachetools' TTLCache keeps order, time and the bound in bytes; this class adds the lock that it
wants and counts what happens.
"""

import threading
from typing import Final

from cachetools import TTLCache

from processing_fn.service.ports import CachedEntity
from strongroom.clock import Clock

EVENTS: Final = ("hits", "misses", "joined", "stale", "unasked", "invalidated")


class _CountingCache(TTLCache[bytes, CachedEntity]):
    """Tells an eviction (no room) from an expiry (too old)."""

    evictions = 0
    expirations = 0

    def popitem(self) -> tuple[bytes, CachedEntity]:
        """Make room."""
        self.evictions += 1
        return super().popitem()

    def expire(self, time: float | None = None) -> list[tuple[bytes, CachedEntity]]:
        """Remove what is too old."""
        expired = list(super().expire(time))
        self.expirations += len(expired)
        return expired


class DocumentCache:
    """LRU with a time to live and a bound in bytes. Safe under threads."""

    def __init__(self, clock: Clock, size_bytes_max: int, ttl_s: float) -> None:
        """Start empty; an entity larger than the bound is not kept."""
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(EVENTS, 0)
        self._entries = _CountingCache(
            size_bytes_max, ttl_s, timer=clock.boot_s, getsizeof=CachedEntity.size_bytes
        )

    def get(self, file_id: bytes) -> CachedEntity | None:
        """Return an entry and make it the most recently used one."""
        with self._lock:
            try:
                return self._entries[file_id]
            except KeyError:
                return None

    def put(self, file_id: bytes, entity: CachedEntity) -> None:
        """Keep an entry; a larger one than the whole cache is let go."""
        with self._lock:
            try:
                self._entries[file_id] = entity
            except ValueError:
                self._entries.pop(file_id, None)

    def drop(self, file_id: bytes) -> None:
        """Forget an entry."""
        with self._lock:
            self._entries.pop(file_id, None)

    def invalidate(self, file_id: bytes, version: int) -> None:
        """Forget an entity of which another worker has committed a version."""
        with self._lock:
            entry = self._entries.get(file_id)
            if entry is not None and entry.metadata.version < version:
                del self._entries[file_id]
                self._counts["invalidated"] += 1

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def expire(self) -> None:
        """Let go of what is too old, so that no document stays in memory for want of a reader."""
        with self._lock:
            self._entries.expire()

    def count(self, event: str) -> None:
        """Count an event."""
        with self._lock:
            self._counts[event] += 1

    def statistics(self) -> dict[str, int]:
        """Return the counters, and what is held now."""
        with self._lock:
            return {
                **{f"cache_{event}": count for event, count in self._counts.items()},
                "cache_evictions": self._entries.evictions,
                "cache_expirations": self._entries.expirations,
                "cache_entries": len(self._entries),
                "cache_bytes": int(self._entries.currsize),
            }
