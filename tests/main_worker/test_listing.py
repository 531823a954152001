"""Pages of records: all of them, each once, whatever comes and goes between two pages."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from main_api.domain.backups import BackupRecord
from main_api.domain.grants import Action
from main_api.service import listing
from main_api.service.listing import Listing
from strongroom import limits
from strongroom.errors import ForbiddenError, IntegrityError, InvalidArgumentError
from tests.support.mains import MainRig, grant

NAMES = [f"n{n}" for n in range(7)]


class Record(msgspec.Struct, frozen=True):
    """A record of some size."""

    name: str
    filling: str = ""


def walked(page: Callable[[str], Listing[Record]]) -> list[str]:
    """Return the names on all pages."""
    found: list[str] = []
    cursor, is_first = "", True
    while cursor or is_first:
        one = page(cursor)
        found += [record.name for record in one.records]
        cursor, is_first = one.cursor, False
    return found


@pytest.mark.parametrize("limit", [1, 2, 6, 7, 1000])
@pytest.mark.parametrize("newest_first", [False, True])
def test_every_record_is_on_one_page(limit: int, *, newest_first: bool) -> None:
    """An administrator that reads page after page misses a record, or meets one twice."""
    names = NAMES[::-1] if newest_first else NAMES

    def page(cursor: str) -> Listing[Record]:
        return listing.page(names, Record, limit, cursor, newest_first=newest_first)

    assert walked(page) == names


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_page_begins_where_the_last_one_ended_though_that_is_gone(*, newest_first: bool) -> None:
    """A record that is removed between two pages has others left out."""
    names = NAMES[::-1] if newest_first else NAMES[:]
    first = listing.page(names, Record, 3, "", newest_first=newest_first)
    names.remove(first.cursor)
    second = listing.page(names, Record, 9, first.cursor, newest_first=newest_first)
    assert [one.name for one in second.records] == names[2:]


def test_a_page_ends_before_it_is_too_large() -> None:
    """Few large records make an answer that cannot be sent."""
    half = "x" * (limits.PAGE_BYTES_MAX // 2)

    def page(cursor: str) -> Listing[Record]:
        found = listing.page(NAMES, lambda name: Record(name, half), 1000, cursor)
        assert len(found.records) <= 2
        return found

    assert walked(page) == NAMES


def test_what_does_not_verify_is_counted_and_left_out() -> None:
    """One damaged record hides all others, or nobody learns of it."""

    def read(name: str) -> Record | None:
        if name == "n3":
            raise IntegrityError("changed")
        return None if name == "n4" else Record(name)

    found = listing.page(NAMES, read, 1000, "")
    assert [one.name for one in found.records] == ["n0", "n1", "n2", "n5", "n6"]
    assert (found.damaged, found.cursor) == (1, "")


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_a_size_within_bounds(limit: int) -> None:
    """A page without end is read."""
    with pytest.raises(InvalidArgumentError, match="limit is 1 to 1000"):
        listing.page(NAMES, Record, limit, "")


def test_keys_jobs_backups_and_exports_come_in_pages() -> None:
    """Of what an administrator keeps for years, an answer grows beyond what can be sent."""
    rig = MainRig()
    main, root = rig.main(), rig.caller()
    for _ in range(3):
        main.keys.rotate(root)
    for n in range(5):
        rig.store.backups.put(f"b{n}", BackupRecord(backup_id=f"b{n}", recorded_at="", key_ids=()))
    key_ids = [key.key_id for key in main.keys.list(root)]
    job_ids = [main.jobs.destroy(root, key_id, None).job_id for key_id in key_ids[:3]]
    pages: dict[str, tuple[Callable[..., Listing[Any]], str, list[str]]] = {
        "keys": (main.keys.page, "key_id", key_ids),
        "jobs": (main.jobs.page, "job_id", sorted(job_ids, reverse=True)),
        "backups": (main.backups.page, "backup_id", [f"b{n}" for n in range(5)]),
    }
    for page, member, expected in pages.values():
        found: list[Any] = []
        cursor = ""
        while len(found) < len(expected):
            one = page(root, 2, cursor)
            found += [getattr(record, member) for record in one.records]
            cursor = one.cursor
        assert (found, cursor) == (expected, "")
    assert main.exports.page(root, 2, "").records == ()


def test_a_page_of_keys_begins_nowhere_else() -> None:
    """A cursor that is none shows the first keys again, and a client never ends."""
    rig = MainRig()
    with pytest.raises(InvalidArgumentError, match="cursor"):
        rig.main().keys.page(rig.caller(), 2, "0123456789abcdef")


def test_who_does_not_administer_everything_gets_no_page() -> None:
    """A page shows what the whole list refuses."""
    rig = MainRig()
    main, ada = rig.main(), rig.caller(grant("chatdb", Action.ADMIN))
    for page in (
        main.keys.page,
        main.jobs.page,
        main.backups.page,
        main.exports.page,
        main.administration.workers_page,
        main.administration.revoked_workers_page,
    ):
        with pytest.raises(ForbiddenError):
            page(ada, 2, "")
