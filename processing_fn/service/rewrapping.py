"""Putting files under the active data key, and counting which key they lie under.

One call looks at one shard number of every database for about a second, or longer where listing
them takes longer; the Main Worker spreads
the 256 of them over the workers (design.md section 4, "Rotation").
"""

import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from processing_fn.service.instruments import Fate
from processing_fn.service.pacing import Pacer
from processing_fn.service.pool import Pool
from processing_fn.service.ports import EntityStorage, Place
from processing_fn.service.session import Session
from processing_fn.service.writing import Committer
from strongroom import blob, ids, limits
from strongroom.clock import Clock
from strongroom.errors import BusyError, IntegrityError, InvalidArgumentError, UnavailableError

_SHARDS: Final = 256
_FILE_ID_BYTES: Final = 32
_CHUNK: Final = 64
_CHUNK_BESIDE_CLIENTS: Final = 16
_LOCK_WAIT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many files lie under a key, and how many of them are not tombstones."""

    files: int
    entities: int


@dataclass(frozen=True, slots=True)
class Census:
    """What one call has seen.

    Attributes:
        cursor: Where the next call begins; empty for the end of the shard.
        files: How many blobs were looked at.
        rewrapped: How many of them this call has put under another key.
        by_key: How many lie under each key now.
        unreadable: How many should have been rewrapped and do not open.
        keyless: How many have no readable header, or name a key that never was.
    """

    cursor: str
    files: int
    rewrapped: int
    by_key: dict[str, KeyUse]
    unreadable: int
    keyless: int


class Rewrapper:
    """Looks at blobs shard by shard. Safe under threads."""

    def __init__(
        self,
        session: Session,
        storage: EntityStorage,
        committer: Committer,
        pacer: Pacer,
        clock: Clock,
    ) -> None:
        """Take the parts."""
        self._session = session
        self._storage = storage
        self._committer = committer
        self._pacer = pacer
        self._clock = clock
        self._pool = Pool("rewrap")

    def run(
        self, shard: int, cursor: str, drained: frozenset[str], files_per_second: float = 0
    ) -> Census:
        """Look at files for about a second, or as long as it took to list them.

        Args:
            shard: The first byte of their file-ids.
            cursor: Where the call before has ended; empty to begin.
            drained: What lies under one of these keys is put under the active one; where there
                are none, files are only counted.
            files_per_second: How many to rewrap at the most; 0 for as many as it can.

        Raises:
            InvalidArgumentError: Not a shard, or not a cursor.
            UnavailableError: No lease, the disk refuses, or the active key is itself among the
                drained ones: this worker has not heard of the new one yet.
        """
        self._session.lease.require()
        if self._session.data_keys.active()[0] in drained:
            raise UnavailableError("this worker has not got the new key yet", retry_after_s=1)
        start, after = _position(shard, cursor)
        tally = _Tally(self._session)
        called_at_s, ends_at_s = self._clock.boot_s(), 0.0
        # A rate is kept in pieces of no more than a second.
        size_max = max(1, int(files_per_second)) if files_per_second else _CHUNK
        for name in (n for n in self._storage.databases() if n >= start and _is_database(n)):
            headers = self._storage.headers(name, shard, after if name == start else b"")
            while True:
                began_s = time.monotonic()
                with self._pacer.paced():
                    size = _CHUNK_BESIDE_CLIENTS if self._pacer.is_busy() else _CHUNK
                    chunk = list(islice(headers, min(size, size_max)))
                if not chunk:
                    break
                if not ends_at_s:
                    # Every call lists anew: with less than that again, most of its time is listing.
                    now_s = self._clock.boot_s()
                    ends_at_s = now_s + max(limits.SCAN_SECONDS, now_s - called_at_s)
                todo = self._rewrap_chunk(name, chunk, drained, tally)
                if files_per_second:
                    _sleep_until(began_s + todo / files_per_second)
                if self._clock.boot_s() >= ends_at_s:
                    return tally.census(f"{name}/{chunk[-1][0].hex()}")
        return tally.census("")

    def rewrap(self, place: Place, wait_s: float = limits.LOCK_WAIT_SECONDS) -> bool:
        """Put one file under the active key; tell whether it was under another one.

        Raises:
            StrongroomError: As `Committer.rewrap`.
        """
        self._session.lease.require()
        return self._committer.rewrap(place, wait_s)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.close()

    def _rewrap_chunk(
        self,
        name: str,
        chunk: list[tuple[bytes, blob.Header | None]],
        drained: frozenset[str],
        tally: "_Tally",
    ) -> int:
        """Rewrap what has to be; return how many there were."""
        todo = [file_id for file_id, header in chunk if header and header.key_id in drained]
        work = partial(self._attempt, name)
        # Side by side only while nobody else wants the processor.
        found = map(work, todo) if self._pacer.is_busy() else self._pool.map(work, todo)
        fates = dict(zip(todo, found, strict=True))
        # What was looked at without a lease does not count: another worker does it.
        self._session.lease.require()
        for file_id, header in chunk:
            tally.take(header, fates.get(file_id))
        for fate in fates.values():
            self._session.instruments.rewrapped[fate].add()
        return len(todo)

    def _attempt(self, name: str, file_id: bytes) -> Fate:
        try:
            with self._pacer.paced():
                self.rewrap(Place(name, "", file_id), _LOCK_WAIT_S)
        except BusyError:
            # Whoever holds the lock is about to write it under the new key, or is stopped.
            return Fate.LEFT
        except IntegrityError:
            return Fate.UNREADABLE
        # By this call, or by another writer a moment ago.
        return Fate.REWRAPPED


class _Tally:
    def __init__(self, session: Session) -> None:
        self._data_keys = session.data_keys
        self._files = self._rewrapped = self._unreadable = self._keyless = 0
        self._by_key: dict[str, KeyUse] = {}

    def take(self, header: blob.Header | None, fate: Fate | None) -> None:
        self._files += 1
        self._rewrapped += fate is Fate.REWRAPPED
        self._unreadable += fate is Fate.UNREADABLE
        # Anybody can write a header; what it names is counted only where it is a key.
        if header is None or not self._data_keys.is_known(header.key_id):
            self._keyless += 1
            return
        key_id = self._data_keys.active()[0] if fate is Fate.REWRAPPED else header.key_id
        use = self._by_key.get(key_id, KeyUse(0, 0))
        self._by_key[key_id] = KeyUse(use.files + 1, use.entities + (not header.deleted))

    def census(self, cursor: str) -> Census:
        return Census(
            cursor=cursor,
            files=self._files,
            rewrapped=self._rewrapped,
            by_key=self._by_key,
            unreadable=self._unreadable,
            keyless=self._keyless,
        )


def _sleep_until(monotonic_s: float) -> None:
    time.sleep(max(0.0, min(monotonic_s - time.monotonic(), limits.SCAN_SECONDS)))


def _is_database(name: str) -> bool:
    try:
        return bool(ids.database_name(name))
    except InvalidArgumentError:
        return False


def _position(shard: int, cursor: str) -> tuple[str, bytes]:
    """Return (database, file-id) after which a call begins."""
    if not 0 <= shard < _SHARDS:
        raise InvalidArgumentError("a shard is 0 to 255")
    if not cursor:
        return "", b""
    name, _, text = cursor.partition("/")
    try:
        file_id = bytes.fromhex(text)
    except ValueError as error:
        raise InvalidArgumentError("the cursor is not one of a rewrap") from error
    if not _is_database(name) or len(file_id) != _FILE_ID_BYTES or file_id[0] != shard:
        raise InvalidArgumentError("the cursor is not one of a rewrap")
    return name, file_id
