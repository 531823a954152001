"""Pre-shared credentials of workers: with one a worker subscribes over REST, and does nothing else.

Made and compared as clients' secrets are (`client_secrets`), under a label of their own, so that
neither is ever taken for the other, whatever their names.
"""

import base64
import secrets

from main_api.domain.caller import Caller
from main_api.domain.registry import WorkerCredential
from main_api.service.audit import entry as audit
from main_api.service.callers.access import Access
from main_api.service.callers.even_reads import EvenReads
from main_api.service.ports import ControlStore
from strongroom import ids
from strongroom.clock import Clock, rfc3339
from strongroom.crypto import mac
from strongroom.errors import ConflictError, IntegrityError, UnauthenticatedError
from strongroom.keyring import Keys, Purpose

_SECRET_BYTES = 32
_LABEL = b"strongroom/worker-credential/v1"
_NO_TAG = base64.b64encode(bytes(mac.TAG_BYTES)).decode()


class WorkerCredentials:
    """Makes and checks them. Safe under threads."""

    def __init__(self, access: Access, keyring: Keys, store: ControlStore, clock: Clock) -> None:
        """Take the parts."""
        self._access = access
        self._keyring = keyring
        self._store = store
        self._clock = clock
        credentials = store.worker_credentials
        self._records = EvenReads(credentials.get, credentials.names)

    def put(self, caller: Caller, worker_id: str, *, replace: bool = False) -> tuple[str, bool]:
        """Make a worker's credential, shown this once; tell whether it is its first.

        Args:
            caller: Who asks: an administrator of everything.
            worker_id: Whose; it need not have been seen yet.
            replace: One that is there is of no use from now on.

        Raises:
            ForbiddenError: The caller does not administer everything.
            InvalidArgumentError: Not a worker's id.
            ConflictError: It has one, and `replace` is not said.
        """
        self._access.require_everywhere(caller)
        ids.worker_id(worker_id)
        key = self._keyring.active(Purpose.CLIENT_SECRET)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        tag = mac.tag(key.material, *_parts(worker_id, secret))
        made = WorkerCredential(
            worker_id=worker_id,
            secret_mac=base64.b64encode(tag).decode(),
            secret_key_id=key.key_id,
            created_at=rfc3339(self._clock.wall_ms()),
        )
        with self._store.exclusive():
            is_first = worker_id not in self._store.worker_credentials.names()
            if not is_first and not replace:
                raise ConflictError(
                    f"{worker_id} has a credential already; replace=true gives it another one"
                )
            self._store.worker_credentials.put(worker_id, made)
        return secret, is_first

    def prove(self, worker_id: str, secret: str) -> str:
        """Return the worker whose credential this is: `worker_id`.

        Raises:
            InvalidArgumentError: Not a worker's id.
            UnauthenticatedError: It has none, or another one, indistinguishably.
            IntegrityError, UnavailableError: Its record cannot be read.
        """
        stored = self._records.get(ids.worker_id(worker_id))
        # The MAC is computed whether there is one or none.
        key_id = (
            stored.secret_key_id if stored else self._keyring.active(Purpose.CLIENT_SECRET).key_id
        )
        key = self._keyring.find(key_id, Purpose.CLIENT_SECRET)
        expected = base64.b64decode(stored.secret_mac if stored else _NO_TAG)
        try:
            mac.verify(key.material, expected, *_parts(worker_id, secret))
        except IntegrityError:
            raise UnauthenticatedError("unknown worker or wrong credential") from None
        audit.proven_worker(worker_id)
        return worker_id


def _parts(worker_id: str, secret: str) -> tuple[bytes, ...]:
    return _LABEL, worker_id.encode(), secret.encode()
