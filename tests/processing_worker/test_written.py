"""What a worker counts as written under a data key: the size of every blob that it commits."""

from pathlib import Path

import pytest

from processing_fn.service.ports import Place
from strongroom import keyring
from strongroom.errors import StrongroomError
from strongroom.keyring import Purpose
from tests.support.engines import AT, Rig, Worker

OLD, NEW = b'{"n": 1}', b'{"n": 22222}'


def _active(rig: Rig) -> str:
    return rig.keys.active(Purpose.DATA).key_id


def _untold(worker: Worker, key_id: str) -> int:
    return worker.session.written.untold(key_id)


def _size(worker: Worker, key: str) -> int:
    blob, _ = worker.files(key)
    return Path(blob).stat().st_size


def test_every_committed_blob_counts_with_its_size(rig: Rig) -> None:
    """A key serves for more than was set."""
    worker = rig.worker()
    expected = 0
    for document in (OLD, NEW):
        worker.put("a", document)
        expected += _size(worker, "a")
        assert _untold(worker, _active(rig)) == expected
    worker.get("a")
    assert _untold(worker, _active(rig)) == expected


def test_what_is_not_committed_does_not_count(rig: Rig) -> None:
    """Requests that are refused wear a key out."""
    worker = rig.worker()
    worker.put("a", OLD, request_id="first")
    before = _untold(worker, _active(rig))
    worker.put("a", OLD, request_id="first")
    with pytest.raises(StrongroomError):
        worker.put("a", b"{")
    assert _untold(worker, _active(rig)) == before


def test_a_rewrap_counts_under_the_new_key(rig: Rig) -> None:
    """A job that puts a whole database under a key leaves it as good as new."""
    rig.worker("writer").put("a", OLD)
    old = _active(rig)
    rig.keys = keyring.with_active(rig.keys, keyring.new_key(Purpose.DATA, AT))
    worker = rig.worker()
    binding = rig.binding
    file_id = worker.file_id(binding.database, binding.incarnation, "a")
    assert worker.engine.rewrapper.rewrap(Place(binding.database, binding.incarnation, file_id))
    assert _untold(worker, _active(rig)) == _size(worker, "a")
    assert _untold(worker, old) == 0


def test_what_is_told_is_not_told_again(rig: Rig) -> None:
    """A renewal that was lost loses its amount, or one that was not counts it twice."""
    worker, key_id = rig.worker(), _active(rig)
    worker.put("a", OLD)
    told = _untold(worker, key_id)
    worker.put("a", NEW)
    worker.session.written.told(key_id, told)
    assert _untold(worker, key_id) == _size(worker, "a")
