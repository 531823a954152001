"""Certificates that end are renewed: those of workers, which ask, and those of this process.

A worker proves its present certificate (TLS asks for that), that it is in service and not revoked
(by its token), and that it holds the new private key (by the request's signature). What it gets
names the same worker, for as long as the present one was issued for. So a renewal gives nobody what
he had not already. It takes the authority's key, which a deployment may keep from its Main Workers
(docs/adr/0015-main-workers-may-hold-the-authoritys-key.md).
"""

from collections.abc import Mapping
from typing import Final, Protocol

from main_api.service.workers.subscriptions import Subscriptions
from strongroom import certificates, ids, limits, logs
from strongroom.certificates import Authority, Certificate
from strongroom.clock import Clock
from strongroom.errors import StrongroomError, UnavailableError
from strongroom.identity import LiveIdentity
from strongroom.rpc import tls

_DAY_MS: Final = 24 * 3600 * 1000
_log = logs.logger()


class AuthorityKeeper(Protocol):
    """Keeps the deployment's certificate authority."""

    def authority(self) -> Authority:
        """Return it, for one use; it is read anew each time, and kept in memory no longer.

        Raises:
            UnavailableError: This Main Worker has none, or it cannot be read.
        """
        ...


class Certificates:
    """Renews certificates. Safe under threads."""

    def __init__(self, subscriptions: Subscriptions, keeper: AuthorityKeeper, clock: Clock) -> None:
        """Take the parts; the clock's wall time is the machine's, as TLS has it."""
        self._subscriptions = subscriptions
        self._keeper = keeper
        self._clock = clock
        self._told_at_s: dict[str, float] = {}

    def renew(
        self, proven_id: str, worker_id: str, token: str, present: Certificate, request: bytes
    ) -> bytes:
        """Return a worker's next certificate, PEM.

        Args:
            proven_id: Whom its present certificate names.
            worker_id: Who asks.
            token: The subscription's.
            present: What its present certificate says.
            request: PKCS #10, for a key pair of the worker's making.

        Raises:
            UnauthenticatedError: The token or the certificate is not this worker's, or its lease
                has ended.
            ForbiddenError: The worker is revoked.
            InvalidArgumentError: Not a request for a key of ours.
            UnavailableError: This Main Worker issues none.
        """
        self._subscriptions.require(proven_id, worker_id, token)
        public_key = certificates.requested_key(request)
        made = self._keeper.authority().issue(
            public_key,
            worker_id,
            [tls.worker_name(worker_id)],
            self._clock.wall_ms(),
            present.lifetime_ms,
        )
        # One revoked meanwhile gets nothing.
        self._subscriptions.require(proven_id, worker_id, token)
        until = certificates.parse(made).until
        _log.info("certificate-issued", worker_id=worker_id, until=until)
        return made

    def enrol(self, worker_id: str, request: bytes) -> bytes:
        """Return a new worker's first certificate, PEM; who asks has proven that he may.

        Args:
            worker_id: What it will be called.
            request: PKCS #10, for a key pair of the worker's making.

        Raises:
            InvalidArgumentError: Not a worker's id, or not a request for a key of ours.
            ForbiddenError: A worker of this name is revoked.
            ConflictError: One is live: whoever enrols takes nobody's place.
            UnavailableError: This Main Worker issues none, or the disk refuses.
        """
        self._subscriptions.require_unused(ids.worker_id(worker_id))
        public_key = certificates.requested_key(request)
        made = self._keeper.authority().issue(
            public_key,
            worker_id,
            [tls.worker_name(worker_id)],
            self._clock.wall_ms(),
            certificates.BACKDATED_MS + limits.ENROLLED_CERTIFICATE_DAYS * _DAY_MS,
        )
        _log.info("worker-enrolled", worker_id=worker_id, until=certificates.parse(made).until)
        return made

    def renew_own(self, identities: Mapping[str, LiveIdentity]) -> None:
        """Renew those of this process's own certificates that are due; the log says what fails.

        Args:
            identities: By what people call the certificate.
        """
        for subject, identity in identities.items():
            present = identity.current()
            if not present.certificate.is_due(self._clock.wall_ms()):
                continue
            try:
                key, made = self._next(subject, identity)
                identity.store(key, made, present)
                until = identity.current().certificate.until
                _log.info("certificate-renewed", reason=subject, until=until)
            except StrongroomError as error:
                self._tell(subject, present.certificate, error)

    def _next(self, subject: str, identity: LiveIdentity) -> tuple[bytes, bytes]:
        present, authority = identity.current(), self._keeper.authority()
        if not authority.has_issued(present.certificate_pem):
            raise UnavailableError("another authority has issued it, which has to renew it")
        key = certificates.new_key()
        made = authority.issue(
            key.public_key(),
            subject,
            present.certificate.names,
            self._clock.wall_ms(),
            present.certificate.lifetime_ms,
        )
        return certificates.private_pem(key), made

    def _tell(self, subject: str, present: Certificate, error: StrongroomError) -> None:
        """Log it once an hour."""
        now_s = self._clock.boot_s()
        if now_s >= self._told_at_s.get(subject, 0.0):
            self._told_at_s[subject] = now_s + limits.CERTIFICATE_RETRIED_SECONDS_MAX
            reason = f"{subject}: {error.detail}"
            _log.error("certificate-ends-soon", reason=reason, until=present.until)
