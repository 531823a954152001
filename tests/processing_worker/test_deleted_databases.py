"""A deleted database: nothing of it opens again, and its files go, and only its files."""

import itertools
import shutil
from pathlib import Path

import pytest

from processing_fn.service.housekeeping import Housekeeper
from processing_fn.service.scanning import Query
from strongroom.errors import IntegrityError, NotFoundError, StaleBindingError, StrongroomError
from tests.support.clocks import ManualClock
from tests.support.engines import Rig, Worker
from tests.support.filesystems import CountingFilesystem
from tests.support.kills import killed_at

FIRST, SECOND = "00" * 16, "11" * 16
KEYS = ("a", "b", "c")


def _keep_house(worker: Worker, databases: int = 1) -> None:
    housekeeper = Housekeeper(lambda: worker.engine)
    for _ in range(256 * databases + 1):
        assert housekeeper.step() > 0


def _stored(rig: Rig, database: str = "people") -> list[Path]:
    return [path for path in (rig.root / "files" / database).rglob("*") if path.is_file()]


def _filled(rig: Rig) -> Worker:
    worker = rig.worker()
    for key in KEYS:
        worker.put(key, b'{"n": 1}')
    return worker


def _made_anew(rig: Rig) -> None:
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    clock.advance(1)
    rig.binding = rig.put_database("people", SECOND, retired=(FIRST,))


def test_nothing_of_a_deleted_database_is_served(rig: Rig) -> None:
    """After a deletion a worker goes on serving, or accepts a write that nobody finds again."""
    worker = _filled(rig)
    rig.put_database("people", FIRST, retired=(FIRST,), deleted=True)
    fresh = rig.worker("other")
    for use in (
        lambda: fresh.get("a"),
        lambda: fresh.engine.page(rig.binding, Query()),
        lambda: worker.put("a", b"{}"),
        lambda: worker.delete("a"),
    ):
        with pytest.raises(NotFoundError):
            use()


def test_a_database_made_anew_shows_nothing_of_the_earlier_one(rig: Rig) -> None:
    """Whoever makes a database of an old name reads what was deleted, or stumbles over it."""
    old, worker = rig.binding, _filled(rig)
    _made_anew(rig)
    for reader in (worker, rig.worker("other")):
        for key in KEYS:
            with pytest.raises(NotFoundError):
                reader.get(key)
        page = reader.engine.page(rig.binding, Query())
        assert (page.items, page.examined, page.damaged) == ((), 0, 0)
        with pytest.raises(StaleBindingError):
            reader.engine.get(old, "a")
    assert worker.put("a", b"{}") == 1


def test_files_of_a_deleted_database_leave_the_disk(rig: Rig) -> None:
    """What was deleted lies on the disk for ever."""
    worker = _filled(rig)
    worker.files("b")[1].unlink()
    rig.put_database("people", FIRST, retired=(FIRST,), deleted=True)
    _keep_house(worker)
    assert _stored(rig) == []


def test_only_files_of_the_earlier_incarnation_go(rig: Rig) -> None:
    """The removal of a deleted database takes entities of its successor with it."""
    worker = _filled(rig)
    old = set(_stored(rig))
    _made_anew(rig)
    for key in KEYS[:2]:
        worker.put(key, b'{"n": 2}')
    kept = set(_stored(rig)) - old
    _keep_house(worker)
    assert set(_stored(rig)) == kept
    assert [worker.get(key) for key in KEYS[:2]] == [(1, b'{"n": 2}')] * 2


def test_a_clock_that_was_set_back_keeps_no_files(rig: Rig) -> None:
    """Files that seem to be from after the database was made anew stay for ever."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = _filled(rig)
    clock.now_wall_ms -= 300_000
    rig.binding = rig.put_database("people", SECOND, retired=(FIRST,))
    _keep_house(worker)
    assert _stored(rig) == []


@pytest.mark.parametrize("which", ["a long sidecar", "a link for a sidecar", "a link for a blob"])
def test_an_odd_file_does_not_end_the_upkeep_of_its_shard(rig: Rig, which: str) -> None:
    """One odd file keeps all others of a deleted database on the disk."""
    worker = rig.worker()
    shard = worker.files("a")[0].parent
    found = (f"k{number}" for number in itertools.count())
    others = list(itertools.islice((k for k in found if worker.files(k)[0].parent == shard), 4))
    for key in ("a", *others):
        worker.put(key, b"{}")
    blob, sidecar = worker.files("a")
    if which == "a long sidecar":
        sidecar.write_bytes(b"x" * 40_000)
    else:
        odd = sidecar if which == "a link for a sidecar" else blob
        odd.unlink()
        odd.symlink_to("/etc/passwd")
    rig.put_database("people", FIRST, retired=(FIRST,), deleted=True)
    _keep_house(worker)
    assert set(_stored(rig)) <= {blob, sidecar}
    assert Path("/etc/passwd").exists()


def test_a_shard_is_looked_through_once(rig: Rig) -> None:
    """A database that was deleted once is decrypted from end to end every hour."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    _filled(rig)
    rig.binding = rig.put_database("people", SECOND, retired=(FIRST,))
    disk = CountingFilesystem()
    worker = rig.worker("counted", filesystem=disk)
    for key in KEYS:
        worker.put(key, b"{}")
    counts = []
    for pause_s in (1, 3600, 3600):
        clock.advance(pause_s)
        worker.lease.extend(clock.boot_s() + 10)
        disk.calls.clear()
        _keep_house(worker)
        counts.append(disk.calls.count("try_lock"))
    assert counts[0] > len(KEYS)
    assert counts[1:] == [len(KEYS), 0]


def test_without_the_proof_of_a_deletion_nothing_goes(rig: Rig) -> None:
    """A lost or forged configuration has the workers remove every entity of its database."""
    worker = _filled(rig)
    before = {path: path.read_bytes() for path in _stored(rig)}
    configuration = rig.layout.database("people")
    configuration.unlink()
    _keep_house(worker)
    rig.put_database("people", SECOND, retired=(SECOND,), deleted=True)
    forged = configuration.read_bytes().replace(SECOND.encode(), FIRST.encode())
    configuration.write_bytes(forged)
    for shard in range(256):
        with pytest.raises(IntegrityError):
            worker.engine.upkeep.tidy("people", shard)
    assert {path: path.read_bytes() for path in _stored(rig)} == before


def test_a_file_that_was_put_there_is_not_taken_for_one_of_the_deleted(rig: Rig) -> None:
    """Somebody moves a file into a deleted database, and the system destroys it."""
    rig.binding = rig.put_database("other", "22" * 16)
    worker = rig.worker()
    worker.put("elsewhere", b"{}")
    blob, _ = worker.files("elsewhere")
    rig.put_database("people", FIRST, retired=(FIRST,), deleted=True)
    moved = Path(str(blob.parent).replace("other", "people"))
    moved.mkdir(parents=True)
    shutil.copy(blob, moved)
    _keep_house(worker, databases=2)
    assert [path.name for path in _stored(rig)] == [blob.name]
    with pytest.raises(StrongroomError):
        worker.engine.upkeep.tidy("../control", 0)


def test_a_kill_at_every_call_of_the_removal_is_made_good(rig: Rig) -> None:
    """A worker that dies while it removes leaves what looks like damage, or stays for ever."""
    blob, _ = _filled(rig).files("a")
    shard = int(blob.parent.name, 16)
    _made_anew(rig)
    for nth in range(60):
        ended = killed_at(
            nth,
            lambda disk: rig.worker("dying", filesystem=disk).engine.upkeep.tidy("people", shard),
        )
        page = rig.worker("other").engine.page(rig.binding, Query())
        assert (page.items, page.damaged) == ((), 0)
        if ended:
            break
    assert ended
    assert nth > 8
    assert not list(blob.parent.glob(f"{blob.name[:64]}*"))
