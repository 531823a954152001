"""Token exchange (RFC 8693): a front end hands each user a token for what is that user's."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import grpc
import jwt
import pytest

from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.rest import routes
from strongroom import limits
from strongroom.errors import ForbiddenError, StrongroomError, UnauthenticatedError
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc
from tests.support.mains import Built, Credentials, MainRig, grant
from tests.support.rpc_mains import SECONDS, Pki, ServedMain
from tests.support.wsgi import Answer, WsgiClient

READ, WRITE, DELETE, ADMIN = Action.READ, Action.WRITE, Action.DELETE, Action.ADMIN
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
USER = "urn:strongroom:token-type:user"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


class Rig:
    """A Main Worker with a front end, and the way to its token endpoint."""

    def __init__(self) -> None:
        """Make the client."""
        self.main = MainRig()
        own = (grant("chatdb", READ, WRITE, DELETE),)
        users = (grant("chatdb", READ, WRITE, key_prefix="users/{sub}/"),)
        self.front = self.main.add_front_end("front", own, users)
        self.http = WsgiClient(routes.build(Built(self.main.main())))

    def ask(self, _who: Credentials | None = None, /, **fields: str) -> Answer:
        """Ask for a user's token, as the front end and for alice unless said otherwise."""
        form = {
            "grant_type": EXCHANGE,
            "subject_token": "alice",
            "subject_token_type": USER,
        } | fields
        body = urlencode({name: value for name, value in form.items() if value != "-"})
        headers = {**FORM, "Authorization": (_who or self.front).basic}
        return self.http("POST", "/oauth/token", body.encode(), headers)

    def caller(self, user: str = "alice", scope: str = "") -> Caller:
        """Return a user, authenticated."""
        return self.main.access.authenticate(self.main.user_bearer(self.front, user, scope))


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker with a front end."""
    return Rig()


def may(rig: Rig, caller: Caller, key: str, action: Action) -> bool:
    """Tell whether somebody may act on an entity of chatdb."""
    try:
        rig.main.access.authorize(caller, "chatdb", [key], action)
    except ForbiddenError:
        return False
    return True


def test_a_user_gets_a_token_for_what_is_the_users(rig: Rig) -> None:
    """A chat front end has to give everybody its own rights, or nobody any."""
    answer = rig.ask()
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    members = answer.json()
    token = members.pop("access_token")
    assert members == {
        "issued_token_type": ACCESS,
        "token_type": "Bearer",
        "expires_in": limits.ACCESS_TOKEN_SECONDS,
        "scope": "read write",
    }
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["client_id"]) == ("alice", "front")
    assert claims["act"] == {"sub": "front"}
    alice = rig.main.access.authenticate(f"Bearer {token}")
    assert (alice.subject, alice.client_id, alice.is_user) == ("alice", "front", True)
    assert may(rig, alice, "users/alice/1", READ)
    assert may(rig, alice, "users/alice/1", WRITE)
    for key in ("users/bob/1", "users/alic/1", "users/alice", "users/Alice/1", "other", "users/"):
        assert not may(rig, alice, key, READ)


def test_a_user_has_nothing_of_what_is_the_clients_alone(rig: Rig) -> None:
    """A user deletes, or reads, by the right of the front end."""
    front = rig.main.access.authenticate(rig.main.bearer(rig.front))
    alice = rig.caller()
    assert may(rig, front, "users/alice/1", DELETE)
    assert not may(rig, alice, "users/alice/1", DELETE)
    assert may(rig, front, "users/bob/1", READ)
    assert not may(rig, alice, "users/bob/1", READ)


def test_a_user_who_is_called_as_the_client_is_a_user(rig: Rig) -> None:
    """Whoever may choose a name chooses the front end's, and has all chats."""
    namesake = rig.caller("front")
    assert namesake.is_user
    assert may(rig, namesake, "users/front/1", READ)
    assert not may(rig, namesake, "users/bob/1", READ)
    front = rig.main.access.authenticate(rig.main.bearer(rig.front))
    assert namesake.unique_id != front.unique_id


def test_a_users_token_can_be_narrowed_and_not_widened(rig: Rig) -> None:
    """A token for reading writes; or the client's own actions leak into its users' tokens."""
    assert rig.ask(scope="read").json()["scope"] == "read"
    alice = rig.caller(scope="read")
    assert may(rig, alice, "users/alice/1", READ)
    assert not may(rig, alice, "users/alice/1", WRITE)
    for scope in ("delete", "read delete", "admin", "everything"):
        answer = rig.ask(scope=scope)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_scope")


def test_a_client_without_the_right_acts_for_nobody(rig: Rig) -> None:
    """Every client hands out tokens in other people's names."""
    ada = rig.main.add_client("ada")
    answer = rig.ask(ada)
    assert (answer.status, answer.json()["error"]) == (400, "unauthorized_client")


def test_a_users_token_is_no_proof_at_the_token_endpoint(rig: Rig) -> None:
    """A user makes tokens for others with its own."""
    bearer = {**FORM, "Authorization": rig.main.user_bearer(rig.front, "alice")}
    form = {"grant_type": EXCHANGE, "subject_token": "bob", "subject_token_type": USER}
    for fields in (form, {"grant_type": "client_credentials"}):
        answer = rig.http("POST", "/oauth/token", urlencode(fields).encode(), bearer)
        assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    token = bearer["Authorization"].removeprefix("Bearer ")
    answer = rig.ask(Credentials("front", token))
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    assert rig.ask(subject_token=token, subject_token_type=ACCESS).status == 400


def test_a_user_administers_nothing_unless_the_grants_say_so(rig: Rig) -> None:
    """The front end's administrator is one with each of its users."""
    everything = (grant("*", READ, ADMIN),)
    front = rig.main.add_front_end("console", everything, (grant("chatdb", READ),))
    alice = rig.main.access.authenticate(rig.main.user_bearer(front, "alice"))
    with pytest.raises(ForbiddenError):
        rig.main.access.require_everywhere(alice)
    assert not rig.main.access.administers_any(alice)
    front = rig.main.add_front_end("staff", everything, (grant("chatdb", ADMIN),))
    clerk = rig.main.access.authenticate(rig.main.user_bearer(front, "clerk"))
    assert rig.main.access.may_administer(clerk, "chatdb")
    with pytest.raises(ForbiddenError):
        rig.main.access.require_everywhere(clerk)


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no subject": ({"subject_token": "-"}, "invalid_request"),
    "an empty subject": ({"subject_token": ""}, "invalid_request"),
    "a slash": ({"subject_token": "a/b"}, "invalid_request"),
    "a way up": ({"subject_token": "../bob"}, "invalid_request"),
    "a line feed": ({"subject_token": "a\nb"}, "invalid_request"),
    "a NUL": ({"subject_token": "a\0"}, "invalid_request"),
    "a C1 control": ({"subject_token": "a\x85"}, "invalid_request"),
    "too long": ({"subject_token": "x" * 257}, "invalid_request"),
    "too long in UTF-8": ({"subject_token": "é" * 129}, "invalid_request"),
    "no type": ({"subject_token_type": "-"}, "invalid_request"),
    "another type": ({"subject_token_type": ACCESS}, "invalid_request"),
    "a type in capitals": ({"subject_token_type": USER.upper()}, "invalid_request"),
    "an actor": ({"actor_token": "x", "actor_token_type": ACCESS}, "invalid_request"),
    "a resource": ({"resource": "https://elsewhere"}, "invalid_request"),
    "a refresh token": (
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        "invalid_request",
    ),
    "another audience": ({"audience": "strongroom:worker"}, "invalid_target"),
    "another grant": ({"grant_type": EXCHANGE + "x"}, "unsupported_grant_type"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_no_exchange_is_refused(rig: Rig, case: tuple[dict[str, str], str]) -> None:
    """A user chooses whose entities to read; or an OAuth library cannot tell what is wrong."""
    fields, error = case
    answer = rig.ask(**fields)
    assert (answer.status, answer.json()["error"]) == (400, error)
    assert "access_token" not in answer.json()


@pytest.mark.parametrize(
    "user", ["é", "auth0|42", "a b", "{sub}", "..", "%2e", "名" * 85, "x" * 256]
)
def test_a_user_may_be_called_almost_anything(rig: Rig, user: str) -> None:
    """An identity provider's subjects cannot be used."""
    given = {"audience": "strongroom:client", "requested_token_type": ACCESS, "resource": ""}
    token = rig.ask(subject_token=user, **given).json()["access_token"]
    assert len(token) < limits.TOKEN_CHARS_MAX
    somebody = rig.main.access.authenticate(f"Bearer {token}")
    assert somebody.subject == user
    assert may(rig, somebody, f"users/{user}/1", READ)
    assert not may(rig, somebody, "users/alice/1", READ)


CHANGES: dict[str, tuple[Callable[[Rig], object], type[StrongroomError]]] = {
    "removed": (lambda rig: rig.main.provisioning.delete_client("front"), UnauthenticatedError),
    "without the right": (
        lambda rig: rig.main.provisioning.put_client("front", (grant("chatdb", READ),)),
        ForbiddenError,
    ),
    "with fewer rights": (
        lambda rig: rig.main.provisioning.put_client(
            "front", (grant("other", READ),), (grant("other", READ),)
        ),
        ForbiddenError,
    ),
}


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES)
def test_what_happens_to_the_client_happens_to_its_users(
    rig: Rig, case: tuple[Callable[[Rig], object], type[StrongroomError]]
) -> None:
    """A front end is shut out, and the tokens that it has handed out go on."""
    change, error = case
    bearer = rig.main.user_bearer(rig.front, "alice")
    assert may(rig, rig.main.access.authenticate(bearer), "users/alice/1", READ)
    change(rig)
    rig.main.clock.advance(limits.REVOCATION_SECONDS_MAX)
    with pytest.raises(error):
        rig.main.access.authorize(
            rig.main.access.authenticate(bearer), "chatdb", ["users/alice/1"], READ
        )


def test_a_users_token_ends_in_its_time(rig: Rig) -> None:
    """A user's token outlives its client's."""
    bearer = rig.main.user_bearer(rig.front, "alice")
    rig.main.clock.advance(limits.ACCESS_TOKEN_SECONDS - 0.001)
    rig.main.access.authenticate(bearer)
    rig.main.clock.advance(0.001)
    with pytest.raises(UnauthenticatedError):
        rig.main.access.authenticate(bearer)


# -- over gRPC -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, grpc.Channel]]:
    """Serve a Main Worker over gRPC."""
    rig, pki = Rig(), Pki.make(Path(tmp_path_factory.mktemp("pki")))
    face = ServedMain(rig.main.main(), pki)
    with pki.client_channel(face.clients) as channel:
        yield rig, channel
    face.stop()


def exchanged(
    served: tuple[Rig, grpc.Channel], subject: str = "alice", scope: str = "", secret: str = ""
) -> auth_pb2.IssueTokenResponse:
    """Ask for a user's token over gRPC."""
    rig, channel = served
    request = auth_pb2.ExchangeTokenRequest(
        client_id="front",
        client_secret=secret or rig.front.secret,
        subject=subject,
        scope=scope,
    )
    stub = auth_pb2_grpc.AuthServiceStub(channel)
    answer: auth_pb2.IssueTokenResponse = stub.ExchangeToken(request, timeout=SECONDS)
    return answer


def test_a_user_gets_a_token_over_grpc_too(served: tuple[Rig, grpc.Channel]) -> None:
    """A front end that speaks gRPC cannot act for its users."""
    rig, _ = served
    answer = exchanged(served, scope="read")
    assert (answer.token_type, answer.scope) == ("Bearer", "read")
    alice = rig.main.access.authenticate(f"Bearer {answer.access_token}")
    assert (alice.subject, alice.is_user) == ("alice", True)
    assert may(rig, alice, "users/alice/1", READ)
    assert not may(rig, alice, "users/bob/1", READ)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"subject": "a/b"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"subject": ""}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"scope": "admin"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"secret": "wrong"}, grpc.StatusCode.UNAUTHENTICATED),
    ],
)
def test_over_grpc_as_much_is_refused(
    served: tuple[Rig, grpc.Channel], fields: dict[str, str], code: grpc.StatusCode
) -> None:
    """What REST refuses passes through the other face."""
    with pytest.raises(grpc.RpcError) as refusal:
        exchanged(served, **fields)
    assert isinstance(refusal.value, grpc.Call)
    assert refusal.value.code() is code
