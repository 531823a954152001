"""How long a rewrap of everything takes (processing_fn/service/rewrapping.py).

A worker takes a shard number and goes through that shard of every database, in calls of a second. A
call begins with the listing of the directory that the last one has ended in; what is left of the
second is for files: their headers one after the other, the rewraps on a few threads.
"""

import math
from dataclasses import dataclass
from typing import Final

from benchmarks.scale import ends
from benchmarks.scale.operations import Operation
from benchmarks.scale.published import NAMES_LISTED_PER_SECOND_ON_EFS, FileSystem
from strongroom import limits

_CHUNK: Final = 64
_HEADER: Final = Operation(("open", "read"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do.

    Attributes:
        entities: Of all databases.
        databases: All of the same size.
        workers: How many do it.
        names_per_second: How fast one client lists a directory.
    """

    entities: int
    databases: int
    workers: int
    names_per_second: float = NAMES_LISTED_PER_SECOND_ON_EFS

    @property
    def files(self) -> float:
        """Return how many blobs one directory has."""
        return self.entities / (self.databases * ends.SHARDS)


def seconds(plan: Plan, rewrap: Operation, disk: FileSystem) -> float:
    """Return how long both passes take: one rewraps, one looks that nothing is left behind.

    Infinite where a directory cannot be listed within a call: no call ever comes along.
    """
    header_s = _HEADER.seconds(disk)
    rewrap_s = header_s + rewrap.seconds(disk) / limits.SCAN_THREADS
    rewrapping = _pass_s(plan, rewrap_s, plan.entities / ends.per_second(_both(rewrap), disk))
    verifying = _pass_s(plan, header_s, plan.entities / ends.per_second(_HEADER, disk))
    return rewrapping + verifying


def _both(rewrap: Operation) -> Operation:
    return Operation((*_HEADER.calls, *rewrap.calls))


def _pass_s(plan: Plan, file_s: float, by_quota_s: float) -> float:
    at_once = min(plan.workers, ends.SHARDS)
    directories = plan.databases * ends.SHARDS
    return max(by_quota_s, directories * _directory_s(plan, file_s) / at_once)


def _directory_s(plan: Plan, file_s: float) -> float:
    """Return how long one worker takes for one directory."""
    listed_s = 2 * plan.files / plan.names_per_second
    whole_s = listed_s + plan.files * file_s
    if whole_s <= limits.SCAN_SECONDS:
        return whole_s
    # A call goes on for as long as it has listed, and looks at the clock after each chunk.
    chunks = math.ceil(max(limits.SCAN_SECONDS, listed_s) / (_CHUNK * file_s))
    call_s = listed_s + chunks * _CHUNK * file_s
    if call_s > limits.REWRAP_CALL_SECONDS:
        return math.inf
    return plan.files / (chunks * _CHUNK) * call_s
