"""A key that was destroyed: what lies under it is gone for this deployment, and reads say so."""

import pytest

from processing_fn.service.ports import Place
from processing_fn.service.scanning import Query
from strongroom import keyring
from strongroom.errors import KeyDestroyedError
from strongroom.keyring import Purpose
from tests.support.engines import AT, Rig, Worker

DATA = frozenset({Purpose.DATA})


@pytest.fixture
def shredding(rig: Rig) -> Worker:
    """A worker that has `shredded` in its cache, whose key is then destroyed, and `kept`."""
    worker = rig.worker()
    worker.put("shredded", b'{"n": 1}')
    old = rig.keys.active(Purpose.DATA).key_id
    rig.keys = keyring.with_active(rig.keys, keyring.new_key(Purpose.DATA, AT))
    worker.session.data_keys.replace(rig.keys.of(DATA))
    worker.put("kept", b'{"n": 2}')
    assert worker.get("shredded") == (1, b'{"n": 1}')
    rig.keys = keyring.without(rig.keys, old)
    return worker


def test_a_document_in_memory_goes_with_its_key(shredding: Worker) -> None:
    """A shredded document is served from a cache, for as long as somebody reads it."""
    shredding.session.data_keys.replace(shredding.rig.keys.of(DATA))
    with pytest.raises(KeyDestroyedError):
        shredding.get("shredded")
    assert shredding.get("kept") == (1, b'{"n": 2}')


def test_a_read_under_way_brings_nothing_back(shredding: Worker) -> None:
    """A read that began before the destruction puts the document into the cache after it."""
    keys = shredding.session.data_keys
    shredding.cache.clear()
    forgetting = shredding.cache.clear

    def forget_and_finish_a_read() -> None:
        forgetting()
        reading.keep(*found)

    reading = shredding.engine._reader  # noqa: SLF001 - the read that began before
    binding = shredding.rig.binding
    file_id = shredding.file_id(binding.database, binding.incarnation, "shredded")
    place = Place(binding.database, binding.incarnation, file_id)
    loaded = shredding.engine._storage.load(  # noqa: SLF001
        place, lambda parsed: reading.open(parsed, place, None)
    )
    assert loaded is not None
    found = (place, loaded[0].header, loaded[1], loaded[2])
    keys.when_destroyed(forget_and_finish_a_read)
    keys.replace(shredding.rig.keys.of(DATA))
    with pytest.raises(KeyDestroyedError):
        shredding.get("shredded")


def test_every_operation_says_why(shredding: Worker) -> None:
    """A write over a shredded entity counts its versions from 1 anew, or shows a stack trace."""
    worker = shredding.rig.worker("cold")
    for attempt in (
        lambda: worker.get("shredded"),
        lambda: worker.put("shredded", b"{}"),
        lambda: worker.delete("shredded"),
    ):
        with pytest.raises(KeyDestroyedError, match="destroyed"):
            attempt()


def test_a_page_goes_on_and_counts_it(shredding: Worker) -> None:
    """One shredded entity makes every list of its database fail."""
    worker = shredding.rig.worker("cold")
    page = worker.engine.page(worker.rig.binding, Query())
    assert [item.entity_key for item in page.items] == ["kept"]
    assert page.damaged == 1


def test_a_verification_tells_it_from_damage(shredding: Worker) -> None:
    """Whoever verifies looks for a broken disk after a crypto-shred."""
    worker = shredding.rig.worker("cold")
    (finding,) = worker.engine.inspector.inspect("", repair=False).findings
    assert "destroyed" in finding.reason
