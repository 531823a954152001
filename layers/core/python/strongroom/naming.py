"""How an entity's files are named (design.md section 3, "File-id")."""

from typing import Final

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
    return mac.tag(
        naming_key, _LABEL, database.encode(), bytes.fromhex(incarnation), entity_key.encode()
    )
