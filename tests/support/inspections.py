"""Whole inspections of a shared directory, and what lies there before and after one."""

import itertools
import os
import stat
from pathlib import Path

from processing_fn.service.inspection import Report
from strongroom import limits
from strongroom.clock import Clock
from strongroom.finding import Condition, Finding
from tests.support.engines import Worker

CALLS_MAX = 10_000
BEFORE_THE_LAST_SHARD = f"people/fe{'ff' * 31}"
"""The cursor of a call that has only one shard left of the database `people`."""
Told = tuple[str, Condition, str]


def reports(worker: Worker, *, repair: bool = False, cursor: str = "") -> list[Report]:
    """Inspect from a cursor to the end; every call has to get further than the one before."""
    made = [worker.engine.inspector.inspect(cursor, repair=repair)]
    seen = {cursor}
    while made[-1].cursor:
        assert made[-1].cursor not in seen, "the cursor does not advance"
        assert len(made) < CALLS_MAX
        seen.add(made[-1].cursor)
        made.append(worker.engine.inspector.inspect(made[-1].cursor, repair=repair))
    return made


def findings(worker: Worker, *, repair: bool = False) -> list[Finding]:
    """Return everything that a whole inspection tells."""
    return [found for report in reports(worker, repair=repair) for found in report.findings]


def told(found: list[Finding], *, repaired: bool = False) -> list[Told]:
    """Return path, condition and reason of the findings that were repaired, or of those left."""
    return sorted((f.path, f.condition, f.reason) for f in found if f.repaired == repaired)


def keys_in(worker: Worker, shard: int, count: int) -> list[str]:
    """Return keys whose files lie in one shard."""
    binding, keys = worker.rig.binding, (f"k{number}" for number in itertools.count())

    def lies_there(key: str) -> bool:
        return worker.file_id(binding.database, binding.incarnation, key)[0] == shard

    return list(itertools.islice(filter(lies_there, keys), count))


def lying(root: Path) -> dict[bytes, tuple[int, bytes]]:
    """Return kind and content of everything below a directory, the lock files aside."""
    found: dict[bytes, tuple[int, bytes]] = {}
    for folder, folders, names in os.walk(os.fsencode(root)):
        if folder == os.fsencode(root / "locks"):
            continue
        for name in folders + names:
            path = os.path.join(folder, name)  # noqa: PTH118 - a name need not be text
            mode = stat.S_IFMT(os.lstat(path).st_mode)
            content = b""
            if stat.S_ISREG(mode):
                content = Path(os.fsdecode(path)).read_bytes()
            elif stat.S_ISLNK(mode):
                content = os.readlink(path)  # noqa: PTH115 - as above
            found[path] = (mode, content)
    found.pop(os.fsencode(root / "locks"), None)
    return found


def age(path: Path, clock: Clock, *, abandoned: bool) -> None:
    """Date a temporary file: left by a crash as far as can be told, or perhaps in use."""
    ago_s = limits.TEMPORARY_FILE_SECONDS_MAX + (1 if abandoned else -60)
    written_s = clock.wall_ms() / 1000 - ago_s
    os.utime(path, (written_s, written_s), follow_symlinks=False)
