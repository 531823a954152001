"""Files with something appended, and files that belong elsewhere, through every operation.

Each operation gives the right answer or an integrity error, and leaves what it refuses as it was.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from processing_fn.service.patching import PatchKind
from processing_fn.service.requests import Snapshot, TransformRequest
from processing_fn.service.scanning import Query
from strongroom import limits
from strongroom.entity import Condition
from strongroom.errors import IntegrityError, NotFoundError
from tests.support.engines import Rig, Worker
from tests.support.filesystems import UnsyncedFilesystem

MINE, YOURS, THEIRS = b'{"n": 1}', b'{"n": 2}', b'{"n": 3}'
BLOB, SIDECAR = 0, 1
NAMED: Final = {"blob": (BLOB,), "sidecar": (SIDECAR,), "both": (BLOB, SIDECAR)}

Use = Callable[[Worker], None]
"""Asserts that "mine" has version 1 and the document MINE, and that a write of it makes version 2.

Raises:
    IntegrityError: It was refused.
"""


def _get(worker: Worker) -> None:
    assert worker.get("mine") == (1, MINE)


def _get_many(worker: Worker) -> None:
    try:
        mine, yours = worker.engine.get_many(worker.rig.binding, ["mine", "yours"])
    except IntegrityError:
        pytest.fail("one bad file stops the others")
    assert isinstance(yours, Snapshot)
    assert yours.document == YOURS
    if isinstance(mine, IntegrityError):
        raise mine
    assert isinstance(mine, Snapshot)
    assert (mine.metadata.version, mine.document) == (1, MINE)


def _list(worker: Worker) -> None:
    _check_page(worker, Query(), {"mine": MINE, "yours": YOURS})


def _query(worker: Worker) -> None:
    _check_page(worker, Query(filter="n > `0`", select="n"), {"mine": b"1", "yours": b"2"})


def _check_page(worker: Worker, query: Query, expected: dict[str, bytes]) -> None:
    try:
        page = worker.engine.page(worker.rig.binding, query)
    except IntegrityError:
        pytest.fail("one bad file stops the others")
    found = {item.entity_key: item.document for item in page.items}
    if page.damaged:
        del expected["mine"]
    assert (found, page.cursor) == (expected, "")
    if page.damaged:
        assert page.damaged == 1
        raise IntegrityError("the page says so")


def _transform(worker: Worker) -> None:
    assert worker.engine.transform(worker.rig.binding, "mine", "n").document == b"1"


def _merge(worker: Worker) -> None:
    assert worker.patch("mine", PatchKind.MERGE, b'{"m": 4}') == 2
    _check_written(worker, b'{"n":1,"m":4}')


def _patch(worker: Worker) -> None:
    assert worker.patch("mine", PatchKind.JSON, b'[{"op":"copy","from":"/n","path":"/m"}]') == 2
    _check_written(worker, b'{"n":1,"m":1}')


def _store(worker: Worker) -> None:
    request = TransformRequest("mine", "{n: n, m: n}")
    assert worker.engine.store_transformed(worker.rig.binding, request).metadata.version == 2
    _check_written(worker, b'{"n":1,"m":1}')


def _put(worker: Worker) -> None:
    assert worker.put("mine", b'{"n": 5}', Condition(if_version=1)) == 2
    _check_written(worker, b'{"n": 5}')


def _delete(worker: Worker) -> None:
    assert worker.delete("mine") == 2
    with pytest.raises(NotFoundError):
        worker.rig.worker("afterwards").get("mine")


def _check_written(worker: Worker, document: bytes) -> None:
    assert worker.rig.worker("afterwards").get("mine") == (2, document)


READS: Final[list[Use]] = [_get, _get_many, _list, _query, _transform]
WRITES: Final[list[Use]] = [_merge, _patch, _store, _put, _delete]


@dataclass
class Damaged:
    """Two entities of one database, the files of one of which are changed again and again."""

    rig: Rig
    intact: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Write both."""
        writer = self.rig.worker("writer")
        writer.put("mine", MINE)
        writer.put("yours", YOURS)
        self.paths = writer.files("mine")
        self.intact = [path.read_bytes() for path in self.paths]

    def is_refused(self, use: Use, contents: list[bytes], worker: Worker | None = None) -> bool:
        """Tell whether an operation is refused while the files have other contents."""
        for path, content in zip(self.paths, contents, strict=True):
            path.write_bytes(content)
        try:
            use(worker or self.rig.worker("cold"))
        except IntegrityError:
            assert [path.read_bytes() for path in self.paths] == contents, "a refusal left traces"
            return True
        finally:
            for path, content in zip(self.paths, self.intact, strict=True):
                path.write_bytes(content)
        return False

    def changed(self, which: int, content: bytes) -> list[bytes]:
        """Return the contents of both files, that of one of them changed."""
        return [content if number == which else self.intact[number] for number in (BLOB, SIDECAR)]


@pytest.fixture
def damaged(tmp_path: Path) -> Damaged:
    """Return entities to be damaged."""
    return Damaged(Rig(tmp_path / "shared", filesystem=UnsyncedFilesystem()))


# -- appended --------------------------------------------------------------------------------------

LENGTHS: Final = [1, 2, 15, 16, 17, 255, 4_096, 65_536]
BYTES: Final = [b"\x00", b"\n", b" ", b"}", b"\xff"]
TOO_LONG: Final = limits.MESSAGE_BYTES_MAX + limits.HEADER_BYTES_MAX


def _tails() -> Iterator[bytes]:
    for length in LENGTHS:
        yield from (byte * length for byte in BYTES)


def test_any_byte_appended_to_a_blob_is_refused(damaged: Damaged) -> None:
    """A file with one byte more than it should have is taken for an entity."""
    for value in range(256):
        assert damaged.is_refused(
            _get, damaged.changed(BLOB, damaged.intact[BLOB] + bytes([value]))
        )


def test_any_byte_appended_to_a_sidecar_is_harmless(damaged: Damaged) -> None:
    """A sidecar with one byte more than it should have makes an entity unreadable."""
    for value in range(256):
        longer = damaged.intact[SIDECAR] + bytes([value])
        assert not damaged.is_refused(_get, damaged.changed(SIDECAR, longer))


@pytest.mark.parametrize("use", READS + WRITES)
def test_what_is_appended_to_a_blob_is_refused_by_every_operation(
    damaged: Damaged, use: Use
) -> None:
    """An operation reads an entity from a file that has something behind its end."""
    for tail in [*_tails(), damaged.intact[BLOB], bytes(TOO_LONG)]:
        assert damaged.is_refused(use, damaged.changed(BLOB, damaged.intact[BLOB] + tail))


@pytest.mark.parametrize("use", READS + WRITES)
def test_what_is_appended_to_a_sidecar_is_seen_through_by_every_operation(
    damaged: Damaged, use: Use
) -> None:
    """An operation is misled by a sidecar that has something behind its end."""
    for tail in [*_tails(), damaged.intact[SIDECAR]]:
        contents = damaged.changed(SIDECAR, damaged.intact[SIDECAR] + tail)
        assert not damaged.is_refused(use, contents)
    # What no file of ours can be is not even read to its end.
    contents = damaged.changed(SIDECAR, damaged.intact[SIDECAR] + bytes(TOO_LONG))
    damaged.is_refused(use, contents)


@pytest.mark.parametrize("use", READS + WRITES)
def test_what_is_no_blob_is_refused_by_every_operation(damaged: Damaged, use: Use) -> None:
    """An operation takes a file that was cut short or overwritten for an entity that never was."""
    raw, sidecar = damaged.intact
    for content in (b"", raw[:7], raw[:100], raw[:-1], b"\x00" * len(raw), sidecar, MINE):
        assert damaged.is_refused(use, damaged.changed(BLOB, content))


@pytest.mark.parametrize("use", READS)
@pytest.mark.parametrize("which", [BLOB, SIDECAR], ids=["blob", "sidecar"])
def test_what_is_appended_does_not_mislead_who_has_the_entity_cached(
    damaged: Damaged, which: int, use: Use
) -> None:
    """A worker that has an entity in its cache answers with something else."""
    warm = damaged.rig.worker("warm")
    for tail in _tails():
        warm.get("mine")
        contents = damaged.changed(which, damaged.intact[which] + tail)
        assert not damaged.is_refused(use, contents, warm)


# -- from elsewhere --------------------------------------------------------------------------------


def _contents(worker: Worker, key: str) -> list[bytes]:
    return [path.read_bytes() for path in worker.files(key)]


def _of_another_entity(damaged: Damaged) -> list[bytes]:
    return _contents(damaged.rig.worker(), "yours")


def _of_a_later_version(damaged: Damaged) -> list[bytes]:
    worker = damaged.rig.worker()
    for _ in range(3):
        worker.put("later", YOURS)
    contents = _contents(worker, "later")
    for path in worker.files("later"):
        path.unlink()
    return contents


def _of_a_deleted_entity(damaged: Damaged) -> list[bytes]:
    worker = damaged.rig.worker()
    worker.put("gone", YOURS)
    worker.delete("gone")
    return _contents(worker, "gone")


def _of_another_database(damaged: Damaged) -> list[bytes]:
    return _of_database(damaged.rig, "other", "11" * 16)


def _of_an_earlier_incarnation(damaged: Damaged) -> list[bytes]:
    contents = _of_database(damaged.rig, "people", "22" * 16)
    damaged.rig.put_database("people", "00" * 16, retired=("22" * 16,))
    return contents


def _of_another_deployment(damaged: Damaged) -> list[bytes]:
    root = damaged.rig.root
    elsewhere = Rig(root.with_name("elsewhere"))
    elsewhere.binding = damaged.rig.binding
    worker = elsewhere.worker()
    worker.put("mine", THEIRS)
    return _contents(worker, "mine")


def _of_database(rig: Rig, name: str, incarnation: str) -> list[bytes]:
    """Return the files of "mine" in another database, and leave nothing of it."""
    mine, rig.binding = rig.binding, rig.put_database(name, incarnation)
    try:
        worker = rig.worker()
        worker.put("mine", THEIRS)
        contents = _contents(worker, "mine")
        for path in worker.files("mine"):
            path.unlink()
        return contents
    finally:
        rig.binding = mine


SOURCES: Final[list[Callable[[Damaged], list[bytes]]]] = [
    _of_another_entity,
    _of_a_later_version,
    _of_a_deleted_entity,
    _of_another_database,
    _of_an_earlier_incarnation,
    _of_another_deployment,
]


@pytest.mark.parametrize("exchanged", NAMED)
@pytest.mark.parametrize("source", SOURCES)
def test_a_file_from_elsewhere_is_refused_or_seen_through(
    damaged: Damaged, source: Callable[[Damaged], list[bytes]], exchanged: str
) -> None:
    """Whoever can write the disk gives one entity the content, or the absence, of another one."""
    foreign = source(damaged)
    contents = [
        foreign[which] if which in NAMED[exchanged] else damaged.intact[which]
        for which in (BLOB, SIDECAR)
    ]
    ahead = source in {_of_a_later_version, _of_a_deleted_entity}
    for use in READS + WRITES:
        refused = damaged.is_refused(use, contents)
        # A sidecar alone is seen through; one that is ahead looks like a blob that was put back.
        assert refused == (exchanged != "sidecar" or ahead)


@pytest.mark.parametrize("exchanged", NAMED)
@pytest.mark.parametrize("source", SOURCES)
def test_a_file_from_elsewhere_does_not_mislead_who_has_the_entity_cached(
    damaged: Damaged, source: Callable[[Damaged], list[bytes]], exchanged: str
) -> None:
    """A worker that has an entity in its cache answers with another one."""
    foreign = source(damaged)
    contents = [
        foreign[which] if which in NAMED[exchanged] else damaged.intact[which]
        for which in (BLOB, SIDECAR)
    ]
    warm = damaged.rig.worker("warm")
    for use in READS + WRITES:
        warm.cache.clear()
        warm.get("mine")
        refused = damaged.is_refused(use, contents, warm)
        # Its sidecar vouches for a cached document (docs/guarantees.md, section 5).
        assert refused or use in READS or exchanged == "sidecar"
        assert refused or exchanged != "both"


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_from_elsewhere_makes_no_entity(
    damaged: Damaged, source: Callable[[Damaged], list[bytes]]
) -> None:
    """Whoever can write the disk makes entities that nobody has put."""
    foreign = source(damaged)
    worker = damaged.rig.worker("cold")
    planted = worker.files("planted")
    planted[BLOB].parent.mkdir(exist_ok=True)
    for path, content in zip(planted, foreign, strict=True):
        path.write_bytes(content)
    uses: list[Callable[[], object]] = [
        lambda: worker.get("planted"),
        lambda: worker.put("planted", MINE, Condition(if_absent=True)),
        lambda: worker.put("planted", MINE),
        lambda: worker.patch("planted", PatchKind.MERGE, b"{}"),
        lambda: worker.delete("planted"),
        lambda: worker.engine.transform(worker.rig.binding, "planted", "n"),
    ]
    for use in uses:
        with pytest.raises(IntegrityError):
            use()
    for query in (Query(), Query(filter="n", select="n")):
        page = worker.engine.page(worker.rig.binding, query)
        assert {item.entity_key for item in page.items} == {"mine", "yours"}
        assert page.damaged == 1
    assert [path.read_bytes() for path in planted] == foreign


def test_a_whole_database_put_in_the_place_of_another_shows_nothing(damaged: Damaged) -> None:
    """A copied directory gives one database's entities to the readers of another one."""
    rig = damaged.rig
    mine, rig.binding = rig.binding, rig.put_database("public", "11" * 16)
    shutil.copytree(rig.root / "files" / "people", rig.root / "files" / "public")
    worker = rig.worker("cold")
    for key in ("mine", "yours"):
        # The names of its files are those of the other database.
        with pytest.raises(NotFoundError):
            worker.get(key)
    page = worker.engine.page(rig.binding, Query())
    assert (page.items, page.damaged) == ((), 2)
    assert worker.put("mine", THEIRS) == 1
    assert worker.get("mine") == (1, THEIRS)
    rig.binding = mine
    assert worker.get("mine") == (1, MINE)
