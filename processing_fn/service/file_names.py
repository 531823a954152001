"""The names of entities' files, remembered: a warm read spent a tenth of its time on making one."""

from functools import lru_cache

from strongroom import limits, naming
from strongroom.crypto.secret import Material


class FileNames:
    """Names the files of entities under one naming key. Safe under threads."""

    def __init__(self, naming_key: Material) -> None:
        """Remember none yet."""
        self._of = lru_cache(limits.FILE_NAMES_REMEMBERED)(
            lambda *named: naming.file_id(naming_key, *named)
        )

    def of(self, database: str, incarnation: str, entity_key: str) -> bytes:
        """Return the 32 bytes that name an entity's files; raises as `naming.file_id`."""
        return self._of(database, incarnation, entity_key)

    def forget(self) -> None:
        """Remember none any more: who has been where is not for later."""
        self._of.cache_clear()
