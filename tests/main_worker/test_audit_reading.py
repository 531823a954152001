"""Showing the audit log: nothing twice, nothing left out, and what was removed is told."""

from itertools import count

import pytest

from main_api.domain.audit import names
from main_api.domain.audit.records import OK, Record
from main_api.domain.audit.verification import Verdict
from main_api.domain.grants import Action
from main_api.service.audit.journal import Bounds, Journal
from main_api.service.audit.reading import AuditPage, AuditReading
from main_api.service.audit.removal import AuditRemoval
from main_api.service.callers.access import Access
from strongroom import limits
from strongroom.clock import rfc3339
from strongroom.errors import ForbiddenError, InvalidArgumentError
from tests.support.audit_logs import MemoryLog, line, public_keys, read, verify
from tests.support.mains import MainRig, grant

DAY_S = 24 * 3600


class Rig:
    """An audit log of several processes, and an administrator who reads it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.main = MainRig()
        self.log = self.main.audit_log
        self.caller = self.main.caller(client_id="root")
        self.access: Access = self.main.access
        self.reading = AuditReading(self.access, self.log, self.main.live, self.main.clock)
        self._numbers = count()

    def journal(self, bounds: Bounds | None = None) -> Journal:
        """Return what another process writes by."""
        return Journal(self.log, self.main.live, self.main.clock, bounds)

    def write(self, journal: Journal, number: int = 1) -> list[str]:
        """Write so many records; return what they are called."""
        made = [f"act-{next(self._numbers)}" for _ in range(number)]
        for act in made:
            journal.write(line(act), is_durable=True)
            self.main.clock.advance(0.001)
        return made

    def page(self, cursor: str = "", limit: int = 100) -> AuditPage:
        """Read a page."""
        return self.reading.page(self.caller, cursor, limit)

    def verify(self, log: MemoryLog | None = None) -> Verdict:
        """Verify."""
        return verify(log or self.log, (), self.main.keys)


def acts(page: AuditPage) -> list[str]:
    """Return the acts of a page."""
    return [one.record.act for one in page.records]


@pytest.fixture
def rig() -> Rig:
    """Return one."""
    return Rig()


def test_the_newest_come_first_and_then_what_follows(rig: Rig) -> None:
    """Who watches the log misses what happens, or sees it twice."""
    journal = rig.journal()
    written = rig.write(journal, 30)
    page = rig.page(limit=10)
    assert acts(page) == written[-10:]
    assert rig.page(page.cursor).records == ()
    more = rig.write(journal, 3)
    following = rig.page(page.cursor)
    assert acts(following) == more
    assert acts(rig.page(page.cursor)) == more, "a cursor is spent"
    assert rig.page(following.cursor).records == ()
    placed = following.records[0]
    assert placed.record == Record(at=placed.record.at, act=more[0], outcome=OK)
    assert len({one.record_id for one in (*page.records, *following.records)}) == 13


def test_several_processes_are_read_together(rig: Rig) -> None:
    """What one process writes is not seen beside another, or out of its order."""
    one, other = rig.journal(), rig.journal()
    written = rig.write(one, 2) + rig.write(other, 2) + rig.write(one, 2)
    page = rig.page()
    assert acts(page) == written
    seen: list[str] = []
    expected: list[str] = []
    cursor = page.cursor
    for turn in range(40):
        new = rig.journal() if turn % 7 == 0 else other
        expected += rig.write(one if turn % 3 else new, 1 + turn % 4)
        found = rig.page(cursor, limit=3)
        seen += acts(found)
        cursor = found.cursor
    while found.records:
        found = rig.page(cursor, limit=3)
        seen += acts(found)
        cursor = found.cursor
    assert sorted(seen) == sorted(expected)
    assert len(set(seen)) == len(seen)


def test_pages_go_on_over_segments_and_days(rig: Rig) -> None:
    """A new segment, or a quiet day, and the rest is never shown."""
    journal = rig.journal(Bounds(segment_bytes=1_500))
    rig.write(journal, 5)
    cursor = rig.page().cursor
    expected: list[str] = []
    seen: list[str] = []
    for _ in range(4):
        expected += rig.write(journal, 25)
        rig.main.clock.advance(DAY_S / 2)
        expected += rig.write(rig.journal(), 2)
        found = rig.page(cursor, limit=7)
        while found.records:
            seen += acts(found)
            cursor = found.cursor
            found = rig.page(cursor, limit=7)
    assert seen == expected
    assert len(rig.log.files) > 10


def test_a_clock_that_is_set_back_loses_nothing(rig: Rig) -> None:
    """After the clock was corrected, records are skipped or shown for ever."""
    journal = rig.journal()
    expected = rig.write(journal, 3)
    cursor = rig.page(limit=1).cursor
    rig.main.clock.now_wall_ms -= 600_000
    later = rig.write(journal, 3)
    found = rig.page(cursor, limit=2)
    assert acts(found) == later[:2]
    assert acts(rig.page(found.cursor)) == later[2:]
    assert acts(rig.page())[:3] in (expected, later)


def test_what_does_not_open_is_counted(rig: Rig) -> None:
    """One damaged block hides all others, or nobody learns of it."""
    journal = rig.journal()
    rig.write(journal, 3)
    (name,) = rig.log.files
    raw = rig.log.files[name]
    rig.log.files[name] = raw[:-100] + bytes([raw[-100] ^ 1]) + raw[-99:]
    page = rig.page()
    assert (len(page.records), page.damaged) == (2, 1)
    rig.log.files[name] = b"x" * 200
    assert (rig.page().records, rig.page().damaged) == ((), 1)


def test_a_page_has_a_bound_in_bytes(rig: Rig) -> None:
    """An answer is larger than a message may be."""
    journal = rig.journal()
    journal.is_flushed_by_others = True
    big = {f"fact-{n}": "\x01" * 300 for n in range(8)}
    for number in range(limits.PAGE_SIZE_MAX):
        journal.write(line(f"act-{number}", detail=big), is_durable=False)
    journal.flush()
    page = rig.page(limit=limits.PAGE_SIZE_MAX)
    assert 0 < len(page.records) < limits.PAGE_SIZE_MAX
    assert page.records[-1].record.act == f"act-{limits.PAGE_SIZE_MAX - 1}"


def test_a_cursor_is_of_no_use_to_anybody_else(rig: Rig) -> None:
    """Somebody reads the log without that being on record."""
    rig.write(rig.journal(), 3)
    cursor = rig.page().cursor
    other = rig.main.caller(client_id="other")
    for wrong in (cursor[:-4] + "AAAA", "x", "ü", cursor + "=", ""):
        if wrong:
            with pytest.raises(InvalidArgumentError):
                rig.page(wrong)
    with pytest.raises(InvalidArgumentError):
        rig.reading.page(other, cursor)


@pytest.mark.parametrize("limit", [0, -1, limits.PAGE_SIZE_MAX + 1])
def test_a_limit_has_bounds(rig: Rig, limit: int) -> None:
    """A page may be as large as anybody likes."""
    with pytest.raises(InvalidArgumentError):
        rig.page(limit=limit)


def test_only_who_administers_everything_is_shown_anything(rig: Rig) -> None:
    """An administrator of one database reads what others do with theirs."""
    narrow = rig.main.caller(grant("chatdb", *Action), client_id="narrow")
    removal = AuditRemoval(rig.access, rig.journal(), rig.log, rig.main.clock)
    for ask in (
        lambda: rig.reading.page(narrow),
        lambda: rig.reading.heads(narrow),
        lambda: rig.reading.public_keys(narrow),
        lambda: removal.remove(narrow, "2020-01-01T00:00:00Z"),
    ):
        with pytest.raises(ForbiddenError):
            ask()


def test_what_is_shown_to_keep_elsewhere(rig: Rig) -> None:
    """What an auditor has kept proves nothing later."""
    journal, ended = rig.journal(), rig.journal()
    rig.write(ended, 2)
    ended.close()
    rig.write(journal, 3)
    heads = tuple(rig.reading.heads(rig.caller))
    assert {head.chain for head in heads} == {state.head.chain for state in rig.verify().chains}
    assert rig.reading.public_keys(rig.caller) == public_keys(rig.main.keys)
    assert verify(rig.log, heads, rig.main.keys).findings == ()
    for name in rig.log.files:
        cut = rig.log.without(name)
        assert not verify(cut, heads, rig.main.keys).is_intact


# -- removal ---------------------------------------------------------------------------------------


def test_what_was_removed_is_told_from_what_was_taken(rig: Rig) -> None:
    """After an old year was archived every verification cries wolf, or none does any more."""
    running, ended = rig.journal(), rig.journal()
    rig.write(running, 2)
    rig.write(ended, 2)
    ended.close()
    for _ in range(4):
        rig.main.clock.advance(DAY_S)
        rig.write(running, 2)
        rig.write(rig.journal(), 1)
    before = dict(rig.log.files)
    kept = tuple(rig.reading.heads(rig.caller))
    removal = AuditRemoval(rig.access, running, rig.log, rig.main.clock)
    instant = rfc3339(rig.main.clock.wall_ms() - 2 * DAY_S * 1000 + 1000)
    done = removal.remove(rig.caller, instant)
    gone = before.keys() - rig.log.files.keys()
    assert done.segments == len(gone) > 3
    verdict = verify(rig.log, kept, rig.main.keys)
    assert verdict.findings == ()
    # What was not removed may still not go.
    for name in rig.log.files:
        parsed = names.parse(name)
        assert parsed is not None
        is_last = rig.verify(rig.log.without(name)).is_intact
        assert not is_last or parsed.begun_ms == max(
            one.begun_ms for one in map(names.parse, rig.log.files) if one is not None
        )
    # Neither may the word that something was removed.
    without_word = MemoryLog({n: raw for n, raw in before.items() if n not in gone})
    assert not verify(without_word, (), rig.main.keys).is_intact
    assert removal.remove(rig.caller, instant).segments == 0
    assert {record.act for record in read(rig.log, rig.main.keys)} != set()


@pytest.mark.parametrize(
    "before", ["", "yesterday", "2026-12-01", "2026-12-01T00:00:00", "99999-01-01T00:00:00Z"]
)
def test_an_instant_is_an_instant(rig: Rig, before: str) -> None:
    """Everything is removed because of a typing error."""
    removal = AuditRemoval(rig.access, rig.journal(), rig.log, rig.main.clock)
    with pytest.raises(InvalidArgumentError):
        removal.remove(rig.caller, before)


def test_nothing_of_today_is_removed(rig: Rig) -> None:
    """Whoever has done something removes the record of it."""
    journal = rig.journal()
    rig.write(journal, 2)
    removal = AuditRemoval(rig.access, journal, rig.log, rig.main.clock)
    now_ms = rig.main.clock.wall_ms()
    with pytest.raises(InvalidArgumentError, match="at least 1 days ago"):
        removal.remove(rig.caller, rfc3339(now_ms - DAY_S * 1000 + 1000))
    assert removal.remove(rig.caller, rfc3339(now_ms - DAY_S * 1000)).segments == 0
    assert len(list(read(rig.log, rig.main.keys))) == 2


@pytest.mark.parametrize("keeps", [0, 1], ids=["all of it", "what follows its blocks"])
def test_what_is_damaged_is_not_removed(rig: Rig, keeps: int) -> None:
    """Whoever has damaged a file has it removed, and nobody asks any more."""
    journal = rig.journal()
    rig.write(journal, 2)
    (name,) = rig.log.files
    rig.log.files[name] = rig.log.files[name] * keeps + b"x" * 500
    rig.main.clock.advance(3 * DAY_S)
    other = rig.journal()
    rig.write(other, 1)
    removal = AuditRemoval(rig.access, other, rig.log, rig.main.clock)
    instant = rfc3339(rig.main.clock.wall_ms() - DAY_S * 1000)
    assert removal.remove(rig.caller, instant).segments == 0
    assert name in rig.log.files
