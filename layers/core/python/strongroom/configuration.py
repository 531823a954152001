"""Templates and database configuration: readable files that nobody can edit unnoticed.

    {"format": 1, "mac": {"key_id": "...", "tag": "<base64>"},
     "body": {...}}

The MAC (HMAC-SHA256 under the configuration key of the keyring) covers what the file is
("template" or "database"), its name and the exact bytes of the body. So an edited file, or a file
that was moved to another name, is refused (design.md section 3).
"""

from typing import Final, Protocol, TypeVar

import msgspec

from strongroom import base64text, jsontext
from strongroom.crypto import mac
from strongroom.crypto.secret import Material
from strongroom.errors import IntegrityError

FORMAT_VERSION: Final = 1
_LABEL: Final = b"strongroom/configuration/v1"
T = TypeVar("T")


class MacKeys(Protocol):
    """The configuration keys that are held in memory (`keyring.KeySet` is one)."""

    def active(self) -> tuple[str, Material]:
        """Return id and material of the key for new files."""
        ...

    def material(self, key_id: str) -> Material:
        """Return a key, or raise IntegrityError."""
        ...


class Template(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A JSON Schema template.

    Attributes:
        schema_id: Its id.
        schema_version: 1 at first, +1 with every replacement, a deletion in between or not.
        created_at: RFC 3339.
        updated_at: RFC 3339.
        schema: The author's own JSON text.
        deleted_at: RFC 3339; the file then only keeps the version from being used again.
    """

    schema_id: str
    schema_version: int
    created_at: str
    updated_at: str
    schema: msgspec.Raw
    deleted_at: str | None = None


class Retired(msgspec.Struct, frozen=True, array_like=True):
    """An incarnation that was deleted, and when (RFC 3339)."""

    incarnation: str
    deleted_at: str


class Database(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The configuration of a database.

    A deleted database keeps its file: it is the proof by which its entities' files are removed.

    Attributes:
        name: Its name.
        incarnation: Random, 32 hex digits, new each time a database of this name is made.
        schema_id: The template that its entities are validated by.
        created_at: RFC 3339.
        version_floor: No entity gets a version at or below it.
        ttl_seconds: Lifetime of entities that a client gives none.
        deleted_at: RFC 3339, where it is deleted.
        retired: Incarnations that were deleted, oldest first; what lies there of them is removed.
    """

    name: str
    incarnation: str
    schema_id: str
    created_at: str
    version_floor: int = 0
    ttl_seconds: int | None = None
    deleted_at: str | None = None
    retired: tuple[Retired, ...] = ()


class _Mac(msgspec.Struct, frozen=True):
    key_id: str
    tag: str


class _Version(msgspec.Struct, frozen=True):
    format: int


class _File(msgspec.Struct, frozen=True):
    format: int
    mac: _Mac
    body: msgspec.Raw


def encode(record: Template | Database, keys: MacKeys) -> bytes:
    """Return the bytes of a configuration file."""
    kind, name = _identity(record)
    body = msgspec.json.format(msgspec.json.encode(record), indent=1)
    key_id, key = keys.active()
    tag = base64text.encode(mac.tag(key, _LABEL, kind, name, body))
    return msgspec.json.encode(_File(FORMAT_VERSION, _Mac(key_id, tag), msgspec.Raw(body))) + b"\n"


def decode_template(raw: bytes, schema_id: str, keys: MacKeys) -> Template:
    """Return the template of a file.

    Raises:
        IntegrityError: The file is not what was written for this schema id.
    """
    return _decode(raw, Template, b"template", schema_id, keys)


def decode_database(raw: bytes, name: str, keys: MacKeys) -> Database:
    """Return the database of a file.

    Raises:
        IntegrityError: The file is not what was written for this name.
    """
    return _decode(raw, Database, b"database", name, keys)


def _identity(record: Template | Database) -> tuple[bytes, bytes]:
    if isinstance(record, Template):
        return b"template", record.schema_id.encode()
    return b"database", record.name.encode()


def _decode(raw: bytes, kind_type: type[T], kind: bytes, name: str, keys: MacKeys) -> T:
    what = f"the {kind.decode()} {name}"
    try:
        # Before all else: a later format may have other members, and is not damaged for that.
        found = msgspec.json.decode(raw, type=_Version).format
        if found != FORMAT_VERSION:
            raise IntegrityError(f"format {found} is not known to this version of Strongroom")
        file = msgspec.json.decode(raw, type=_File)
        tag = base64text.decode(file.mac.tag)
        body = bytes(file.body)
        mac.verify(keys.material(file.mac.key_id), tag, _LABEL, kind, name.encode(), body)
        return msgspec.json.decode(body, type=kind_type)
    except IntegrityError as error:
        raise IntegrityError(f"{what}: {error.detail}") from error
    except jsontext.UNREADABLE as error:
        raise IntegrityError(f"{what} cannot be read") from error
