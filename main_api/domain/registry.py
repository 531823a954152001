"""The registry of Processing Workers: records with a lease; no lease, no worker."""

from collections.abc import Container, Iterable
from typing import Final

import msgspec

from strongroom import limits
from strongroom.errors import InvalidArgumentError


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker tells of itself with its registration and with every renewal.

    Attributes:
        load: How many requests it had under way, on the average since the report before.
        cache_entries: How many documents its cache has.
        cache_bytes: Their size.
        version: Of its software.
        is_draining: It finishes what it has begun, and is to be asked for nothing more.
    """

    load: float = 0.0
    cache_entries: int = 0
    cache_bytes: int = 0
    version: str = ""
    is_draining: bool = False


NO_REPORT: Final = Report()


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A Processing Worker as the registry knows it.

    Attributes:
        worker_id: Its id.
        address: host:port of its ProcessingService.
        subscription_id: Which subscription registered it; a later one supersedes it.
        registered_at: RFC 3339.
        lease_until_ms: Wall time, milliseconds since 1970; it is gone from then on.
        has_left: It takes no more requests, and finishes within its lease what it has begun.
        superseded_until_ms: Until when earlier subscriptions of this worker may still write.
        key_id: The data key that it has confirmed: it writes under no other one.
        generation: The keyring's generation whose keys it has confirmed to have, and no others.
        written_key_id: The data key that `written_bytes` is about.
        written_bytes: What it has written under that key, and what workers had whose records it
            has taken the place of.
        certificate_until_ms: When the certificate ends that it has shown last; 0 for unknown.
        report: What it told of itself last.
    """

    worker_id: str
    address: str
    subscription_id: str
    registered_at: str
    lease_until_ms: int
    has_left: bool = False
    superseded_until_ms: int = 0
    key_id: str = ""
    generation: int = 0
    written_key_id: str = ""
    written_bytes: int = 0
    certificate_until_ms: int = 0
    report: Report = NO_REPORT

    def is_live(self, now_ms: int) -> bool:
        """Tell whether the lease still runs, and the worker has not left."""
        return not self.has_left and now_ms < self.lease_until_ms


class MainRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A gRPC Main Worker that is in service.

    Attributes:
        address: host:port at which workers subscribe.
        lease_until_ms: Wall time, milliseconds since 1970; it is gone from then on.
    """

    address: str
    lease_until_ms: int


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a worker may not come into service, whatever certificate it shows.

    Attributes:
        worker_id: Whose.
        revoked_at: RFC 3339; empty where the record cannot be read, which lifts nothing.
    """

    worker_id: str
    revoked_at: str


class WorkerCredential(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of the credential with which a worker subscribes over REST.

    Attributes:
        worker_id: Whose.
        secret_mac: HMAC-SHA256 of it under the client-secret key, base64.
        secret_key_id: Which key that is.
        created_at: RFC 3339.
    """

    worker_id: str
    secret_mac: str
    secret_key_id: str
    created_at: str


def check(report: Report) -> None:
    """Let pass what a worker can have to tell.

    Raises:
        InvalidArgumentError: It is no such thing.
    """
    counts = (report.cache_entries, report.cache_bytes)
    if not (
        # Of what is no number neither comparison is true.
        0.0 <= report.load <= limits.WORKER_LOAD_TOLD_MAX
        and all(0 <= count <= limits.CACHE_BYTES_TOLD_MAX for count in counts)
        and len(report.version) <= limits.VERSION_CHARS_MAX
        and report.version.isprintable()
    ):
        raise InvalidArgumentError("the report is none that a worker makes")


def live(
    records: Iterable[WorkerRecord], revoked: Container[str], now_ms: int
) -> tuple[WorkerRecord, ...]:
    """Return the workers whose lease runs and that are not revoked, in a stable order."""
    found = (r for r in records if r.is_live(now_ms) and r.worker_id not in revoked)
    return tuple(sorted(found, key=lambda record: record.worker_id))


def available(
    records: Iterable[WorkerRecord], revoked: Container[str], now_ms: int
) -> tuple[WorkerRecord, ...]:
    """Return the live workers that are to be asked for something."""
    found = live(records, revoked, now_ms)
    return tuple(record for record in found if not record.report.is_draining)


def superseded_until_ms(known: WorkerRecord | None, subscription_id: str, now_ms: int) -> int:
    """Return until when earlier subscriptions of a worker may still write; 0 where none may.

    Args:
        known: The worker's record as it is.
        subscription_id: The subscription that it is for from now on.
        now_ms: Wall time.
    """
    if known is None:
        return 0
    own_ms = 0 if known.subscription_id == subscription_id else known.lease_until_ms
    until_ms = max(known.superseded_until_ms, own_ms)
    return until_ms if now_ms < until_ms + limits.CLOCK_SKEW_MS_MAX else 0


def written_under(key_id: str, records: Iterable[WorkerRecord]) -> int:
    """Return how much the workers have written under a data key."""
    return sum(record.written_bytes for record in records if record.written_key_id == key_id)


def with_written(record: WorkerRecord, key_id: str, size_bytes: int) -> WorkerRecord:
    """Return a record with what its worker has written since it told last, under one key."""
    before = written_under(key_id, [record])
    return msgspec.structs.replace(record, written_key_id=key_id, written_bytes=before + size_bytes)
