"""The composition root of the Main Worker: the one place that puts the parts together."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from main_api import settings
from main_api.adapters.audit_files import AuditFiles
from main_api.adapters.authority_files import AuthorityFiles
from main_api.adapters.control_store import ControlFiles, KeyringFile
from main_api.adapters.issuer_key_sets import IssuersOverHttps
from main_api.adapters.keys import providers
from main_api.adapters.keys.escrow import EscrowWrapper
from main_api.adapters.processing_workers import GrpcWorkers
from main_api.adapters.shared_lock import SharedLock
from main_api.adapters.writer_barrier import WriterBarrier
from main_api.domain.audit.policy import AuditPolicy
from main_api.domain.http_policy import HttpPolicy
from main_api.service.admin import provisioning
from main_api.service.admin.administration import Administration
from main_api.service.admin.inspection import Inspection
from main_api.service.admin.provisioning import Provisioning
from main_api.service.audit.journal import Journal
from main_api.service.audit.keyring_changes import RecordedKeyring
from main_api.service.audit.reading import AuditReading
from main_api.service.audit.removal import AuditRemoval
from main_api.service.audit.trail import Audit
from main_api.service.callers.access import Access
from main_api.service.callers.authorization_server import AuthorizationServer
from main_api.service.callers.throttling import Throttle
from main_api.service.federation.callers import ForeignCallers
from main_api.service.federation.issuers import Issuers
from main_api.service.federation.key_sets import KeySets
from main_api.service.jobs.backups import Backups
from main_api.service.jobs.orders import Jobs
from main_api.service.jobs.runner import JobRunner
from main_api.service.keys.data_keys import Keys
from main_api.service.keys.exports import Exports
from main_api.service.keys.followed_keys import FollowedKeys
from main_api.service.keys.health import KeyHealth
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.keys.own_keyring import require_own
from main_api.service.keys.rotation import Rotation
from main_api.service.keys.signing import SigningKeys
from main_api.service.readings import Readings
from main_api.service.requests.dispatch import Dispatcher
from main_api.service.requests.entities import Entities
from main_api.service.requests.quotas import Quotas
from main_api.service.workers.certificates import Certificates
from main_api.service.workers.fleet import Fleet
from main_api.service.workers.presence import Presence
from main_api.service.workers.subscriptions import Subscriptions
from main_api.service.workers.worker_credentials import WorkerCredentials
from main_api.settings import Settings
from strongroom import limits, logs
from strongroom.clock import SystemClock
from strongroom.durable import LocalFilesystem
from strongroom.errors import ConflictError, StrongroomError, UnavailableError
from strongroom.identity import LiveIdentity
from strongroom.keyring import Keyring
from strongroom.layout import Layout
from strongroom.metrics.filesystem import MeasuredFilesystem
from strongroom.metrics.instruments import Metrics
from strongroom.rpc import tls

if TYPE_CHECKING:
    from strongroom.readiness import Checkup

_log = logs.logger()


@dataclass(frozen=True, slots=True)
class Main:
    """The use cases of a Main Worker, over one opened keyring."""

    access: Access
    authorization: AuthorizationServer
    audit: Audit
    audit_reading: AuditReading
    audit_removal: AuditRemoval
    throttle: Throttle
    quotas: Quotas
    entities: Entities
    subscriptions: Subscriptions
    provisioning: Provisioning
    administration: Administration
    inspection: Inspection
    keyring: LiveKeyring
    keys: Keys
    signing_keys: SigningKeys
    jobs: Jobs
    job_runner: JobRunner
    backups: Backups
    exports: Exports
    worker_credentials: WorkerCredentials
    issuers: Issuers
    foreign_callers: ForeignCallers
    presence: Callable[[str], Presence]
    key_health: KeyHealth
    checkup: Callable[[], "Checkup"]
    rotation: Rotation
    dispatcher: Dispatcher
    workers: GrpcWorkers
    identity: LiveIdentity
    certificates: Certificates
    metrics: Metrics


def build(configured: Settings, metrics: Metrics | None = None) -> Main:
    """Open the keyring with one call to the key provider and put the parts together.

    Where the deployment names another recovery key than the keyring's root was wrapped for, the
    root is wrapped anew: one call more, once.

    Args:
        configured: The settings.
        metrics: What the process counts with; None for a process that nobody asks.

    Raises:
        UnavailableError: The key provider or the disk refuse, or there is no keyring.
        IntegrityError: The keyring was changed, or is another deployment's.
        InvalidArgumentError: The recovery key is none.
    """
    _provide_files(configured)
    metrics = metrics or Metrics()
    clock, filesystem = SystemClock(), MeasuredFilesystem(metrics)
    layout = Layout(configured.shared_dir)
    recovery = providers.recovery_public_key(configured.keys)
    provider = providers.provider(configured.keys, recovery)
    keyring_file = RecordedKeyring(KeyringFile(filesystem, layout, clock))
    keyring = LiveKeyring(keyring_file, provider)
    store = ControlFiles(filesystem, layout, keyring, clock)
    require_own(store)
    token_keys = FollowedKeys(keyring, clock)
    issuers = IssuersOverHttps(clock, allows_http_loopback=configured.issuers_over_http_loopback)
    foreign_callers = ForeignCallers(store, KeySets(issuers, clock), clock)
    access = Access(token_keys, store, clock, foreign_callers)
    provisioner = Provisioning(access, store, clock)
    identity = LiveIdentity(configured.identity, clock, tls.MAIN_NAME)
    workers = GrpcWorkers(identity)
    fleet = Fleet(store, clock, workers.probe, metrics=metrics)
    dispatcher = Dispatcher(fleet, clock, metrics)
    subscriptions = Subscriptions(keyring, store, clock, least=configured.sealing)
    authority = AuthorityFiles(configured.identity.ca_file, configured.ca_key_file)
    audit_files = AuditFiles(filesystem, layout.audit())
    journal = Journal(audit_files, keyring, clock)
    audit = Audit(
        journal,
        keyring,
        clock,
        configured.audit,
        administers_any=access.administers_any,
        database=store.database,
    )
    keyring_file.record_in(audit)
    key_health = KeyHealth(keyring.probe, clock, configured.key_provider_check_s)
    Readings(
        clock,
        keyring,
        key_health,
        dispatcher=dispatcher,
        identity=identity,
        foreign_callers=foreign_callers,
        audit=audit,
    ).give(metrics)
    # Not before: a keyring that lies in a wrong directory stays as it is.
    keyring.escrow()
    key_health = KeyHealth(keyring.probe, clock, configured.key_provider_check_s)

    @cache
    def checkup() -> "Checkup":
        # A cold start of Lambda does not pay for what it seldom needs.
        from main_api.service.readiness import MainReadiness  # noqa: PLC0415

        looked_at = MainReadiness(dispatcher, keyring, key_health, audit, clock)
        return looked_at.checkup(filesystem, layout, identity)

    return Main(
        access=access,
        authorization=AuthorizationServer(access.secrets, access.revocations, token_keys, clock),
        audit=audit,
        audit_reading=AuditReading(access, audit_files, keyring, clock),
        audit_removal=AuditRemoval(access, journal, audit_files, clock),
        throttle=Throttle(access, configured.throttling, clock, metrics),
        quotas=Quotas(configured.quotas, clock),
        entities=Entities(access, store, dispatcher, workers),
        subscriptions=subscriptions,
        worker_credentials=WorkerCredentials(access, keyring, store, clock),
        issuers=Issuers(access, store, issuers, clock),
        foreign_callers=foreign_callers,
        presence=lambda address: Presence(store, clock, address),
        provisioning=provisioner,
        administration=Administration(access, store, provisioner, clock),
        inspection=Inspection(
            access,
            store,
            provisioner,
            dispatcher,
            workers,
            clock=clock,
            check_keyring=keyring.check,
        ),
        keyring=keyring,
        keys=Keys(access, keyring, clock),
        signing_keys=SigningKeys(access, keyring, token_keys, clock),
        jobs=Jobs(access, store, keyring, clock),
        job_runner=JobRunner(
            store,
            keyring,
            dispatcher,
            workers,
            WriterBarrier(filesystem, layout, clock),
            claim=lambda: SharedLock(filesystem, layout.jobs_lock(), clock).exclusive(0),
            clock=clock,
            metrics=metrics,
        ),
        backups=Backups(access, store, keyring, clock),
        rotation=Rotation(keyring, store, clock),
        exports=Exports(
            access, store, keyring, clock, EscrowWrapper(recovery) if recovery else None
        ),
        key_health=key_health,
        checkup=checkup,
        dispatcher=dispatcher,
        workers=workers,
        identity=identity,
        certificates=Certificates(subscriptions, authority, clock),
        metrics=metrics,
    )


def _provide_files(configured: Settings) -> None:
    """Make the files that settings name secrets for; raises UnavailableError."""
    identity = configured.identity
    wanted = {
        configured.identity_secret_arn: {
            "ca": identity.ca_file,
            "certificate": identity.certificate_file,
            "key": identity.key_file,
        },
        configured.authority_secret_arn: {"key": configured.ca_key_file}
        if configured.ca_key_file
        else {},
    }
    for arn, files in wanted.items():
        if arn and files:
            # Imported where it is needed: on one machine there are no such secrets.
            from main_api.adapters import secrets  # noqa: PLC0415

            secrets.provide(secrets.SecretsManager(), arn, files)


def create_deployment(configured: Settings) -> None:
    """Make the keyring of a new deployment.

    Raises:
        ConflictError: There is one.
        UnavailableError: The key provider or the disk refuse.
        InvalidArgumentError: The recovery key is none.
    """
    layout = Layout(configured.shared_dir)
    left = [path for path in layout.data() if path.is_dir() and any(path.iterdir())]
    if left and not layout.keyring().exists():
        raise ConflictError(
            f"{layout.keyring()} is missing, but there is data under {left[0]}: restore the keyring"
            " from a backup, a new one could open nothing"
        )
    recovery = providers.recovery_public_key(configured.keys)
    providers.ensure_master_key(configured.keys)
    clock = SystemClock()
    store = KeyringFile(LocalFilesystem(), layout, clock)
    made = provisioning.create_keyring(store, providers.provider(configured.keys, recovery), clock)
    audit = audit_of_command(layout, made)
    audit.did("create_deployment", deployment=made.deployment)
    audit.close()


def audit_of_command(layout: Layout, keyring: Keyring) -> Audit:
    """Return the audit log for a command on the directory, which holds the keyring."""
    clock = SystemClock()
    return Audit(
        Journal(AuditFiles(LocalFilesystem(), layout.audit()), keyring, clock),
        keyring,
        clock,
        AuditPolicy(),
        administers_any=lambda _: False,
        database=lambda _: None,
    )


class Current:
    """The Main of this process, built at the first request (a Lambda is imported, not started).

    After a failure the next attempt is made some seconds later: requests must not hammer KMS.

    Attributes:
        metrics: What the process counts with, whether it can be built or not.
    """

    def __init__(self) -> None:
        """Build nothing yet."""
        self.metrics = Metrics()
        self._lock = threading.Lock()
        self._main: Main | None = None
        self._http_policy: HttpPolicy | None = None
        self._clock = SystemClock()
        self._retry_s = 0.0

    def get(self) -> Main:
        """Return it.

        Raises:
            UnavailableError: It cannot be built now. Anybody may see this detail; the log has the
                failure, which names the key and the account.
        """
        main = self._main
        if main is None:
            with self._lock:
                main = self._main or self._attempt()
        return main

    def http_policy(self) -> HttpPolicy:
        """Return what settings decide of HTTP, without building anything.

        Raises:
            InvalidArgumentError: A setting is not one.
        """
        if self._http_policy is None:
            self._http_policy = settings.http_policy_from_environment()
        return self._http_policy

    def start(self) -> Main:
        """Build it now, for a process that ends when that fails; raises as `build`."""
        self.http_policy()
        self._main = build(settings.from_environment(), self.metrics)
        return self._main

    def _attempt(self) -> Main:
        refusal = UnavailableError(
            "the Main Worker cannot start; its log says why",
            retry_after_s=round(limits.START_RETRIED_SECONDS),
        )
        if self._clock.boot_s() < self._retry_s:
            raise refusal
        try:
            return self.start()
        except StrongroomError as error:
            self._retry_s = self._clock.boot_s() + limits.START_RETRIED_SECONDS
            _log.error("start-failed", code=error.code, reason=error.detail)
            raise refusal from error
