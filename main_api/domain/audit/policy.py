"""What a Main Worker's settings have recorded beside administrative acts and denials."""

from dataclasses import dataclass

from main_api.domain.audit.acts import Recording


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """How reads and writes of entities are recorded.

    Attributes:
        reads: How reads are.
        writes: How writes are.
        trusted_proxies: How many proxies of the deployment's own every request passes.
    """

    reads: Recording = Recording.OFF
    writes: Recording = Recording.OFF
    trusted_proxies: int = 0
