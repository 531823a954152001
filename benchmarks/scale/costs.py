"""What a deployment costs, in US dollars: docs/deploy.md tells the sums that come out here."""

from dataclasses import dataclass
from typing import Final

from benchmarks.scale import ends
from benchmarks.scale.operations import Operation, Operations
from benchmarks.scale.published import (
    DATA_BYTES_MIN,
    GIBIBYTE,
    HOURS,
    FileSystem,
    Prices,
)
from strongroom import limits

_SECONDS: Final = HOURS * 3600
_ENDPOINTS: Final = 5
_RENEWALS_PER_SECOND: Final = limits.LEASE_RENEWALS_PER_LEASE / limits.LEASE_SECONDS
_IDLE_LOOKS_PER_SECOND: Final = 1 / limits.KEYRING_FOLLOWED_EVERY_SECONDS


@dataclass(frozen=True, slots=True)
class Size:
    """A deployment.

    Attributes:
        workers: Processing Workers.
        mains: Main Workers that serve gRPC.
        zones: Availability zones.
        gigabytes: Of data.
        worker_vcpu: Of each worker; twice as many gigabytes of memory.
        changed: How often the data's size the backups are together, the first one included.
    """

    workers: int
    mains: int
    zones: int
    gigabytes: float
    worker_vcpu: float = 2
    changed: float = 2.0


@dataclass(frozen=True, slots=True)
class AtRest:
    """What a month costs without any request.

    Attributes:
        watching: What Main and Processing Workers ask of EFS to know of each other, at the most.
        watching_cached: The same, if NFS's own cache keeps them from reading what has not changed.
    """

    workers: float
    mains: float
    endpoints: float
    balancer: float
    stored: float
    backups: float
    watching: float
    watching_cached: float
    rest: float

    @property
    def most(self) -> float:
        """Return the sum."""
        return self._but_watching + self.watching

    @property
    def least(self) -> float:
        """Return the sum, NFS's cache being as good as can be."""
        return self._but_watching + self.watching_cached

    @property
    def _but_watching(self) -> float:
        fixed = self.workers + self.mains + self.endpoints + self.balancer
        return fixed + self.stored + self.backups + self.rest


def at_rest(size: Size, operations: Operations, disk: FileSystem, prices: Prices) -> AtRest:
    """Return what a month costs without any request."""
    core_hour = prices.vcpu_hour + 2 * prices.gigabyte_hour
    watched = _watching(size, operations, disk)
    return AtRest(
        workers=size.workers * HOURS * size.worker_vcpu * core_hour,
        mains=size.mains * HOURS * core_hour,
        endpoints=_ENDPOINTS * size.zones * HOURS * prices.endpoint_hour,
        balancer=HOURS * prices.balancer_hour,
        stored=size.gigabytes * prices.stored_gigabyte,
        backups=size.gigabytes * size.changed * prices.backup_gigabyte,
        watching=_SECONDS * _per_second(watched, prices, cached=False),
        watching_cached=_SECONDS * _per_second(watched, prices, cached=True),
        rest=prices.keys_and_alarms,
    )


@dataclass(frozen=True, slots=True)
class _Watched:
    """An operation of the watching.

    Attributes:
        times: How often in a second.
        changed: Which share of what it reads has changed since it was read last.
    """

    operation: Operation
    times: float
    changed: float


def _watching(size: Size, operations: Operations, disk: FileSystem) -> list[_Watched]:
    looks = size.mains * ends.looks_per_second(operations, size.workers, disk)
    renewals = size.workers * _RENEWALS_PER_SECOND
    changed = min(1.0, size.mains * _RENEWALS_PER_SECOND / looks)
    return [
        _Watched(operations.look_once, looks, 0.0),
        _Watched(operations.look, looks * size.workers, changed),
        _Watched(operations.idle, size.mains * _IDLE_LOOKS_PER_SECOND, 0.0),
        _Watched(operations.renewal, renewals, 1.0),
    ]


def _per_second(watched: list[_Watched], prices: Prices, *, cached: bool) -> float:
    return sum(
        one.times * disk_dollars(one.operation, prices, read=one.changed if cached else 1.0)
        for one in watched
    )


def disk_dollars(operation: Operation, prices: Prices, *, read: float = 1.0) -> float:
    """Return what EFS bills for an operation.

    Args:
        operation: Which.
        prices: What it charges.
        read: Which share of the reading reaches it; the rest is in NFS's own cache.
    """
    kept = (1 - read) * operation.calls.count("read") * DATA_BYTES_MIN
    return (
        (operation.read_bytes - kept) * prices.read_gigabyte
        + operation.written_bytes * prices.written_gigabyte
    ) / GIBIBYTE


@dataclass(frozen=True, slots=True)
class PerMillion:
    """What a million requests over REST cost."""

    gateway: float
    function: float
    disk: float
    disk_cached: float
    log: float

    @property
    def most(self) -> float:
        """Return the sum."""
        return self.gateway + self.function + self.disk + self.log

    @property
    def least(self) -> float:
        """Return the sum, NFS's cache being as good as can be."""
        return self.gateway + self.function + self.disk_cached + self.log


_FUNCTION_GIGABYTES: Final = 1.73
_READ_S: Final = 0.015
_WRITE_S: Final = 0.060
_CACHED: Final = 0.9
"""Which share of reads finds the document in a worker's cache."""
_LOGGED_BYTES: Final = 400


def million_reads(operations: Operations, prices: Prices) -> PerMillion:
    """Return what reads cost, nine of ten out of a worker's cache."""

    def disk(read: float) -> float:
        warm = disk_dollars(operations.warm_read, prices, read=read)
        return _CACHED * warm + (1 - _CACHED) * disk_dollars(operations.cold_read, prices)

    return _million(_READ_S, disk(1.0), disk(0.0), prices)


def million_writes(operations: Operations, prices: Prices) -> PerMillion:
    """Return what writes cost."""
    disk = disk_dollars(operations.write, prices)
    return _million(_WRITE_S, disk, disk_dollars(operations.write, prices, read=0.0), prices)


def _million(busy_s: float, disk: float, disk_cached: float, prices: Prices) -> PerMillion:
    function_s = busy_s * _FUNCTION_GIGABYTES * prices.lambda_gigabyte_second
    return PerMillion(
        gateway=prices.request_million,
        function=prices.lambda_million + 1e6 * function_s,
        disk=1e6 * disk,
        disk_cached=1e6 * disk_cached,
        log=1e6 * _LOGGED_BYTES / 1e9 * prices.log_gigabyte,
    )
