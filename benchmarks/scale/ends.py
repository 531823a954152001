"""Where this design ends: for each thing that grows, the size at which it no longer does.

Arithmetic on what operations ask for (`operations`) and what there is (`published`).
"""

import math
from typing import Final

from benchmarks.scale.fleet import Draws
from benchmarks.scale.operations import Operation, Operations
from benchmarks.scale.published import (
    MESSAGES_PER_MAIN_WORKER,
    NAMES_LISTED_PER_SECOND_ON_EFS,
    RANKED_PER_WORKER_S,
    READS_PER_WORKER_CORE,
    REQUEST_BY_REST_S,
    FileSystem,
)
from strongroom import limits

SHARDS: Final = 256
LOCK_FILES: Final = 256
LOCKS_PER_WORKER: Final = limits.WORKER_THREADS + limits.SCAN_THREADS
"""One for each thread that commits: those of requests, and those of a rewrap."""
_RENEWED_EVERY_S: Final = limits.LEASE_SECONDS / limits.LEASE_RENEWALS_PER_LEASE
LEASE_LEFT_S: Final = limits.LEASE_SECONDS - _RENEWED_EVERY_S
"""What a record's lease has left at least, as long as its worker renews it."""


def main_workers(workers: int) -> int:
    """Return how many gRPC Main Workers there are for a number of workers: one for eight of them.

    Three at least, and no more than a worker holds streams to.
    """
    return min(max(3, math.ceil(workers / 8)), limits.MAIN_WORKERS_TOLD_MAX)


def per_second(operation: Operation, disk: FileSystem) -> float:
    """Return how often all clients together can do something, by the file system's quota."""
    by_reads = disk.reads_per_second / operation.reads
    return (
        min(by_reads, disk.writes_per_second / operation.writes) if operation.writes else by_reads
    )


def per_worker(operation: Operation, disk: FileSystem, cores: float) -> float:
    """Return how often one worker can do something: its threads wait for the file system."""
    by_threads = limits.WORKER_THREADS / operation.seconds(disk)
    return min(by_threads, cores * READS_PER_WORKER_CORE)


def workers_at_the_quota(operation: Operation, disk: FileSystem, cores: float) -> float:
    """Return how many workers ask for all that the file system gives; more of them add nothing."""
    return per_second(operation, disk) / per_worker(operation, disk, cores)


def look_s(operations: Operations, workers: int, disk: FileSystem) -> float:
    """Return how long a Main Worker takes to read the registry, one record after the other."""
    return operations.look_once.seconds(disk) + workers * operations.look.seconds(disk)


def workers_still_listed(operations: Operations, disk: FileSystem) -> int:
    """Return how many workers there may be before records are out of date when they were read.

    The record that was read first is as old as the whole look when it is used.
    """
    left_s = LEASE_LEFT_S - operations.look_once.seconds(disk)
    return int(left_s / operations.look.seconds(disk))


def looks_per_second(operations: Operations, workers: int, disk: FileSystem) -> float:
    """Return how often a Main Worker reads the registry: one look follows the other at most."""
    return 1 / max(limits.REGISTRY_REFRESH_SECONDS, look_s(operations, workers, disk))


def registry_reads_per_second(operations: Operations, workers: int, disk: FileSystem) -> float:
    """Return what one busy Main Worker asks of the file system to know the workers."""
    reads = operations.look_once.reads + workers * operations.look.reads
    return looks_per_second(operations, workers, disk) * reads


def busy_main_workers(operations: Operations, workers: int, disk: FileSystem) -> int:
    """Return how many Main Workers, Lambdas among them, read away the whole quota by looking."""
    return int(disk.reads_per_second / registry_reads_per_second(operations, workers, disk))


def renewals_share(operations: Operations, workers: int, disk: FileSystem) -> float:
    """Return which share of the file system's writes the renewals of leases are."""
    return workers / _RENEWED_EVERY_S * operations.renewal.writes / disk.writes_per_second


def ranking_s(workers: int) -> float:
    """Return what ranking takes of a Main Worker's processor, for each request."""
    return workers * RANKED_PER_WORKER_S


def workers_ranked_in_a_request() -> int:
    """Return with how many workers ranking takes as long as the whole request does without it."""
    return int(REQUEST_BY_REST_S / RANKED_PER_WORKER_S)


def writes_all_hear_of(workers: int, mains: int) -> float:
    """Return how many writes per second every worker still hears of.

    A commit is told to one Main Worker, which passes it on to every other worker. Messages hold
    several commits where one worker has many at once; here each holds one.
    """
    return mains * MESSAGES_PER_MAIN_WORKER / max(1, workers - 1)


def locks_on_the_fullest_file(workers: int, draws: Draws) -> int:
    """Return how many locks the fullest file has while every thread of every worker holds one."""
    held = workers * LOCKS_PER_WORKER
    return max(draws.binomial(held, 1 / LOCK_FILES) for _ in range(LOCK_FILES))


def workers_within_locks(disk: FileSystem) -> int:
    """Return how many workers there may be, each thread holding a lock, all files being as full."""
    return disk.locks_per_file * LOCK_FILES // LOCKS_PER_WORKER


def entities_listed(within_s: float, names_per_second: float) -> int:
    """Return how many entities a database may have for one shard to be listed in time.

    An entity has two names, and whoever asks for a page lists the shard that it begins in.
    """
    return int(SHARDS * within_s * names_per_second / 2)


def entities_paged(names_per_second: float = NAMES_LISTED_PER_SECOND_ON_EFS) -> int:
    """Return how many entities a database may have before a page no longer comes."""
    return entities_listed(limits.READ_ATTEMPT_SECONDS, names_per_second)


def entities_rewrapped(names_per_second: float = NAMES_LISTED_PER_SECOND_ON_EFS) -> int:
    """Return how many entities a database may have before a rewrap no longer comes along."""
    return entities_listed(limits.REWRAP_CALL_SECONDS / 2, names_per_second)
