"""Zip files that are the same bytes whenever they are made of the same files."""

import zipfile
from pathlib import Path
from typing import Final

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can tell."""
_READABLE: Final = 0o644 << 16
_UNIX: Final = 3


def pack(directory: Path, target: Path, prefix: str = "") -> int:
    """Write every file below a directory into a zip file; return their size unzipped, in bytes.

    Args:
        directory: What to pack.
        target: The zip file, replaced where there is one.
        prefix: Stands before each name: `python/`, say.
    """
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    members = {f"{prefix}{path.relative_to(directory)}": path.read_bytes() for path in files}
    return _write(members, target)


def normalize(source: Path, target: Path) -> int:
    """Write a zip file anew, in order and without times; return its size unzipped, in bytes."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    return _write(members, target)


def _write(members: dict[str, bytes], target: Path) -> int:
    target.unlink(missing_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _READABLE
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return sum(map(len, members.values()))
