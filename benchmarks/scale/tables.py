"""What the simulation tells, as tables of text; docs/capacity.md holds the same."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.scale import costs, ends, fleet, rewrap, storm
from benchmarks.scale.operations import Operation, Operations
from benchmarks.scale.published import (
    NAME_LISTED_S,
    QUOTA_RAISED,
    READ_BEST_S,
    FileSystem,
    Prices,
)
from strongroom import limits

FLEETS: Final = (10, 100, 1_000, 10_000)
CORES: Final = 2.0
"""Of a worker, as in stage `prod`."""
_ASKED: Final = {10: 20_000, 100: 20_000, 1_000: 4_000, 10_000: 500}
_CALLS: Final = 4
"""That a worker has under way on the average, where keys are hot."""
_ZIPF_KEYS: Final = 2_000
_ZIPF_FLEET_MAX: Final = 1_000
_ENTITIES: Final = 10**9
_NONE: Final = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below a head."""

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Basis:
    """What the tables rest on."""

    operations: Operations
    disk: FileSystem
    prices: Prices
    seed: int = 1


def placement(count: int, seed: int) -> tuple[str, ...]:
    """Return the row of a fleet in the table of placement."""
    draws = fleet.Draws(seed + count)
    keys = draws.keys(_ASKED[count])
    first = fleet.first_in_rank(fleet.workers(count), keys)
    balance = fleet.balance(count, first, draws)
    hot = fleet.one_hot_key(count, _CALLS, 0.1, draws)
    zipf = "-"
    if count <= _ZIPF_FLEET_MAX:
        found = fleet.zipfian(count, _CALLS, _ZIPF_KEYS, draws)
        zipf = f"{found.alone:.1f} -> {found.bounded:.1f}"
    moved = fleet.moved(count, 0.1, keys, first)
    return (
        _whole(count),
        f"{balance.deviation:.2f}",
        f"{balance.fullest:.3f}",
        f"{hot.alone:.1f} -> {hot.bounded:.1f}",
        _whole(hot.serving),
        zipf,
        f"{moved.share:.1%}, {moved.needlessly:.0%}",
    )


PLACEMENT_HEAD: Final = (
    "workers",
    "chi-square / degrees of freedom",
    "fullest worker / average",
    "one key has 10 % of the calls: busiest / average",
    "workers that serve it",
    "Zipf: busiest / average",
    "a tenth dies: keys moved, needlessly",
)


def placements(rows: Sequence[tuple[str, ...]]) -> Table:
    """Return the table of placement."""
    return Table("placement", PLACEMENT_HEAD, tuple(rows))


def operations(basis: Basis) -> Table:
    """Return what each operation asks of EFS."""
    told = {
        "read, document in the worker's cache": basis.operations.warm_read,
        "read, document not in the cache": basis.operations.cold_read,
        "write": basis.operations.write,
        "rewrap of a file": basis.operations.rewrap,
        "a Main Worker looks at one worker's record": basis.operations.look,
        "renewal of a lease": basis.operations.renewal,
    }
    return Table(
        "operations",
        ("what", "reads", "writes", "takes", "of the quota, per second", "billed, per million"),
        tuple(_operation(name, operation, basis) for name, operation in told.items()),
    )


def _operation(name: str, operation: Operation, basis: Basis) -> tuple[str, ...]:
    return (
        name,
        str(operation.reads),
        str(operation.writes),
        f"{operation.seconds(basis.disk) * 1_000:.0f} ms",
        _whole(ends.per_second(operation, basis.disk)),
        f"{1e6 * costs.disk_dollars(operation, basis.prices):.2f}",
    )


def growth(basis: Basis) -> Table:
    """Return what grows with the number of workers."""
    return Table(
        "growth",
        (
            "workers",
            "Main Workers",
            "one looks at all of them in",
            "and asks EFS for",
            "so many Main Workers use up EFS",
            "ranking, each request",
            "renewals, of EFS' writes",
            "writes that all hear of",
            "locks on the fullest file",
        ),
        tuple(_growth(count, basis) for count in FLEETS),
    )


def _growth(count: int, basis: Basis) -> tuple[str, ...]:
    mains = ends.main_workers(count)
    draws = fleet.Draws(basis.seed + count)
    return (
        _whole(count),
        str(mains),
        f"{ends.look_s(basis.operations, count, basis.disk):.2f} s",
        f"{_whole(ends.registry_reads_per_second(basis.operations, count, basis.disk))}/s",
        _whole(ends.busy_main_workers(basis.operations, count, basis.disk)),
        f"{ends.ranking_s(count) * 1_000:.3f} ms",
        f"{ends.renewals_share(basis.operations, count, basis.disk):.2%}",
        f"{_whole(ends.writes_all_hear_of(count, mains))}/s",
        _whole(ends.locks_on_the_fullest_file(count, draws)),
    )


def limits_met(basis: Basis) -> Table:
    """Return where the design ends."""
    disk, asked = basis.disk, basis.operations
    best = FileSystem(read_s=READ_BEST_S)
    at_best = 1 / NAME_LISTED_S

    def quota(operation: Operation) -> tuple[str, str]:
        per_second = ends.per_second(operation, disk)
        fleet_size = ends.workers_at_the_quota(operation, disk, CORES)
        raised = math.ceil(fleet_size * QUOTA_RAISED)
        return (
            f"{_whole(per_second)}/s, {math.ceil(fleet_size)} workers",
            f"{_whole(per_second * QUOTA_RAISED)}/s, {raised} workers: EFS' quota raised",
        )

    one_key = 1 / asked.write.seconds(disk)
    rows = (
        ("writes, all together", *quota(asked.write)),
        ("reads out of a cache, `strict`", *quota(asked.warm_read)),
        ("writes of one entity", f"{_whole(one_key)}/s", _NONE),
        (
            "entities of one database, for pages",
            _millions(ends.entities_paged()),
            f"{_millions(ends.entities_paged(at_best))}: listing at processor's speed",
        ),
        (
            "entities of one database, for a rewrap",
            _millions(ends.entities_rewrapped()),
            f"{_millions(ends.entities_rewrapped(at_best))}: the same",
        ),
        ("workers, by ranking", _whole(ends.workers_ranked_in_a_request()), _NONE),
        ("workers, by connections of a Main Worker", _whole(limits.WORKER_CONNECTIONS_MAX), _NONE),
        (
            "workers, by the registry",
            _whole(ends.workers_still_listed(asked, disk)),
            f"{_whole(ends.workers_still_listed(asked, best))}: reads of EFS at their best",
        ),
        (
            "workers, Main Workers and Lambdas, by clients of EFS",
            _whole(disk.connections),
            _NONE,
        ),
        ("workers, by locks on one file", _whole(ends.workers_within_locks(disk)), _NONE),
    )
    return Table("ends", ("what", "ends at", "or at"), rows)


def storms(basis: Basis) -> Table:
    """Return what follows when workers die."""
    rows = []
    for rate in (1_000, 10_000, 50_000):
        for share in (0.1, 0.3):
            load = storm.Load(rate, 1_000_000)
            found = storm.storm(load, share, basis.operations, basis.disk)
            rows.append(
                (
                    _whole(rate),
                    f"{share:.0%}",
                    f"{found.before:.1%}",
                    f"{found.peak:.1%}",
                    f"{found.bounded:.1%}",
                    f"{found.warm_s / 60:.1f} min",
                )
            )
    return Table(
        "storms",
        (
            "reads per second",
            "workers that die",
            "EFS' reads before",
            "and at once",
            "at once, `bounded`",
            "warm after",
        ),
        tuple(rows),
    )


def rewraps(basis: Basis) -> Table:
    """Return how long a rewrap of 10^9 entities takes."""
    fleets = (10, 24, 100, 256)
    rows = []
    for databases in (1, 100, 1_000, 10_000):
        took = [
            rewrap.seconds(
                rewrap.Plan(_ENTITIES, databases, workers), basis.operations.rewrap, basis.disk
            )
            for workers in fleets
        ]
        rows.append((_whole(databases), _whole(_ENTITIES // databases), *map(_days, took)))
    head = ("databases", "entities in each", *(f"{workers} workers" for workers in fleets))
    return Table("rewraps", head, tuple(rows))


def monthly(basis: Basis) -> Table:
    """Return what fleets cost."""
    rows = []
    for count in FLEETS:
        size = costs.Size(count, ends.main_workers(count), 3, 80 * count)
        month = costs.at_rest(size, basis.operations, basis.disk, basis.prices)
        rows.append(
            (
                _whole(count),
                f"{_whole(size.gigabytes)} GB",
                _whole(month.workers + month.mains),
                _whole(month.stored + month.backups),
                f"{_whole(month.watching_cached)} to {_whole(month.watching)}",
                f"{_whole(month.least)} to {_whole(month.most)}",
            )
        )
    return Table(
        "monthly",
        ("workers", "data", "tasks", "data and backups", "watching each other", "together"),
        tuple(rows),
    )


def _days(seconds: float) -> str:
    if math.isinf(seconds):
        return "never"
    return f"{seconds / 86_400:.1f} days"


def _millions(count: float) -> str:
    return f"{count / 1e6:.0f} million"


def _whole(number: float) -> str:
    return f"{number:,.0f}"
