"""What a destroyed key rests on: which commits are under way under it, and which never begin."""

from collections.abc import Callable

import pytest

from processing_fn.service.patching import PatchKind
from processing_fn.service.ports import Place
from processing_fn.service.requests import PatchRequest, Put, TransformRequest
from strongroom import blob, keyring
from strongroom.errors import UnavailableError
from strongroom.keyring import Purpose
from tests.support.engines import AT, Rig, Worker
from tests.support.filesystems import ObservedFilesystem

OLD, NEW = b'{"n": 1}', b'{"n": 2}'
DATA = frozenset({Purpose.DATA})


def _place(worker: Worker) -> Place:
    binding = worker.rig.binding
    file_id = worker.file_id(binding.database, binding.incarnation, "a")
    return Place(binding.database, binding.incarnation, file_id)


COMMITS: dict[str, Callable[[Worker], object]] = {
    "put": lambda w: w.engine.put(w.rig.binding, Put("a", NEW)),
    "merge patch": lambda w: w.engine.patch(w.rig.binding, PatchRequest("a", PatchKind.MERGE, NEW)),
    "transform": lambda w: w.engine.store_transformed(
        w.rig.binding, TransformRequest("a", "{n: `2`}")
    ),
    "delete": lambda w: w.delete("a"),
    "rewrap": lambda w: w.engine.rewrapper.rewrap(_place(w)),
}


@pytest.fixture
def rotated(rig: Rig) -> Rig:
    """Return a directory with an entity under the older of two data keys."""
    rig.worker("writer").put("a", OLD)
    rig.keys = keyring.with_active(rig.keys, keyring.new_key(Purpose.DATA, AT))
    return rig


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS)
def test_a_commit_under_way_is_one_under_its_key(
    rotated: Rig, commit: Callable[[Worker], object]
) -> None:
    """A worker confirms a new key while it still commits under the old one, which is destroyed."""
    calls: list[str] = []
    settled: list[bool] = []
    before = rotated.keys.active(Purpose.DATA).key_id
    newer = keyring.with_active(rotated.keys, keyring.new_key(Purpose.DATA, AT))

    def rotate(name: str, _: tuple[object, ...]) -> None:
        calls.append(name)
        if "create" in calls and name in {"fsync", "rename"}:
            key_id = writer.session.data_keys.replace(newer.of(DATA))
            settled.append(writer.session.data_keys.settle(key_id, 0))

    writer = rotated.worker(filesystem=ObservedFilesystem(rotate))
    commit(writer)
    assert len(settled) > 3
    assert set(settled) == {False}
    assert blob.parse(writer.files("a")[0].read_bytes()).header.key_id == before
    active = newer.active(Purpose.DATA).key_id
    assert writer.session.data_keys.settle(active, 0)


def _losing(rig: Rig, nth: int) -> tuple[Worker, list[str]]:
    """Return a worker whose lease ends before its n-th call to the disk, and its calls."""
    calls: list[str] = []

    def end(name: str, _: tuple[object, ...]) -> None:
        calls.append(name)
        if len(calls) == nth:
            losing.session.lease.extend(0)

    losing = rig.worker(f"losing-{nth}", filesystem=ObservedFilesystem(end))
    return losing, calls


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS)
def test_no_commit_begins_after_the_end_of_the_lease(
    rotated: Rig, commit: Callable[[Worker], object]
) -> None:
    """A key is destroyed once a lease has ended, and then a write under it is acknowledged."""
    for nth in range(1, 100):
        losing, calls = _losing(rotated, nth)
        was_refused = False
        before = losing.files("a")[0].read_bytes()
        try:
            commit(losing)
        except UnavailableError:
            was_refused = True
        has_begun = "rename" in calls[:nth]
        assert (was_refused, losing.files("a")[0].read_bytes() == before) == (
            not has_begun,
            not has_begun,
        ), f"its lease ended before call {nth}, {calls[nth - 1]}"
        if has_begun:
            break
    assert nth > 8
