"""Rewrapping shard by shard: what is counted is what lies there, and clients come first."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from processing_fn.service.pacing import Pacer
from processing_fn.service.ports import Place
from processing_fn.service.rewrapping import Census
from strongroom import blob, keyring
from strongroom.clock import SystemClock
from strongroom.errors import InvalidArgumentError, UnavailableError
from strongroom.keyring import Purpose
from tests.support.clocks import ManualClock
from tests.support.engines import AT, Rig, Worker
from tests.support.filesystems import ObservedFilesystem

MANY = 300


@pytest.fixture
def old(rig: Rig) -> str:
    """The id of the key that 300 entities of two databases lie under, before a rotation."""
    worker = rig.worker("writer")
    for number in range(MANY):
        worker.put(f"k{number}", b'{"n": 1}')
    worker.delete("k7")
    rig.binding = rig.put_database("zoo", "11" * 16)
    worker.put("lion", b'{"n": 2}')
    key_id = rig.keys.active(Purpose.DATA).key_id
    rig.keys = keyring.with_active(rig.keys, keyring.new_key(Purpose.DATA, AT))
    return key_id


def _calls(worker: Worker, shard: int, drained: frozenset[str]) -> Iterator[Census]:
    cursor, first = "", True
    while cursor or first:
        census = worker.engine.rewrapper.run(shard, cursor, drained)
        yield census
        cursor, first = census.cursor, False


def _all(worker: Worker, drained: frozenset[str] = frozenset()) -> tuple[Counter[str], int, int]:
    """Return (files by key, files, unreadable ones) of every shard."""
    by_key: Counter[str] = Counter()
    files = unreadable = 0
    for shard in range(256):
        for census in _calls(worker, shard, drained):
            by_key.update({key_id: use.files for key_id, use in census.by_key.items()})
            files += census.files
            unreadable += census.unreadable
    return by_key, files, unreadable


def _headers(root: Path) -> Counter[str]:
    """Count the keys in the headers of every blob, with nothing but the format."""
    blobs = root.glob("files/*/*/*.json.enc")
    return Counter(blob.parse(path.read_bytes()).header.key_id for path in blobs)


def test_files_are_counted_by_their_key(rig: Rig, old: str) -> None:
    """A key is destroyed that files still need."""
    worker = rig.worker()
    rig.binding = rig.put_database("people", "00" * 16)
    worker.put("k1", b'{"n": 3}')
    by_key, files, unreadable = _all(worker)
    assert by_key == {old: MANY, rig.keys.active(Purpose.DATA).key_id: 1} == _headers(rig.root)
    assert (files, unreadable) == (MANY + 1, 0)


def test_every_file_is_put_under_the_new_key(rig: Rig, old: str) -> None:
    """The job says that it is done, and a file lies under the old key."""
    worker = rig.worker()
    by_key, files, unreadable = _all(worker, frozenset({old}))
    new = rig.keys.active(Purpose.DATA).key_id
    assert by_key == {new: MANY + 1} == _headers(rig.root)
    assert (files, unreadable) == (MANY + 1, 0)
    assert worker.get("lion") == (1, b'{"n": 2}')
    assert sum(c.rewrapped for s in range(256) for c in _calls(worker, s, frozenset({old}))) == 0


def test_a_file_of_a_deleted_database_counts_and_is_rewrapped(rig: Rig, old: str) -> None:
    """The files of a deleted database, or of none, keep a key alive that nobody can get rid of."""
    rig.put_database("people", "00" * 16, deleted=True)
    (rig.root / "files" / "people").rename(rig.root / "files" / "nobodys")
    worker = rig.worker()
    by_key, _, unreadable = _all(worker, frozenset({old}))
    assert (by_key, unreadable) == (_headers(rig.root), 0)
    assert old not in by_key


def test_a_damaged_file_is_left_and_told(rig: Rig, old: str) -> None:
    """A damaged file ends the job, or is taken for one that needs no key."""
    worker = rig.worker()
    victim, garbled = sorted(rig.root.glob("files/*/*/*.json.enc"))[:2]
    raw = victim.read_bytes()
    victim.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    garbled.write_bytes(b"garbage")
    by_key, files, unreadable = _all(worker, frozenset({old}))
    assert by_key == {old: 1, rig.keys.active(Purpose.DATA).key_id: MANY - 1}
    assert (files, unreadable) == (MANY + 1, 1)


@pytest.mark.parametrize("kind", ["directory", "symlink", "loop"])
def test_what_is_no_file_holds_no_job_up(rig: Rig, old: str, kind: str) -> None:
    """One odd name in the place of a blob and no key can ever be destroyed again."""
    victim, target = sorted(rig.root.glob("files/*/*/*.json.enc"))[:2]
    victim.unlink()
    if kind == "directory":
        victim.mkdir()
    else:
        victim.symlink_to(target if kind == "symlink" else victim)
    shard = int(victim.parent.name, 16)
    worker = rig.worker()
    assert sum(census.keyless for census in _calls(worker, shard, frozenset({old}))) == 1
    by_key, files, _ = _all(worker, frozenset({old}))
    assert (by_key, files) == ({rig.keys.active(Purpose.DATA).key_id: MANY}, MANY + 1)


def test_a_key_that_never_was_is_not_counted(rig: Rig, old: str) -> None:
    """Whoever can write files fills a report, or a memory, with names of keys."""
    victim = next(rig.root.glob("files/*/*/*.json.enc"))
    victim.write_bytes(victim.read_bytes().replace(old.encode(), b"f" * len(old)))
    by_key, files, _ = _all(rig.worker())
    assert (by_key, files) == ({old: MANY}, MANY + 1)
    shard = int(victim.parent.name, 16)
    assert sum(census.keyless for census in _calls(rig.worker(), shard, frozenset())) == 1


def test_a_key_that_others_heard_of_first_is_no_damage(rig: Rig, old: str) -> None:
    """A rotation beside a rewrap has it tell of sound files that they have no readable key."""
    worker = rig.worker()
    rig.keys = keyring.with_active(rig.keys, keyring.new_key(Purpose.DATA, AT))
    rig.worker("ahead").put("k1", b'{"n": 3}')
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        worker.session.data_keys.replace(rig.keys.of(frozenset({Purpose.DATA})))

    worker.session.data_keys.asks(ask)
    counted = [census for shard in range(256) for census in _calls(worker, shard, frozenset())]
    assert sum(census.keyless for census in counted) == 0
    assert asked == [1]
    by_key = Counter(key_id for census in counted for key_id in census.by_key)
    assert {old, rig.keys.active(Purpose.DATA).key_id} == set(by_key)


def test_deleted_entities_are_told_from_those_that_would_be_lost(rig: Rig, old: str) -> None:
    """Whoever shreds confirms a number that has nothing to do with what is lost."""
    censuses = [c for shard in range(256) for c in _calls(rig.worker(), shard, frozenset())]
    uses = [census.by_key[old] for census in censuses if old in census.by_key]
    assert sum(use.files for use in uses) == MANY + 1
    assert sum(use.entities for use in uses) == MANY


def test_a_locked_entity_is_left_for_the_next_round(rig: Rig, old: str) -> None:
    """A writer that was stopped under its lock stops the whole job."""
    rig.clock = SystemClock()
    worker, other = rig.worker(), rig.worker("stopped")
    file_id = worker.file_id("zoo", "11" * 16, "lion")
    place_lock = other.engine._storage  # noqa: SLF001 - the writer that holds the lock
    with place_lock.exclusive(Place("zoo", "11" * 16, file_id)):
        (census,) = _calls(worker, file_id[0], frozenset({old}))
    assert census.by_key[old].files == 1
    assert census.unreadable == 0


def test_a_worker_that_has_not_heard_of_the_new_key_refuses(rig: Rig, old: str) -> None:
    """It would put every file under the key that is to be drained."""
    active = rig.keys.active(Purpose.DATA).key_id
    with pytest.raises(UnavailableError, match="new key"):
        rig.worker().engine.rewrapper.run(0, "", frozenset({old, active}))


def test_a_call_ends_in_time_and_the_next_one_goes_on(rig: Rig, old: str) -> None:
    """A shard with many files takes one call of minutes, and a kill loses all of it."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)

    def sleep(_: float) -> None:
        clock.advance(2)
        pacer.note()

    pacer = Pacer(clock, sleep)
    pacer.note()
    worker = rig.worker(pacer=pacer)
    shard = max(range(256), key=lambda n: len(list(rig.root.glob(f"files/*/{n:02x}/*.json.enc"))))
    censuses = list(_calls(worker, shard, frozenset({old})))
    assert sum(c.files for c in censuses) == len(
        list(rig.root.glob(f"files/*/{shard:02x}/*.json.enc"))
    )
    assert [c.cursor for c in censuses][-1] == ""


@pytest.mark.parametrize(
    "bad", ["x", "people", "people/", "people/zz", "people/00", "../x/" + "00" * 32, "/" + "0" * 64]
)
def test_odd_cursors_and_shards_are_refused(rig: Rig, bad: str) -> None:
    """A request from a broken Main Worker reads elsewhere, or ends a worker."""
    rewrapper = rig.worker().engine.rewrapper
    with pytest.raises(InvalidArgumentError):
        rewrapper.run(1, bad, frozenset())
    for shard in (-1, 256):
        with pytest.raises(InvalidArgumentError):
            rewrapper.run(shard, "", frozenset())


def test_without_a_lease_nothing_is_rewrapped(rig: Rig, old: str) -> None:
    """A worker that was revoked goes on writing."""
    worker = rig.worker()
    worker.lease.end()
    with pytest.raises(UnavailableError):
        worker.engine.rewrapper.run(0, "", frozenset({old}))
    assert _headers(rig.root) == {old: MANY + 1}


def test_what_was_looked_at_without_a_lease_does_not_count(rig: Rig, old: str) -> None:
    """A worker that was cut off in the middle tells what it cannot know any more."""
    worker = rig.worker(pacer=Pacer(rig.clock, lambda _: worker.lease.end()))
    worker.engine.rewrapper._pacer.note()  # noqa: SLF001 - as a client's request would
    shard = next(number for number in range(256) if list(rig.root.glob(f"files/*/{number:02x}/*")))
    with pytest.raises(UnavailableError):
        worker.engine.rewrapper.run(shard, "", frozenset())
    assert old


def test_background_work_gives_way_to_clients() -> None:
    """A rewrap takes every reader's time; or waits for clients who are not there."""
    clock, slept, worked = ManualClock(), list[float](), itertools.count()
    pacer = Pacer(clock, slept.append, lambda: next(worked) * 0.01)

    def work() -> list[float]:
        slept.clear()
        with pacer.paced():
            pass
        return slept

    assert work() == []
    pacer.note()
    assert work() == [pytest.approx(0.04)]
    clock.advance(0.05)
    assert work() == [pytest.approx(0.04)]
    clock.advance(0.06)
    assert work() == []


@pytest.mark.parametrize("listing_s", [0.0, 12.0])
def test_a_directory_that_is_slow_to_list_is_rewrapped_in_few_calls(
    rig: Rig, listing_s: float
) -> None:
    """A database of tens of millions is listed anew for every 64 files, and is never done."""
    clock = ManualClock()
    rig.clock = clock

    def before(name: str, arguments: tuple[object, ...]) -> None:
        is_shard = name == "list_directory" and "/files/people/" in str(arguments[0])
        # A file takes a thousandth of a second for each call.
        clock.advance(listing_s if is_shard else 0.001)

    writer = rig.worker("writer")
    keys = (f"k{number}" for number in itertools.count())
    shard_keys = (key for key in keys if _file_id(writer, key)[0] == 9)
    for key in itertools.islice(shard_keys, MANY // 2):
        writer.put(key, b'{"n": 1}')
    old = rig.keys.active(Purpose.DATA).key_id
    rig.keys = keyring.with_active(rig.keys, keyring.new_key(Purpose.DATA, AT))
    worker = rig.worker(filesystem=ObservedFilesystem(before))
    census, *others = _calls(worker, 9, frozenset({old}))
    # About 20 calls each: within a second it comes to a chunk of 64, within twelve to all of them.
    assert sum(one.rewrapped for one in (census, *others)) == MANY // 2
    assert len(others) == (0 if listing_s else 2)


def _file_id(worker: Worker, key: str) -> bytes:
    binding = worker.rig.binding
    return worker.file_id(binding.database, binding.incarnation, key)
