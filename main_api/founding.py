"""`python -m main_api.founding`: make what a deployment on AWS begins with, and renew what ends.

It runs as a task of its own, once by hand and then every week. What is there stays as it is:

    keyring           made where there is none
    authority         the certificate authority: {"certificate", "key"}
    main identity     the certificate of Main Workers: {"ca", "certificate", "key"}
    enrolment         the certificate that a new worker enrols with: as above
    administrator     the first client: {"client_id", "client_secret"}

The last four are secrets of AWS Secrets Manager, whose ARNs `STRONGROOM_..._SECRET_ARN` name.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from main_api import bootstrap, settings
from main_api.adapters.secrets import SecretsManager
from strongroom import certificates, limits, logs
from strongroom.certificates import Authority
from strongroom.clock import Clock, SystemClock
from strongroom.errors import InvalidArgumentError, StrongroomError
from strongroom.layout import Layout
from strongroom.rpc import tls

_DAY_MS: Final = 24 * 3600 * 1000
_AUTHORITY_DAYS: Final = 3650
_CLIENT: Final = "admin"
_log = logs.logger()


class Secrets(Protocol):
    """Where secrets are kept."""

    def read(self, arn: str) -> dict[str, str]:
        """Return what is in one; raises UnavailableError."""
        ...

    def write(self, arn: str, members: Mapping[str, str]) -> None:
        """Put another version in its place; raises UnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class Places:
    """The ARNs of the four secrets."""

    authority: str
    main_identity: str
    enrolment: str
    administrator: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Places":
        """Return them.

        Raises:
            InvalidArgumentError: One is missing.
        """
        names = ("AUTHORITY", "IDENTITY", "ENROLMENT", "ADMINISTRATOR")
        variables = [f"STRONGROOM_{name}_SECRET_ARN" for name in names]
        missing = [name for name in variables if not environment.get(name)]
        if missing:
            raise InvalidArgumentError(f"set {', '.join(missing)}")
        return cls(*(environment[name] for name in variables))


def main() -> int:
    """Do it; 1 where something refuses, and then it can be run again."""
    logs.configure("founder")
    try:
        configured, places = settings.from_environment(), Places.from_environment()
        secrets, clock = SecretsManager(), SystemClock()
        issue(secrets, places, clock)
        if not Layout(configured.shared_dir).keyring().exists():
            bootstrap.create_deployment(configured)
        main_worker = bootstrap.build(configured)
        # What binds the master key's policy to this deployment is told once, and again.
        _log.info("deployment", deployment=main_worker.keyring.current.deployment)
        appoint(main_worker, secrets, places)
    except (StrongroomError, OSError) as error:
        detail = error.detail if isinstance(error, StrongroomError) else str(error)
        sys.stderr.write(f"main_api.founding: {detail}\n")
        return 1
    return 0


def issue(secrets: Secrets, places: Places, clock: Clock) -> None:
    """Make the authority where there is none, and each certificate that is missing or due.

    Raises:
        UnavailableError: Secrets Manager refuses.
        InvalidArgumentError: What is in a secret is not of its form.
    """
    authority = _authority(secrets, places.authority, clock)
    for name, arn in (
        (tls.MAIN_NAME, places.main_identity),
        (tls.ENROLMENT_NAME, places.enrolment),
    ):
        present = secrets.read(arn).get("certificate")
        if present is not None and _is_good(present.encode(), authority, clock):
            continue
        key = certificates.new_key()
        made = authority.issue(
            key.public_key(), name, [name], clock.wall_ms(), limits.CERTIFICATE_DAYS * _DAY_MS
        )
        secrets.write(
            arn,
            {
                "ca": authority.certificate_pem().decode(),
                "certificate": made.decode(),
                "key": certificates.private_pem(key).decode(),
            },
        )
        _log.info("certificate-issued", reason=name, until=certificates.parse(made).until)


def appoint(main_worker: bootstrap.Main, secrets: Secrets, places: Places) -> None:
    """Make the first client where its secret is empty.

    Raises:
        UnavailableError: Secrets Manager or the disk refuse.
    """
    if "client_secret" in secrets.read(places.administrator):
        return
    # Where this fails after the client was made, the next run gives it another secret.
    secret = main_worker.provisioning.put_administrator(_CLIENT)
    secrets.write(places.administrator, {"client_id": _CLIENT, "client_secret": secret})
    _log.info("administrator-made", client_id=_CLIENT)


def _authority(secrets: Secrets, arn: str, clock: Clock) -> Authority:
    kept = secrets.read(arn)
    if "key" in kept and "certificate" in kept:
        return Authority.load(kept["key"].encode(), kept["certificate"].encode())
    authority = Authority.make(clock.wall_ms(), _AUTHORITY_DAYS * _DAY_MS)
    secrets.write(
        arn,
        {
            "certificate": authority.certificate_pem().decode(),
            "key": authority.private_pem().decode(),
        },
    )
    _log.info("authority-made")
    return authority


def _is_good(certificate: bytes, authority: Authority, clock: Clock) -> bool:
    is_due = certificates.parse(certificate).is_due(clock.wall_ms())
    return authority.has_issued(certificate) and not is_due


if __name__ == "__main__":
    sys.exit(main())
