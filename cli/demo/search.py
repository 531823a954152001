"""A search of every file below a directory for bytes that should, or should not, be there."""

import base64
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Files:
    """Every file below a directory, as it was when it was read: path and content."""

    files: tuple[tuple[bytes, bytes], ...]

    def size_bytes(self) -> int:
        """Return how many bytes were read."""
        return sum(len(content) for _, content in self.files)

    def holding(self, sought: bytes) -> int:
        """Count the files that have it in path or content: as it is, in hex or in base64."""
        forms = (sought, sought.hex().encode(), base64.b64encode(sought))
        return sum(
            any(form in content or form in path for form in forms) for path, content in self.files
        )


def read_below(directory: Path) -> Files:
    """Read every file; one that is gone before it was read, as temporary ones are, is left out."""
    found = []
    for path in directory.rglob("*"):
        try:
            if path.is_file():
                found.append((str(path.relative_to(directory)).encode(), path.read_bytes()))
        except FileNotFoundError:
            continue
    return Files(tuple(found))
