"""An older state of the disk put back: what is noticed, what is not (docs/security.md, section 6).

These limits are told to whoever relies on the disk. A test of a limit fails when the page says less
than the truth, or more.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.entity import Condition
from strongroom.errors import IntegrityError, PreconditionFailedError
from tests.support.clocks import ManualClock
from tests.support.engines import Rig

OLD, NEW = b'{"n": 1}', b'{"n": 2}'
CACHE_TTL_S = 300.0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A directory with a database."""
    made = Rig(tmp_path / "shared", ManualClock())
    yield made
    made.close()


def test_an_older_copy_of_everything_verifies(rig: Rig, tmp_path: Path) -> None:
    """The page says that nobody notices but clients that keep versions, and it is not so."""
    worker = rig.worker()
    assert worker.put("a", OLD) == 1
    shutil.copytree(rig.root, tmp_path / "copy")
    assert worker.put("a", NEW) == 2
    shutil.rmtree(rig.root / "files")
    shutil.copytree(tmp_path / "copy" / "files", rig.root / "files")
    # The worker that has written the newer version serves the older one, as any other does.
    for one in (worker, rig.worker("worker-2")):
        assert one.get("a") == (1, OLD)
        with pytest.raises(PreconditionFailedError):
            one.put("a", b'{"n": 3}', Condition(if_version=2))


def test_an_older_blob_alone_is_noticed(rig: Rig) -> None:
    """Half of an older state is served."""
    worker = rig.worker()
    worker.put("a", OLD)
    blob, _ = worker.files("a")
    older = blob.read_bytes()
    worker.put("a", NEW)
    blob.write_bytes(older)
    with pytest.raises(IntegrityError):
        rig.worker("worker-2").get("a")


def test_an_older_sidecar_alone_misleads_a_cache_for_minutes_at_the_most(rig: Rig) -> None:
    """A worker serves an older version for ever, on the word of a file that nothing vouches for."""
    worker, other = rig.worker(cache_ttl_s=CACHE_TTL_S), rig.worker("worker-2")
    worker.put("a", OLD)
    _, sidecar = worker.files("a")
    older = sidecar.read_bytes()
    other.put("a", NEW)
    sidecar.write_bytes(older)
    # This is the limit: it has this very version in memory, and is told that it is current.
    assert worker.get("a") == (1, OLD)
    # Who has to load makes the sidecar anew, and with that ends it for everybody.
    assert rig.worker("worker-3").get("a") == (2, NEW)
    assert worker.get("a") == (2, NEW)
    sidecar.write_bytes(older)
    assert isinstance(rig.clock, ManualClock)
    rig.clock.advance(CACHE_TTL_S + 1)
    assert worker.get("a") == (2, NEW)
