"""Format version 1 of a backup, frozen: a backup that was taken once is read for ever."""

import msgspec
import pytest

from cli.backup.domain import entries, manifest
from cli.backup.domain.batching import Batch, remaining_seconds
from cli.backup.domain.entries import EntityEntry, FileEntry
from cli.backup.domain.manifest import Counts, Manifest
from cli.backup.domain.merging import merged
from strongroom import limits
from strongroom.errors import ConflictError, IntegrityError

ENTITY = EntityEntry(
    database="people",
    file_id="ab" * 32,
    version=7,
    key_id="4338abd0257bc0e8",
    iv="AAECAwQFBgcICQoL",
    deleted=True,
    size=1234,
    sha256="cd" * 32,
)
FILE = FileEntry("clients", "admin", 99, "ef" * 32)
ENTITY_LINE = (
    b'["entity","people","abababababababababababababababababababababababababababababababab",7,'
    b'"4338abd0257bc0e8","AAECAwQFBgcICQoL",true,1234,'
    b'"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"]\n'
)
FILE_LINE = (
    b'["file","clients","admin",99,'
    b'"efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef"]\n'
)
MANIFEST = b"""{
 "format": 1,
 "deployment": "d0",
 "begun_at": "2026-01-02T03:04:05.678Z",
 "ended_at": "2026-01-02T03:04:06.000Z",
 "counts": {
  "entities": 1,
  "tombstones": 1,
  "files": 1,
  "bytes": 1333
 },
 "left_out": 0,
 "entity_chunks": [
  "abababababababababababababababababababababababababababababababab"
 ],
 "file_chunks": []
}
"""
WHOLE = Manifest(
    format=1,
    deployment="d0",
    begun_at="2026-01-02T03:04:05.678Z",
    ended_at="2026-01-02T03:04:06.000Z",
    counts=Counts().plus(ENTITY).plus(FILE),
    left_out=0,
    entity_chunks=["ab" * 32],
    file_chunks=[],
)
ID = "20260102-030405-ade15dda0a37bc47828069851ad3a3ea1d7c40bb45f698a3"


def test_these_bytes_must_not_change_silently() -> None:
    """A backup of last year cannot be read, or reads as something else."""
    assert entries.encode([ENTITY]) == ENTITY_LINE
    assert entries.encode([FILE]) == FILE_LINE
    assert manifest.encode(WHOLE) == MANIFEST
    assert manifest.backup_id(MANIFEST, WHOLE.begun_at) == ID
    assert entries.decode(ENTITY_LINE, EntityEntry, ("", "")) == [ENTITY]
    assert entries.decode(FILE_LINE, FileEntry, ("", "")) == [FILE]
    assert manifest.decode(MANIFEST, ID) == WHOLE
    assert manifest.object_name("ab" * 32) == "objects/ab/" + "ab" * 32
    assert manifest.manifest_name(ID) == f"backups/{ID}.json"
    assert manifest.record_name(ID) == f"backups/{ID}.sealed"
    assert manifest.id_of(f"{ID}.json") == ID
    assert manifest.id_of(f"{ID}.sealed") is None


def test_every_changed_byte_of_a_manifest_is_refused() -> None:
    """A manifest that somebody has changed is taken for the one of its name."""
    for position in range(len(MANIFEST)):
        raw = bytearray(MANIFEST)
        raw[position] ^= 1
        with pytest.raises(IntegrityError):
            manifest.decode(bytes(raw), ID)


def test_a_manifest_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup is written that nobody can read again."""
    monkeypatch.setattr(limits, "BACKUP_MANIFEST_BYTES_MAX", len(MANIFEST) - 1)
    with pytest.raises(ConflictError, match="more entities than"):
        manifest.encode(WHOLE)


def entry(file_id: str, database: str = "people") -> EntityEntry:
    """Return an entry of an entity."""
    return msgspec.structs.replace(ENTITY, database=database, file_id=file_id)


def test_what_was_there_and_what_is_are_walked_side_by_side() -> None:
    """An entity is left out of a backup, or copied though it is there, by the order of names."""
    before = [entry("a"), entry("c"), entry("b", "pets"), entry("z", "pets")]
    listed = [("people", "b"), ("people", "c"), ("pets", "a"), ("pets", "b")]
    assert list(merged(listed, before)) == [
        ("people", "a", before[0]),
        ("people", "b", None),
        ("people", "c", before[1]),
        ("pets", "a", None),
        ("pets", "b", before[2]),
        ("pets", "z", before[3]),
    ]
    assert list(merged([], [])) == []
    assert list(merged(listed[:1], [])) == [("people", "b", None)]


def test_documents_go_out_in_batches_that_a_request_holds() -> None:
    """A batch is refused for its size, or entities get the lifetime of others."""
    batch = Batch("people", None)
    large = b"x" * (limits.RESTORED_BATCH_BYTES - 10)
    assert batch.has_room("people", None, large)
    batch.documents["a"] = large
    assert batch.has_room("people", None, b"x" * 10)
    assert not batch.has_room("people", None, b"x" * 11)
    assert not batch.has_room("people", 5, b"")
    assert not batch.has_room("pets", None, b"")
    batch.documents |= {str(n): b"" for n in range(limits.RESTORED_BATCH_ENTITIES - 1)}
    assert not batch.has_room("people", None, b"")


@pytest.mark.parametrize(
    ("ends_ms", "left"), [(None, None), (1_000, 0), (999, 0), (1_001, 1), (2_000, 1), (2_001, 2)]
)
def test_what_is_left_of_a_life(ends_ms: int | None, left: int | None) -> None:
    """An entity lives for ever, or is back after its end."""
    assert remaining_seconds(ends_ms, 1_000) == left
