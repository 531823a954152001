"""An inspection in pieces: each gets further, all together are the whole, nobody is in its way."""

import errno
import itertools
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from processing_fn.rpc import translation
from processing_fn.service.requests import Delete, Put
from processing_fn.storage.locks import EntityLocks
from strongroom import limits
from strongroom.clock import SystemClock
from strongroom.durable import Filesystem, LocalFilesystem
from strongroom.errors import InvalidArgumentError, NotFoundError, UnavailableError
from strongroom.finding import Condition, Finding
from tests.support.clocks import ManualClock
from tests.support.damage import (
    KEYS,
    LEFT,
    REPAIRED,
    SECOND,
    a_socket,
    a_worker_over_both,
    shown,
)
from tests.support.engines import Rig, Worker
from tests.support.filesystems import (
    CountingFilesystem,
    FailingFilesystem,
    ObservedFilesystem,
    UnsyncedFilesystem,
)
from tests.support.inspections import (
    BEFORE_THE_LAST_SHARD,
    age,
    findings,
    keys_in,
    lying,
    reports,
    told,
)

CROWDED = 0x40


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """A worker over a few entities, on files that nobody waits for."""
    return a_worker_over_both(Rig(tmp_path, filesystem=UnsyncedFilesystem()))


def slow(worker: Worker, seconds: dict[str, float]) -> Worker:
    """Return a worker for which filesystem calls take their time."""
    clock = worker.rig.clock
    assert isinstance(clock, ManualClock)

    def before(name: str, _: tuple[Any, ...]) -> None:
        clock.advance(seconds.get(name, 0))

    return worker.rig.worker("slow", filesystem=ObservedFilesystem(before))


# -- pieces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seconds",
    [
        {"read": limits.SCAN_SECONDS / 10},
        {"read": 5 * limits.SCAN_SECONDS},
        {"list_directory": limits.SCAN_SECONDS / 3},
        {"list_directory": 5 * limits.SCAN_SECONDS},
        {"open": 5 * limits.SCAN_SECONDS},
    ],
    ids=str,
)
def test_the_pieces_of_an_inspection_are_the_whole(
    worker: Worker, seconds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow inspection leaves files out, tells of them twice, or never comes to an end."""
    monkeypatch.chdir(worker.rig.root)
    crowd = keys_in(worker, CROWDED, 30)
    for key in crowd:
        worker.put(key, b"{}")
    worker.files(crowd[7])[0].unlink()
    (worker.rig.root / "files" / "broken").mkdir()
    a_socket(worker.rig.layout.database("broken"))
    for name in ("a flipped bit", "strangers", "names that are no text"):
        LEFT[name](worker)
    whole = reports(worker)
    pieces = reports(slow(worker, seconds))
    assert len(pieces) > 2
    found = [finding for report in pieces for finding in report.findings]
    assert told(found) == told([finding for report in whole for finding in report.findings])
    assert sum(report.examined for report in pieces) == len(KEYS) + len(crowd) + 1
    done = [report.done for report in pieces]
    assert done == sorted(done)
    assert {report.total for report in pieces} == {pieces[-1].done}


def test_a_piece_ends_within_a_crowded_shard(worker: Worker) -> None:
    """A shard with very many entities takes longer than any call may."""
    for key in keys_in(worker, CROWDED, 30):
        worker.put(key, b"{}")
    pieces = reports(slow(worker, {"read": limits.SCAN_SECONDS / 5}))
    assert max(report.examined for report in pieces) < 30


def test_progress_is_made_within_a_database(worker: Worker) -> None:
    """Whoever verifies one large database is told for hours that nothing happens."""
    pieces = reports(slow(worker, {"list_directory": limits.SCAN_SECONDS}))
    done = [0, *(report.done for report in pieces)]
    assert max(after - before for before, after in itertools.pairwise(done)) == 1


def test_a_piece_with_many_findings_fits_into_a_message(worker: Worker) -> None:
    """Where much is wrong, the answer is larger than any message, and nobody learns anything."""
    people = worker.rig.root / "files" / "people"
    directories = [people.parent, people, *(people / f"{number:02x}" for number in range(8))]
    for directory in directories:
        directory.mkdir(exist_ok=True)
        for number in range(300):
            name = os.fsencode(directory) + b"/" + b"\xff" * 240 + b"%d" % number
            Path(os.fsdecode(name)).touch()
    pieces = reports(worker)
    assert len(pieces) > 2
    sizes = [translation.report(report).ByteSize() for report in pieces]
    assert max(sizes) < limits.MESSAGE_BYTES_MAX
    more = [one for report in pieces for one in report.findings if "more in it" in one.reason]
    assert sorted(one.path for one in more) == sorted(shown(worker, d) for d in directories)


def test_another_worker_goes_on(worker: Worker) -> None:
    """An inspection begins anew whenever another worker serves its next call."""
    LEFT["strangers"](worker)
    LEFT["no blob"](worker)
    expected = told(findings(worker))
    others = [slow(worker, {"read": limits.SCAN_SECONDS}) for _ in range(2)]
    found: list[Finding] = []
    cursor, calls = "", 0
    while cursor or not calls:
        report = others[calls % 2].engine.inspector.inspect(cursor, repair=False)
        found += report.findings
        cursor, calls = report.cursor, calls + 1
    assert calls > 5
    assert told(found) == expected


@pytest.mark.parametrize(
    "cursor",
    [
        "people",
        "x",
        "people/xyz",
        "people/0",
        "people/0000",
        f"people/{'00' * 31}",
        f"people/{'00' * 33}",
        "people/00/",
        "people/A0",
        "people/ 00",
        "/00",
        "//",
        "../00",
        "-/00",
        f"{'x' * 65}/00",
        "peo ple/00",
        "é/00",
        "people/é",
        "people/\ud800",
        "\ud800/00",
        "people\x00/00",
        "/" * 400,
        "AAAA" * 100,
    ],
    ids=ascii,
)
def test_a_cursor_that_is_none_is_refused(worker: Worker, cursor: str) -> None:
    """A made-up cursor ends in a defect, or leads out of the directory."""
    with pytest.raises(InvalidArgumentError):
        worker.engine.inspector.inspect(cursor, repair=False)


def test_a_cursor_of_a_database_that_is_gone_leads_to_the_next(worker: Worker) -> None:
    """An inspection ends, or begins anew, when what it has just looked at is removed."""
    LEFT["no blob"](worker)
    expected = told([f for f in findings(worker) if f.path.startswith("files/people")])
    (report,) = reports(worker, cursor=f"peopl/{'ab' * 32}")
    assert told(list(report.findings)) == expected
    (report,) = reports(worker, cursor=f"zoo/{'ab' * 32}")
    assert (report.findings, report.examined) == ((), 0)


# -- others at work --------------------------------------------------------------------------------


def test_a_writer_at_work_is_never_taken_for_damage(tmp_path: Path) -> None:
    """An operator is called at night, because somebody has written something."""
    rig = Rig(tmp_path, clock=SystemClock(), filesystem=UnsyncedFilesystem())
    inspecting = rig.worker("inspecting")
    stopping = threading.Event()
    written: list[int] = []

    def write(worker: Worker) -> None:
        while not stopping.is_set():
            for number in range(40):
                key = f"k{number % 8}"
                worker.engine.put(rig.binding, Put(key, b"{}", ttl_seconds=1 + number))
                if number % 3 == 0:
                    try:
                        worker.engine.delete(rig.binding, Delete(key))
                    except NotFoundError:
                        continue
                written.append(number)

    writers = [threading.Thread(target=write, args=(rig.worker(f"w{n}"),)) for n in range(3)]
    for writer in writers:
        writer.start()
    found: list[Finding] = []
    ends_at_s, rounds = time.monotonic() + 2, 0
    while time.monotonic() < ends_at_s or rounds < 10:
        found += findings(inspecting, repair=bool(rounds % 2))
        rounds += 1
    stopping.set()
    for writer in writers:
        writer.join(30)
    assert len(written) > 100
    # A writer may hold an entity for longer than the inspection waits.
    assert [one for one in found if one.condition != Condition.UNJUDGED] == []
    assert findings(inspecting) == []


@pytest.mark.parametrize("call", ["list_directory", "open", "try_lock"])
def test_a_write_at_any_moment_of_a_look_is_no_damage(worker: Worker, call: str) -> None:
    """A write between two looks at an entity is reported as a blob that does not fit."""
    rig, other = worker.rig, worker.rig.worker("other")
    (key,) = keys_in(worker, 0xFF, 1)
    worker.put(key, b"{}")
    calls = CountingFilesystem()
    rig.worker("counting", filesystem=calls).engine.inspector.inspect(
        BEFORE_THE_LAST_SHARD, repair=False
    )
    moments = max(calls.calls.count(call), 1)
    for moment in range(moments):
        left = moment

        def before(name: str, _: tuple[Any, ...]) -> None:
            nonlocal left
            left -= name == call
            if left < 0:
                left = 10**6
                other.put(key, b'{"n": 1}')

        looking = rig.worker("looking", filesystem=ObservedFilesystem(before))
        report = looking.engine.inspector.inspect(BEFORE_THE_LAST_SHARD, repair=False)
        assert report.findings == (), f"{call} {moment}"


def test_a_database_made_anew_within_a_look_is_no_damage(worker: Worker) -> None:
    """Entities of a database that was made a moment ago are reported as strangers."""
    rig, writing = worker.rig, worker.rig.worker("writing")
    new = "55" * 16

    def before(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "list_directory" and str(arguments[0]).endswith("/people/ff"):
            rig.binding = rig.put_database("people", new, retired=(SECOND,))
            (key,) = keys_in(worker, 0xFF, 1)
            writing.put(key, b"{}")

    looking = rig.worker("looking", filesystem=ObservedFilesystem(before))
    report = looking.engine.inspector.inspect(BEFORE_THE_LAST_SHARD, repair=True)
    assert report.findings == ()
    # By chance one of the entities of before lies in that shard too.
    assert report.examined >= 1


def test_an_entity_that_goes_meanwhile_is_no_damage(worker: Worker) -> None:
    """The removal of a deleted database's files is reported as a loss."""
    (key,) = keys_in(worker, 0xFF, 1)
    worker.put(key, b"{}")

    def before(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" and str(arguments[0]).endswith(".json.enc"):
            for path in worker.files(key):
                path.unlink(missing_ok=True)

    looking = worker.rig.worker("looking", filesystem=ObservedFilesystem(before))
    report = looking.engine.inspector.inspect(BEFORE_THE_LAST_SHARD, repair=True)
    assert report.findings == ()


def test_an_entity_that_another_holds_is_left_unjudged_and_holds_nobody_up(
    tmp_path: Path,
) -> None:
    """An inspection hangs behind a worker that hangs, or takes its half of a write for damage."""
    rig = Rig(tmp_path, clock=SystemClock(), filesystem=UnsyncedFilesystem())
    worker = rig.worker()
    for key in KEYS:
        worker.put(key, b"{}")
    for key in KEYS[:2]:
        worker.files(key)[1].write_bytes(b"garbled")
    locks = EntityLocks(LocalFilesystem(), rig.layout, rig.clock)
    binding = rig.binding
    held = [worker.file_id(binding.database, binding.incarnation, k) for k in (KEYS[0], KEYS[2])]
    with locks.exclusive(held[0]), locks.exclusive(held[1]):
        began_s = time.monotonic()
        found = findings(rig.worker("looking"), repair=True)
        assert time.monotonic() - began_s < limits.LOCK_WAIT_SECONDS / 2
    blob, _ = worker.files(KEYS[0])
    locked = "the entity is locked by another worker"
    assert told(found) == [(shown(worker, blob), Condition.UNJUDGED, locked)]
    assert [one.path for one in found if one.repaired] == [shown(worker, worker.files(KEYS[1])[1])]


# -- a disk that fails, a lease that ends ----------------------------------------------------------

CODES = [errno.EIO, errno.ENOSPC, errno.ESTALE]


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
def test_an_error_at_every_call(worker: Worker, code: int, *, lasting: bool) -> None:
    """A failing disk ends an inspection in a defect, or a repair in damage."""
    disk = FailingFilesystem()
    rig, failing = worker.rig, worker.rig.worker("failing", filesystem=disk)
    sound, stale, damaged = keys_in(worker, 0xFF, 3)
    for key in (sound, stale, damaged):
        worker.put(key, b"{}")
    worker.files(damaged)[0].write_bytes(b"damaged")
    shard = worker.files(stale)[0].parent
    harmless = {Condition.UNJUDGED, Condition.STALE}
    for nth in range(200):
        worker.files(stale)[1].write_bytes(b"garbled")
        (shard / ".tmp-1").touch()
        age(shard / ".tmp-1", rig.clock, abandoned=True)
        disk.arm(nth, OSError(code, os.strerror(code)), lasting=lasting)
        try:
            report = failing.engine.inspector.inspect(BEFORE_THE_LAST_SHARD, repair=True)
        except UnavailableError:
            report = None
        disk.disarm()
        for one in report.findings if report else ():
            assert one.condition in harmless or one.path == shown(worker, worker.files(damaged)[0])
        assert rig.worker("reader").get(stale) == (1, b"{}")
        if not disk.failed:
            break
    assert not disk.failed
    assert nth > 20


@pytest.mark.parametrize("nth", range(12))
def test_an_error_at_the_beginning(worker: Worker, nth: int) -> None:
    """An error while databases are listed looks like a deployment without any."""
    REPAIRED["no sidecar"](worker)
    expected = told(findings(worker))
    before = lying(worker.rig.root)
    disk = FailingFilesystem()
    disk.arm(nth, OSError(errno.EIO, os.strerror(errno.EIO)))
    try:
        found = findings(worker.rig.worker("failing", filesystem=disk))
    except UnavailableError:
        found = []
    else:
        assert told(found) == expected or {f.condition for f in found} >= {Condition.UNJUDGED}
    assert disk.failed
    assert lying(worker.rig.root) == before


@pytest.mark.parametrize("end", ["lease", "forget"])
def test_a_worker_that_leaves_service_says_so(worker: Worker, end: str) -> None:
    """A worker that stops ends an inspection in a defect, or judges without its keys."""

    def before(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "list_directory" and str(arguments[0]).endswith(f"people/{leaves_at}"):
            leaving.engine.forget() if end == "forget" else leaving.lease.end()

    leaves_at = worker.files("a")[0].parent.name
    disk: Filesystem = ObservedFilesystem(before)
    leaving = worker.rig.worker("leaving", filesystem=disk)
    for cursor in ("", "", f"zoo/{'ff' * 32}"):
        with pytest.raises(UnavailableError):
            leaving.engine.inspector.inspect(cursor, repair=True)
