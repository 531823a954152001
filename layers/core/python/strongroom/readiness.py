"""Whether a process can do its work, and if not what is in the way: named checks, bounded in time.

Each check looks at one thing that requests need. What it says is made of closed lists: a name of
`Name`, a reason of `Reason` with the advice that belongs to it, and the few facts of `FACTS`.
`/readyz?verbose` tells it to anybody, without a token, so no check has words of its own: a path of
the disk, an address, the name of a key, of a worker or of an error's author cannot get there.

A directory on a mount that is dead does not answer, ever. So what looks at one runs in a thread of
its own, one for each check at the most, and whoever asks waits for `limits.READINESS_WAIT_SECONDS`
altogether: what has not answered by then is told as that. Answers are kept for a moment, or
strangers could have the disk looked at as often as they like.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from strongroom import durable, limits, logs
from strongroom.clock import Clock, rfc3339
from strongroom.errors import IntegrityError, StrongroomError
from strongroom.identity import LiveIdentity
from strongroom.layout import Layout

_log = logs.logger()


class Name(StrEnum):
    """What is looked at."""

    WORKERS = "workers"
    REGISTRY = "registry"
    KEYRING = "keyring"
    KEY_PROVIDER = "key-provider"
    AUDIT_LOG = "audit-log"
    LEASE = "lease"
    STORAGE_READ = "storage-read"
    STORAGE_WRITE = "storage-write"
    CERTIFICATE = "certificate"
    CLOCK = "clock"


class Status(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    """Something is wrong, and requests are served all the same."""
    FAILED = "failed"


class Reason(StrEnum):
    """What is wrong."""

    NO_ANSWER = "no-answer"
    NO_WORKER = "no-worker"
    NO_LEASE = "no-lease"
    STALE = "stale"
    UNREADABLE = "unreadable"
    UNWRITABLE = "unwritable"
    DAMAGED = "damaged"
    PROVIDER_UNAVAILABLE = "provider-unavailable"
    ENDS_SOON = "ends-soon"
    ENDED = "ended"
    CLOCK_OFF = "clock-off"
    DEFECT = "defect"


ADVICE: Final[Mapping[Reason, str]] = {
    Reason.NO_ANSWER: "It does not answer in time. See whether the shared directory's mount does,"
    " and whether the machine is overloaded.",
    Reason.NO_WORKER: "Start a Processing Worker; where some run, their logs say why they have no"
    " lease.",
    Reason.NO_LEASE: "The worker has no lease. Its log says why: see whether it reaches a Main"
    " Worker, whether it was revoked, whether its clock is right.",
    Reason.STALE: "It was not read for too long. See whether the shared directory answers.",
    Reason.UNREADABLE: "It cannot be read. See whether the shared directory is mounted, and whose"
    " it is.",
    Reason.UNWRITABLE: "It cannot be written. See whether the shared directory is full, read-only,"
    " or another user's.",
    Reason.DAMAGED: "It does not verify. Run `strongroom verify`, and restore it from a backup.",
    Reason.PROVIDER_UNAVAILABLE: "The key provider does not open the keyring; nothing that is"
    " stopped could start now. The Main Worker's log has what it said.",
    Reason.ENDS_SOON: "The certificate ends soon and was not renewed. See the log, or renew it:"
    " `strongroom worker enrol NAME --renew`.",
    Reason.ENDED: "The certificate has ended. Renew it: `strongroom worker enrol NAME --renew`.",
    Reason.CLOCK_OFF: "The clocks of two machines differ. See whether they are synchronized.",
    Reason.DEFECT: "A defect of Strongroom; the log of the process has more.",
}
"""What to do, for each reason."""

FACTS: Final = frozenset({"age_seconds", "count", "until", "left_seconds", "skew_ms"})
"""What a check may tell beside that."""
Fact = int | float | str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check has found: nothing wrong, or a reason; and facts."""

    reason: Reason | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at.

    Attributes:
        name: Its name.
        look: Looks at it. It may raise a StrongroomError, which is told as `reason`.
        reason: See there.
        is_needed: Whether no request can be served without it.
        blocks: Whether it may be kept waiting, by a disk or a network.
        every_s: For how long its answer is kept.
    """

    name: Name
    look: Callable[[], Verdict]
    reason: Reason = Reason.UNREADABLE
    is_needed: bool = True
    blocks: bool = False
    every_s: float = limits.READINESS_KEPT_SECONDS


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing is.

    Attributes:
        name: Its name.
        status: How it is.
        since: RFC 3339: since when it is so, as far as this process knows.
        reason: What is wrong, None for nothing.
        facts: What else is known of it.
    """

    name: Name
    status: Status
    since: str
    reason: Reason | None
    facts: Mapping[str, Fact]


class _Standing:
    """What is known of one check."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.verdict = Verdict()
        self.is_known = False
        self.looked_s = 0.0
        self.since = ""
        self.under_way: threading.Event | None = None

    def is_due(self, now_s: float) -> bool:
        return not self.is_known or now_s >= self.looked_s + self.check.every_s


class Checkup:
    """Looks at everything. Safe under threads."""

    def __init__(
        self,
        checks: Sequence[Check],
        clock: Clock,
        wait_s: float = limits.READINESS_WAIT_SECONDS,
    ) -> None:
        """Take the checks; nothing is looked at yet."""
        self._clock = clock
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._standings = [_Standing(check) for check in checks]

    def findings(self) -> tuple[Finding, ...]:
        """Return how everything is, within `wait_s`."""
        waited_for = {
            one.check.name: self._look(one) for one in self._standings if one.check.blocks
        }
        until_s = self._clock.boot_s() + self._wait_s
        for ended in filter(None, waited_for.values()):
            ended.wait(max(0.0, until_s - self._clock.boot_s()))
        # After those that read: the others tell of what these have found.
        for standing in self._standings:
            if not standing.check.blocks:
                self._look(standing)
        return tuple(self._told(one, waited_for.get(one.check.name)) for one in self._standings)

    def is_ready(self) -> bool:
        """Tell whether requests can be served."""
        return is_ready(self.findings())

    def _look(self, standing: _Standing) -> threading.Event | None:
        """Have a check made where it is due; return what ends when it does, if it is waited for."""
        with self._lock:
            if standing.under_way is not None:
                return standing.under_way
            if not standing.is_due(self._clock.boot_s()):
                return None
            standing.under_way = ended = threading.Event()
        if standing.check.blocks:
            name = f"check-{standing.check.name}"
            make = threading.Thread(target=self._make, args=(standing, ended), name=name)
            make.daemon = True
            try:
                make.start()
            except RuntimeError:  # there is no further thread to be had just now
                self._end(standing, ended, Verdict(Reason.NO_ANSWER))
        else:
            self._make(standing, ended)
        return ended

    def _make(self, standing: _Standing, ended: threading.Event) -> None:
        self._end(standing, ended, _verdict(standing.check))

    def _end(self, standing: _Standing, ended: threading.Event, verdict: Verdict) -> None:
        with self._lock:
            standing.under_way = None
            standing.looked_s = self._clock.boot_s()
            self._take(standing, verdict)
        ended.set()

    def _told(self, standing: _Standing, waited_for: threading.Event | None) -> Finding:
        with self._lock:
            # What somebody else has begun meanwhile may answer yet: the last answer stands.
            if waited_for is not None and standing.under_way is waited_for:
                self._take(standing, Verdict(Reason.NO_ANSWER))
            reason = standing.verdict.reason
            return Finding(
                standing.check.name,
                _status(standing.check, reason),
                standing.since,
                reason,
                standing.verdict.facts,
            )

    def _take(self, standing: _Standing, verdict: Verdict) -> None:
        """Keep a verdict; log it where it is another one than the last."""
        before = standing.verdict.reason if standing.is_known else None
        if not standing.is_known or (before is None) != (verdict.reason is None):
            standing.since = rfc3339(self._clock.wall_ms())
        standing.is_known, standing.verdict = True, verdict
        if verdict.reason is not None and verdict.reason is not before:
            _log.warning("check-failed", code=standing.check.name, reason=verdict.reason)
        elif verdict.reason is None and before is not None:
            _log.info("check-passes-again", code=standing.check.name)


def is_ready(findings: Sequence[Finding]) -> bool:
    """Tell whether requests can be served."""
    return all(finding.status is not Status.FAILED for finding in findings)


def report(findings: Sequence[Finding]) -> tuple[bool, bytes]:
    """Return whether requests can be served, and all of it as JSON."""
    is_well = is_ready(findings)
    checks = [
        {
            "name": one.name,
            "status": one.status,
            "since": one.since,
            **({"reason": one.reason, "advice": ADVICE[one.reason]} if one.reason else {}),
            "facts": dict(one.facts),
        }
        for one in findings
    ]
    document = {"status": "ok" if is_well else "unavailable", "checks": checks}
    return is_well, msgspec.json.encode(document)


def storage_checks(filesystem: durable.Filesystem, layout: Layout) -> tuple[Check, ...]:
    """Return the checks of the shared directory: that it can be listed, and written."""
    control = str(layout.keyring().parent)

    def read() -> Verdict:
        try:
            filesystem.list_directory(control)
        except OSError:
            return Verdict(Reason.UNREADABLE)
        return Verdict()

    def write() -> Verdict:
        try:
            with durable.opened(filesystem, filesystem.open_directory(control)) as directory:
                # What a kill leaves here is swept as all temporary files are.
                name = durable.stage(filesystem, directory, b"\0", is_durable=False)
                durable.discard(filesystem, directory, name)
        except OSError:
            return Verdict(Reason.UNWRITABLE)
        return Verdict()

    return (
        Check(Name.STORAGE_READ, read, blocks=True),
        Check(
            Name.STORAGE_WRITE,
            write,
            is_needed=False,
            blocks=True,
            every_s=limits.READINESS_WRITTEN_EVERY_SECONDS,
        ),
    )


def certificate_check(identity: LiveIdentity, clock: Clock) -> Check:
    """Return the check of the certificate that this process shows others."""

    def look() -> Verdict:
        certificate = identity.current().certificate
        now_ms = clock.wall_ms()
        until = {"until": certificate.until}
        if certificate.has_ended(now_ms):
            return Verdict(Reason.ENDED, until)
        # Renewed when a third is left: what is left with a sixth was not.
        ends_soon = 6 * (certificate.ends_ms - now_ms) <= certificate.lifetime_ms
        return Verdict(Reason.ENDS_SOON if ends_soon else None, until)

    return Check(Name.CERTIFICATE, look, is_needed=False, blocks=True)


def _verdict(check: Check) -> Verdict:
    try:
        return check.look()
    except IntegrityError:
        return Verdict(Reason.DAMAGED)
    except StrongroomError:
        return Verdict(check.reason)
    except Exception:  # noqa: BLE001 - the boundary: nobody is told of readiness by an error
        _log.exception("check-defective", code=check.name)
        return Verdict(Reason.DEFECT)


def _status(check: Check, reason: Reason | None) -> Status:
    if reason is None:
        return Status.OK
    return Status.FAILED if check.is_needed or reason is Reason.ENDED else Status.WARNING
