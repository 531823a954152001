"""What is asked of a database in a benchmark: by which law, of which entities, in which mix."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from benchmarks import documents
from benchmarks.figure import NotHereError, WrongAnswerError
from benchmarks.figures import start, ycsb
from benchmarks.filling import filled, key, shares
from benchmarks.ground import Ground
from benchmarks.load.closed_loop import Lanes
from benchmarks.load.keys import Zipfian
from strongroom_client import Client
from tests.support.deployment import Deployment

DRAWS = 20_000
OPERATIONS = 4_000
ENTITIES = 1_000
FILLED = 40


@dataclass
class Spoken:
    """A face whose requests can be read."""

    database: str = "chatdb"

    def lanes(self, in_flight: int) -> Lanes:
        """Connect to nobody: requests are only read."""
        raise AssertionError(f"{in_flight} connections are asked for")

    def get(self, key: str) -> bytes:
        """Return a read."""
        return b"get " + key.encode()

    def put(self, key: str, document: bytes) -> bytes:
        """Return a write."""
        return b"put " + key.encode() + b" " + document


def number_of(wire: bytes) -> int:
    """Return which entity a request is about."""
    return int(wire.split()[1].removeprefix(b"user"))


def test_some_entities_are_asked_for_far_more_often() -> None:
    """A cache looks useless, or perfect: the mixes are not YCSB's."""
    count, theta = 100_000, 0.99
    law = Zipfian(count)
    drawn = Counter(law.rank() for _ in range(DRAWS))

    total = sum(1 / rank**theta for rank in range(1, count + 1))
    for rank in (0, 1, 9):
        expected = DRAWS / (rank + 1) ** theta / total
        assert drawn[rank] == pytest.approx(expected, abs=5 * expected**0.5)
    # A tail: half of the requests are for entities that hardly anybody asks for.
    assert sum(times for rank, times in drawn.items() if rank >= 100) > DRAWS / 3


@pytest.mark.parametrize("count", [1, 2, 50])
def test_every_entity_may_be_asked_for_and_no_other_one(count: int) -> None:
    """A request for an entity that is not there ends the run."""
    law = Zipfian(count)
    assert {law.place() for _ in range(DRAWS)} == set(range(count))


def test_the_popular_entities_lie_anywhere() -> None:
    """The popular ones are those that were put first, and lie side by side."""
    law = Zipfian(ENTITIES)
    popular = [place for place, _ in Counter(law.place() for _ in range(DRAWS)).most_common(50)]
    assert max(popular) > ENTITIES / 2
    assert popular != sorted(popular)


def test_a_load_is_repeated_by_its_seed() -> None:
    """Two runs ask for different entities, and differ by chance."""
    first, again, other = (Zipfian(ENTITIES, seed) for seed in (1, 1, 2))
    drawn = [[law.place() for _ in range(100)] for law in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("name", ycsb.MIXES)
def test_a_mix_is_of_what_it_says(name: str) -> None:
    """The figure of one workload is told under the name of another one."""
    mix = ycsb.MIXES[name]
    asked = ycsb.operations(Spoken(), mix, Zipfian(ENTITIES), ENTITIES - 1)
    seen = list(islice(asked, OPERATIONS))

    reads = sum(one.kind == "read" for one in seen)
    assert reads / OPERATIONS == pytest.approx(mix.reads, abs=0.04)
    assert {one.kind for one in seen} == {"read", mix.writes} - {""}
    for one in seen:
        verb, number = one.wire.split()[0], number_of(one.wire)
        if one.kind == "read":
            assert (verb, one.follow_up) == (b"get", None)
            assert one.proof == documents.document(number)
        elif one.kind == "read-modify-write":
            assert verb == b"get"
            assert one.follow_up is not None
            assert one.follow_up.wire == Spoken().put(key(number), documents.document(number))
        else:
            assert one.wire == Spoken().put(key(number), documents.document(number))


def test_new_entities_are_the_popular_ones_once_they_are_there() -> None:
    """Workload D reads what nobody has written yet, or never what was inserted."""
    newest = ENTITIES - 1
    asked = ycsb.operations(Spoken(), ycsb.MIXES["d"], Zipfian(ENTITIES), newest)
    read = []
    for one in islice(asked, OPERATIONS):
        if one.kind == "insert":
            newest += 1
            assert number_of(one.wire) == newest
        else:
            read.append(number_of(one.wire))
            # Sixteen are in flight: the last ones may not have been answered.
            assert 0 <= read[-1] <= newest - 16
    assert max(read) >= ENTITIES


@pytest.mark.parametrize(("first", "count", "processes"), [(0, 1, 1), (5, 2_000, 1), (7, 4_001, 3)])
def test_processes_share_what_is_to_be_filled(first: int, count: int, processes: int) -> None:
    """An entity is missing in a database that is told to have so many."""
    found = shares(range(first, first + count), 3)
    assert len(found) == processes
    assert [number for share in found for number in share] == list(range(first, first + count))


@pytest.fixture(scope="module")
def asked(deployment: Deployment) -> Iterator[Client]:
    """The client that users have, with a database that was filled."""
    with deployment.client() as client:
        client.admin.put_database("filled", "chat.v1")
        filled(deployment, "filled", FILLED, first=100)
        yield client
        client.admin.delete_database("filled")


def test_what_was_filled_is_what_a_worker_writes(asked: Client, deployment: Deployment) -> None:
    """The figures are of files that a worker would not have written, or has to repair."""
    folder = deployment.shared_dir / "files" / "filled"
    before = {path: path.read_bytes() for path in folder.rglob("*.json*")}
    assert len(before) == 2 * FILLED
    for number in range(100, 100 + FILLED):
        assert asked.get("filled", key(number)).text == documents.document(number)
    there = {entity.key: entity for entity in asked.list("filled")}
    assert sorted(there) == [key(number) for number in range(100, 100 + FILLED)]
    assert all(entity.version == 1 for entity in there.values())
    # The deployment is others' too, and they may have left something to find elsewhere.
    found = [one.path for part in asked.admin.verify() for one in part.findings]
    assert [path for path in found if path.startswith("files/filled/")] == []
    assert {path: path.read_bytes() for path in folder.rglob("*.json*")} == before
    assert asked.put("filled", key(100), {"chat": []}).version == 2


def test_a_filling_that_fails_is_no_filling(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    """The figure of a full database is one of an empty one."""
    with pytest.raises(WrongAnswerError, match="could not be filled"):
        filled(deployment, "no-such-database", 1)
    assert "no-such-database" in capfd.readouterr().err


def test_a_million_entities_are_filled_only_for_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever tries the benchmark finds 10 GB on their disk."""
    monkeypatch.delenv("BENCH_MILLION", raising=False)
    with pytest.raises(NotHereError, match="BENCH_MILLION=1"):
        next(start.pairs(Ground(tmp_path), 1_000_000))
    monkeypatch.setenv("BENCH_MILLION", "1")
    with pytest.raises(NotHereError, match="only tried"):
        next(start.pairs(Ground(tmp_path, is_quick=True), 1_000_000))
