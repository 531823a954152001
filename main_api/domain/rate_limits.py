"""What a Main Worker's settings limit: failed authentications, and what a client uses."""

from dataclasses import dataclass

from main_api.domain.buckets import Policy
from strongroom import limits


@dataclass(frozen=True, slots=True)
class ThrottlePolicies:
    """How often authentication may fail.

    Attributes:
        per_client: For a client id from an address.
        per_address: From an address.
        trusted_proxies: How many proxies of the deployment's own every request passes.
    """

    per_client: Policy
    per_address: Policy
    trusted_proxies: int = 0

    @classmethod
    def per_minute(
        cls,
        per_client: int = limits.FAILED_AUTHENTICATIONS_PER_MINUTE,
        per_address: int = limits.FAILED_AUTHENTICATIONS_PER_ADDRESS_PER_MINUTE,
        trusted_proxies: int = 0,
    ) -> "ThrottlePolicies":
        """Return policies that allow so many at once, and as many per minute in the long run."""
        return cls(
            Policy("failed-authentications", per_client / 60, per_client),
            Policy("failed-authentications-of-address", per_address / 60, per_address),
            trusted_proxies,
        )


@dataclass(frozen=True, slots=True)
class QuotaPolicies:
    """What a client may use; None for no limit."""

    requests: Policy | None = None
    content_bytes: Policy | None = None
