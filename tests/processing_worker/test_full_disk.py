"""A full disk: a tmpfs of one mebibyte as the shared directory, filled to the last page.

What a double cannot show is here the kernel's own: writes that end in the middle, pages that are
gone, a rename that needs none.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import pytest

from main_api.adapters.control_store import ControlFiles, KeyringFile
from strongroom.configuration import Template
from strongroom.durable import LocalFilesystem
from strongroom.errors import NotFoundError, UnavailableError
from strongroom.layout import TEMPORARY_PREFIX
from tests.support.clocks import ManualClock
from tests.support.engines import AT, Rig, Worker
from tests.support.main_fakes import a_database, a_worker
from tests.support.small_disk import PAGE_BYTES, SIZE_BYTES, fill, mounted

OLD, NEW = b'{"n":1}', b'{"n":2}'


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Mount a small disk."""
    with mounted(tmp_path / "shared") as path:
        yield path


@pytest.fixture
def rig(root: Path) -> Rig:
    """Return a database on the small disk."""
    return Rig(root)


def document(number: int, size: int = 0) -> bytes:
    """Return a document of at least a size."""
    return b'{"n":%d,"text":"%s"}' % (number, b"x" * size)


def refused(write: Callable[[], object]) -> bool:
    """Tell whether a write was refused because the storage is full."""
    try:
        write()
    except UnavailableError as error:
        reason = error.detail
    else:
        return False
    assert reason == "the storage is full"
    return True


def put_until_full(worker: Worker, size: int) -> tuple[dict[str, bytes], str]:
    """Put until the disk is full; return what was acknowledged, and the key that was refused."""
    known: dict[str, bytes] = {}
    for number in range(SIZE_BYTES // PAGE_BYTES):
        key, content = f"{size}-{number}", document(number, size)
        if refused(partial(worker.put, key, content)):
            return known, key
        known[key] = content
    pytest.fail("more documents fit than there are pages")


def contents(directory: Path) -> dict[Path, bytes]:
    """Return what is in the files below a directory."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def temporaries(root: Path) -> list[Path]:
    """Return the temporary files on the disk."""
    return list(root.rglob(f"{TEMPORARY_PREFIX}*"))


def test_a_disk_that_fills_up_keeps_what_was_acknowledged(root: Path, rig: Rig) -> None:
    """A full disk loses documents, leaves its own rubbish, or never recovers."""
    filler = root / "filler"
    filler.write_bytes(bytes(SIZE_BYTES // 4))
    rig.worker().put("old", OLD)
    known = {"old": OLD}
    with ThreadPoolExecutor(2) as pool:
        filled = list(pool.map(put_until_full, [rig.worker("1"), rig.worker("2")], [40_000, 5_000]))
    worker = rig.worker("3")
    # The two may have taken the last pages from each other and given them back.
    filled.append(put_until_full(worker, 10))
    for acknowledged, _ in filled:
        known |= acknowledged
    refusals = [refusal for _, refusal in filled]
    assert refused(lambda: worker.put("old", NEW))
    assert temporaries(root) == []
    assert {key: rig.worker().get(key)[1] for key in known} == known
    for key in refusals:
        with pytest.raises(NotFoundError):
            rig.worker().get(key)
    filler.unlink()
    assert worker.put("old", NEW) == 2
    assert [worker.put(key, NEW) for key in refusals] == [1] * len(refusals)
    assert rig.worker().get("old") == (2, NEW)


WRITES: dict[str, Callable[[Worker], object]] = {
    "a replacement": lambda worker: worker.put("old", NEW),
    "a large replacement": lambda worker: worker.put("old", document(2, 30_000)),
    "a deletion": lambda worker: worker.delete("old"),
    "a new entity": lambda worker: worker.put("new", NEW),
}


@pytest.mark.parametrize("write", WRITES)
def test_with_every_number_of_pages_left_a_write_is_whole_or_was_not(
    root: Path, rig: Rig, write: str
) -> None:
    """The blob still fits and its sidecar does not, and an entity is left halfway."""
    worker = rig.worker()
    worker.put("old", OLD)
    worker.put("other", OLD)
    for pages_left in range(20):
        filler = fill(root, pages_left=pages_left)
        before = contents(root / "files")
        full = refused(lambda: WRITES[write](worker))
        assert temporaries(root) == []
        assert rig.worker().get("other") == (1, OLD)
        if full:
            assert contents(root / "files") == before
            assert rig.worker().get("old") == (1, OLD)
        filler.unlink()
        if not full:
            break
    assert not full
    assert pages_left >= 2, "one page was enough for two files"
    assert rig.broken == []


def test_a_sidecar_that_cannot_be_renewed_is_renewed_later(root: Path, rig: Rig) -> None:
    """After a crash on a full disk an entity is damaged, or two readers see different versions."""
    worker = rig.worker()
    worker.put("a", OLD)
    worker.put("other", OLD)
    behind = worker.files("a")[1].read_bytes()
    worker.put("a", NEW)
    worker.files("a")[1].write_bytes(behind)
    filler = fill(root, pages_left=0)
    for _ in range(2):
        assert refused(lambda: rig.worker().get("a"))
    assert worker.files("a")[1].read_bytes() == behind
    assert temporaries(root) == []
    assert rig.worker().get("other") == (1, OLD)
    filler.unlink()
    assert rig.worker().get("a") == (2, NEW)
    assert worker.files("a")[1].read_bytes() != behind


def _template(version: int, size: int) -> Template:
    schema = b'{"type":"object","description":"%s"}' % (b"x" * size)
    return Template(
        schema_id="chat.v1",
        schema_version=version,
        created_at=AT,
        updated_at=AT,
        schema=msgspec.Raw(schema),
    )


CHANGES: dict[str, Callable[[ControlFiles], object]] = {
    "template": lambda store: store.put_template(_template(2, 20_000)),
    "database": lambda store: store.put_database(a_database("chatdb")),
    "worker": lambda store: store.put_worker(a_worker("worker-1", lease_until_ms=2)),
}


@pytest.mark.parametrize("pages_left", [0, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_configuration_that_does_not_fit_leaves_what_was_there(
    root: Path, rig: Rig, change: str, pages_left: int
) -> None:
    """A template or a control record is cut short, and no worker starts or writes any more."""
    store = ControlFiles(LocalFilesystem(), rig.layout, rig.keys, ManualClock())
    store.put_template(_template(1, 1))
    store.put_database(a_database("chatdb"))
    store.put_worker(a_worker("worker-1", lease_until_ms=1))
    filler = fill(root, pages_left=pages_left)
    before = _configuration(root)
    if pages_left == 0 or change == "template":
        with pytest.raises(UnavailableError):
            CHANGES[change](store)
        assert _configuration(root) == before
    else:
        CHANGES[change](store)
    assert temporaries(root) == []
    filler.unlink()
    CHANGES[change](store)
    assert store.template("chat.v1") is not None
    assert store.database("chatdb") is not None
    assert [found.worker_id for found in store.workers()] == ["worker-1"]


def _configuration(root: Path) -> list[dict[Path, bytes]]:
    return [contents(root / name) for name in ("templates", "databases", "control")]


def test_a_keyring_that_does_not_fit_leaves_the_old_one(root: Path, rig: Rig) -> None:
    """A rotation on a full disk makes every entity unreadable."""
    store = KeyringFile(LocalFilesystem(), rig.layout, ManualClock())
    store.write(b"old keyring")
    fill(root, pages_left=1)
    with pytest.raises(UnavailableError):
        store.write(b"new keyring" * PAGE_BYTES)
    assert store.read() == b"old keyring"
    assert temporaries(root) == []
