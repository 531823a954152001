"""How much a worker has written under each data key and not told the Main Worker yet."""

import threading


class WrittenBytes:
    """Sizes of committed blobs, by data key. Safe under threads."""

    def __init__(self) -> None:
        """Start at nothing."""
        self._lock = threading.Lock()
        self._by_key: dict[str, int] = {}

    def add(self, key_id: str, size_bytes: int) -> None:
        """Count a committed blob."""
        with self._lock:
            self._by_key[key_id] = self._by_key.get(key_id, 0) + size_bytes

    def untold(self, key_id: str) -> int:
        """Return what was written under a key and not told yet."""
        with self._lock:
            return self._by_key.get(key_id, 0)

    def told(self, key_id: str, size_bytes: int) -> None:
        """Take off what the Main Worker knows now."""
        with self._lock:
            self._by_key[key_id] = self._by_key.get(key_id, 0) - size_bytes
