"""The worker's certificate is renewed before its end, while the worker serves.

When a third of its life is left, the worker makes a new key pair and has the Main Worker issue a
certificate for it, with the proof of the present one. Connections that are made from then on show
the new one; those that are there are not cut. Where it fails, the worker tries again until the
end, and the log says what is in the way: an operator can always replace the files
(`strongroom worker enrol NAME --renew`), which are followed in any case.
"""

from collections.abc import Callable
from typing import Protocol

from strongroom import certificates, limits, logs
from strongroom.certificates import Certificate
from strongroom.clock import Clock
from strongroom.errors import StrongroomError
from strongroom.identity import LiveIdentity

_log = logs.logger()


class CertificateIssuer(Protocol):
    """The Main Worker, as far as it issues certificates."""

    def renew_certificate(self, token: str, request: bytes) -> bytes:
        """Return the next certificate, PEM, for a key's PKCS #10 request.

        Raises:
            UnauthenticatedError: The worker has no lease now.
            ForbiddenError: It is revoked.
            UnavailableError: The Main Worker cannot be reached, or issues no certificates.
        """
        ...


class CertificateRenewal:
    """Renews one identity."""

    def __init__(
        self,
        identity: LiveIdentity,
        issuer: CertificateIssuer,
        token: Callable[[], str],
        clock: Clock,
    ) -> None:
        """Take the identity, who issues, and the subscription's newest token."""
        self._identity = identity
        self._issuer = issuer
        self._token = token
        self._clock = clock

    def step(self) -> float:
        """Renew where it is time; return for how many seconds there is nothing to do."""
        present = self._identity.current().certificate
        if not present.is_due(self._clock.wall_ms()):
            return limits.CERTIFICATE_CHECKED_EVERY_SECONDS
        try:
            renewed = self._renewed()
        except StrongroomError as error:
            _log.error(
                "certificate-not-renewed", code=error.code, reason=error.detail, until=present.until
            )
            return retried_after_s(present, self._clock.wall_ms())
        _log.info("certificate-renewed", until=renewed.until)
        return limits.CERTIFICATE_CHECKED_EVERY_SECONDS

    def _renewed(self) -> Certificate:
        replaced, key = self._identity.current(), certificates.new_key()
        made = self._issuer.renew_certificate(self._token(), certificates.signing_request(key))
        self._identity.store(certificates.private_pem(key), made, replaced)
        return self._identity.current().certificate


def retried_after_s(present: Certificate, now_ms: int) -> float:
    """Return when to try again: the more often, the nearer the end is, and less so after it."""
    left_s = (present.ends_ms - now_ms) / 1000
    if left_s <= 0:
        return limits.CERTIFICATE_CHECKED_EVERY_SECONDS
    return min(max(1.0, left_s / 100), limits.CERTIFICATE_RETRIED_SECONDS_MAX)
