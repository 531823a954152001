"""What an operation asks of a file system: the project's own code, run over one that counts.

Requests are counted as a client of NFS makes them: a call is one, opening a file is two (it is
closed as well). What the client's own cache would save is not taken off, so these are the most.
"""

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.scale.published import DATA_BYTES_MIN, METADATA_BYTES_MIN, FileSystem
from main_api.adapters.control_store import ControlFiles
from processing_fn.service.ports import Place
from strongroom import keyring
from strongroom.crypto import seal
from strongroom.keyring import Purpose
from strongroom.layout import Layout
from tests.support.clocks import ManualClock
from tests.support.engines import AT, Rig, Worker
from tests.support.filesystems import CountingFilesystem, UnsyncedFilesystem
from tests.support.mains import MainRig

A = TypeVar("A")
B = TypeVar("B")

_READING: Final = frozenset({"open_directory", "open", "read", "list_directory", "modified_s"})
_DATA: Final = frozenset({"read", "write"})
_CLOSED_AFTERWARDS: Final = frozenset({"open", "create"})
_DOCUMENT: Final = b'{"text": "' + b"x" * 1_100 + b'"}'


@dataclass(frozen=True, slots=True)
class Operation:
    """What one operation asks for.

    Attributes:
        calls: In the order in which they are made.
        beside: Those that are made while others of them are under way, and take no time.
    """

    calls: tuple[str, ...]
    beside: tuple[str, ...] = ()

    @property
    def reads(self) -> int:
        """How many requests change nothing."""
        calls = [call for call in self.calls if call in _READING]
        return len(calls) + sum(call in _CLOSED_AFTERWARDS for call in self.calls)

    @property
    def writes(self) -> int:
        """How many requests change something; a lock does."""
        return sum(call not in _READING for call in self.calls)

    @property
    def read_bytes(self) -> int:
        """What is billed as read."""
        data = self.calls.count("read")
        return data * DATA_BYTES_MIN + (self.reads - data) * METADATA_BYTES_MIN

    @property
    def written_bytes(self) -> int:
        """What is billed as written."""
        data = self.calls.count("write")
        return data * DATA_BYTES_MIN + (self.writes - data) * METADATA_BYTES_MIN

    def seconds(self, disk: FileSystem) -> float:
        """Return how long it takes."""
        return _seconds(self.calls, disk) - _seconds(self.beside, disk)


@dataclass(frozen=True, slots=True)
class Operations:
    """Every operation that the simulation reckons with.

    Attributes:
        warm_read: Of an entity that the worker has in its cache, `strict`.
        cold_read: Of one that it has not.
        write: Of an entity that is there.
        rewrap: Of a file that lies under the key before.
        look: One Main Worker reads the registry, for each worker in it.
        look_once: The same, whatever is in it.
        renewal: One Main Worker renews a lease.
        idle: What a gRPC Main Worker asks each time it looks at keyring, revocations and jobs.
    """

    warm_read: Operation
    cold_read: Operation
    write: Operation
    rewrap: Operation
    look: Operation
    look_once: Operation
    renewal: Operation
    idle: Operation


def observed() -> Operations:
    """Run each operation once, in a directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        entities = _Entities(Path(folder) / "entities")
        main = _Main(Path(folder) / "main")
        return Operations(
            warm_read=entities.warm_read(),
            cold_read=entities.cold_read(),
            write=entities.write(),
            rewrap=entities.rewrap(),
            look_once=main.look(),
            look=main.look_at_one_more(),
            renewal=main.renewal(),
            idle=main.idle(),
        )


class _Beside:
    """Runs both in turn, and remembers the calls of the shorter one."""

    is_remote = True

    def __init__(self, disk: CountingFilesystem) -> None:
        self._disk = disk
        self.calls: tuple[str, ...] = ()

    def both(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        before = len(self._disk.calls)
        one = first()
        between = len(self._disk.calls)
        two = second()
        branches = (tuple(self._disk.calls[before:between]), tuple(self._disk.calls[between:]))
        self.calls += min(branches, key=lambda calls: _seconds(calls, FileSystem()))
        return one, two


class _Entities:
    """A Processing Worker's engine."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self._rig = Rig(root)
        self._disk = CountingFilesystem(UnsyncedFilesystem())
        self._beside = _Beside(self._disk)
        self._worker = self._new_worker()
        self._worker.put("a", _DOCUMENT)

    def _new_worker(self) -> Worker:
        return self._rig.worker(filesystem=self._disk, overlap=self._beside)

    def _calls_of(self, act: Callable[[], object]) -> Operation:
        self._disk.calls.clear()
        self._beside.calls = ()
        act()
        return Operation(tuple(self._disk.calls), self._beside.calls)

    def warm_read(self) -> Operation:
        self._worker.get("a")
        return self._calls_of(lambda: self._worker.get("a"))

    def cold_read(self) -> Operation:
        self._worker.cache.clear()
        return self._calls_of(lambda: self._worker.get("a"))

    def write(self) -> Operation:
        self._worker.cache.clear()
        return self._calls_of(lambda: self._worker.put("a", _DOCUMENT))

    def rewrap(self) -> Operation:
        self._rig.keys = keyring.with_active(self._rig.keys, keyring.new_key(Purpose.DATA, AT))
        worker = self._new_worker()
        place = self._place(worker, "a")
        # Whoever writes into a directory for the first time syncs its parents.
        names = map(str, itertools.count())
        neighbour = next(n for n in names if self._place(worker, n).file_id[0] == place.file_id[0])
        worker.put(neighbour, _DOCUMENT)
        return self._calls_of(lambda: worker.engine.rewrapper.rewrap(place))

    def _place(self, worker: Worker, key: str) -> Place:
        binding = self._rig.binding
        file_id = worker.file_id(binding.database, binding.incarnation, key)
        return Place(binding.database, binding.incarnation, file_id)


class _Main:
    """A Main Worker's registry."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self._disk = CountingFilesystem(UnsyncedFilesystem())
        clock = ManualClock()
        keys = keyring.new("capacity", AT)
        store = ControlFiles(self._disk, Layout(root), keys, clock)
        self._rig = MainRig(clock=clock, keys=keys, other_store=store)
        self._store = store

    def _calls_of(self, act: Callable[[], object]) -> Operation:
        self._disk.calls.clear()
        act()
        return Operation(tuple(self._disk.calls))

    def _look(self) -> None:
        self._store.revocations.names()
        self._store.workers()

    def look(self) -> Operation:
        return self._calls_of(self._look)

    def look_at_one_more(self) -> Operation:
        self._rig.add_workers("worker-1")
        one = self._calls_of(self._look).calls
        self._rig.add_workers("worker-2")
        two = self._calls_of(self._look).calls
        return Operation(two[len(one) :])

    def renewal(self) -> Operation:
        service = self._rig.subscriptions
        public = seal.public_bytes(seal.new_private_key())
        name = "worker-3"
        token = service.subscribe(name, name, public).token
        token = service.register(name, name, token, f"{name}.test:1").token
        return self._calls_of(lambda: service.renew(name, name, token))

    def idle(self) -> Operation:
        looked = self._calls_of(
            lambda: (self._store.revocations.names(), self._store.jobs.names())
        ).calls
        # The keyring's file, which the rig has in memory.
        return Operation((*looked, "open", "read"))


def _seconds(calls: tuple[str, ...], disk: FileSystem) -> float:
    return sum(disk.read_s if call in _READING else disk.write_s for call in calls)
