"""The names of entities' files, remembered: a warm read spent a tenth of its time on making one."""

from functools import lru_cache, partial

from strongroom import limits, naming
from strongroom.crypto.secret import Material


class FileNames:
    """Names the files of entities under one naming key. Safe under threads."""

    def __init__(self, naming_key: Material) -> None:
        """Remember none yet."""
        self.of = lru_cache(limits.FILE_NAMES_REMEMBERED)(partial(naming.file_id, naming_key))
        """Returns the 32 bytes that name an entity's files, by database, incarnation and entity
        key; raises as `naming.file_id`."""

    def forget(self) -> None:
        """Remember none any more: who has been where is not for later."""
        self.of.cache_clear()
