"""What a verification of the shared directory has to say about a file."""

from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """What is the matter with a file."""

    DAMAGED = "damaged"
    """It does not verify, or something that should be there is missing."""
    ORPHANED = "orphaned"
    """Nothing that exists needs it, as far as can be told."""
    STALE = "stale"
    """It is behind what it follows from, or left by a crash; that is harmless."""
    UNJUDGED = "unjudged"
    """It could not be judged: a writer holds it, or the disk refuses. Verify again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that is not as it should be.

    Attributes:
        path: Below the shared directory, e.g. `files/chatdb/ab/ab12....json.enc`.
        condition: What is the matter.
        reason: A sentence for people; no key and no content is in it.
        repaired: It was put right, or removed where nothing needed it.
    """

    path: str
    condition: Condition
    reason: str
    repaired: bool = False
