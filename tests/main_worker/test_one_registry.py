"""Main Workers over one directory read the same registry, and so ask the same workers."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from main_api.adapters.control_store import ControlFiles
from main_api.domain.registry import Report, Revocation
from main_api.service.workers.fleet import Fleet
from strongroom import keyring, limits
from strongroom.durable import LocalFilesystem
from strongroom.layout import Layout
from tests.support.clocks import ManualClock
from tests.support.main_fakes import MemoryWorkers, a_worker
from tests.support.mains import AT

KEYS = [f"key-{number}" for number in range(300)]


class Rig:
    """Three Main Workers, each with a store of its own over one directory."""

    def __init__(self, root: Path) -> None:
        """List four workers, through the first."""
        self.clock = ManualClock()
        keys = keyring.new("test-deployment", AT)
        self.stores = [
            ControlFiles(LocalFilesystem(), Layout(root), keys, self.clock) for _ in range(3)
        ]
        probe = MemoryWorkers(self.clock).probe
        self.fleets = [Fleet(store, self.clock, probe) for store in self.stores]
        for number in range(4):
            self.stores[0].put_worker(a_worker(f"worker-{number}"))

    def placement(self) -> dict[str, list[str]]:
        """Return who is asked for each key, in which order; all Main Workers have to agree."""
        self.clock.advance(limits.REGISTRY_REFRESH_SECONDS)
        said = [
            {key: [worker.worker_id for worker in fleet.candidates("chatdb", key)] for key in KEYS}
            for fleet in self.fleets
        ]
        assert said[0] == said[1] == said[2]
        return said[0]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return three Main Workers over one directory."""
    return Rig(tmp_path)


def _moved(before: dict[str, list[str]], after: dict[str, list[str]]) -> set[str]:
    return {key for key in KEYS if before[key][0] != after[key][0]}


def test_main_workers_agree_who_is_asked_whoever_told_of_whom(rig: Rig) -> None:
    """Two Main Workers ask different workers for one entity: each cache is half as warm."""
    before = rig.placement()
    assert set(Counter(asked[0] for asked in before.values())) == {
        f"worker-{number}" for number in range(4)
    }
    rig.stores[1].put_worker(a_worker("worker-4"))
    joined = rig.placement()
    moved = _moved(before, joined)
    assert {joined[key][0] for key in moved} == {"worker-4"}
    assert 0 < len(moved) < len(KEYS) / 5 * 1.5


@pytest.mark.parametrize("deed", ["drains", "leaves", "is revoked", "is forgotten"])
def test_main_workers_agree_who_is_asked_no_more(rig: Rig, deed: str) -> None:
    """One Main Worker still asks a worker that has told another one that it leaves."""
    before = rig.placement()
    store = rig.stores[2]
    record = store.worker("worker-2")
    assert record is not None
    if deed == "drains":
        store.put_worker(msgspec.structs.replace(record, report=Report(is_draining=True)))
    elif deed == "leaves":
        store.put_worker(msgspec.structs.replace(record, has_left=True))
    elif deed == "is revoked":
        store.revocations.put("worker-2", Revocation(worker_id="worker-2", revoked_at=AT))
    else:
        store.remove_worker("worker-2")
    after = rig.placement()
    assert _moved(before, after) == {key for key in KEYS if before[key][0] == "worker-2"}
    for key in KEYS:
        assert after[key] == [worker_id for worker_id in before[key] if worker_id != "worker-2"]
