"""Writing the audit log: what was acknowledged is there, whatever dies, and nothing looks cut."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from errno import EIO, ENOSPC
from functools import partial
from pathlib import Path

import pytest

from main_api.domain.audit import chain, names, records, segments
from main_api.domain.audit.verification import Ending
from main_api.service.audit.journal import GAP, Bounds, Journal
from strongroom import durable, limits
from strongroom.durable import Filesystem
from strongroom.errors import UnavailableError
from tests.support.audit_logs import AuditRig, alarms, heads, line, read
from tests.support.clocks import ManualClock
from tests.support.filesystems import (
    CountingFilesystem,
    DyingFilesystem,
    FailingFilesystem,
    Killed,
    ObservedFilesystem,
    UnsyncedFilesystem,
)
from tests.support.kills import killed_at
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.small_disk import fill, mounted

SMALL = Bounds(segment_bytes=2_000)
CALLS_MAX = 80
RECORDS = 12


@pytest.fixture
def rig(tmp_path: Path) -> AuditRig:
    """Return an audit log on the disk."""
    return AuditRig(tmp_path)


def write(journal: Journal, *acts: str) -> None:
    """Write records that have to survive."""
    for act in acts:
        journal.write(line(act), is_durable=True)


def is_refused(journal: Journal, act: str) -> bool:
    """Tell whether a record that has to survive is refused."""
    try:
        write(journal, act)
    except UnavailableError as error:
        return error.detail.startswith("the audit log cannot be written")
    return False


# -- what is written -------------------------------------------------------------------------------


def test_records_are_there_in_their_order(rig: AuditRig) -> None:
    """The log says something else than what was done, or in another order."""
    journal = rig.journal()
    write(journal, "one", "two")
    assert rig.acts() == ["one", "two"]
    write(journal, "three")
    journal.close()
    assert rig.acts() == ["one", "two", "three"]
    verdict = rig.verify()
    assert verdict.findings == ()
    (state,) = verdict.chains
    assert state.ending is Ending.CLOSED


def test_a_process_that_has_nothing_to_record_leaves_nothing(rig: AuditRig) -> None:
    """Each start of a Lambda leaves a file."""
    journal = rig.journal()
    journal.flush()
    journal.close()
    assert rig.copy().files == {}


def test_segments_are_bounded_in_bytes(rig: AuditRig) -> None:
    """A segment grows until nobody can read it any more."""
    journal = rig.journal(SMALL)
    acts = [f"act-{n}" for n in range(50)]
    write(journal, *acts)
    assert rig.acts() == acts
    assert rig.verify().is_intact
    sizes = [len(raw) for raw in rig.copy().files.values()]
    assert len(sizes) > 4
    assert max(sizes) <= SMALL.segment_bytes


def test_segments_are_bounded_in_time(rig: AuditRig) -> None:
    """Whoever comes later does not know that a segment is complete."""
    assert isinstance(rig.clock, ManualClock)
    journal = rig.journal()
    write(journal, "first")
    rig.clock.advance(limits.AUDIT_SEGMENT_SECONDS_MAX - 1)
    write(journal, "second")
    assert len(rig.copy().files) == 1
    rig.clock.advance(1)
    write(journal, "third")
    found = sorted(filter(None, map(names.parse, rig.copy().names())))
    assert [name.number for name in found] == [1, 2]
    assert names.is_frozen(
        found[0], found[1].begun_ms + 1000 * limits.AUDIT_SEGMENT_SLACK_SECONDS + 1
    )
    assert not names.is_frozen(found[1], rig.clock.wall_ms())
    assert rig.verify().is_intact


def test_a_record_is_bounded(rig: AuditRig) -> None:
    """Whoever sends long names fills the disk."""
    text = "\x01" * 100_000
    raw = line(
        "act",
        subject=text,
        claimed=text,
        database=text,
        request_id=text,
        keys=("ab" * 32,) * 1_000,
        target={f"name-{n}": text for n in range(50)},
        detail={f"fact-{n}": text for n in range(50)},
    )
    assert len(raw) <= limits.AUDIT_RECORD_BYTES_MAX
    assert b"\n" not in raw
    assert len(records.decode(raw).keys) == limits.ENTITIES_PER_REQUEST_MAX
    write(rig.journal(), "before")
    usual = records.decode(line("act", target={"schema_id": "é" * 500}, detail={"n": 1}))
    assert usual.target == {"schema_id": "é" * (limits.AUDIT_TEXT_CHARS_MAX - 1) + "…"}
    assert usual.detail == {"n": 1}


def test_many_records_at_once_are_cut_into_blocks(rig: AuditRig) -> None:
    """A batch that is larger than a block is lost, or a block larger than any reader takes."""
    journal = rig.journal()
    journal.is_flushed_by_others = True
    big = {"detail": {f"fact-{n}": "x" * 1_000 for n in range(8)}}
    acts = [f"act-{n}" for n in range(300)]
    for act in acts:
        journal.write(line(act, **big), is_durable=False)
    journal.flush()
    assert rig.acts() == acts
    for raw in rig.copy().files.values():
        blocks = segments.parse(raw).blocks
        assert len(blocks) > 3
        assert max(b.end - b.start for b in blocks) <= limits.AUDIT_BLOCK_BYTES_MAX
    assert journal.state().written == 300


# -- how often the disk is waited for --------------------------------------------------------------


def test_those_who_wait_share_a_sync(rig: AuditRig) -> None:
    """With the log required for every read, each of them waits for a disk of its own."""
    entered, go_on = threading.Event(), threading.Event()
    syncs: list[str] = []

    def before(name: str, _arguments: tuple[object, ...]) -> None:
        if name == "fsync":
            syncs.append(name)
            if len(syncs) == 1:
                entered.set()
                assert go_on.wait(30)

    journal = rig.journal()
    write(journal, "first")
    slow = rig.journal(filesystem=ObservedFilesystem(before))
    with ThreadPoolExecutor(20) as pool:
        leader = pool.submit(write, slow, "leader")
        assert entered.wait(30)
        others = [pool.submit(write, slow, f"other-{n}") for n in range(15)]
        while slow._batch.durable < 15:  # noqa: SLF001 - nothing else tells that they wait
            threading.Event().wait(0.01)
        began = len(syncs)
        go_on.set()
        for one in (leader, *others):
            one.result(30)
    opening = began  # the first sync of the segment that the leader begins
    assert opening == 1
    assert syncs.count("fsync") <= 6, "a segment is begun with five syncs, and all others share one"
    assert len(rig.acts()) == 17


def test_what_need_not_survive_is_not_waited_for(rig: AuditRig) -> None:
    """Reads that are recorded cost as much as writes."""
    counting = CountingFilesystem()
    journal = rig.journal(filesystem=counting)
    journal.write(line("first"), is_durable=False)
    assert rig.acts() == ["first"], "without anybody who flushes, it is written at once"
    counting.calls.clear()
    journal.write(line("second"), is_durable=False)
    assert counting.calls == ["write"]
    journal.is_flushed_by_others = True
    for number in range(100):
        journal.write(line(f"read-{number}"), is_durable=False)
    assert counting.calls == ["write"]
    journal.flush()
    assert counting.calls == ["write", "write"]
    assert len(rig.acts()) == 102
    write(journal, "must survive")
    assert counting.calls == ["write", "write", "write", "fsync"]


# -- whatever dies ---------------------------------------------------------------------------------


def note(path: Path, act: str) -> None:
    """Remember, where a kill does not reach, that an act was acknowledged."""
    with path.open("a") as file:
        file.write(act + "\n")


def work(rig: AuditRig, acknowledged: Path, process: int, filesystem: Filesystem) -> None:
    """Write, through the beginning of three segments; tell of each record that was taken."""
    journal = rig.journal(SMALL, filesystem)
    for number in range(RECORDS):
        act = f"act-{process}-{number}"
        journal.write(line(act, detail={"text": "x" * 300}), is_durable=True)
        note(acknowledged, act)
    journal.close()


def test_a_kill_at_every_call(tmp_path: Path) -> None:
    """A record that was acknowledged is gone after a crash, or the crash looks like an attack."""
    endings = []
    for nth in range(CALLS_MAX):
        rig, acknowledged = AuditRig(tmp_path / f"shared-{nth}"), tmp_path / f"told-{nth}"
        rig.root.mkdir()
        acknowledged.touch()
        write(rig.journal(), "before")
        ended = killed_at(nth, partial(work, rig, acknowledged, nth))
        assert set(acknowledged.read_text().split()) <= set(rig.acts())
        for begun in ("before", "after"):
            verdict = rig.verify()
            assert verdict.is_intact, verdict.findings
            endings += [state.ending for state in verdict.chains]
            write(rig.journal(), begun)
        if ended:
            break
    assert ended
    assert nth > 40
    assert set(endings) == set(Ending), "a kill between creating a file and writing it tears one"


@pytest.mark.parametrize("contents_kept", [False, True])
@pytest.mark.parametrize("names_kept", [False, True])
def test_a_power_cut_after_a_kill_at_every_call(*, names_kept: bool, contents_kept: bool) -> None:
    """A record that was acknowledged is gone after a power cut, or the cut looks like an attack."""
    for nth in range(CALLS_MAX):
        rig = in_memory()
        memory, acknowledged = rig.filesystem, ["before", "witness"]
        assert isinstance(memory, MemoryFilesystem)
        write(rig.journal(), "before")
        dying = DyingFilesystem(nth, memory)
        with suppress(Killed):
            journal = rig.journal(SMALL, dying)
            for number in range(RECORDS):
                # A read, of which it is not promised; it must not do harm.
                journal.write(line("read"), is_durable=False)
                write(journal, f"act-{number}")
                acknowledged.append(f"act-{number}")
        # Somebody begins a chain before the power goes, and mentions how far the others are.
        write(rig.journal(), "witness")
        memory.cut(lambda _: names_kept, contents_kept=contents_kept)
        assert set(acknowledged) <= set(rig.acts())
        assert rig.verify().is_intact, rig.verify().findings
        if not dying.dead:
            break
    assert not dying.dead
    assert nth > 40


def in_memory() -> AuditRig:
    """Return an audit log on a filesystem whose power can be cut."""
    memory = MemoryFilesystem()
    memory.make_directory("/shared")
    durable.sync_directory(memory, "/")
    return AuditRig(Path("/shared"), filesystem=memory)


@pytest.mark.parametrize("error", [EIO, ENOSPC])
@pytest.mark.parametrize("lasting", [False, True])
def test_a_failure_of_every_call(tmp_path: Path, error: int, *, lasting: bool) -> None:
    """After an error of the disk a record is missing that was acknowledged, or nothing is written.

    Whoever wrote when it failed is told so, and the log goes on.
    """
    for nth in range(CALLS_MAX):
        rig = AuditRig(tmp_path / f"shared-{nth}")
        assert isinstance(rig.clock, ManualClock)
        rig.root.mkdir()
        write(rig.journal(), "before")
        failing = FailingFilesystem(UnsyncedFilesystem())
        journal = rig.journal(SMALL, failing)
        failing.arm(nth, OSError(error, "told by the test"), lasting=lasting)
        acknowledged = {f"act-{n}" for n in range(RECORDS) if not is_refused(journal, f"act-{n}")}
        failing.disarm()
        state = journal.state()
        assert state.is_up or state.reason
        assert len(acknowledged) == RECORDS or failing.failed
        rig.clock.advance(limits.AUDIT_RETRIED_EVERY_SECONDS)
        write(journal, "after")
        assert journal.state().is_up
        journal.close()
        assert acknowledged | {"after"} <= set(rig.acts())
        assert (GAP in rig.acts()) is (len(acknowledged) < RECORDS)
        assert rig.verify().is_intact, rig.verify().findings
        if not failing.failed:
            break
    assert not failing.failed
    assert nth > 40


def test_what_was_lost_is_counted(rig: AuditRig) -> None:
    """An auditor does not see that something is missing."""
    assert isinstance(rig.clock, ManualClock)
    failing = FailingFilesystem()
    journal = rig.journal(filesystem=failing)
    write(journal, "before")
    failing.arm(0, OSError(ENOSPC, "full"), lasting=True)
    for _ in range(3):
        journal.write(line("read"), is_durable=False)
    assert is_refused(journal, "administrative")
    state = journal.state()
    assert (state.is_up, state.lost, state.reason) == (False, 3, "the storage is full")
    failing.disarm()
    journal.flush()
    assert not journal.state().is_up, "it was asked again before its time"
    rig.clock.advance(limits.AUDIT_RETRIED_EVERY_SECONDS)
    journal.flush()
    assert journal.state().is_up
    write(journal, "after")
    before, gap, after = read(rig.copy())
    assert (before.act, gap.act, after.act) == ("before", GAP, "after")
    assert gap.detail == {"lost": 3, "refused": 1, "reason": "the storage is full"}
    assert gap.outcome == "unavailable"
    assert len(rig.verify().chains) == 2
    assert rig.verify().is_intact


def test_a_defect_is_no_acknowledgement(rig: AuditRig) -> None:
    """Those who share a write with one that fails unforeseen take it for done."""

    def before(name: str, _arguments: tuple[object, ...]) -> None:
        if name == "write":
            raise ZeroDivisionError

    journal = rig.journal(filesystem=ObservedFilesystem(before))
    assert is_refused(journal, "act")
    assert rig.acts() == []


# -- several processes -----------------------------------------------------------------------------


def test_chains_mention_each_other(rig: AuditRig) -> None:
    """Somebody removes all that one process has written, and nobody notices."""
    assert isinstance(rig.clock, ManualClock)
    first, second = rig.journal(), rig.journal()
    write(first, "a", "b")
    write(second, "c")
    rig.clock.advance(limits.AUDIT_SEGMENT_SECONDS_MAX)
    write(first, "d")
    log = rig.copy()
    assert alarms(log) == []
    whole = {name: log.without(name) for name in log.names()}
    last = max(log.names(), key=lambda name: (name.split("-")[2], name.split("-")[1]))
    for name, left in whole.items():
        assert bool(alarms(left)) is (name != last), name
    kept = heads(rig.verify())
    assert alarms(whole[last], kept) != []


def test_a_cut_before_somebody_else_began_is_told(rig: AuditRig) -> None:
    """A record of a process that has ended is cut off, and nobody notices."""
    first = rig.journal()
    write(first, "a", "b", "c")
    first.close()
    (name,) = rig.copy().names()
    second = rig.journal()
    write(second, "d")
    log = rig.copy()
    raw = log.files[name]
    ends = [block.end for block in segments.parse(raw).blocks]
    assert len(ends) == 4
    for end in (segments.HEADER_BYTES, *ends[:-1]):
        assert any("it was cut" in reason for reason in alarms(log.with_file(name, raw[:end])))
    # A cut that is to pass for a crash does not.
    assert alarms(log.with_file(name, raw[: ends[-2] + 5]))


def test_a_damaged_log_of_another_process_stops_nobody(rig: AuditRig) -> None:
    """One bad file stops every administrative act."""
    write(rig.journal(), "a")
    (name,) = rig.copy().names()
    path = rig.root / "control" / "audit" / name
    path.write_bytes(b"x" * 500)
    (path.parent / "unknown").write_bytes(b"y")
    write(rig.journal(), "b")
    assert len(rig.copy().files) == 3
    assert not rig.verify().is_intact
    path.unlink()
    path.mkdir()
    write(rig.journal(), "c")


def test_processes_write_at_once_and_are_killed(tmp_path: Path) -> None:
    """Two processes write into each other's chain, or a kill takes what another has written."""
    shared = tmp_path / "shared"
    shared.mkdir()
    rig = AuditRig(shared)
    acknowledged = tmp_path / "acknowledged"
    acknowledged.touch()
    with ThreadPoolExecutor(4) as pool:
        ends = [5, 23, 31, 10 * CALLS_MAX, 44, 52, 10 * CALLS_MAX, 61]
        started = [
            pool.submit(killed_at, nth, partial(work, rig, acknowledged, process))
            for process, nth in enumerate(ends)
        ]
        ended = [one.result(60) for one in started]
    assert sum(ended) >= 2
    told = set(acknowledged.read_text().split())
    assert told <= set(rig.acts())
    assert len(told) > RECORDS * 3
    assert rig.verify().is_intact, rig.verify().findings
    assert len(rig.verify().chains) >= 7


def test_the_number_of_mentions_is_bounded() -> None:
    """After years, each beginning of a segment reads every file that there ever was."""
    hour_ms = 3_600_000
    found = [names.SegmentName(names.new_chain(n * hour_ms), 1, n * hour_ms) for n in range(9_000)]
    mentioned = names.to_be_mentioned(found, "own")
    assert len(mentioned) <= 4
    assert found[-1] in mentioned
    at_once = [names.SegmentName(names.new_chain(hour_ms), 1, hour_ms) for _ in range(5_000)]
    assert len(names.to_be_mentioned(at_once, "own")) == limits.AUDIT_HEADS_MENTIONED_MAX


def test_whoever_was_not_mentioned_to_his_end_is_mentioned_again() -> None:
    """The end of a chain is mentioned by nobody."""
    ms = 1_800_000_000_000
    day_ms = 24 * 3_600_000
    old, live, newest = (
        names.SegmentName(names.new_chain(at), 1, at) for at in (ms, ms + 1, ms + 2)
    )
    assert set(names.to_be_mentioned([old], "own")) == {old}
    assert set(names.to_be_mentioned([old, live], "own")) == {old, live}
    later = names.SegmentName(live.chain, 9, ms + day_ms)
    assert set(names.to_be_mentioned([old, live, later, newest], "own")) == {old, later, newest}
    after = names.SegmentName(names.new_chain(ms + 2 * day_ms), 1, ms + 2 * day_ms)
    # `later` was begun when `old` and `newest` were frozen, and has mentioned them.
    assert set(names.to_be_mentioned([old, live, later, newest, after], "own")) == {later, after}


def test_what_is_read_of_another_process_is_on_the_disk() -> None:
    """After a power cut a log seems cut, because it mentions what was never on the disk."""
    rig = in_memory()
    first, second = rig.journal(), rig.journal()
    write(first, "a")
    first.write(line("read"), is_durable=False)
    write(second, "b")
    assert isinstance(rig.filesystem, MemoryFilesystem)
    rig.filesystem.cut()
    assert rig.verify().is_intact
    assert rig.acts().count("read") == 1


def test_the_keys_that_sign_are_those_that_an_auditor_is_given(rig: AuditRig) -> None:
    """A log that was never touched does not verify."""
    write(rig.journal(), "a")
    (raw,) = rig.copy().files.values()
    header = segments.parse(raw).header
    assert header is not None
    assert header.key_id == chain.active_key(rig.keys).key_id
    assert next((rig.root / "control" / "audit").iterdir()).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("nth", range(12))
def test_a_failed_sync_and_a_power_cut(nth: int) -> None:
    """What a failed fsync has lost is mentioned as if it were there, and the log seems cut."""
    rig = in_memory()
    memory = rig.filesystem
    assert isinstance(memory, MemoryFilesystem)
    assert isinstance(rig.clock, ManualClock)
    journal = rig.journal(SMALL)
    write(journal, "before")
    memory.break_fsync(nth)
    acknowledged = {f"act-{n}" for n in range(RECORDS) if not is_refused(journal, f"act-{n}")}
    assert len(acknowledged) < RECORDS
    rig.clock.advance(limits.AUDIT_RETRIED_EVERY_SECONDS)
    write(journal, "after")
    memory.cut()
    assert acknowledged | {"before", "after"} <= set(rig.acts())
    assert rig.verify().is_intact, rig.verify().findings


# -- a full disk -----------------------------------------------------------------------------------


def test_a_disk_that_fills_up_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """On a full disk records are lost without a word, or the log never recovers."""
    with mounted(tmp_path / "shared") as root:
        rig = AuditRig(root)
        assert isinstance(rig.clock, ManualClock)
        journal = rig.journal(Bounds(segment_bytes=20_000))
        write(journal, "before")
        acknowledged = ["before"]
        for pages_left in range(12):
            filler = fill(root, pages_left=pages_left)
            while not is_refused(journal, f"act-{len(acknowledged)}"):
                acknowledged.append(f"act-{len(acknowledged)}")
            assert journal.state().reason == "the storage is full"
            for _ in range(3):
                rig.clock.advance(limits.AUDIT_RETRIED_EVERY_SECONDS)
                journal.flush()
            filler.unlink()
            rig.clock.advance(limits.AUDIT_RETRIED_EVERY_SECONDS)
            journal.flush()
            assert journal.state().is_up
            verdict = rig.verify()
            assert verdict.is_intact, verdict.findings
        acts = rig.acts()
        assert [act for act in acts if act != GAP] == acknowledged
        assert acts.count(GAP) == 12
        assert len(acknowledged) > 50
