"""A file put under a new key: nobody who reads sees a change, whatever happens meanwhile."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from processing_fn.service.ports import Place
from strongroom import blob, keyring
from strongroom.errors import BusyError, IntegrityError, StrongroomError
from strongroom.keyring import Purpose
from tests.support.clocks import ManualClock
from tests.support.engines import AT, Rig, Worker
from tests.support.filesystems import FailingFilesystem, ObservedFilesystem
from tests.support.kills import killed_at
from tests.support.memory_filesystem import MemoryFilesystem

OLD, NEW = b'{"n": 1}', b'{"n": 2}'


@pytest.fixture
def rotated(rig: Rig) -> Rig:
    """The rig after a rotation."""
    return _rotated(rig)


def _rotated(rig: Rig) -> Rig:
    """Rotate: the entity `a` lies under the older of two data keys."""
    rig.worker("writer").put("a", OLD, request_id="first")
    rig.keys = keyring.with_active(rig.keys, keyring.new_key(Purpose.DATA, AT))
    return rig


def _place(worker: Worker, key: str = "a") -> Place:
    binding = worker.rig.binding
    file_id = worker.file_id(binding.database, binding.incarnation, key)
    return Place(binding.database, binding.incarnation, file_id)


def _rewrap(worker: Worker) -> bool:
    return worker.engine.rewrapper.rewrap(_place(worker))


def _key_id(worker: Worker) -> str:
    return blob.parse(worker.files("a")[0].read_bytes()).header.key_id


def test_a_rewrap_changes_the_key_and_nothing_else(rotated: Rig) -> None:
    """A rotation shows as a change to every client, or loses a version, a time, a request id."""
    worker, warm = rotated.worker(), rotated.worker("warm")
    assert warm.get("a") == (1, OLD)
    before = blob.parse(worker.files("a")[0].read_bytes()).header
    assert _rewrap(worker)
    after = blob.parse(worker.files("a")[0].read_bytes()).header
    active = rotated.keys.active(Purpose.DATA).key_id
    assert after.iv != before.iv
    assert (before.key_id != active, after.key_id) == (True, active)
    changed = {"key_id", "iv"}
    for name in (n for n in after.__struct_fields__ if n not in changed):
        assert getattr(after, name) == getattr(before, name)
    for reader in (warm, worker, rotated.worker("cold")):
        assert reader.get("a") == (1, OLD)
    assert worker.put("a", OLD, request_id="first") == 1
    assert worker.put("a", NEW) == 2


def test_a_file_under_the_active_key_is_left_alone(rotated: Rig) -> None:
    """A rewrap that is repeated writes every file once more."""
    worker = rotated.worker()
    assert _rewrap(worker)
    before = worker.files("a")[0].read_bytes()
    assert not _rewrap(worker)
    assert worker.files("a")[0].read_bytes() == before
    assert not worker.engine.rewrapper.rewrap(_place(worker, "nothing"))


def test_tombstones_and_unknown_members_are_rewrapped_too(rotated: Rig) -> None:
    """The old key cannot be destroyed, because deleted entities still lie under it."""
    worker = rotated.worker()
    older = replace(rotated, keys=keyring.with_active(rotated.keys, _first_key(rotated)))
    older.worker("older").delete("a")
    assert _key_id(worker) != rotated.keys.active(Purpose.DATA).key_id
    assert _rewrap(worker)
    assert _key_id(worker) == rotated.keys.active(Purpose.DATA).key_id
    assert worker.put("a", NEW) == 3


def _first_key(rig: Rig) -> keyring.Key:
    first = next(key for key in rig.keys.keys if key.purpose is Purpose.DATA)
    return replace(first, state=keyring.State.ACTIVE)


def test_a_rewrap_does_not_fill_the_cache(rotated: Rig) -> None:
    """A rewrap of everything pushes out what clients read."""
    worker = rotated.worker()
    assert _rewrap(worker)
    worker.get("a")
    assert worker.counters()["cache_misses"] == 1
    assert worker.counters()["cache_hits"] == 0


def test_a_kill_at_every_call_of_a_rewrap(rotated: Rig) -> None:
    """A worker that dies while it rewraps leaves an entity that cannot be read, or two of it."""
    first = _first_key(rotated).key_id
    for nth in range(60):
        warm, cold = rotated.worker("warm"), rotated.worker("cold")
        older = replace(rotated, keys=keyring.with_active(rotated.keys, _first_key(rotated)))
        version = older.worker("older").put("a", OLD)
        assert _key_id(warm) == first
        assert warm.get("a") == (version, OLD)
        ended = killed_at(nth, lambda disk: _rewrap(rotated.worker("dying", filesystem=disk)))
        for reader in (cold, warm, rotated.worker("third")):
            assert reader.get("a") == (version, OLD)
        assert ended <= (_key_id(warm) != first)
        _, sidecar = warm.files("a")
        assert sidecar.read_bytes() == blob.sidecar(blob.parse(warm.files("a")[0].read_bytes()))
        if ended:
            break
    assert ended
    assert nth > 8


def test_a_power_cut_after_a_rewrap() -> None:
    """The old key is destroyed while a power cut can still bring back a file under it."""
    memory = MemoryFilesystem()
    rig = _rotated(Rig(Path("/shared"), filesystem=memory))
    assert _rewrap(rig.worker())
    memory.cut()
    assert not _rewrap(rig.worker()), "the file is under the older key again"
    assert rig.worker("after").get("a") == (1, OLD)


def test_an_error_at_every_call_of_a_rewrap(rotated: Rig) -> None:
    """A failing disk turns a rewrap into a loss."""
    for nth in range(60):
        disk = FailingFilesystem()
        worker = rotated.worker(filesystem=disk)
        disk.arm(nth, OSError(28, "No space left on device"))
        failure: StrongroomError | None = None
        try:
            _rewrap(worker)
        except StrongroomError as error:
            failure = error
        assert not isinstance(failure, IntegrityError)
        assert rotated.worker("other").get("a") == (1, OLD)
        if not disk.failed:
            break
    assert failure is None
    assert nth > 8


Step = Callable[[Worker], object]


def _impatiently(rig: Rig) -> Callable[[str, tuple[object, ...]], None]:
    """Let time go by while a lock is asked for: nobody else runs who could give it back."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    return lambda name, _: clock.advance(1) if name == "try_lock" else None


@pytest.mark.parametrize("outer", ["get", "put", "rewrap"])
@pytest.mark.parametrize("inner", ["get", "put", "rewrap"])
def test_one_operation_between_any_two_calls_of_another(
    rotated: Rig, outer: str, inner: str
) -> None:
    """A read that sees an old sidecar and a new blob answers what never was, or loses an update."""
    steps: dict[str, Step] = {
        "get": lambda worker: worker.get("a"),
        "put": lambda worker: worker.put("a", NEW),
        "rewrap": _rewrap,
    }
    for nth in range(60):
        rotated.worker("reset").put("a", OLD)
        older = replace(rotated, keys=keyring.with_active(rotated.keys, _first_key(rotated)))
        version = older.worker("older").put("a", OLD)
        between = rotated.worker("inner", filesystem=ObservedFilesystem(_impatiently(rotated)))
        left, refused = nth, False

        def before(name: str, _: tuple[object, ...], between: Worker = between) -> None:
            nonlocal left, refused
            left -= name != "close"
            if left == -1:
                left -= 1
                try:
                    steps[inner](between)
                except BusyError:
                    refused = True

        answer = steps[outer](rotated.worker("outer", filesystem=ObservedFilesystem(before)))
        if outer == "get":
            assert answer in {(version, OLD), (version + 1, NEW)}
        writes = [outer, inner].count("put") - (refused and inner == "put")
        expected = (version + writes, NEW if writes else OLD)
        if left >= 0:
            break
        for reader in (between, rotated.worker("third")):
            assert reader.get("a") == expected
    assert left >= 0
    assert nth >= 5


@pytest.mark.parametrize("newer", ["blob", "sidecar"])
def test_a_half_of_a_rewrap_beside_the_other_half_of_what_was(rotated: Rig, newer: str) -> None:
    """The two files are of one version and of two keys, and a reader trusts the wrong one."""
    worker = rotated.worker()
    blob_file, sidecar_file = worker.files("a")
    older = sidecar_file if newer == "blob" else blob_file
    kept = older.read_bytes()
    warm = rotated.worker("warm")
    assert warm.get("a") == (1, OLD)
    assert _rewrap(worker)
    older.write_bytes(kept)
    for reader in (warm, rotated.worker("cold"), worker):
        assert reader.get("a") == (1, OLD)
    assert rotated.worker("third").engine.inspector.inspect("", repair=False).findings == ()
