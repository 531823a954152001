"""Metrics in Prometheus' text format, made of the state at the moment that somebody asks.

Nothing is counted here: each figure has an owner already. The registry is this module's own, so
that no library adds figures of its process.
"""

from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from main_api.bootstrap import Main
from main_api.service.audit.trail import Audit
from strongroom.clock import Clock, from_rfc3339
from strongroom.errors import StrongroomError
from strongroom.keyring import Purpose

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def exposition(main: Main, clock: Clock) -> bytes:
    """Return the metrics of a Main Worker."""
    registry = CollectorRegistry()
    registry.register(_Keys(main, clock))
    registry.register(_Issuers(main))
    registry.register(_Audit(main.audit))
    return generate_latest(registry)


class _Keys(Collector):
    def __init__(self, main: Main, clock: Clock) -> None:
        self._main = main
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Return no description, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what is known of keys and workers."""
        with suppress(StrongroomError):  # then the figures are of the keyring in use
            self._main.keyring.follow()
        provider, keyring = self._main.key_health.state(), self._main.keyring.current
        age_ms = self._clock.wall_ms() - from_rfc3339(keyring.active(Purpose.DATA).created_at)
        yield GaugeMetricFamily(
            "strongroom_key_provider_up",
            "1 where the last check could open the keyring's root, else 0",
            provider.is_up,
        )
        yield CounterMetricFamily(
            "strongroom_key_provider_failures",
            "Checks of the key provider that have failed in this process",
            provider.failures,
        )
        yield GaugeMetricFamily(
            "strongroom_active_key_age_seconds",
            "Age of the data key that new writes are encrypted under",
            age_ms / 1000,
        )
        yield GaugeMetricFamily(
            "strongroom_keyring_generation",
            "Generation of the keyring in use; +1 with every change",
            keyring.generation,
        )
        yield CounterMetricFamily(
            "strongroom_key_rotations",
            "Rotations of the data key in the life of the deployment",
            len(keyring.of(frozenset({Purpose.DATA}))) - 1,
        )
        yield GaugeMetricFamily(
            "strongroom_workers_live",
            "Processing Workers whose lease runs",
            len(self._main.dispatcher.live_workers()),
        )
        yield self._certificates()

    def _certificates(self) -> Metric:
        found = GaugeMetricFamily(
            "strongroom_certificate_end_timestamp_seconds",
            "When a certificate ends, since 1970: of this Main Worker, and of each live worker",
            labels=["role", "holder"],
        )
        with suppress(StrongroomError):
            found.add_metric(
                ["main", "main"], self._main.identity.current().certificate.ends_ms / 1000
            )
        for worker in self._main.dispatcher.live_workers():
            if worker.certificate_until_ms:
                until_s = worker.certificate_until_ms / 1000
                found.add_metric(["worker", worker.worker_id], until_s)
        return found


class _Issuers(Collector):
    def __init__(self, main: Main) -> None:
        self._main = main

    def describe(self) -> list[Metric]:
        """Return no description, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield how the keys of foreign issuers stand in this process."""
        label = ["issuer"]
        up = GaugeMetricFamily(
            "strongroom_issuer_keys_up",
            "0 where the last attempt to read an issuer's keys has failed, else 1",
            labels=label,
        )
        age = GaugeMetricFamily(
            "strongroom_issuer_keys_age_seconds",
            "Since when an issuer's keys were not read; they serve for an hour",
            labels=label,
        )
        failures = CounterMetricFamily(
            "strongroom_issuer_keys_failures",
            "Attempts to read an issuer's keys that have failed in this process",
            labels=label,
        )
        with suppress(StrongroomError):  # then their records cannot be read, and are not told
            for name, state in self._main.foreign_callers.states().items():
                up.add_metric([name], not state.reason)
                failures.add_metric([name], state.failures)
                if isfinite(state.age_s):
                    age.add_metric([name], state.age_s)
        yield from (up, age, failures)


class _Audit(Collector):
    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def describe(self) -> list[Metric]:
        """Return no description, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield how the audit log of this process is."""
        state = self._audit.state()
        yield GaugeMetricFamily(
            "strongroom_audit_up",
            "1 where the last write of the audit log has succeeded, else 0",
            state.is_up,
        )
        yield CounterMetricFamily(
            "strongroom_audit_records", "Records that this process has written", state.written
        )
        yield CounterMetricFamily(
            "strongroom_audit_lost",
            "Records that this process should have written, and has not",
            state.lost,
        )
