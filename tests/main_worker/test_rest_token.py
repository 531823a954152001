"""POST /oauth/token: client credentials in a form (RFC 6749), and what is not."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain.grants import Action
from main_api.rest import routes
from strongroom import limits
from tests.support.mains import Built, MainRig, grant
from tests.support.wsgi import Answer, WsgiClient

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GRANT = b"grant_type=client_credentials"
KIB = 1024


class Rig:
    """A Main Worker with a client `ada`, and the way to its token endpoint."""

    def __init__(self) -> None:
        """Make the client."""
        self.main = MainRig()
        self.ada = self.main.add_client("ada", grant("*", Action.READ, Action.WRITE))
        self.http = WsgiClient(routes.build(Built(self.main.main())))

    def ask(
        self,
        body: bytes = GRANT,
        authorization: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Ask for a token, as ada unless said otherwise."""
        basic = {"Authorization": self.ada.basic if authorization is None else authorization}
        return self.http("POST", "/oauth/token", body, {**FORM, **basic, **(headers or {})})


@pytest.fixture(scope="module")
def rig() -> Rig:
    """Return a Main Worker with a client."""
    return Rig()


def basic(text: str | bytes) -> str:
    """Return an `Authorization: Basic` header of a user-pass."""
    raw = text if isinstance(text, bytes) else text.encode()
    return "Basic " + base64.b64encode(raw).decode()


def test_a_token_is_issued(rig: Rig) -> None:
    """No client gets in over REST."""
    answer = rig.ask()
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    members = answer.json()
    assert set(members) == {"access_token", "token_type", "expires_in", "scope"}
    assert members["token_type"] == "Bearer"
    assert members["expires_in"] == limits.ACCESS_TOKEN_SECONDS
    assert members["scope"] == "read write"
    caller = rig.main.access.authenticate(f"Bearer {members['access_token']}")
    assert caller.client_id == "ada"


@pytest.mark.parametrize(
    "body",
    [
        GRANT + b"&scope=",
        b"scope=&" + GRANT,
        GRANT + b"&unknown=1",
        b"grant_type=client%5Fcredentials",
        GRANT + b"&scope=read+write",
        GRANT + b"&scope=write%20read",
        GRANT + b"&" * 5,
    ],
)
def test_a_form_may_be_written_in_several_ways(rig: Rig, body: bytes) -> None:
    """A client's HTTP library writes forms that are refused."""
    assert rig.ask(body).json()["scope"] == "read write"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "Application/X-WWW-Form-Urlencoded ;charset=utf-8",
    ],
)
def test_the_media_type_may_have_parameters(rig: Rig, content_type: str) -> None:
    """A client's HTTP library adds a charset and is refused."""
    assert rig.ask(headers={"Content-Type": content_type}).status == 200


def test_a_token_can_be_narrowed(rig: Rig) -> None:
    """A client that asks for a token for reading alone gets one that can write."""
    assert rig.ask(GRANT + b"&scope=read").json()["scope"] == "read"


REFUSED: dict[str, tuple[bytes, str | None, dict[str, str], int, str | None]] = {
    "wider scope": (GRANT + b"&scope=admin", None, {}, 400, "invalid_scope"),
    "unknown scope": (GRANT + b"&scope=%00", None, {}, 400, "invalid_scope"),
    "no grant type": (b"", None, {}, 400, "invalid_request"),
    "empty grant type": (b"grant_type=", None, {}, 400, "invalid_request"),
    "password grant": (b"grant_type=password", None, {}, 400, "unsupported_grant_type"),
    "refresh token": (b"grant_type=refresh_token", None, {}, 400, "unsupported_grant_type"),
    "repeated parameter": (GRANT + b"&" + GRANT, None, {}, 400, "invalid_request"),
    "repeated scope": (GRANT + b"&scope=read&scope=write", None, {}, 400, "invalid_request"),
    "not ASCII": (GRANT + b"&scope=\xff", None, {}, 400, "invalid_request"),
    "not UTF-8 once decoded": (GRANT + b"&scope=%ff", None, {}, 400, "invalid_request"),
    "too many fields": (GRANT + b"&a=1" * 30, None, {}, 400, "invalid_request"),
    "too large": (GRANT + b"&a=" + b"x" * 16 * KIB, None, {}, 413, None),
    "JSON": (
        b'{"grant_type": "client_credentials"}',
        None,
        {"Content-Type": "application/json"},
        415,
        None,
    ),
    "multipart": (b"--x--", None, {"Content-Type": "multipart/form-data; boundary=x"}, 415, None),
    "no credentials": (GRANT, "", {}, 401, "invalid_client"),
    "a bearer token": (GRANT, "Bearer x.y.z", {}, 401, "invalid_client"),
    "no base64": (GRANT, "Basic !!!", {}, 401, "invalid_client"),
    "base64 cut short": (GRANT, "Basic YWRhO", {}, 401, "invalid_client"),
    "not ASCII credentials": (GRANT, "Basic é", {}, 401, "invalid_client"),
    "not UTF-8 credentials": (GRANT, basic(b"\xff:\xff"), {}, 401, "invalid_client"),
    "no colon": (GRANT, basic("ada"), {}, 401, "invalid_client"),
    "empty credentials": (GRANT, basic(":"), {}, 401, "invalid_client"),
    "wrong secret": (GRANT, basic("ada:wrong"), {}, 401, "invalid_client"),
    "unknown client": (GRANT, basic("bob:wrong"), {}, 401, "invalid_client"),
    "a path as client": (GRANT, basic("../clients/ada:x"), {}, 401, "invalid_client"),
    "NUL in the client": (GRANT, basic("ada\0:x"), {}, 401, "invalid_client"),
    "lone surrogate in the client": (GRANT, basic("%ED%A0%80:x"), {}, 401, "invalid_client"),
    "a long client": (GRANT, basic("x" * 10_000 + ":x"), {}, 401, "invalid_client"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_no_client_credentials_request_is_refused(
    rig: Rig, case: tuple[bytes, str | None, dict[str, str], int, str | None]
) -> None:
    """A broken request is an internal error, or an OAuth library cannot tell what is wrong."""
    body, authorization, headers, status, error = case
    answer = rig.ask(body, authorization, headers)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().get("error") == error
    if error is not None:
        assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", answer.json()["error_description"])
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic ")


def test_an_unknown_client_and_a_wrong_secret_look_the_same(rig: Rig) -> None:
    """Whoever guesses learns which clients exist."""
    answers = [rig.ask(authorization=basic(f"{who}:wrong")) for who in ("ada", "bob", "x/y")]
    shown = [{k: v for k, v in a.json().items() if k != "request_id"} for a in answers]
    assert shown[0] == shown[1] == shown[2]


def test_credentials_may_be_percent_encoded(rig: Rig) -> None:
    """An OAuth library that keeps to RFC 6749 section 2.3.1 does not get in."""
    encoded = "".join(f"%{byte:02X}" for byte in rig.ada.secret.encode())
    assert rig.ask(authorization=basic(f"%61da:{encoded}")).status == 200


@given(body=st.binary(max_size=60), user_pass=st.binary(max_size=40))
def test_no_request_for_a_token_is_an_internal_error(body: bytes, user_pass: bytes) -> None:
    """Somebody without credentials fills the log with stack traces."""
    http = WsgiClient(routes.build(Built(MainRig().main())))
    headers = {**FORM, "Authorization": basic(user_pass)}
    for sent in (body, GRANT + b"&" + body):
        assert http("POST", "/oauth/token", sent, headers).status in {400, 401}
