"""What a write has made."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """What a write has made.

    Attributes:
        key: Which entity.
        version: Its version now.
        created: Whether there was none before.
        created_at: RFC 3339, UTC; None where a batch failed midway, which does not tell times.
        updated_at: The same.
        expires_at: When it ceases to be there; None: it does not.
    """

    key: str
    version: int
    created: bool
    created_at: str | None = None
    updated_at: str | None = None
    expires_at: str | None = None
