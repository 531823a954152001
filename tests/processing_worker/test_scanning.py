"""List and query: every entity once, in pages that end, bounded, blind to what is not granted."""

import dataclasses
import json
import shutil

import pytest

from processing_fn.service.bindings import Binding
from processing_fn.service.scanning import Page, Query
from strongroom import limits
from strongroom.errors import InvalidArgumentError, UnavailableError
from tests.support.clocks import ManualClock
from tests.support.engines import Rig, Worker
from tests.support.filesystems import ObservedFilesystem

NAMES = [f"k{number:02d}" for number in range(40)]


@pytest.fixture
def worker(rig: Rig) -> Worker:
    """A worker over forty entities."""
    rig.put_template(b"true", 2)
    worker = rig.worker()
    for number, name in enumerate(NAMES):
        worker.put(name, b'{"n": %d, "odd": %s}' % (number, b"true" if number % 2 else b"false"))
    return worker


def _pages(worker: Worker, query: Query) -> list[Page]:
    pages = [worker.engine.page(worker.rig.binding, query)]
    while pages[-1].cursor:
        after = dataclasses.replace(query, cursor=pages[-1].cursor)
        pages.append(worker.engine.page(worker.rig.binding, after))
        assert len(pages) < 100, "the cursor does not advance"
    return pages


def _keys(pages: list[Page]) -> list[str]:
    return [item.entity_key for page in pages for item in page.items]


@pytest.mark.parametrize("limit", [1, 7, 40, 41, limits.PAGE_SIZE_MAX])
def test_pages_hold_every_entity_once(worker: Worker, limit: int) -> None:
    """A listing leaves entities out, or shows them twice."""
    pages = _pages(worker, Query(limit=limit))
    assert sorted(_keys(pages)) == NAMES
    assert all(len(page.items) <= limit for page in pages)
    assert sum(page.examined for page in pages) == len(NAMES)


def test_two_workers_go_on_with_each_others_cursor(worker: Worker) -> None:
    """A listing breaks off when another worker serves the next page."""
    other = worker.rig.worker("other")
    first = worker.engine.page(worker.rig.binding, Query(limit=10))
    rest = _pages(other, Query(limit=10, cursor=first.cursor))
    assert sorted(_keys([first, *rest])) == NAMES


@pytest.mark.parametrize("limit", [0, -1, limits.PAGE_SIZE_MAX + 1])
def test_a_limit_out_of_bounds(worker: Worker, limit: int) -> None:
    """A page grows past what memory and messages hold."""
    with pytest.raises(InvalidArgumentError):
        worker.engine.page(worker.rig.binding, Query(limit=limit))


def test_prefix_and_filter_and_select(worker: Worker) -> None:
    """A query finds what it should not, or misses what it should."""
    query = Query(prefix="k1", filter="odd && n > `12`", select="[n, odd]")
    pages = _pages(worker, query)
    found = {item.entity_key: json.loads(item.document) for page in pages for item in page.items}
    assert found == {f"k{n}": [n, True] for n in (13, 15, 17, 19)}
    assert sum(page.examined for page in pages) == len(NAMES)


def test_grants_hide_what_they_do_not_name(worker: Worker) -> None:
    """A listing, or its count, tells of entities that the caller may not read."""
    pages = _pages(worker, Query(key_prefixes=("k0", "k39")))
    assert sorted(_keys(pages)) == [*NAMES[:10], "k39"]
    assert sum(page.examined for page in pages) == 11


def test_deleted_and_expired_entities_are_not_listed(worker: Worker) -> None:
    """What is gone comes back in a listing."""
    clock = worker.rig.clock
    assert isinstance(clock, ManualClock)
    worker.delete("k00")
    worker.rig.put_database("people", "00" * 16, ttl_seconds=10)
    worker.put("k01", b"{}")
    clock.advance(10)
    assert sorted(_keys(_pages(worker, Query()))) == NAMES[2:]
    assert sorted(_keys(_pages(worker.rig.worker("cold"), Query()))) == NAMES[2:]


def test_files_of_another_database_are_not_listed(worker: Worker) -> None:
    """Whoever can write the disk shows a secret database's entities to readers of a public one."""
    rig = worker.rig
    rig.put_database("public", "11" * 16)
    shutil.copytree(rig.root / "files" / "people", rig.root / "files" / "public")
    public = Binding("public", "11" * 16, "person.v1")
    # The first one has them all in its cache.
    for reader in (worker, rig.worker("other")):
        page = reader.engine.page(public, Query(limit=limits.PAGE_SIZE_MAX))
        assert page.items == ()
        assert page.damaged == len(NAMES)


def test_who_may_not_see_all_is_not_told_of_damage(worker: Worker) -> None:
    """The number of damaged files tells a narrow client how many entities of others there are."""
    worker.files("k03")[0].write_bytes(b"garbage")
    page = worker.rig.worker("cold").engine.page(worker.rig.binding, Query(key_prefixes=("k1",)))
    assert page.damaged == 0


def test_a_damaged_file_is_counted_and_does_not_stop_the_others(worker: Worker) -> None:
    """One bad file hides a database, or goes unnoticed."""
    for name, which in (("k03", 0), ("k04", 1)):
        worker.files(name)[which].write_bytes(b"garbage")
    worker.files("k05")[0].unlink()
    deep = b',"zzz":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    blob, sidecar = (path.read_bytes() for path in worker.files("k06"))
    offset = 8 + int.from_bytes(blob[4:8], "big")
    head = blob[8 : offset - 1] + deep
    changed = blob[:4] + len(head).to_bytes(4, "big") + head + blob[offset:]
    worker.files("k06")[0].write_bytes(changed)
    worker.files("k07")[1].write_bytes(sidecar.rstrip()[:-1] + deep)
    pages = _pages(worker.rig.worker("cold"), Query(limit=7))
    assert sorted(_keys(pages)) == [name for name in NAMES if name not in {"k03", "k05", "k06"}]
    assert sum(page.damaged for page in pages) == 3


@pytest.mark.parametrize(
    "other",
    [
        Query(limit=5, prefix="k"),
        Query(limit=5, filter="odd"),
        Query(limit=5, select="n"),
        Query(limit=5, scope="mallory"),
        Query(limit=5, key_prefixes=("k",)),
    ],
)
def test_a_cursor_is_of_no_use_for_another_query(worker: Worker, other: Query) -> None:
    """A cursor lets a caller look into another caller's listing."""
    cursor = worker.engine.page(worker.rig.binding, Query(limit=5)).cursor
    with pytest.raises(InvalidArgumentError):
        worker.engine.page(worker.rig.binding, dataclasses.replace(other, cursor=cursor))


@pytest.mark.parametrize("cursor", ["x", "===", "é", "A" * 80, "A" * 81])
def test_a_cursor_that_is_none(worker: Worker, cursor: str) -> None:
    """A made-up cursor ends in a defect."""
    with pytest.raises(InvalidArgumentError):
        worker.engine.page(worker.rig.binding, Query(cursor=cursor))


def test_a_changed_cursor_is_refused(worker: Worker) -> None:
    """A cursor can be bent to begin somewhere else."""
    cursor = worker.engine.page(worker.rig.binding, Query(limit=5)).cursor
    for position in range(len(cursor) - 1):
        changed = "A" if cursor[position] != "A" else "B"
        bent = cursor[:position] + changed + cursor[position + 1 :]
        with pytest.raises(InvalidArgumentError):
            worker.engine.page(worker.rig.binding, Query(limit=5, cursor=bent))


def test_a_page_ends_before_a_message_is_full(rig: Rig) -> None:
    """A page of large entities cannot be sent."""
    rig.put_template(b"true", 2)
    worker = rig.worker()
    document = b'"' + b"x" * (limits.ENTITY_BYTES_MAX // 3) + b'"'
    for name in "abcdefg":
        worker.put(name, document)
    pages = _pages(worker, Query())
    assert sorted(_keys(pages)) == list("abcdefg")
    sizes = [sum(len(item.document) for item in page.items) for page in pages]
    assert max(sizes) <= limits.PAGE_BYTES_MAX


def test_a_slow_page_ends_and_its_cursor_advances(worker: Worker) -> None:
    """A query over a slow disk never answers, or never gets on."""
    clock = worker.rig.clock
    assert isinstance(clock, ManualClock)

    def slowly(name: str, _: tuple[object, ...]) -> None:
        if name == "open_directory":
            clock.advance(limits.SCAN_SECONDS / 3)

    slow = worker.rig.worker("slow", filesystem=ObservedFilesystem(slowly))
    pages = _pages(slow, Query(filter="n == `39`"))
    assert _keys(pages) == ["k39"]
    assert len(pages) > 1
    assert all(page.examined > 0 for page in pages[:-1])


def test_a_scan_does_not_push_out_what_is_in_use(rig: Rig) -> None:
    """One listing empties the cache of every worker."""
    worker = rig.worker(cache_bytes=6_000)
    for name in NAMES:
        worker.put(name, b"{}")
    worker.get("k39")
    _pages(worker, Query())
    before = worker.counters()["cache_hits"]
    worker.get("k39")
    assert worker.counters()["cache_hits"] == before + 1


@pytest.mark.parametrize("inspects", [False, True])
def test_a_page_under_way_when_the_worker_forgets_is_unavailable(
    worker: Worker, *, inspects: bool
) -> None:
    """A worker that loses its lease answers with a defect, and nobody else is asked."""
    for nth in range(1, 12):
        left, losing = nth, worker

        def before(name: str, _: tuple[object, ...]) -> None:
            nonlocal left
            left -= name == "read"
            if left == 0:
                losing.engine.forget()  # noqa: B023 - called within this turn

        losing = worker.rig.worker(f"losing-{nth}", filesystem=ObservedFilesystem(before))
        uses = (
            lambda: losing.engine.page(worker.rig.binding, Query()),  # noqa: B023 - as above
            lambda: losing.engine.inspector.inspect("", repair=False),  # noqa: B023 - as above
        )
        with pytest.raises(UnavailableError):
            uses[inspects]()
