"""What a Processing Worker looks at, to tell whether it can serve and what is in the way."""

from processing_fn.service.membership import Membership
from strongroom import durable, limits
from strongroom.clock import Clock
from strongroom.identity import LiveIdentity
from strongroom.layout import Layout
from strongroom.readiness import (
    Check,
    Checkup,
    Name,
    Reason,
    Verdict,
    certificate_check,
    storage_checks,
)


def checkup(
    membership: Membership,
    filesystem: durable.Filesystem,
    layout: Layout,
    identity: LiveIdentity,
    clock: Clock,
) -> Checkup:
    """Return what looks at all of it."""

    def lease() -> Verdict:
        """Without a lease it has no keys: this is the check of both."""
        left_s = membership.lease_left_s()
        return Verdict(None if left_s else Reason.NO_LEASE, {"left_seconds": round(left_s, 3)})

    def skew() -> Verdict:
        if membership.skew_ms is None:
            return Verdict()
        is_off = membership.skew_ms > limits.CLOCK_SKEW_MS_MAX
        return Verdict(Reason.CLOCK_OFF if is_off else None, {"skew_ms": membership.skew_ms})

    checks = (
        Check(Name.LEASE, lease),
        # With a clock that is off it has no lease: this says why.
        Check(Name.CLOCK, skew, is_needed=False),
        *storage_checks(filesystem, layout),
        certificate_check(identity, clock),
    )
    return Checkup(checks, clock)
