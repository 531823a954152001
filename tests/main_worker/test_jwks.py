"""/.well-known/jwks.json: with what it says a stranger verifies our tokens, and makes none."""

import base64

import jwt
import pytest

from main_api.domain.grants import Action
from main_api.rest import routes
from strongroom import limits, tokens
from strongroom.keyring import Purpose
from tests.support.mains import Built, MainRig, grant
from tests.support.wsgi import WsgiClient

PATH = "/.well-known/jwks.json"


class Rig:
    """A Main Worker over REST."""

    def __init__(self) -> None:
        """Make it, with an administrator."""
        self.main = MainRig()
        self.admin = self.main.add_client("admin")
        self.http = WsgiClient(routes.build(Built(self.main.main())))

    def verified(self, token: str) -> dict[str, object]:
        """Verify a token as a gateway in front does that knows nothing but the published keys."""
        published = jwt.PyJWKSet.from_dict(self.http("GET", PATH).json())
        key = published[jwt.get_unverified_header(token)["kid"]]
        claims: dict[str, object] = jwt.decode(
            token,
            key,
            algorithms=["EdDSA"],
            audience=tokens.CLIENT_AUDIENCE,
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
        return claims

    def rotate(self, body: bytes = b'{"purpose": "token-signing"}') -> str:
        """Make a new key."""
        bearer = {"Authorization": self.main.bearer(self.admin)}
        answer = self.http("POST", "/keys/rotate", body, bearer)
        assert answer.status == 201
        return str(answer.json()["key_id"])


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker."""
    return Rig()


def test_a_token_verifies_by_the_published_key(rig: Rig) -> None:
    """A gateway in front of the service cannot tell our tokens from others."""
    token = rig.main.bearer(rig.admin).removeprefix("Bearer ")
    assert rig.verified(token)["sub"] == "admin"


def test_a_published_key_is_public(rig: Rig) -> None:
    """Whoever asks for the keys can sign with them."""
    (key,) = rig.http("GET", PATH).json()["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    secret = rig.main.keys.active(Purpose.TOKEN_SIGNING).material
    assert base64.urlsafe_b64decode(key["x"] + "=") != secret


def test_a_key_is_published_before_it_signs_and_while_tokens_of_it_live(rig: Rig) -> None:
    """A gateway in front refuses tokens after a rotation: the new ones, or the older ones."""
    older = rig.main.bearer(rig.admin).removeprefix("Bearer ")
    first = jwt.get_unverified_header(older)["kid"]
    second = rig.rotate()
    published = {key["kid"] for key in rig.http("GET", PATH).json()["keys"]}
    assert published == {first, second}
    rig.main.clock.advance(limits.SIGNING_KEY_PUBLISHED_SECONDS)
    newer = rig.main.bearer(rig.admin).removeprefix("Bearer ")
    assert jwt.get_unverified_header(newer)["kid"] == second
    rig.main.clock.advance(limits.ACCESS_TOKEN_SECONDS - limits.SIGNING_KEY_PUBLISHED_SECONDS)
    assert rig.verified(older)
    assert rig.verified(newer)
    rig.main.clock.advance(limits.SIGNING_KEY_PUBLISHED_SECONDS + 1)
    assert [key["kid"] for key in rig.http("GET", PATH).json()["keys"]] == [second]


def test_a_rotation_says_of_which_key(rig: Rig) -> None:
    """Who wants to replace one key replaces the other."""
    bearer = {"Authorization": rig.main.bearer(rig.admin)}

    def listed() -> tuple[list[str], list[str]]:
        found = rig.http("GET", "/keys", headers=bearer).json()
        data, signing = found["keys"], found["signing_keys"]
        return [one["key_id"] for one in data], [one["key_id"] for one in signing]

    data, signing = listed()
    assert len(data) == len(signing) == 1
    signing.append(rig.rotate())
    assert listed() == (data, signing)
    data.append(rig.rotate(b"{}"))
    data.append(rig.rotate(b""))
    assert listed() == (data, signing)
    for body in (b'{"purpose": "naming"}', b'{"purpose": ""}', b'{"key": "x"}'):
        assert rig.http("POST", "/keys/rotate", body, bearer).status == 400
    assert rig.http("POST", "/keys/rotate", b'{"purpose": "token-signing"}', bearer).status == 409
    assert listed() == (data, signing)


def test_only_an_administrator_replaces_the_signing_key(rig: Rig) -> None:
    """Any client makes keys."""
    ada = rig.main.add_client("ada", grant("*", Action.READ, Action.WRITE))
    bearer = {"Authorization": rig.main.bearer(ada)}
    refused = rig.http("POST", "/keys/rotate", b'{"purpose": "token-signing"}', bearer)
    assert refused.status == 403
    assert len(rig.http("GET", PATH).json()["keys"]) == 1


def test_the_keys_are_asked_for_as_they_stand(rig: Rig) -> None:
    """A parameter that is not known is passed over."""
    assert rig.http("GET", PATH + "?kid=x").status == 400
    assert rig.http("POST", PATH).status == 405
