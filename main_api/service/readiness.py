"""What a Main Worker looks at, to tell whether it can serve requests and what is in the way."""

from math import isfinite
from typing import Final

from main_api.service.audit.trail import Audit
from main_api.service.keys.health import KeyHealth
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.requests.dispatch import Dispatcher
from strongroom import durable, limits
from strongroom.clock import Clock
from strongroom.errors import IntegrityError, StrongroomError
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

_STALE_S: Final = 2 * limits.READINESS_WAIT_SECONDS + limits.REGISTRY_REFRESH_SECONDS


class MainReadiness:
    """The checks of a Main Worker, over the parts that requests go through."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        keyring: LiveKeyring,
        key_health: KeyHealth,
        audit: Audit,
        clock: Clock,
    ) -> None:
        """Take the parts."""
        self._dispatcher = dispatcher
        self._keyring = keyring
        self._key_health = key_health
        self._audit = audit
        self._clock = clock
        self._keyring_read_s = clock.boot_s()

    def checkup(
        self, filesystem: durable.Filesystem, layout: Layout, identity: LiveIdentity
    ) -> Checkup:
        """Return what looks at all of it."""
        checks = (
            Check(Name.WORKERS, self._workers, blocks=True),
            Check(Name.REGISTRY, self._registry, is_needed=False),
            Check(Name.CLOCK, self._clocks, is_needed=False),
            Check(Name.KEYRING, self._read_keyring, is_needed=False, blocks=True),
            Check(
                Name.KEY_PROVIDER,
                self._provider,
                Reason.PROVIDER_UNAVAILABLE,
                is_needed=False,
                blocks=True,
            ),
            Check(Name.AUDIT_LOG, self._audited, is_needed=self._audit.is_needed),
            *storage_checks(filesystem, layout),
            certificate_check(identity, self._clock),
        )
        return Checkup(checks, self._clock)

    def _workers(self) -> Verdict:
        count = len(self._dispatcher.live_workers())
        return Verdict(None if count else Reason.NO_WORKER, {"count": count})

    def _registry(self) -> Verdict:
        """Tell how old the view is that requests go by; the check of the workers renews it."""
        age_s = self._dispatcher.registry_view().age_s
        facts = {"age_seconds": round(age_s, 3)} if isfinite(age_s) else {}
        return Verdict(Reason.STALE if age_s > _STALE_S else None, facts)

    def _clocks(self) -> Verdict:
        """Compare with the Main Workers that have granted the leases in the registry.

        No lease ends later than its whole length from now, unless this clock is behind that of
        whoever granted it. (Where this one is ahead, leases seem to have ended: no worker is live.)
        """
        until_ms = self._dispatcher.registry_view().lease_until_ms
        skew_ms = max(0, until_ms - limits.LEASE_SECONDS * 1000 - self._clock.wall_ms())
        is_off = skew_ms > limits.CLOCK_SKEW_MS_MAX
        return Verdict(Reason.CLOCK_OFF if is_off else None, {"skew_ms": skew_ms})

    def _read_keyring(self) -> Verdict:
        """Tell whether the keyring's file can be followed, and how old what is in use may be."""
        now_s = self._clock.boot_s()
        reason = None
        try:
            self._keyring.follow()
            self._keyring_read_s = now_s
        except IntegrityError:
            reason = Reason.DAMAGED
        except StrongroomError:
            reason = Reason.UNREADABLE
        return Verdict(reason, {"age_seconds": round(now_s - self._keyring_read_s, 3)})

    def _provider(self) -> Verdict:
        is_up = self._key_health.state().is_up
        return Verdict(None if is_up else Reason.PROVIDER_UNAVAILABLE)

    def _audited(self) -> Verdict:
        return Verdict(None if self._audit.state().is_up else Reason.UNWRITABLE)
