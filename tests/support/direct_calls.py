"""Calls to one Processing Worker of a deployment, as its Main Worker makes them."""

import json

from main_api.adapters.processing_workers import GrpcWorkers
from main_api.domain.registry import WorkerRecord
from strongroom.configuration import Database
from strongroom.errors import StrongroomError
from strongroom.identity import Identity
from tests.support.deployment import Deployment
from tests.support.held_identities import live
from tests.support.main_fakes import a_worker

CALL_S = 5.0


class DirectCalls:
    """Asks one worker, whatever the registry says of it, with the Main Worker's certificate."""

    def __init__(self, deployment: Deployment, worker_id: str, database: str = "chatdb") -> None:
        """Find the worker by the registry, while it is listed."""
        with deployment.client() as client:
            listed = list(client.admin.workers())
        (address,) = [one.address for one in listed if one.worker_id == worker_id]
        pki = deployment.root / "pki"
        self._workers = GrpcWorkers(
            live(Identity(pki / "ca.pem", pki / "main.pem", pki / "main.key")),
        )
        self._worker: WorkerRecord = a_worker(worker_id, address=address)
        stored = (deployment.shared_dir / "databases" / f"{database}.json").read_text()
        body = json.loads(stored)["body"]
        self._database = Database(
            name=database,
            incarnation=body["incarnation"],
            schema_id=body["schema_id"],
            created_at=body["created_at"],
        )

    def get(self, key: str) -> str:
        """Return "ok", or the code of what the worker answers to a read."""
        try:
            self._workers.get(self._worker, self._database, key, 0, CALL_S)
        except StrongroomError as error:
            return error.code
        return "ok"

    def version(self, key: str) -> int:
        """Return the version that the worker answers to a read."""
        found = self._workers.get(self._worker, self._database, key, 0, CALL_S)
        return found.metadata.version

    def close(self) -> None:
        """Close the channel."""
        self._workers.close()
