"""What the audit log needs of the world."""

from typing import Protocol


class OpenSegment(Protocol):
    """A segment that is appended to, by one thread at a time.

    After a method has raised, what of it is on the disk is not known, and it is only closed.
    """

    def append(self, data: bytes, *, is_durable: bool) -> None:
        """Append; with `is_durable`, force all that was appended to the disk.

        Raises:
            UnavailableError: The disk refuses.
        """
        ...

    def close(self) -> None:
        """Close it; raises nothing."""
        ...


class AuditSegments(Protocol):
    """The files of the audit log. Every method raises UnavailableError when the disk refuses."""

    def names(self) -> list[str]:
        """Return the names of what is there, segments or not."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a segment's bytes, as others have written them so far; None where it is gone.

        Raises:
            IntegrityError: It is larger than any segment, or no file.
        """
        ...

    def settled(self, name: str) -> bytes | None:
        """As `read`, and what is returned survives a power cut."""
        ...

    def create(self, name: str, data: bytes) -> OpenSegment:
        """Make a segment that begins with some bytes, durably; nothing stays where that fails."""
        ...

    def remove(self, name: str) -> None:
        """Remove a segment, durably."""
        ...
