"""Records of the Main Worker under `control/`, encrypted and authenticated as entities are.

A record is a blob of format version 1 (`strongroom.blob`) under the control key of the keyring. Its
file-id is SHA-256 over its kind and name, so that a record which was moved to another name, or made
by whoever can write the disk but has no key, does not open. The header's `schema_version` is that
of the record's own members: one that a reader must not pass over takes the next.
"""

import hashlib
from typing import Final

from strongroom import blob
from strongroom.crypto import aead
from strongroom.errors import IntegrityError

_SCHEMA_VERSION: Final = 1


def encode(kind: str, name: str, content: bytes, keys: blob.DataKeys, at: str) -> bytes:
    """Return the bytes of a record's file; `content` is JSON text, `at` RFC 3339."""
    key_id, key = keys.active()
    header = blob.Header(
        format=blob.FORMAT_VERSION,
        alg=aead.ALGORITHM,
        key_id=key_id,
        iv=blob.fresh_iv(),
        schema_id=f"control.{kind}",
        schema_version=_SCHEMA_VERSION,
        writer_id="main",
        version=1,
        created_at=at,
        updated_at=at,
    )
    return blob.encrypt(header, blob.Body(name, content), file_id(kind, name), key)


def decode(kind: str, name: str, raw: bytes, keys: blob.DataKeys) -> bytes:
    """Return the JSON text of a record.

    Raises:
        IntegrityError: The file is not what was written for this kind and name, or of a later
            version.
    """
    parsed = blob.parse(raw)
    body = blob.decrypt(parsed, file_id(kind, name), keys)
    found = parsed.header.schema_version
    if found != _SCHEMA_VERSION:
        what = f"version {found} of a record of the kind {kind}"
        raise IntegrityError(f"{what} is not known to this version of Strongroom")
    if body.document is None:
        raise IntegrityError("a control record is empty")
    return body.document


def file_id(kind: str, name: str) -> bytes:
    """Return what binds a record to its kind and name."""
    return hashlib.sha256(f"strongroom/control/{kind}/{name}".encode()).digest()
