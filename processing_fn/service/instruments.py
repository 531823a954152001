"""What the worker's use cases count, where nobody else would know of it."""

from enum import Enum

from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics


class Fate(Enum):
    """What has become of a file that was to be rewrapped."""

    REWRAPPED = "rewrapped"
    LEFT = "left"
    UNREADABLE = "unreadable"


class Instruments:
    """They outlive the sessions, engines and subscriptions that count with them.

    Attributes:
        subscription_failures: Subscriptions that have failed or ended too soon.
        renewal_failures: Renewals of a lease that have failed.
        decrypt_failures: Blobs that did not open.
        encrypt_failures: Entities that could not be encrypted.
        rewrapped: Files that a rewrap has looked at, by what became of them.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        """Take where to count; without that, nobody reads it."""
        metrics = metrics or Metrics()
        self.subscription_failures = metrics.counter(catalogue.SUBSCRIPTION_FAILURES)
        self.renewal_failures = metrics.counter(catalogue.RENEWAL_FAILURES)
        self.decrypt_failures = metrics.counter(catalogue.DECRYPT_FAILURES)
        self.encrypt_failures = metrics.counter(catalogue.ENCRYPT_FAILURES)
        rewrapped = metrics.counters(catalogue.REWRAPPED_FILES)
        self.rewrapped = {fate: rewrapped.of(fate.value) for fate in Fate}
