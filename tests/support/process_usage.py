"""What the system shows of processes: their memory, what they have open, what they have locked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """What a process uses.

    Attributes:
        resident_bytes: Its resident memory.
        descriptors: How many it has open, lock files left out: a worker opens each of them once
            and keeps it. None where the system does not show this user.
    """

    resident_bytes: int
    descriptors: int | None


def usage(pid: int, locks: Path) -> Usage:
    """Return what a process uses; `locks` is the directory of the lock files."""
    return Usage(resident_bytes(pid), _descriptors(pid, locks))


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (resident,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(resident) * 1024


def _descriptors(pid: int, locks: Path) -> int | None:
    count = 0
    try:
        for one in Path(f"/proc/{pid}/fd").iterdir():
            try:
                count += locks not in one.readlink().parents
            except FileNotFoundError:
                continue
    except PermissionError:
        return None
    return count


def locks_held(directory: Path) -> Counter[str]:
    """Return how many locks somebody holds on the files below a directory, by file."""
    return held_in(
        Path("/proc/locks").read_text(),
        {p.stat().st_ino: str(p.relative_to(directory)) for p in _files(directory)},
    )


def held_in(listed: str, names: Mapping[int, str]) -> Counter[str]:
    """Return the same of the text of /proc/locks, for files by the number of their inode.

    A line is `1: OFDLCK ADVISORY WRITE -1 fe:00:2238026 0 EOF`, with `->` after the first word
    where somebody waits (proc_locks(5)).
    """
    held: Counter[str] = Counter()
    for line in listed.splitlines():
        words = line.split()
        name = names.get(int(words[-3].rpartition(":")[2]))
        if name is not None and words[1] != "->":
            held[name] += 1
    return held


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]
