"""The manifest of a backup, and its name, which is the proof of it.

    backups/<id>.json       the manifest; there is no backup without it, and it is written last
    backups/<id>.sealed     the deployment's record of it, encrypted under the control key
    objects/<2 hex>/<sha256>  everything else, by its SHA-256: blobs, files, chunks of the manifest

The id is `<YYYYMMDD>-<HHMMSS>-<48 hex>`: when the backup was begun, and the first 192 bits of the
manifest's SHA-256. The manifest names the digests of its chunks, these name everything else. So who
knows the id has the proof of every byte; and the record, which the deployment seals under that
very id, says that the id is one of a backup that was taken of it (docs/adr/0025).
"""

import hashlib
import re
from typing import Final

import msgspec

from cli.backup.domain.entries import EntityEntry, FileEntry
from strongroom import jsontext, limits
from strongroom.clock import from_rfc3339
from strongroom.errors import ConflictError, IntegrityError

FORMAT_VERSION: Final = 1
FOLDER: Final = "backups"
BEGUN: Final = "begun-"
"""How the record of a backup is called that is under way."""
PRUNING: Final = f"{BEGUN}prune-"
"""How the record of a run is called that removes old backups."""
_ID: Final = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{48}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_DIGITS: Final = 48
_SUFFIX: Final = ".json"
_SEALED: Final = ".sealed"


class Counts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup holds.

    Attributes:
        entities: Blobs, tombstones among them.
        tombstones: How many of them are of deleted entities.
        files: Files of configuration.
        bytes: The size of all of these.
    """

    entities: int = 0
    tombstones: int = 0
    files: int = 0
    bytes: int = 0

    def plus(self, entry: EntityEntry | FileEntry) -> "Counts":
        """Return them with one more."""
        is_entity = isinstance(entry, EntityEntry)
        return Counts(
            entities=self.entities + is_entity,
            tombstones=self.tombstones + (isinstance(entry, EntityEntry) and entry.deleted),
            files=self.files + (not is_entity),
            bytes=self.bytes + entry.size,
        )


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup is.

    Attributes:
        format: `FORMAT_VERSION`.
        deployment: Whose.
        begun_at: RFC 3339; whatever was acknowledged before is in it, or what came after that.
        ended_at: RFC 3339.
        counts: What it holds.
        left_out: How many entities were damaged, and are not in it.
        entity_chunks: The SHA-256 of each chunk of entities, in order.
        file_chunks: The same of files.
    """

    format: int
    deployment: str
    begun_at: str
    ended_at: str
    counts: Counts
    left_out: int
    entity_chunks: list[str]
    file_chunks: list[str]


def digest(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def object_name(sha256: str) -> str:
    """Return the name of an object in a store."""
    return f"objects/{sha256[:2]}/{sha256}"


def object_folder(shard: int) -> str:
    """Return the folder of the objects whose digest begins with a byte."""
    return f"objects/{shard:02x}"


def is_digest(name: str) -> bool:
    """Tell whether a name is that of an object."""
    return _DIGEST.fullmatch(name) is not None


def manifest_name(backup_id: str) -> str:
    """Return the name of a manifest in a store."""
    return f"{FOLDER}/{backup_id}{_SUFFIX}"


def record_name(backup_id: str) -> str:
    """Return the name of a deployment's record in a store."""
    return f"{FOLDER}/{backup_id}{_SEALED}"


def backup_id(raw: bytes, begun_at: str) -> str:
    """Return the id of a backup with this manifest."""
    return f"{stamp(begun_at)}-{digest(raw)[:_DIGITS]}"


def stamp(at: str) -> str:
    """Return an instant, RFC 3339, as an id begins."""
    return at[:19].replace("-", "").replace(":", "").replace("T", "-")


def second_of(backup_id: str) -> str:
    """Return the second that a backup was begun in; of two the later one is the greater text."""
    return backup_id[: -_DIGITS - 1]


def require_id(text: str) -> str:
    """Return an id; raises IntegrityError for what is none."""
    if _ID.fullmatch(text) is None:
        raise IntegrityError(f"{text!a} is not the id of a backup")
    return text


def id_of(name: str) -> str | None:
    """Return the id of a manifest by its file's name, None for another file."""
    stem = name.removesuffix(_SUFFIX)
    return stem if stem != name and _ID.fullmatch(stem) else None


def id_of_record(name: str) -> str | None:
    """Return the id of a deployment's record by its file's name, None for another file."""
    stem = name.removesuffix(_SEALED)
    return stem if stem != name and _ID.fullmatch(stem) else None


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest.

    Raises:
        ConflictError: The deployment has more entities than fit into one.
    """
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    if len(raw) > limits.BACKUP_MANIFEST_BYTES_MAX:
        raise ConflictError("there are more entities than a backup's manifest can tell of")
    return raw


def decode(raw: bytes, expected_id: str) -> Manifest:
    """Return the manifest of a backup.

    Raises:
        IntegrityError: It is not the one of this id, or of a newer format.
    """
    try:
        version = msgspec.json.decode(raw, type=_Version).format
        if version != FORMAT_VERSION:
            raise IntegrityError(
                f"the backup has format {version}, not known to this version of Strongroom"
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
        from_rfc3339(manifest.begun_at)
        from_rfc3339(manifest.ended_at)
    except jsontext.UNREADABLE as error:
        raise IntegrityError(f"the manifest of {expected_id} cannot be read") from error
    if backup_id(raw, manifest.begun_at) != expected_id:
        raise IntegrityError(f"the manifest of {expected_id} was changed: its digest is another")
    chunks = (*manifest.entity_chunks, *manifest.file_chunks)
    if not all(map(_DIGEST.fullmatch, chunks)):
        raise IntegrityError(f"the manifest of {expected_id} names what is no object")
    return manifest


class _Version(msgspec.Struct, frozen=True):
    format: int
