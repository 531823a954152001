"""What an operation asks of the file system, and what becomes of YCSB's mixes where it is slow."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import documents
from benchmarks.figure import Figure, NotHereError, Pair, Pairs
from benchmarks.figures import ycsb
from benchmarks.filling import filled
from benchmarks.ground import Ground
from benchmarks.load.faces import GrpcFace
from strongroom.clock import SystemClock
from tests.support.deployment import Deployment, wait_until
from tests.support.engines import Rig
from tests.support.filesystems import CountingFilesystem

_DATABASE: Final = "chatdb"
_ENTITIES: Final = 1_000
_MOUNTED_S: Final = 20.0
_KEY: Final = "k"
_TRIED: Final = "a"


def _counted(ground: Ground) -> Pairs:
    """Count the calls of each operation, `close` aside, once every directory is there."""
    rig = Rig(ground.folder("counted"), clock=SystemClock())
    rig.worker("writer").put(_KEY, documents.document(0))
    while True:
        disk = CountingFilesystem()
        worker = rig.worker(filesystem=disk)
        worker.put(_KEY, documents.document(1))

        def calls(disk: CountingFilesystem = disk) -> float:
            count = len(disk.calls)
            disk.calls.clear()
            return float(count)

        calls()
        worker.get(_KEY)
        warm = calls()
        worker.cache.clear()
        worker.get(_KEY)
        cold = calls()
        worker.put(_KEY, documents.document(2))
        put = calls()
        worker.delete(_KEY)
        delete = calls()
        beside = {"cold read_calls": cold, "put_calls": put, "delete_calls": delete}
        yield Pair(warm, beside=beside)
        worker.put(_KEY, documents.document(3))


def _slow(ground: Ground, name: str) -> Pairs:
    place, entities = ground.folder("slow"), ground.at_most(_ENTITIES, 50)
    _require_fuse()
    if ground.is_quick and name != _TRIED:
        raise NotHereError("the same as another mix, where it is only tried")
    deployment = Deployment(place, ("--workers", "1")).start()
    try:
        filled(deployment, _DATABASE, entities)
    finally:
        deployment.stop()
    deployment.ready_file.unlink(missing_ok=True)
    with _mounted(place / "behind", deployment.shared_dir):
        deployment.start()
        try:
            face = GrpcFace.of(deployment, _DATABASE)
            yield from ycsb.turns(ground, deployment, face, ycsb.MIXES[name], entities)
        finally:
            deployment.stop()


def _require_fuse() -> None:
    if not Path("/dev/fuse").exists() or shutil.which("fusermount3") is None:
        raise NotHereError("needs /dev/fuse and fusermount3: install Debian's fuse3")
    if importlib.util.find_spec("mfusepy") is None:
        raise NotHereError("needs mfusepy, from PyPI: .venv/bin/pip install mfusepy")


@contextmanager
def _mounted(behind: Path, there: Path) -> Iterator[None]:
    """Move a directory away, and mount it, slow, where it was."""
    there.rename(behind)
    there.mkdir()
    mount = subprocess.Popen(  # noqa: S603 - a module of this package
        [sys.executable, "-m", "benchmarks.slow_mount", str(behind), str(there)],
        stderr=subprocess.DEVNULL,
    )
    try:
        if not wait_until(there.is_mount, _MOUNTED_S):
            raise NotHereError("this machine does not let FUSE mount")
        yield
    finally:
        if there.is_mount():
            command = [str(shutil.which("fusermount3")), "-u", "-z", str(there)]
            subprocess.run(command, check=False)  # noqa: S603 - fixed
        mount.terminate()
        mount.wait()


def _figure(name: str) -> Figure:
    return Figure(
        name=f"slow-disk-ycsb-{name}",
        measures=f"YCSB {name.upper()}, gRPC, 16 in flight, 1 ms more for each file system call",
        floor="",
        unit="/s",
        goal=None,
        pairs=partial(_slow, name=name),
        rounds=1,
    )


FIGURES: Final = (
    Figure(
        name="disk-calls",
        measures="file system calls of a warm read",
        floor="",
        unit="calls",
        goal=None,
        pairs=_counted,
        rounds=1,
    ),
    *(_figure(name) for name in ycsb.MIXES),
)
