"""A worker that forgets its keys while it works: every request ends well, or as unavailable."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from processing_fn.service.patching import PatchKind
from processing_fn.service.requests import PatchRequest, Put, TransformRequest
from processing_fn.service.scanning import Query
from strongroom.errors import OutcomeUnknownError, StrongroomError, UnavailableError
from tests.support.clocks import ManualClock
from tests.support.engines import Rig, Worker
from tests.support.filesystems import ObservedFilesystem

Use = Callable[[Worker], object]
OLD, NEW = b'{"n": 1}', b'{"n": 2}'
FOREVER_S = 1_000_001
SHARD = re.compile("[0-9a-f]{2}")
ABSENT_COUNTED = 16

READS: dict[str, Use] = {
    "get": lambda w: w.engine.get(w.rig.binding, "there"),
    "get_many": lambda w: w.engine.get_many(w.rig.binding, ["there", "other", "nothing"]),
    "transform": lambda w: w.engine.transform(w.rig.binding, "there", "n"),
    "list": lambda w: w.engine.page(w.rig.binding, Query()),
    "query": lambda w: w.engine.page(w.rig.binding, Query(filter="n == `1`")),
    "dry run": lambda w: w.engine.try_template(w.rig.binding, b"false", Query()),
    "inspect": lambda w: w.engine.inspector.inspect("", repair=False),
}
WRITES: dict[str, Use] = {
    "put": lambda w: w.engine.put(w.rig.binding, Put("there", NEW)),
    "merge patch": lambda w: w.engine.patch(
        w.rig.binding, PatchRequest("there", PatchKind.MERGE, NEW)
    ),
    "transform": lambda w: w.engine.store_transformed(
        w.rig.binding, TransformRequest("there", "{n: `2`}")
    ),
}
WAYS: dict[str, Use] = {
    "forgets": lambda w: w.engine.forget(),
    "its lease ends": lambda w: _clock(w).advance(FOREVER_S),
}


def _clock(worker: Worker) -> ManualClock:
    assert isinstance(worker.rig.clock, ManualClock)
    return worker.rig.clock


def _is_of_an_absent_shard(name: str, arguments: tuple[object, ...]) -> bool:
    path = Path(str(arguments[0]))
    shard = {"list_directory": path, "open": path.parent}.get(name)
    return shard is not None and SHARD.fullmatch(shard.name) is not None and not shard.exists()


def _losing(rig: Rig, nth: int, end: Use) -> tuple[Worker, list[str]]:
    """Return a worker that ends at its n-th call to the disk, and that call once it has come.

    A scan makes hundreds of calls for shards that are not there: the first of them are counted.
    """
    calls = absent = 0
    came: list[str] = []

    def before(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal calls, absent
        absent += (is_absent := _is_of_an_absent_shard(name, arguments))
        if is_absent and absent > ABSENT_COUNTED:
            return
        calls += 1
        if calls == nth:
            came.append(name)
            end(losing)

    losing = rig.worker(f"losing-{nth}", filesystem=ObservedFilesystem(before))
    return losing, came


@pytest.fixture
def filled(rig: Rig) -> Rig:
    """Return a directory with two entities."""
    writer = rig.worker("writer")
    writer.put("there", OLD)
    writer.put("other", OLD)
    return rig


@pytest.mark.parametrize("end", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_no_read_is_answered_after_the_end(filled: Rig, read: Use, end: Use) -> None:
    """A worker that was revoked, or whose lease has ended, answers with what it had in memory."""
    # What is not there, or does not match, is an answer too, and has to be unavailable as well.
    for nth in range(1, 1_000):
        losing, came = _losing(filled, nth, end)
        try:
            read(losing)
        except UnavailableError:
            assert came
        else:
            assert not came, f"answered although it had ended before call {nth}, {came}"
            break
    assert nth > 3


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_under_way_is_done_or_not_and_never_under_zeros(filled: Rig, write: Use) -> None:
    """An entity is encrypted under a key of zeros: anybody can read it, and no worker."""
    expected = OLD
    done = 0
    for nth in range(1, 1_000):
        losing, came = _losing(filled, nth, WAYS["forgets"])
        try:
            write(losing)
            expected, done = NEW, done + 1
        except OutcomeUnknownError:
            expected = b""
        except UnavailableError:
            pass
        found = filled.worker("reader").get("there")[1].replace(b":2", b": 2")
        assert found == (expected or found), f"after call {nth}, {came}"
        filled.worker("writer").put("there", OLD)
        expected = OLD
        if not came:
            break
    assert nth > 10
    assert done > 1, "a write past its commit point is acknowledged"


@pytest.mark.parametrize("use", [*READS.values(), *WRITES.values()], ids=[*READS, *WRITES])
def test_nothing_is_served_after_that(filled: Rig, use: Use) -> None:
    """A worker without keys tells clients that their data is damaged, or is not there."""
    losing = filled.worker("losing")
    losing.get("there")
    losing.engine.forget()
    with pytest.raises(UnavailableError):
        use(losing)
    with pytest.raises(UnavailableError):
        losing.session.file_id("people", "00" * 16, "there")
    for held in (*losing.session.secrets, losing.session.data_keys.active()[1]):
        with pytest.raises(StrongroomError):
            _ = held == bytes(32)


def test_one_workers_end_is_not_anothers(filled: Rig) -> None:
    """The end of one session takes the keys of the next one with it."""
    losing, other = filled.worker("losing"), filled.worker("other")
    losing.engine.forget()
    assert other.get("there") == (1, OLD)
