"""A Main Worker without processes around it: real use cases over fakes of their ports."""

import base64
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from main_api.adapters.authority_files import AuthorityFiles
from main_api.adapters.processing_workers import GrpcWorkers
from main_api.bootstrap import Current, Main
from main_api.domain.audit.policy import AuditPolicy
from main_api.domain.caller import Caller
from main_api.domain.grants import ALL_ACTIONS, Action, Grant
from main_api.domain.http_policy import HttpPolicy
from main_api.domain.rate_limits import QuotaPolicies, ThrottlePolicies
from main_api.service.admin.administration import Administration
from main_api.service.admin.inspection import Inspection
from main_api.service.admin.provisioning import Provisioning
from main_api.service.audit.journal import Journal
from main_api.service.audit.keyring_changes import RecordedKeyring
from main_api.service.audit.reading import AuditReading
from main_api.service.audit.removal import AuditRemoval
from main_api.service.audit.trail import Audit
from main_api.service.callers.access import Access
from main_api.service.callers.authorization_server import (
    SUBJECT_TOKEN_TYPE,
    AuthorizationServer,
    Exchange,
)
from main_api.service.callers.throttling import Throttle
from main_api.service.federation.callers import ForeignCallers
from main_api.service.federation.issuers import Issuers
from main_api.service.federation.key_sets import KeySets
from main_api.service.federation.ports import KeySetSource
from main_api.service.jobs.backups import Backups
from main_api.service.jobs.orders import Jobs
from main_api.service.jobs.runner import JobRunner
from main_api.service.keys.data_keys import Keys
from main_api.service.keys.exports import Exports
from main_api.service.keys.followed_keys import FollowedKeys
from main_api.service.keys.health import KeyHealth
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.keys.ports import RootWrapper
from main_api.service.keys.rotation import Rotation
from main_api.service.keys.signing import SigningKeys
from main_api.service.ports import Barrier, ControlStore
from main_api.service.readiness import MainReadiness
from main_api.service.readings import Readings
from main_api.service.requests.dispatch import Dispatcher
from main_api.service.requests.entities import Entities
from main_api.service.requests.quotas import Quotas
from main_api.service.workers.certificates import AuthorityKeeper, Certificates
from main_api.service.workers.fleet import Fleet
from main_api.service.workers.ports import Rewrapping
from main_api.service.workers.presence import Presence
from main_api.service.workers.subscriptions import Subscriptions
from main_api.service.workers.worker_credentials import WorkerCredentials
from strongroom import keyring
from strongroom.clock import SystemClock
from strongroom.crypto import aead
from strongroom.durable import Filesystem
from strongroom.errors import StrongroomError
from strongroom.identity import Identity
from strongroom.keyring import Keyring
from strongroom.layout import Layout
from strongroom.metrics.instruments import Metrics
from strongroom.readiness import Checkup
from tests.support.audit_logs import MemorySegments
from tests.support.clocks import ManualClock
from tests.support.foreign_issuers import MemoryIssuers
from tests.support.held_identities import live
from tests.support.main_fakes import (
    FakeKeyProvider,
    MemoryBarrier,
    MemoryControlStore,
    MemoryKeyringStore,
    MemoryWorkers,
    a_database,
    a_worker,
)
from tests.support.memory_filesystem import MemoryFilesystem

AT = "2026-01-01T00:00:00.000Z"
NO_IDENTITY = Identity(Path("no-ca"), Path("no-certificate"), Path("no-key"))
EVERYTHING = (Grant(database="*", actions=ALL_ACTIONS),)


@dataclass(frozen=True)
class Credentials:
    """A client's."""

    client_id: str
    secret: str

    @property
    def basic(self) -> str:
        """Return the value of an `Authorization: Basic` header."""
        return "Basic " + base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()


@dataclass
class MainRig:
    """One Main Worker: a database `chatdb`, no workers and no clients yet."""

    clock: ManualClock = field(default_factory=ManualClock)
    keys: Keyring = field(default_factory=lambda: keyring.new("test-deployment", AT))
    memory: MemoryControlStore = field(default_factory=MemoryControlStore)
    other_store: ControlStore | None = None
    key_provider: FakeKeyProvider = field(default_factory=FakeKeyProvider)
    keyring_store: MemoryKeyringStore = field(default_factory=MemoryKeyringStore)
    escrow: RootWrapper | None = None
    throttling: ThrottlePolicies = field(default_factory=ThrottlePolicies.per_minute)
    quotas: QuotaPolicies = field(default_factory=QuotaPolicies)
    authority: AuthorityKeeper = field(default_factory=lambda: AuthorityFiles(Path("no-ca"), None))
    issuers: KeySetSource = field(default_factory=MemoryIssuers)
    audit_policy: AuditPolicy = field(default_factory=AuditPolicy)
    audit_log: MemorySegments = field(default_factory=MemorySegments)
    disk: Filesystem = field(default_factory=MemoryFilesystem)
    identity: Identity = NO_IDENTITY

    def __post_init__(self) -> None:
        """Put the parts together as the composition root does."""
        self.workers = MemoryWorkers(self.clock)
        self.live = self._live_keyring()
        self.key_health = KeyHealth(self.live.probe, self.clock)
        self.token_keys = FollowedKeys(self.live, self.clock)
        self.foreign_callers = ForeignCallers(
            self.store, KeySets(self.issuers, self.clock), self.clock
        )
        self.access = Access(self.token_keys, self.store, self.clock, self.foreign_callers)
        self.authorization = AuthorizationServer(
            self.access.secrets, self.access.revocations, self.token_keys, self.clock
        )
        self.signing_keys = SigningKeys(self.access, self.live, self.token_keys, self.clock)
        self.journal = Journal(self.audit_log, self.live, self.clock)
        self.audit = Audit(
            self.journal,
            self.live,
            self.clock,
            self.audit_policy,
            administers_any=self.access.administers_any,
            database=self.store.database,
        )
        self.recorded_keyring.record_in(self.audit)
        self.metrics = Metrics()
        fleet = Fleet(self.store, self.clock, self.workers.probe, metrics=self.metrics)
        self.dispatcher = Dispatcher(fleet, self.clock, self.metrics)
        self.entities = Entities(self.access, self.store, self.dispatcher, self.workers)
        self.subscriptions = Subscriptions(self.live, self.store, self.clock)
        self.provisioning = Provisioning(self.access, self.store, self.clock)
        self.administration = Administration(self.access, self.store, self.provisioning, self.clock)
        self.keyring_trouble: StrongroomError | None = None
        self.inspection = Inspection(
            self.access,
            self.store,
            self.provisioning,
            self.dispatcher,
            self.workers,
            clock=self.clock,
            check_keyring=self._check_keyring,
        )
        self.store.put_database(a_database("chatdb"))
        Readings(
            self.clock,
            self.live,
            self.key_health,
            dispatcher=self.dispatcher,
            identity=live(NO_IDENTITY),
            foreign_callers=self.foreign_callers,
            audit=self.audit,
        ).give(self.metrics)

    def _live_keyring(self) -> LiveKeyring:
        """Return the keys as a Main Worker has them: opened from where they are stored."""
        root = aead.new_key()
        message = self.key_provider.wrap(root, self.keys.deployment)
        self.keyring_store.write(keyring.encode(self.keys, root, message))
        self.recorded_keyring = RecordedKeyring(self.keyring_store)
        return LiveKeyring(self.recorded_keyring, self.key_provider)

    def _check_keyring(self) -> None:
        if self.keyring_trouble is not None:
            raise self.keyring_trouble

    @property
    def store(self) -> ControlStore:
        """The control store in use."""
        return self.other_store or self.memory

    def add_workers(self, *worker_ids: str) -> None:
        """List workers whose lease never ends, and let the dispatcher see them."""
        for worker_id in worker_ids:
            self.store.put_worker(a_worker(worker_id))
        self.clock.advance(1)

    def add_client(self, client_id: str, *grants: Grant) -> Credentials:
        """Make a client; without grants it may do everything."""
        _, secret = self.provisioning.make_client(client_id, grants or EVERYTHING)
        return Credentials(client_id, secret)

    def bearer(self, credentials: Credentials, scope: str = "") -> str:
        """Return the value of an `Authorization: Bearer` header."""
        issued = self.authorization.issue_token(credentials.client_id, credentials.secret, scope)
        return f"Bearer {issued.access_token}"

    def add_front_end(
        self, client_id: str, own: tuple[Grant, ...], users: tuple[Grant, ...]
    ) -> Credentials:
        """Make a client that may act for users."""
        _, secret = self.provisioning.put_client(client_id, own, users)
        assert secret is not None
        return Credentials(client_id, secret)

    def user_bearer(self, front_end: Credentials, user: str, scope: str = "") -> str:
        """Return the value of an `Authorization: Bearer` header of a front end's user."""
        wanted = Exchange(user, SUBJECT_TOKEN_TYPE, scope)
        issued = self.authorization.exchange(front_end.client_id, front_end.secret, wanted)
        return f"Bearer {issued.access_token}"

    def caller(self, *grants: Grant, client_id: str = "somebody") -> Caller:
        """Return an authenticated client; without grants it may do everything."""
        return self.access.authenticate(self.bearer(self.add_client(client_id, *grants)))

    def job_runner(self, barrier: Barrier, workers: Rewrapping | None = None) -> JobRunner:
        """Return what runs jobs; nobody else claims them."""
        return JobRunner(
            self.store,
            self.live,
            self.dispatcher,
            workers or GrpcWorkers(live(NO_IDENTITY)),
            barrier,
            claim=nullcontext,
            clock=self.clock,
        )

    @cached_property
    def checkup(self) -> Checkup:
        """What looks at everything; of the shared directory it sees `disk`."""
        layout = Layout(Path("/shared"))
        for directory in (layout.root, layout.keyring().parent):
            self.disk.make_directory(str(directory))
        looked_at = MainReadiness(
            self.dispatcher, self.live, self.key_health, self.audit, self.clock
        )
        return looked_at.checkup(self.disk, layout, live(self.identity))

    def main(self) -> Main:
        """Return the Main that the faces are given."""
        return Main(
            access=self.access,
            authorization=self.authorization,
            audit=self.audit,
            audit_reading=AuditReading(self.access, self.audit_log, self.live, self.clock),
            audit_removal=AuditRemoval(self.access, self.journal, self.audit_log, self.clock),
            throttle=Throttle(self.access, self.throttling, self.clock, self.metrics),
            quotas=Quotas(self.quotas, self.clock),
            entities=self.entities,
            subscriptions=self.subscriptions,
            provisioning=self.provisioning,
            administration=self.administration,
            inspection=self.inspection,
            keyring=self.live,
            keys=Keys(self.access, self.live, self.clock),
            signing_keys=self.signing_keys,
            jobs=Jobs(self.access, self.store, self.live, self.clock),
            job_runner=self.job_runner(MemoryBarrier()),
            backups=Backups(self.access, self.store, self.live, self.clock),
            presence=lambda address: Presence(self.store, self.clock, address),
            worker_credentials=WorkerCredentials(self.access, self.live, self.store, self.clock),
            issuers=Issuers(self.access, self.store, self.issuers, self.clock),
            foreign_callers=self.foreign_callers,
            exports=Exports(self.access, self.store, self.live, self.clock, self.escrow),
            key_health=self.key_health,
            rotation=Rotation(self.live, self.store, self.clock),
            dispatcher=self.dispatcher,
            workers=GrpcWorkers(live(NO_IDENTITY)),
            identity=live(self.identity),
            checkup=lambda: self.checkup,
            certificates=Certificates(self.subscriptions, self.authority, SystemClock()),
            metrics=self.metrics,
        )


class Built(Current):
    """A `Current` that was built already."""

    def __init__(self, main: Main, http_policy: HttpPolicy | None = None) -> None:
        """Take it, and what settings decide of HTTP."""
        super().__init__()
        self._built = main
        self.metrics = main.metrics
        self._http = http_policy or HttpPolicy()

    def http_policy(self) -> HttpPolicy:
        """Return it."""
        return self._http

    def get(self) -> Main:
        """Return it."""
        return self._built


class Unbuildable(Current):
    """A `Current` that cannot be built."""

    def __init__(self, error: Exception) -> None:
        """Take the reason."""
        super().__init__()
        self._error = error

    def get(self) -> Main:
        """Fail."""
        raise self._error


def grant(database: str, *actions: Action, key_prefix: str = "") -> Grant:
    """Return a grant."""
    return Grant(database=database, actions=frozenset(actions), key_prefix=key_prefix)
