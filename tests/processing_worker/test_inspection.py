"""An inspection tells everything that is not as it should be, and repairs only what is harmless."""

import os
from pathlib import Path

import pytest

from processing_fn.rpc import translation
from strongroom import limits
from tests.support.bytes_changed import flipped_bits, truncations
from tests.support.damage import (
    DAMAGED,
    DOCUMENT,
    FIRST,
    KEYS,
    LEFT,
    REPAIRED,
    STALE,
    Spoil,
    a_deleted_database,
    a_directory_like_a_temporary_file,
    a_worker_over_both,
    shown,
)
from tests.support.engines import Rig, Worker
from tests.support.filesystems import UnsyncedFilesystem
from tests.support.inspections import (
    BEFORE_THE_LAST_SHARD,
    Told,
    age,
    findings,
    keys_in,
    lying,
    reports,
    told,
)
from tests.support.kills import killed_at

ALL = LEFT | REPAIRED


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker over a few entities, on files that nobody waits for."""
    monkeypatch.chdir(tmp_path)
    return a_worker_over_both(Rig(tmp_path, filesystem=UnsyncedFilesystem()))


def test_where_all_is_well_nothing_is_told(worker: Worker) -> None:
    """An operator looks for damage that is not there."""
    worker.delete("b")
    worker.rig.put_database("empty", "44" * 16)
    (report,) = reports(worker)
    assert report.findings == ()
    assert (report.examined, report.cursor) == (len(KEYS) + 1, "")
    assert (report.done, report.total) == (512, 512)


@pytest.mark.parametrize("spoil", ALL.values(), ids=ALL)
def test_what_is_wrong_is_told_and_not_touched(worker: Worker, spoil: Spoil) -> None:
    """Damage goes unnoticed until its entity is asked for, or a look at it changes something."""
    expected = spoil(worker)
    before = lying(worker.rig.root)
    found = findings(worker.rig.worker("other"))
    assert told(found) == expected
    assert told(found, repaired=True) == []
    assert lying(worker.rig.root) == before
    # Every finding crosses the wire.
    for report in reports(worker):
        assert translation.report(report).ByteSize() > 0


@pytest.mark.parametrize("spoil", LEFT.values(), ids=LEFT)
def test_what_may_be_all_that_is_left_of_data_is_not_repaired(worker: Worker, spoil: Spoil) -> None:
    """A repair destroys the only copy of something."""
    expected = spoil(worker)
    before = lying(worker.rig.root)
    found = findings(worker, repair=True)
    assert told(found) == expected
    assert told(found, repaired=True) == []
    assert lying(worker.rig.root) == before


@pytest.mark.parametrize("spoil", REPAIRED.values(), ids=REPAIRED)
def test_what_is_harmless_is_repaired_and_nothing_else(worker: Worker, spoil: Spoil) -> None:
    """A repair leaves what it says it has repaired, or takes something else with it."""
    sound = lying(worker.rig.root)
    expected = spoil(worker)
    spoiled = lying(worker.rig.root)
    found = findings(worker, repair=True)
    assert told(found, repaired=True) == expected
    assert told(found) == []
    assert findings(worker) == []
    repaired = lying(worker.rig.root)
    # What is there now was there before, or is the sidecar of the entity.
    sidecar = os.fsencode(worker.files("a")[1])
    for path in repaired.keys() - {sidecar}:
        assert repaired[path] == spoiled[path]
    if spoil is not a_deleted_database:
        assert repaired.keys() >= sound.keys()
        for key in KEYS:
            assert worker.rig.worker("fresh").get(key)[1] in {DOCUMENT, b'{"n": 2}'}


def test_every_flipped_bit_and_every_length_is_told(worker: Worker) -> None:
    """Some change of a blob passes an inspection."""
    blob, _ = worker.files("a")
    raw = blob.read_bytes()
    changes = [*list(flipped_bits(raw))[::61], *list(truncations(raw))[::11]]
    cursor = f"people/{blob.parent.name}"
    for what, changed in changes:
        blob.write_bytes(changed)
        (finding, *_) = worker.engine.inspector.inspect(cursor, repair=True).findings
        assert (finding.path, finding.condition) == (shown(worker, blob), DAMAGED), what
        assert blob.read_bytes() == changed


def test_one_that_is_wrong_hides_no_other(worker: Worker) -> None:
    """The first damaged file ends an inspection."""
    expected: list[Told] = []
    for name in ("a flipped bit", "strangers", "names that are no text", "another database"):
        expected += LEFT[name](worker)
    worker.files("b")[0].unlink()
    worker.files("c")[1].unlink()
    expected.append((shown(worker, worker.files("b")[0]), DAMAGED, "the entity's blob is missing"))
    expected.append((shown(worker, worker.files("c")[1]), STALE, "it is missing"))
    assert told(findings(worker)) == sorted(expected)


def test_a_repair_goes_around_what_it_cannot_remove(worker: Worker) -> None:
    """Something with the name of a temporary file ends every repair that comes to it."""
    _, sidecar = worker.files("a")
    a_directory_like_a_temporary_file(worker)
    sidecar.unlink()
    found = findings(worker, repair=True)
    assert [one.path for one in found if one.repaired] == [shown(worker, sidecar)]
    assert sidecar.exists()


def test_a_crowd_of_strangers_is_told_in_part(worker: Worker) -> None:
    """A directory full of strange files makes an answer that no message holds."""
    shard = worker.files("a")[0].parent
    for number in range(400):
        name = os.fsencode(shard) + b"/" + b"\xff" * 200 + b"%03d" % number
        Path(os.fsdecode(name)).touch()
        old = shard / f".tmp-{number}"
        old.touch()
        age(old, worker.rig.clock, abandoned=True)
    (report,) = reports(worker)
    assert len(report.findings) <= limits.FINDINGS_PER_PAGE
    last = report.findings[-1]
    assert last.path == shown(worker, shard)
    assert last.reason == f"{801 - len(report.findings)} more in it are not as they should be"
    (mended,) = reports(worker, repair=True)
    assert [one.repaired for one in mended.findings][-1:] == [False]
    assert list(shard.glob(".tmp-*")) == []
    assert translation.report(report).ByteSize() < limits.MESSAGE_BYTES_MAX / 4


def test_a_kill_at_every_call_of_a_repair_is_made_good(worker: Worker) -> None:
    """A worker that dies within a repair leaves damage, or takes an entity with it."""
    rig, present = worker.rig, worker.rig.binding
    (key,) = keys_in(worker, 0xFF, 1)
    worker.put(key, DOCUMENT)
    rig.binding = rig.put_database("people", FIRST)
    (gone,) = keys_in(worker, 0xFF, 1)
    for nth in range(100):
        rig.binding = rig.put_database("people", FIRST)
        worker.put(gone, DOCUMENT)
        rig.put_database("people", present.incarnation, retired=(FIRST,))
        rig.binding = present
        worker.files(key)[1].write_bytes(b"garbled")
        ended = killed_at(
            nth,
            lambda disk: rig.worker("dying", filesystem=disk).engine.inspector.inspect(
                BEFORE_THE_LAST_SHARD, repair=True
            ),
        )
        left = findings(rig.worker("next"), repair=True)
        assert told(left) == []
        assert rig.worker("reader").get(key) == (1, DOCUMENT)
        if ended:
            break
    assert ended
    assert nth > 20
    assert left == []
