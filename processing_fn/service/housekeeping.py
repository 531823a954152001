"""What nobody asks for: temporary files that a crash has left, entities whose time is over.

One shard (a 256th of a database) after the other, so that each is visited about once an hour. An
expired entity is not served from the instant on that it expires; here its document goes, and a
tombstone that keeps the version counting takes its place.
"""

import secrets
from collections.abc import Callable, Iterator

from processing_fn.service.engine import Engine
from strongroom import limits, logs
from strongroom.errors import StrongroomError

_SHARDS = 256
_log = logs.logger()


class Housekeeper:
    """Visits shards; `step` is called again and again by a thread of its own."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        """Take the way to the engine in force; it raises UnavailableError while there is none."""
        self._engine = engine
        self._round: Iterator[tuple[str, int]] = iter(())

    def step(self) -> float:
        """Visit one shard; return after how many seconds to visit the next one.

        What fails is logged and left to the next round.
        """
        try:
            upkeep = self._engine().upkeep
            databases = upkeep.databases()
            shard = next(self._round, None)
            if shard is None:
                upkeep.tidy_configuration()
                # Workers begin at different places, so that they do not follow each other.
                first = secrets.randbelow(_SHARDS)
                numbers = [(first + n) % _SHARDS for n in range(_SHARDS)]
                self._round = iter([(name, number) for name in databases for number in numbers])
            else:
                upkeep.tidy(*shard)
        except StrongroomError as error:
            _log.warning("housekeeping-failed", code=error.code, reason=error.detail)
            databases = []
        return limits.HOUSEKEEPING_ROUND_SECONDS / (_SHARDS * max(1, len(databases)))
