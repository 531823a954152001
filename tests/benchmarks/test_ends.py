"""The arithmetic of benchmarks/scale, on numbers that are reckoned by hand."""

import math

import pytest

from benchmarks.scale import costs, ends, rewrap, storm
from benchmarks.scale.fleet import Draws
from benchmarks.scale.operations import Operation, Operations
from benchmarks.scale.published import FileSystem, Prices

READ = Operation(("read",))
LOOK = Operation(("open", "read"))
WRITE = Operation(("read", "rename", "fsync"))
"""Takes 21 ms here."""
DISK = FileSystem(read_s=0.001, write_s=0.01, reads_per_second=1_000, writes_per_second=100)
ASKED = Operations(
    warm_read=READ,
    cold_read=Operation(("read",) * 3),
    write=WRITE,
    rewrap=WRITE,
    look=LOOK,
    look_once=READ,
    renewal=WRITE,
    idle=READ,
)
FREE = Prices(
    vcpu_hour=1.0,
    gigabyte_hour=0.25,
    endpoint_hour=0.1,
    balancer_hour=0.2,
    stored_gigabyte=3.0,
    read_gigabyte=2.0**30,
    written_gigabyte=0.0,
    backup_gigabyte=5.0,
    keys_and_alarms=7.0,
)
"""A dollar for each byte that is read."""


def test_what_the_quota_gives_and_how_many_workers_ask_for_it() -> None:
    """Somebody buys workers that add nothing."""
    assert ends.per_second(READ, DISK) == 1_000
    # The quota of writes is used up first.
    assert ends.per_second(WRITE, DISK) == 50
    # 16 threads, each waiting for 21 ms.
    assert ends.per_worker(WRITE, DISK, cores=2) == pytest.approx(16 / 0.021)
    assert ends.per_worker(READ, FileSystem(read_s=1e-9), cores=2) == 2 * 7_500
    assert ends.workers_at_the_quota(WRITE, DISK, cores=2) == pytest.approx(50 * 0.021 / 16)


def test_looking_at_the_registry() -> None:
    """Workers drop out of the registry at a size that was said to be possible."""
    assert ends.look_s(ASKED, 100, DISK) == pytest.approx(0.001 + 100 * 0.002)
    assert ends.looks_per_second(ASKED, 100, DISK) == 4
    assert ends.looks_per_second(ASKED, 1_000, DISK) == pytest.approx(1 / 2.001)
    # Opened, read and closed.
    assert ends.registry_reads_per_second(ASKED, 100, DISK) == 4 * (1 + 100 * 3)
    assert ends.busy_main_workers(ASKED, 10, DISK) == 1_000 // (4 * 31)
    listed = ends.workers_still_listed(ASKED, DISK)
    assert ends.look_s(ASKED, listed, DISK) <= 4.0 < ends.look_s(ASKED, listed + 1, DISK)
    # Every two seconds each.
    assert ends.renewals_share(ASKED, 50, DISK) == pytest.approx(25 * 2 / 100)


def test_messages_locks_and_ranking() -> None:
    """A message that nobody can pass on, a lock that EFS refuses, are met without a warning."""
    assert [ends.main_workers(n) for n in (1, 24, 25, 100, 1_000)] == [3, 3, 4, 13, 16]
    assert ends.writes_all_hear_of(11, 2) == 2 * 5_300 / 10
    assert ends.workers_within_locks(DISK) == 512 * 256 // 20
    assert ends.locks_on_the_fullest_file(6_553, Draws(1)) > 512
    assert ends.locks_on_the_fullest_file(4_000, Draws(1)) < 512
    ranked = ends.workers_ranked_in_a_request()
    assert ends.ranking_s(ranked) <= 1 / 3_500 < ends.ranking_s(ranked + 1)


def test_the_largest_database() -> None:
    """A database grows to a size whose pages no longer come."""
    # Two names for each entity, 256 shards; a page has two seconds, a piece of a rewrap fifteen.
    assert ends.entities_paged(1_000) == 256 * 2 * 1_000 // 2
    assert ends.entities_rewrapped(1_000) == 256 * 15 * 1_000 // 2


def _rewrap_s(entities: int, names_per_second: float = math.inf, workers: int = 1) -> float:
    plan = rewrap.Plan(entities, 1, workers, names_per_second)
    free = FileSystem(read_s=0.001, write_s=0.01, reads_per_second=10**9, writes_per_second=10**9)
    return rewrap.seconds(plan, WRITE, free)


def test_a_rewrap_takes_what_its_files_take() -> None:
    """A rotation is planned for a night and takes a week."""
    # Header: 2 ms, one after the other. Rewrap: 21 ms on 4 threads. Then every header once more.
    each_s = 0.002 + 0.021 / 4 + 0.002
    assert _rewrap_s(256 * 10) == pytest.approx(2_560 * each_s)
    assert _rewrap_s(256 * 10, workers=16) == pytest.approx(2_560 * each_s / 16)
    # One shard is one worker's.
    assert _rewrap_s(256 * 10, workers=300) == _rewrap_s(256 * 10, workers=256)


def test_a_rewrap_lists_its_directory_with_every_call() -> None:
    """What listing takes is left out, which is most of it where directories are large."""
    # 6,400 files, 12,800 names, listed in 2 s. A call then makes chunks of 64 files for 2 s: 5 of
    # them where it rewraps, 16 where it only looks.
    rewrapping = 6_400 / 320 * (2 + 320 * (0.002 + 0.021 / 4))
    pieces = rewrapping + 6_400 / 1_024 * (2 + 1_024 * 0.002)
    assert _rewrap_s(256 * 6_400, names_per_second=6_400) == pytest.approx(256 * pieces)
    assert _rewrap_s(256 * 6_400, names_per_second=800) == math.inf


def test_a_rewrap_is_bound_by_the_quota() -> None:
    """Many workers are said to do what EFS does not let them."""
    plan = rewrap.Plan(256_000, 1, 256, math.inf)
    # 2 of 100 writes a second for each, then 3 of 1,000 reads for each header.
    assert rewrap.seconds(plan, WRITE, DISK) == pytest.approx(256_000 / 50 + 256_000 * 3 / 1_000)


def test_a_storm_by_hand() -> None:
    """Caches are said to be warm while they are cold."""
    disk = FileSystem(reads_per_second=1_000)
    found = storm.storm(storm.Load(200, entities=1), 0.5, ASKED, disk)
    assert found.before == pytest.approx(0.2)
    # Half of the reads make three requests instead of one.
    assert found.peak == pytest.approx(0.4)
    assert found.bounded == pytest.approx(0.3)
    # 0.5 exp(-200 t) = 0.01
    assert found.warm_s == pytest.approx(math.log(50) / 200, abs=0.01)
    # Ten keys that are asked for as often take ten times as long, at least.
    assert storm.storm(storm.Load(200, 10), 0.5, ASKED, disk).warm_s > 10 * found.warm_s
    assert storm.storm(storm.Load(200, 10), 0.01, ASKED, disk).warm_s == 0


def test_past_the_quota_warming_takes_longer() -> None:
    """A file system that is asked for twice what it gives is said to give it."""
    disk = FileSystem(reads_per_second=200)
    found = storm.storm(storm.Load(200, entities=1), 0.5, ASKED, disk)
    assert found.peak == pytest.approx(2.0)
    assert found.warm_s == pytest.approx(math.log(50) / 100, abs=0.01)


def test_a_month_by_hand() -> None:
    """A month costs more than the page says."""
    size = costs.Size(workers=2, mains=3, zones=2, gigabytes=10, worker_vcpu=4, changed=1.5)
    month = costs.at_rest(size, ASKED, DISK, FREE)
    assert month.workers == 2 * 730 * 4 * 1.5
    assert month.mains == 3 * 730 * 1.5
    assert month.endpoints == pytest.approx(5 * 2 * 730 * 0.1)
    assert month.balancer == pytest.approx(730 * 0.2)
    assert (month.stored, month.backups, month.rest) == (30, 75, 7)
    seconds, data, record = 730 * 3600, 32 * 1024, 40 * 1024
    looks = 3 * 4
    renewed = 2 * 0.5 * data
    watching = looks * data + looks * 2 * record + looks * data + renewed
    assert month.watching == pytest.approx(seconds * watching)
    # Of each record one look in eight finds it renewed; a renewal reads its own record anew.
    cached = looks * 2 * (8 * 1024 + data / 8) + renewed
    assert month.watching_cached == pytest.approx(seconds * cached)
    assert month.most - month.least == pytest.approx(month.watching - month.watching_cached)


def test_a_million_requests_by_hand() -> None:
    """A request costs more than the page says."""
    reads = costs.million_reads(ASKED, Prices())
    data = 32 * 1024 / 2**30 * 0.04 * 1e6
    assert reads.disk == pytest.approx(0.9 * data + 0.1 * 3 * data)
    assert reads.disk_cached == pytest.approx(0.1 * 3 * data)
    assert reads.function == pytest.approx(0.20 + 1e6 * 0.015 * 1.73 * 0.0000166667)
    assert reads.most == pytest.approx(3.70 + reads.function + reads.disk + 0.252)
    writes = costs.million_writes(ASKED, Prices())
    assert writes.disk == pytest.approx(data + 2 * 4 * 1024 / 2**30 * 0.07 * 1e6)
