"""What a backup needs of memory, whatever it is of."""

import tracemalloc
from collections.abc import Iterator
from typing import Final

import pytest

from cli.backup.service import taking
from strongroom import blob, limits
from strongroom.clock import SystemClock
from strongroom.crypto import aead
from tests.support.backups import QUIET
from tests.support.engines import AT

KEY: Final = aead.new_key()
HEADER: Final = blob.Header(
    format=1,
    alg=aead.ALGORITHM,
    key_id="4338abd0257bc0e8",
    iv="AAECAwQFBgcICQoL",
    schema_id="person.v1",
    schema_version=1,
    writer_id="worker-1",
    version=1,
    created_at=AT,
    updated_at=AT,
)


class Many:
    """The `Source` of a deployment with many entities."""

    def __init__(self, count: int) -> None:
        """Take how many; they are made when they are asked for."""
        self._per_shard = count // 256

    def deployment(self) -> str:
        """Return an id."""
        return "many"

    def databases(self) -> list[str]:
        """Return one."""
        return ["people"]

    def file_ids(self, database: str, shard: int) -> Iterator[str]:
        """Make them up, in order."""
        assert database == "people"
        return (f"{shard:02x}{number:062x}" for number in range(self._per_shard))

    def header(self, database: str, file_id: str) -> blob.Header | None:
        """Return that of all."""
        assert (database, len(file_id)) == ("people", 64)
        return HEADER

    def entity(self, database: str, file_id: str) -> bytes | None:
        """Return a blob of 2 KB."""
        assert database == "people"
        body = blob.Body(file_id, b'"' + file_id.encode() * 30 + b'"')
        return blob.encrypt(HEADER, body, bytes.fromhex(file_id), KEY)

    def names(self, kind: str) -> list[str]:
        """Return none."""
        assert kind
        return []

    def file(self, kind: str, name: str) -> bytes | None:
        """Return something for a record."""
        return f"{kind}/{name}".encode()


class NoRegister:
    """The `Register` of nobody."""

    def __init__(self) -> None:
        """Begin with none."""
        self._names: set[str] = set()

    def names(self) -> set[str]:
        """Return them."""
        return self._names

    def put(self, name: str) -> None:
        """Keep it."""
        self._names.add(name)

    def remove(self, name: str) -> None:
        """Forget it."""
        self._names.discard(name)


class Sink:
    """A `Store` that keeps manifests, and no blob."""

    def __init__(self) -> None:
        """Begin with none."""
        self.kept: dict[str, bytes] = {}
        self.written = 0

    def read(self, name: str, size_max: int) -> bytes | None:
        """Return what is kept."""
        found = self.kept.get(name)
        assert found is None or len(found) <= size_max
        return found

    def has(self, name: str, size: int) -> bool:
        """Know of nothing."""
        assert size
        return name in self.kept

    def remove(self, name: str) -> None:
        """Forget it."""
        self.kept.pop(name, None)

    def write(self, name: str, data: bytes) -> None:
        """Keep what is part of a manifest."""
        self.written += 1
        if data[:3] != b"SRM":
            # A copy: what msgspec has encoded may hold more memory than it has bytes.
            self.kept[name] = bytes(memoryview(data))

    def settle(self) -> None:
        """Do nothing."""

    def names(self, folder: str) -> Iterator[str]:
        """Return what is kept in a folder."""
        return (n.removeprefix(f"{folder}/") for n in self.kept if n.startswith(f"{folder}/"))


def peak_bytes(count: int) -> int:
    """Return what taking a backup needs at its peak, the store's own memory aside."""
    source = Many(count)
    store, register = Sink(), NoRegister()
    tracemalloc.start()
    try:
        taken = taking.take(source, store, register, SystemClock(), lambda _: QUIET)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken.manifest.counts.entities == store.written - len(store.kept) == count
    return peak - sum(map(len, store.kept.values()))


def test_memory_does_not_grow_with_the_entities(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment with many entities cannot be backed up on the machine that serves it."""
    monkeypatch.setattr(limits, "BACKUP_CHUNK_ENTRIES", 256)
    few, many = peak_bytes(1_024), peak_bytes(8_192)
    assert many < 1.3 * few + 100_000
