"""Documents that go out together: so many, so many bytes, and all with the same lifetime."""

from dataclasses import dataclass, field

from strongroom import limits


@dataclass(slots=True)
class Batch:
    """Documents of one database with one lifetime.

    Attributes:
        database: The database that they are put into.
        ttl_seconds: How long they are to live; None as the database has it.
        documents: JSON texts by entity key.
    """

    database: str
    ttl_seconds: int | None
    documents: dict[str, bytes] = field(default_factory=dict)

    def has_room(self, database: str, ttl_seconds: int | None, document: bytes) -> bool:
        """Tell whether a document may go with these."""
        size = sum(map(len, self.documents.values())) + len(document)
        return (
            (self.database, self.ttl_seconds) == (database, ttl_seconds)
            and len(self.documents) < limits.RESTORED_BATCH_ENTITIES
            and size <= limits.RESTORED_BATCH_BYTES
        )


def remaining_seconds(expires_ms: int | None, now_ms: int) -> int | None:
    """Return how long an entity has to live, 0 where its time is over, None for ever."""
    if expires_ms is None:
        return None
    left = -((now_ms - expires_ms) // 1000)
    return min(max(left, 0), limits.TTL_SECONDS_MAX)
