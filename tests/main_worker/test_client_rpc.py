"""The gRPC face for clients, really served."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import grpc
import pytest

from main_api.domain.grants import Action
from strongroom import limits
from strongroom.errors import (
    ConflictError,
    ForbiddenError,
    IntegrityError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionFailedError,
    SchemaViolationError,
    StrongroomError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    Violation,
)
from strongroom.rpc import status
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, common_pb2, entity_pb2, entity_pb2_grpc
from tests.support.mains import MainRig, grant
from tests.support.rpc_mains import SECONDS, Pki, ServedMain

Metadata = tuple[tuple[str, str], ...]


@dataclass
class Client:
    """A client of a served Main Worker."""

    rig: MainRig
    channel: grpc.Channel
    metadata: Metadata = ()

    @property
    def entities(self) -> entity_pb2_grpc.EntityServiceStub:
        """The EntityService."""
        return entity_pb2_grpc.EntityServiceStub(self.channel)

    def issue(self, client_id: str, secret: str, scope: str = "") -> auth_pb2.IssueTokenResponse:
        """Ask for a token."""
        request = auth_pb2.IssueTokenRequest(client_id=client_id, client_secret=secret, scope=scope)
        return auth_pb2_grpc.AuthServiceStub(self.channel).IssueToken(request, timeout=SECONDS)

    def put(
        self, key: str, document: bytes = b"1", **fields: object
    ) -> entity_pb2.PutEntityResponse:
        """Put an entity."""
        request = entity_pb2.PutEntityRequest(database="chatdb", key=key, document=document)
        request.MergeFrom(entity_pb2.PutEntityRequest(**fields))  # type: ignore[arg-type]
        return self.entities.PutEntity(request, metadata=self.metadata, timeout=SECONDS)

    def get(self, key: str, known: int = 0, database: str = "chatdb") -> entity_pb2.Entity:
        """Get an entity."""
        request = entity_pb2.GetEntityRequest(
            database=database, key=key, if_none_match_version=known
        )
        return self.entities.GetEntity(request, metadata=self.metadata, timeout=SECONDS)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return the deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def client(pki: Pki) -> Iterator[Client]:
    """Serve a Main Worker with two workers and return an administrator of it."""
    rig = MainRig()
    rig.add_workers("worker-1", "worker-2")
    face = ServedMain(rig.main(), pki)
    bearer = rig.bearer(rig.add_client("admin"))
    with pki.client_channel(face.clients) as channel:
        yield Client(rig, channel, (("authorization", bearer),))
    face.stop()


def refused(call: Callable[[], object]) -> StrongroomError:
    """Return the error that a call over the wire ends in."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return status.from_rpc_error(caught.value)


def test_a_token_is_issued_for_credentials(client: Client) -> None:
    """No client of the gRPC face gets in, or its token cannot be narrowed."""
    ada = client.rig.add_client("ada", grant("*", Action.READ, Action.WRITE))
    issued = client.issue("ada", ada.secret, "read")
    assert (issued.token_type, issued.scope) == ("Bearer", "read")
    assert issued.expires_in == limits.ACCESS_TOKEN_SECONDS
    assert client.rig.access.authenticate(f"Bearer {issued.access_token}").scope == {"read"}
    assert isinstance(refused(lambda: client.issue("ada", "wrong")), UnauthenticatedError)
    assert isinstance(refused(lambda: client.issue("bob", ada.secret)), UnauthenticatedError)
    assert isinstance(refused(lambda: client.issue("ada", ada.secret, "x")), InvalidArgumentError)


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", ""),), (("authorization", "Bearer x.y.z"),), (("authorization", "x"),)],
)
def test_every_method_wants_a_token(client: Client, metadata: Metadata) -> None:
    """A method of the gRPC face is served without proof of identity."""
    service = entity_pb2.DESCRIPTOR.services_by_name["EntityService"]
    assert len(service.methods) >= 4
    for method in service.methods:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = client.channel.unary_unary(
            f"/{service.full_name}/{method.name}"
        )
        error = refused(partial(call, b"", metadata=metadata, timeout=SECONDS))
        assert isinstance(error, UnauthenticatedError), method.name
    assert client.rig.workers.calls == []


def test_what_was_put_is_got(client: Client) -> None:
    """A document reads back as another one over gRPC."""
    document = '{ "grüße" : 1.50 }'.encode()
    written = client.put("k", document)
    assert (written.key, written.created, written.metadata.version) == ("k", True, 1)
    found = client.get("k")
    assert (found.document, found.metadata) == (document, written.metadata)
    unchanged = client.get("k", known=1)
    assert (unchanged.not_modified, unchanged.document) == (True, b"")


def test_a_condition_that_does_not_hold_says_what_is_there(client: Client) -> None:
    """A client overwrites what it has not seen, or is not told what is there."""
    absent = common_pb2.Condition(if_absent=True)
    client.put("k", condition=absent)
    error = refused(lambda: client.put("k", condition=absent))
    assert isinstance(error, PreconditionFailedError)
    assert error.current_version == 1
    assert client.put("k", condition=common_pb2.Condition(if_version=1)).metadata.version == 2
    assert client.put("k", condition=common_pb2.Condition(if_present=True)).metadata.version == 3


def test_an_etag_goes_without_a_condition(client: Client) -> None:
    """Of two demands in one request one is passed over, and the client takes both for held."""
    etag = client.put("k", b"1").etag
    assert (etag, client.get("k").etag) == ('"1"', '"1"')
    both = entity_pb2.PutEntityRequest(
        database="chatdb",
        key="k",
        document=b"2",
        etag=etag,
        condition=common_pb2.Condition(if_version=1),
    )
    error = refused(lambda: client.entities.PutEntity(both, metadata=client.metadata))
    assert isinstance(error, InvalidArgumentError)
    both.ClearField("condition")
    both.validate_only = True
    for _ in range(2):
        assert client.entities.PutEntity(both, metadata=client.metadata).etag == '"2"'
    assert client.get("k").document == b"1"
    both.validate_only = False
    client.entities.PutEntity(both, metadata=client.metadata)
    error = refused(lambda: client.entities.PutEntity(both, metadata=client.metadata))
    assert isinstance(error, PreconditionFailedError)


def test_a_request_id_makes_a_repetition_safe(client: Client) -> None:
    """A client that repeats a write after a lost answer has written twice."""
    first = client.put("k", request_id="order-17")
    assert client.put("k", request_id="order-17") == first
    assert client.put("k").metadata.version == 2


def test_several_are_put_and_got(client: Client) -> None:
    """A batch loses an entity, or one that is missing fails it."""
    documents = [entity_pb2.KeyedDocument(key=k, document=b"1") for k in ("a", "b")]
    request = entity_pb2.BatchPutEntitiesRequest(database="chatdb", entities=documents)
    answer = client.entities.BatchPutEntities(request, metadata=client.metadata, timeout=SECONDS)
    assert [(r.key, r.metadata.version) for r in answer.results] == [("a", 1), ("b", 1)]
    wanted = entity_pb2.BatchGetEntitiesRequest(database="chatdb", keys=["b", "x", "a"])
    found = client.entities.BatchGetEntities(wanted, metadata=client.metadata, timeout=SECONDS)
    assert [e.key for e in found.entities] == ["b", "a"]
    request.entities.append(documents[0])
    error = refused(
        lambda: client.entities.BatchPutEntities(request, metadata=client.metadata, timeout=SECONDS)
    )
    assert isinstance(error, InvalidArgumentError)


def test_a_batch_that_failed_midway_says_what_became_of_each(client: Client) -> None:
    """After a batch a client does not know which of its entities it has to repeat."""
    client.rig.workers.fail_item("b", ConflictError("taken", entity_key="b"))
    documents = [entity_pb2.KeyedDocument(key=k, document=b"1") for k in ("a", "b", "c")]
    request = entity_pb2.BatchPutEntitiesRequest(database="chatdb", entities=documents)
    answer = client.entities.BatchPutEntities(request, metadata=client.metadata, timeout=SECONDS)
    assert [(r.key, r.HasField("status")) for r in answer.results] == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]
    assert isinstance(status.from_status(answer.results[1].status), ConflictError)


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("the file was changed"),
        UnavailableError("down", retry_after_s=1),
        InternalError("a defect"),
    ],
    ids=lambda error: error.code,
)
def test_a_workers_failure_is_the_clients_answer(client: Client, error: StrongroomError) -> None:
    """A client over gRPC gets another error than one over REST."""
    client.put("k")
    client.rig.workers.fail_item("k", error)
    found = refused(lambda: client.get("k"))
    assert (type(found), found.detail, found.retry_after_s) == (
        type(error),
        error.detail,
        error.retry_after_s,
    )


@pytest.mark.parametrize("length", [10, 60, 400, 20_000])
def test_a_refusal_with_many_violations_arrives(client: Client, length: int) -> None:
    """A document with many faults is refused with an error that says nothing of them."""
    violations = [
        Violation(f"/{n}/" + "x" * length, "type", "not a string")
        for n in range(limits.VIOLATIONS_REPORTED_MAX)
    ]
    error = SchemaViolationError("the schema refuses the document", violations=violations)
    for worker_id in ("worker-1", "worker-2"):
        client.rig.workers.fail(worker_id, error)
    found = refused(lambda: client.put("k"))
    assert isinstance(found, SchemaViolationError)
    assert list(found.violations) == violations[: len(found.violations)]
    assert found.violations or length == 20_000


def test_an_unforeseen_failure_shows_nothing_of_itself(client: Client) -> None:
    """A stack trace or a secret reaches the client."""
    for worker_id in ("worker-1", "worker-2"):
        client.rig.workers.fail(worker_id, ValueError("hunter2"))
    with pytest.raises(grpc.RpcError) as caught:
        client.get("k")
    assert isinstance(status.from_rpc_error(caught.value), InternalError)
    assert "hunter2" not in str(caught.value)


def test_what_is_not_granted_is_refused_whether_it_exists_or_not(client: Client) -> None:
    """A client over gRPC reads, or learns of, what nobody has granted to it."""
    client.put("theirs")
    ada = client.rig.add_client("ada", grant("chatdb", Action.READ, key_prefix="mine/"))
    bearer = client.rig.bearer(ada)
    restricted = Client(client.rig, client.channel, (("authorization", bearer),))
    calls = len(client.rig.workers.calls)
    for key, database in [("theirs", "chatdb"), ("nothing", "chatdb"), ("mine/1", "nosuchdb")]:
        error = refused(partial(restricted.get, key, database=database))
        assert isinstance(error, ForbiddenError)
    assert isinstance(refused(lambda: restricted.put("mine/1")), ForbiddenError)
    assert len(client.rig.workers.calls) == calls
    assert isinstance(refused(lambda: restricted.get("mine/1")), NotFoundError)


def test_an_entity_of_the_largest_size_crosses(client: Client) -> None:
    """An entity of the documented size is refused by the transport."""
    document = b'"' + b"x" * (limits.ENTITY_BYTES_MAX - 2) + b'"'
    client.put("k", document)
    assert client.rig.entities.get(client.rig.caller(), "chatdb", "k").document == document


@pytest.mark.parametrize("too_many_bytes", [0, 1])
def test_what_is_read_together_fits_into_a_message(client: Client, too_many_bytes: int) -> None:
    """A read of many entities with long keys is refused for want of room, however often it comes.

    A client would not know that it has to ask for fewer at once.
    """
    keys = [f"{number:0{limits.ENTITY_KEY_BYTES_MAX}}" for number in range(100)]
    size_bytes = limits.MESSAGE_BYTES_MAX // 100 - limits.ENTITY_KEY_BYTES_MAX
    rest_bytes = limits.MESSAGE_BYTES_MAX % 100
    for key in keys:
        client.put(key, b"1" * size_bytes)
    client.put(keys[0], b"1" * (size_bytes + rest_bytes + too_many_bytes))
    request = entity_pb2.BatchGetEntitiesRequest(database="chatdb", keys=keys)
    call = partial(client.entities.BatchGetEntities, metadata=client.metadata, timeout=SECONDS)
    if not too_many_bytes:
        assert len(call(request).entities) == len(keys)
        return
    with pytest.raises(grpc.RpcError) as failure:
        call(request)
    assert isinstance(status.from_rpc_error(failure.value), TooLargeError)
