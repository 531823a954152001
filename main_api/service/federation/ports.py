"""What federation needs of the world."""

from typing import Protocol

from main_api.domain.issuer_keys import IssuerKeySet
from main_api.domain.trusted_issuers import TrustedIssuer
from strongroom.errors import UnavailableError


class IssuerUnreachableError(UnavailableError):
    """An issuer's keys cannot be read; the detail is for administrators.

    Attributes:
        reason: What was in the way, as one word: "timed-out", "status-500".
    """

    def __init__(self, detail: str, reason: str) -> None:
        """Take both."""
        super().__init__(detail, retry_after_s=5)
        self.reason = reason


class KeySetSource(Protocol):
    """Asks issuers for their keys."""

    def check(self, trusted: TrustedIssuer) -> None:
        """Check that an issuer could be asked as its record has it; it is not asked.

        Raises:
            InvalidArgumentError: It would not be; the detail says why.
        """
        ...

    def read(self, trusted: TrustedIssuer) -> IssuerKeySet:
        """Return the keys that an issuer publishes now.

        Ends within `limits.JWKS_FETCH_SECONDS`, what looking its name up takes aside.

        Raises:
            IssuerUnreachableError: It does not answer, or with something else.
        """
        ...
