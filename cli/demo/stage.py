"""Where the demonstration plays: a running deployment, and the parts that this process takes in it.

It is a client of REST; it subscribes as a Processing Worker would, with that worker's certificate;
and with the Main Worker's certificate it calls one Processing Worker of its choice, which a client
cannot do, so that it is known which cache answers.
"""

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cli.demo.requests import Requests
from cli.emulation import seed
from cli.emulation.deployment import LocalDeployment
from cli.plain_http import PlainHttp
from main_api import bootstrap
from main_api.domain.registry import WorkerRecord
from main_api.service.workers.ports import Found, WriteItem, WriteKind, Written
from processing_fn.adapters.main_worker import GrpcMainWorker
from processing_fn.service.ports import Subscription
from processing_fn.service.session import Lease, Session, open_session
from strongroom import ids, jsontext, limits
from strongroom.clock import SystemClock
from strongroom.configuration import Database
from strongroom.configuration_files import ConfigurationFiles
from strongroom.crypto import seal
from strongroom.durable import LocalFilesystem
from strongroom.errors import UnavailableError
from strongroom.identity import Identity, LiveIdentity
from strongroom.layout import blob_name, sidecar_name

CACHE_BYTES: Final = 8_000
"""Bound of each worker's cache here: five small entities, of some 1,400 bytes each."""

FIRST_WORKER: Final = "worker-1"
SECOND_WORKER: Final = "worker-2"
_CALL_S: Final = 5.0
_MARK_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """A running deployment with two workers.

    Attributes:
        deployment: The processes.
        root: Everything of it lies below.
        main: A Main Worker's parts.
        rest: Requests over REST that present `access_token`.
        access_token: The administrator's.
        session: Keys in memory, as a worker gets them.
        database: The database that is played with.
        entity_key: The entity that is played with.
        text: What stands in it at first. Key and text have a random mark, so that finding them
            where they should not be is no coincidence.
    """

    deployment: LocalDeployment
    root: Path
    main: bootstrap.Main
    rest: Requests
    access_token: str = field(repr=False)
    session: Session
    database: Database
    entity_key: str
    text: str

    def workers(self) -> dict[str, WorkerRecord]:
        """Return the workers that the registry lists, by their ids."""
        return {record.worker_id: record for record in self.main.dispatcher.live_workers()}

    def workers_now(self) -> dict[str, WorkerRecord]:
        """As `workers`, from a view that is not older than this call."""
        threading.Event().wait(limits.REGISTRY_REFRESH_SECONDS)
        return self.workers()

    def statistics(self, worker_id: str) -> dict[str, int]:
        """Ask a worker for its counters."""
        return self.main.workers.statistics(self._worker(worker_id), _CALL_S)

    def read(self, worker_id: str, entity_key: str) -> Found:
        """Read an entity through a worker of our choice."""
        worker = self._worker(worker_id)
        return self.main.workers.get(worker, self.database, entity_key, 0, _CALL_S)

    def write(self, worker_id: str, entity_key: str, document: bytes) -> Written:
        """Write an entity through a worker of our choice."""
        item = WriteItem(WriteKind.PUT, entity_key, document, request_id=f"/{ids.new_id()}")
        return self.main.workers.write(self._worker(worker_id), self.database, item, _CALL_S)

    def files(self) -> tuple[Path, Path]:
        """Return the paths of the entity's blob and sidecar, as its keys name them."""
        database = self.database
        file_id = self.session.file_id(database.name, database.incarnation, self.entity_key)
        shard = Path(self.deployment.layout.shard(database.name, file_id))
        return shard / blob_name(file_id), shard / sidecar_name(file_id)

    def writer_and_other(self) -> tuple[str, str]:
        """Return the ids of the worker that wrote the entity last, and of the other one."""
        writer = str(jsontext.parse(self.files()[1].read_bytes())["writer_id"])
        return writer, SECOND_WORKER if writer == FIRST_WORKER else FIRST_WORKER

    def _worker(self, worker_id: str) -> WorkerRecord:
        try:
            return self.workers()[worker_id]
        except KeyError:
            raise UnavailableError(f"the registry does not list {worker_id}") from None


def document(text: str) -> bytes:
    """Return a document that the template takes."""
    return jsontext.dump({"chat": [{"type": "user", "text": text}]})


def text_in(text: bytes) -> str:
    """Return the text in such a document."""
    return str(jsontext.parse(text)["chat"][0]["text"])


def subscribe(worker_id: str, address: str, identity: Identity) -> Subscription:
    """Subscribe as a worker, with a key pair that lives as long as this call.

    Raises:
        UnauthenticatedError: The certificate is not this worker's.
        UnavailableError: Nobody answers, or not to this certificate.
    """
    main_worker = GrpcMainWorker(
        worker_id, address, LiveIdentity(identity, SystemClock()), seal.sealing(os.environ)
    )
    try:
        return main_worker.subscribe()
    finally:
        main_worker.close()


@contextmanager
def opened(deployment: LocalDeployment) -> Iterator[Stage]:
    """Take the parts in a deployment that runs; raises StrongroomError."""
    main = bootstrap.build(deployment.main_settings())
    http = PlainHttp(deployment.http_url)
    try:
        session = _session(deployment)
        credentials = deployment.credentials
        rest = Requests(http)
        issued = rest.ask_token(credentials.client_id, credentials.client_secret)
        access_token = str(jsontext.parse(issued.body)["access_token"])
        mark = secrets.token_hex(_MARK_BYTES)
        yield Stage(
            deployment=deployment,
            root=deployment.shared_dir.parent,
            main=main,
            rest=rest.with_token(access_token),
            access_token=access_token,
            session=session,
            database=_database(deployment, session),
            entity_key=f"Chat_{mark}",
            text=f"at noon, {mark}",
        )
    finally:
        http.close()
        main.workers.close()


def _session(deployment: LocalDeployment) -> Session:
    clock = SystemClock()
    asked_at_s = clock.boot_s()
    identity = deployment.identity(FIRST_WORKER)
    subscription = subscribe(FIRST_WORKER, deployment.subscription_address, identity)
    lease = Lease(clock, asked_at_s + subscription.lease_s)
    return open_session(subscription.deployment, FIRST_WORKER, lease, subscription.keys)


def _database(deployment: LocalDeployment, session: Session) -> Database:
    files = ConfigurationFiles(LocalFilesystem(), deployment.layout, session.configuration_keys)
    database = files.database(seed.DATABASE)
    if database is None:
        raise UnavailableError(f"there is no database {seed.DATABASE}")
    return database
