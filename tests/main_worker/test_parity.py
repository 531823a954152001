"""REST and gRPC offer the same operations, answer the same, and refuse with the same words.

Both faces are asked for each operation of one table, by everybody and with everything that may be
odd, and have to say the same. What one face has and the other has not is listed here, with why.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import grpc
import pytest

from main_api.adapters.keys.escrow import EscrowWrapper
from main_api.domain.grants import Action
from main_api.rest import routes
from main_api.rpc import declared
from main_api.rpc.server import CLIENT_SERVICES
from main_api.service.workers.ports import WorkerLostError
from strongroom.errors import (
    BusyError,
    IntegrityError,
    KeyDestroyedError,
    RateLimitedError,
    StaleBindingError,
    UnavailableError,
)
from tests.support import admin_operations, entity_operations, recovery_keys
from tests.support.faces import Answered, Given, Operation, Outcome, Refused, RestFace, RpcFace
from tests.support.mains import Built, MainRig, grant
from tests.support.rpc_mains import Pki

OPERATIONS: Final = (*entity_operations.OPERATIONS, *admin_operations.OPERATIONS)
REST_ONLY: Final = {
    "POST /workers/subscribe": "workers', who have SubscriptionService on a port of its own",
    "GET /healthz": "grpc.health.v1",
    "GET /readyz": "grpc.health.v1",
    "GET /.well-known/jwks.json": "what others fetch by its address (RFC 7517) is HTTP",
    "GET /openapi.json": "REST's own; gRPC has reflection",
    "GET /docs": "the same, for people",
    "GET /metrics": "what Prometheus reads is HTTP",
}
RPC_ONLY: Final = {
    "EntityService.StreamEntities": "pages of ListEntities; over REST, too, they are asked for",
}

# How each refusal is shown: HTTP's status, gRPC's code.
SHOWN: Final = {
    "invalid-argument": (400, grpc.StatusCode.INVALID_ARGUMENT),
    "invalid-json": (400, grpc.StatusCode.INVALID_ARGUMENT),
    "unauthenticated": (401, grpc.StatusCode.UNAUTHENTICATED),
    "forbidden": (403, grpc.StatusCode.PERMISSION_DENIED),
    "not-found": (404, grpc.StatusCode.NOT_FOUND),
    "conflict": (409, grpc.StatusCode.ALREADY_EXISTS),
    "precondition-failed": (412, grpc.StatusCode.ABORTED),
    "too-large": (413, grpc.StatusCode.INVALID_ARGUMENT),
    "idempotency-mismatch": (422, grpc.StatusCode.INVALID_ARGUMENT),
    "rate-limited": (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "unavailable": (503, grpc.StatusCode.UNAVAILABLE),
    "busy": (503, grpc.StatusCode.UNAVAILABLE),
    "outcome-unknown": (503, grpc.StatusCode.UNKNOWN),
    "integrity-error": (500, grpc.StatusCode.DATA_LOSS),
    "key-destroyed": (410, grpc.StatusCode.DATA_LOSS),
    "internal": (500, grpc.StatusCode.INTERNAL),
}
_BAD_NAMES: Final = ("absent", "-bad", "x" * 65, "ümlaut")
# What each member of a request may be, that is odd.
ODD: Final[Mapping[str, tuple[Any, ...]]] = {
    "database": ("nowhere", "-bad", "x" * 65),
    "schema_id": _BAD_NAMES,
    "client_id": _BAD_NAMES,
    "worker_id": _BAD_NAMES,
    "key_id": ("0123456789abcdef", *_BAD_NAMES),
    "job_id": _BAD_NAMES,
    "backup_id": _BAD_NAMES,
    "export_id": _BAD_NAMES,
    "key": ("absent", "", "k" * 513, "ü" * 257, "a\x00b", "mine/c"),
    "keys": (["absent"], [""], ["k" * 513], [f"k{n}" for n in range(101)], ["mine/c", "b"]),
    "limit": (1, 1000, 1001, 10**9, -1),
    "cursor": ("x", "ü", "x" * 3000),
    "prefix": ("mine/", "k" * 513, "a\x00"),
    "filter": ("x" * 4097,),
    "select": ("n", "x" * 4097),
    "expression": ("x" * 4097,),
    "ttl_seconds": (1, -1, 10**12),
    "request_id": ("once", "k" * 129, "two words"),
}
# What REST says of a value that has not the form which its document declares.
_OF_FORM: Final = re.compile("Expected `|Invalid enum value")
FAILURES: Final = (
    IntegrityError("the file was changed"),
    KeyDestroyedError("the key is gone"),
    UnavailableError("down", retry_after_s=2),
    BusyError("others write", retry_after_s=1),
    RateLimitedError("too many", retry_after_s=1),
    StaleBindingError("the database's binding has changed"),
    WorkerLostError(delivered=True),
    ValueError("hunter2"),
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


class Asked:
    """A Main Worker with two workers and several clients, and one face of it that is asked."""

    def __init__(self, operation: Operation, pki: Pki | None) -> None:
        """Prepare for an operation; with certificates the face is gRPC's, else REST's."""
        self.rig = MainRig(escrow=EscrowWrapper(recovery_keys.one().public))
        self.rig.add_workers("worker-1", "worker-2")
        self._operation = operation
        self.given: Given = {**operation.given, **operation.prepare(self.rig)}
        self.face = RestFace(self.rig) if pki is None else RpcFace(self.rig, pki)
        self.said: dict[str, Outcome] = {}

    def ask(self, label: str, given: Given, authorization: str | None) -> None:
        """Ask, and keep what is said."""
        self.said[label] = self.face.ask(self._operation, given, authorization)

    def ask_everything(self) -> None:
        """Ask by everybody, then with everything that may be odd, then as it should be asked."""
        root = self.rig.bearer(self.rig.add_client("root"))
        for who, authorization in _strangers(self.rig).items():
            self.ask(f"by {who}", self.given, authorization)
        for member, values in _odd(self._operation, self.given).items():
            for value in values:
                changed = {**self.given, member: value}
                self.ask(f"{member}={str(value)[:60]} ({len(str(value))})", changed, root)
        self.ask("as it should be", self.given, root)
        self.ask("again", self.given, root)

    def ask_in_trouble(self) -> None:
        """Ask while workers fail, while there are none, and while the disk does."""
        root = self.rig.bearer(self.rig.add_client("root"))
        for failure in FAILURES:
            for worker_id in ("worker-1", "worker-2"):
                self.rig.workers.fail(worker_id, failure)
            self.ask(f"{type(failure).__name__}", self.given, root)
        for worker_id in ("worker-1", "worker-2"):
            self.rig.store.remove_worker(worker_id)
        self.rig.clock.advance(1)
        self.ask("no worker", self.given, root)
        self.rig.memory.down = True
        self.ask("no disk", self.given, root)


def _strangers(rig: MainRig) -> dict[str, str | None]:
    """Return who may not do everything."""
    one_action = {
        f"who may {action}": rig.bearer(rig.add_client(f"client-{action}", grant("*", action)))
        for action in Action
    }
    grants = {
        "who has another database": grant("otherdb", *Action),
        "who has other keys": grant("chatdb", *Action, key_prefix="mine/"),
        "who has one database": grant("chatdb", *Action),
    }
    others = {
        who: rig.bearer(rig.add_client(f"client-{n}", one))
        for n, (who, one) in enumerate(grants.items())
    }
    return {
        "nobody": None,
        "who has no token": "Bearer x.y.z",
        "who has another scheme": "Basic eDp5",
        **one_action,
        **others,
    }


def _odd(operation: Operation, given: Given) -> dict[str, tuple[Any, ...]]:
    usual = {member: ODD[member] for member in given if member in ODD}
    own = operation.variants
    return {m: (*usual.get(m, ()), *own.get(m, ())) for m in [*usual, *(own.keys() - usual.keys())]}


@pytest.fixture
def both(operation: Operation, pki: Pki) -> Iterator[tuple[Asked, Asked]]:
    """Both faces, each of a Main Worker of its own, prepared for an operation in the same way."""
    rest, rpc = Asked(operation, None), Asked(operation, pki)
    yield rest, rpc
    rpc.face.close()


def _same(over_rest: Outcome, over_rpc: Outcome) -> bool:
    """Tell whether both say the same: of a form, and of a defect, each in its own words."""
    if isinstance(over_rest, Refused) and isinstance(over_rpc, Refused):
        of_form = over_rest.reason == "invalid-argument" and _OF_FORM.search(over_rest.detail)
        if of_form or over_rest.reason == "internal":
            return over_rest.reason == over_rpc.reason
    return over_rest == over_rpc


def _check_shown(over_rest: Outcome, over_rpc: Outcome) -> None:
    if isinstance(over_rest, Refused) and isinstance(over_rpc, Refused):
        assert (over_rest.outer, over_rpc.outer) == SHOWN[over_rest.reason], over_rest


def _by_name(operation: Operation) -> str:
    return str(operation)


@pytest.mark.parametrize("operation", OPERATIONS, ids=_by_name)
def test_both_faces_say_the_same(both: tuple[Asked, Asked], operation: Operation) -> None:
    """A client that changes the face gets another answer, or another refusal."""
    rest, rpc = both
    for asked in both:
        asked.ask_everything()
    for label, outcome in rest.said.items():
        assert _same(outcome, rpc.said[label]), (label, outcome, rpc.said[label])
        _check_shown(outcome, rpc.said[label])
    assert any(isinstance(outcome, Answered) for outcome in rest.said.values()), operation
    if not operation.rpc.startswith("AuthService"):
        assert isinstance(rest.said["by nobody"], Refused)


@pytest.mark.parametrize("operation", OPERATIONS, ids=_by_name)
def test_both_faces_tell_of_the_same_trouble(both: tuple[Asked, Asked]) -> None:
    """When workers or the disk fail, a client of one face is told something else."""
    rest, rpc = both
    for asked in both:
        asked.ask_in_trouble()
    for label, outcome in rest.said.items():
        assert _same(outcome, rpc.said[label]), (label, outcome, rpc.said[label])
        _check_shown(outcome, rpc.said[label])
    assert "hunter2" not in str(rest.said)


def test_no_operation_is_on_one_face_only() -> None:
    """What can be done over one face cannot be done over the other, and nobody has said why."""
    app = routes.build(Built(MainRig().main()))
    over_rest = {f"{m} {path}" for path, by_method in app.routes.items() for m in by_method}
    compared = {operation.rest for operation in OPERATIONS}
    assert over_rest - compared == set(REST_ONLY)
    assert compared <= over_rest
    over_rpc = {f"{m.containing_service.name}.{m.name}" for m in declared.methods(CLIENT_SERVICES)}
    compared = {operation.rpc for operation in OPERATIONS}
    assert over_rpc - compared == set(RPC_ONLY)
    assert compared <= over_rpc


@pytest.mark.parametrize("operation", OPERATIONS, ids=_by_name)
def test_both_faces_declare_the_same_rights(operation: Operation) -> None:
    """Who may do something over one face may not over the other, or is told something else."""
    app = routes.build(Built(MainRig().main()))
    verb, _, path = operation.rest.partition(" ")
    over_rest = app.operations[path, verb]
    always = set(map(str, over_rest.rights))
    at_most = always | set(map(str, over_rest.further_rights.values()))
    service, _, name = operation.rpc.partition(".")
    (method,) = [
        m
        for m in declared.methods(CLIENT_SERVICES)
        if (m.containing_service.name, m.name) == (service, name)
    ]
    also = declared.further_rights(method.input_type)
    assert always <= declared.rights(method) | also, (always, declared.rights(method))
    assert declared.rights(method) | also <= at_most, (at_most, declared.rights(method))
