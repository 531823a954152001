"""What an operation asks of the file system, and what becomes of YCSB's mixes where it is slow."""

import os
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
from strongroom import process
from strongroom.clock import SystemClock
from tests.support.deployment import Deployment, wait_until
from tests.support.engines import Rig
from tests.support.filesystems import CountingFilesystem

_DATABASE: Final = "chatdb"
_ENTITIES: Final = 1_000
_MOUNTED_S: Final = 20.0
_KEY: Final = "k"


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
    require_fuse()
    deployment = ground.kept("slow", _on_a_slow_disk(ground))
    face = GrpcFace.of(deployment, _DATABASE)
    yield from ycsb.turns(ground, deployment, face, ycsb.MIXES[name], _entities(ground))


def _entities(ground: Ground) -> int:
    return ground.at_most(_ENTITIES, 50)


@contextmanager
def _on_a_slow_disk(ground: Ground) -> Iterator[Deployment]:
    """Fill a deployment, and start it again with its shared directory slow."""
    place = ground.folder("slow")
    deployment = Deployment(place, ("--workers", "1")).start()
    try:
        filled(deployment, _DATABASE, _entities(ground))
    finally:
        deployment.stop()
    deployment.ready_file.unlink(missing_ok=True)
    with mounted(place / "behind", deployment.shared_dir):
        deployment.start()
        try:
            yield deployment
        finally:
            deployment.stop()


def require_fuse() -> None:
    """Raise NotHereError where nothing can be mounted."""
    if not Path("/dev/fuse").exists() or shutil.which("fusermount3") is None:
        raise NotHereError("needs /dev/fuse and fusermount3: install Debian's fuse3")


@contextmanager
def mounted(behind: Path, there: Path) -> Iterator[None]:
    """Move a directory away, and mount it, slow, where it was.

    Raises:
        NotHereError: This machine does not let anybody mount.
    """
    there.rename(behind)
    there.mkdir()
    mount = subprocess.Popen(  # noqa: S603 - a module of this package
        [sys.executable, "-m", "benchmarks.slow_mount", str(behind), str(there)],
        env={**os.environ, process.PARENT_VARIABLE: str(os.getpid())},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: there.is_mount() or mount.poll() is not None, _MOUNTED_S)
        if not there.is_mount():
            raise NotHereError("this machine does not let FUSE mount")
        yield
    finally:
        # Whatever state it is in: a mount whose process was killed does not end by itself.
        command = [str(shutil.which("fusermount3")), "-u", "-z", "-q", str(there)]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)  # noqa: S603 - fixed
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
