"""What a Main Worker's metrics read from its use cases whenever somebody asks."""

from collections.abc import Iterator
from contextlib import suppress
from math import isfinite

from main_api.service.audit.trail import Audit
from main_api.service.federation.callers import ForeignCallers
from main_api.service.keys.health import KeyHealth
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.requests.dispatch import Dispatcher
from strongroom.clock import Clock, from_rfc3339
from strongroom.errors import StrongroomError
from strongroom.identity import LiveIdentity
from strongroom.keyring import Purpose
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics, Sample


class Readings:
    """The parts that are asked; each figure has its owner there.

    Not a dataclass: to make one takes a cold start of Lambda as long as the rest of this module.
    """

    def __init__(
        self,
        clock: Clock,
        keyring: LiveKeyring,
        key_health: KeyHealth,
        *,
        dispatcher: Dispatcher,
        identity: LiveIdentity,
        foreign_callers: ForeignCallers,
        audit: Audit,
    ) -> None:
        """Take the parts."""
        self.clock = clock
        self.keyring = keyring
        self.key_health = key_health
        self.dispatcher = dispatcher
        self.identity = identity
        self.foreign_callers = foreign_callers
        self.audit = audit

    def give(self, metrics: Metrics) -> None:
        """Let metrics have what the parts know."""
        provider, keyring = self.key_health.state, self.keyring
        metrics.read(catalogue.KEY_PROVIDER_UP, lambda: provider().is_up)
        metrics.read(catalogue.KEY_PROVIDER_FAILURES, lambda: provider().failures)
        metrics.read(catalogue.KEYRING_GENERATION, lambda: keyring.current.generation)
        metrics.read_all((catalogue.ACTIVE_KEY_AGE, catalogue.KEY_ROTATIONS), self._keys)
        metrics.read(catalogue.WORKERS_LIVE, lambda: len(self.dispatcher.live_workers()))
        metrics.read_all((catalogue.CERTIFICATE_END,), self._certificates)
        of_issuers = (
            catalogue.ISSUER_KEYS_UP,
            catalogue.ISSUER_KEYS_AGE,
            catalogue.ISSUER_KEYS_FAILURES,
        )
        metrics.read_all(of_issuers, self._issuers)
        metrics.read(catalogue.AUDIT_UP, lambda: self.audit.state().is_up)
        metrics.read(catalogue.AUDIT_RECORDS, lambda: self.audit.state().written)
        metrics.read(catalogue.AUDIT_LOST, lambda: self.audit.state().lost)

    def _keys(self) -> Iterator[Sample]:
        keyring = self.keyring.current
        made_ms = from_rfc3339(keyring.active(Purpose.DATA).created_at)
        age_s = (self.clock.wall_ms() - made_ms) / 1000
        yield Sample(catalogue.ACTIVE_KEY_AGE, (), age_s)
        rotations = len(keyring.of(frozenset({Purpose.DATA}))) - 1
        yield Sample(catalogue.KEY_ROTATIONS, (), rotations)

    def _certificates(self) -> Iterator[Sample]:
        with suppress(StrongroomError):
            ends_ms = self.identity.current().certificate.ends_ms
            yield Sample(catalogue.CERTIFICATE_END, ("main", "main"), ends_ms / 1000)
        for worker in self.dispatcher.live_workers():
            if worker.certificate_until_ms:
                until_s = worker.certificate_until_ms / 1000
                yield Sample(catalogue.CERTIFICATE_END, ("worker", worker.worker_id), until_s)

    def _issuers(self) -> Iterator[Sample]:
        """Yield how the keys of foreign issuers stand in this process."""
        for name, state in self.foreign_callers.states().items():
            yield Sample(catalogue.ISSUER_KEYS_UP, (name,), not state.reason)
            yield Sample(catalogue.ISSUER_KEYS_FAILURES, (name,), state.failures)
            if isfinite(state.age_s):
                yield Sample(catalogue.ISSUER_KEYS_AGE, (name,), state.age_s)
