"""What is left behind goes: temporary files of a crash, documents whose time is over."""

import os

import pytest

from processing_fn.service.housekeeping import Housekeeper
from processing_fn.service.requests import Put
from strongroom import blob, limits
from strongroom.errors import NotFoundError
from tests.support.clocks import ManualClock
from tests.support.engines import Rig, Worker
from tests.support.inspections import age


def keep_house(worker: Worker) -> None:
    """Let a worker visit every shard of its only database with files."""
    housekeeper = Housekeeper(lambda: worker.engine)
    for _ in range(257):
        assert housekeeper.step() > 0


def test_temporary_files_of_a_crash_are_swept(rig: Rig) -> None:
    """Every crash leaves files for ever; or a file that is being written disappears."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = rig.worker()
    worker.put("a", b"{}")
    shard = worker.files("a")[0].parent
    left, fresh, odd = shard / ".tmp-1", shard / ".tmp-2", shard / "notes.txt"
    for path, age_s in ((left, limits.TEMPORARY_FILE_SECONDS_MAX + 1), (fresh, 60), (odd, 10**6)):
        path.write_bytes(b"x")
        written_s = clock.wall_ms() / 1000 - age_s
        os.utime(path, (written_s, written_s))
    keep_house(worker)
    assert not left.exists()
    assert fresh.exists()
    assert odd.exists()
    assert worker.get("a") == (1, b"{}")


def test_an_expired_document_leaves_the_disk_and_its_version_stays(rig: Rig) -> None:
    """What should be gone lies on the disk for ever, or its version is used again."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = rig.worker()
    worker.engine.put(rig.binding, Put("a", b'{"text": "' + b"x" * 5_000 + b'"}', ttl_seconds=60))
    worker.put("b", b"{}")
    clock.advance(60)
    keep_house(worker)
    blob_file = worker.files("a")[0]
    assert blob_file.stat().st_size < 1_000
    assert blob.parse(blob_file.read_bytes()).header.deleted
    for reader in (worker, rig.worker("other")):
        with pytest.raises(NotFoundError):
            reader.get("a")
        assert reader.get("b") == (1, b"{}")
    assert worker.put("a", b"{}") == 3


def test_a_sidecar_that_lies_purges_nothing(rig: Rig) -> None:
    """Whoever can write the disk has the system delete an entity."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = rig.worker()
    worker.put("a", b"{}")
    sidecar = worker.files("a")[1]
    lie = sidecar.read_bytes().replace(b"{", b'{"expires_at": "2000-01-01T00:00:00.000Z",', 1)
    sidecar.write_bytes(lie)
    keep_house(worker)
    assert rig.worker("other").get("a") == (1, b"{}")


def test_a_damaged_file_does_not_stop_the_round(rig: Rig) -> None:
    """One bad file keeps every other one from being tidied."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = rig.worker()
    for key in ("a", "b", "c"):
        worker.engine.put(rig.binding, Put(key, b"{}", ttl_seconds=60))
    worker.files("b")[0].write_bytes(b"garbage")
    clock.advance(60)
    for _ in range(2):
        keep_house(worker)
    assert blob.parse(worker.files("a")[0].read_bytes()).header.deleted
    assert blob.parse(worker.files("c")[0].read_bytes()).header.deleted


def test_a_directory_like_a_temporary_file_stops_nobody(rig: Rig) -> None:
    """One odd directory ends all housekeeping: what has expired lies on the disk for ever."""
    worker = rig.worker()
    worker.engine.put(rig.binding, Put("a", b'{"n": 1}', ttl_seconds=60))
    blob_file, _ = worker.files("a")
    odd = (blob_file.parent / ".tmp-folder", rig.layout.templates() / ".tmp-folder")
    for folder in odd:
        folder.mkdir()
        age(folder, rig.clock, abandoned=True)
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    clock.advance(60)
    keep_house(worker)
    assert blob.parse(blob_file.read_bytes()).header.deleted
    assert all(folder.is_dir() for folder in odd)
