"""How an entity's files are named (design.md section 3, "File-id")."""

from functools import lru_cache
from typing import Final

from strongroom import limits
from strongroom.crypto import mac
from strongroom.crypto.secret import Material

_LABEL: Final = b"strongroom/file-id/v1"


def file_id(naming_key: Material, database: str, incarnation: str, entity_key: str) -> bytes:
    """Return the 32 bytes that name an entity's files, which tell nobody its key.

    Args:
        naming_key: The keyring's.
        database: The database's name.
        incarnation: Which database of this name, in hex.
        entity_key: The entity's key.

    Raises as `Secret.use`.
    """
    message = _begun(database, incarnation) + mac.joined(entity_key.encode())
    return mac.tag_of_joined(naming_key, message)


@lru_cache(limits.DATABASES_REMEMBERED)
def _begun(database: str, incarnation: str) -> bytes:
    """Return the parts that all entities of a database share: every read needs them."""
    return mac.joined(_LABEL, database.encode(), bytes.fromhex(incarnation))
