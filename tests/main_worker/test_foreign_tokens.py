"""Tokens of foreign issuers: what is not the issuer's word, for here, and now, is refused."""

import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain import foreign_tokens, issuer_keys
from main_api.domain.foreign_tokens import Verified
from main_api.domain.trusted_issuers import Algorithm, AudienceClaim, TokenType, TrustedIssuer
from strongroom import limits
from strongroom.errors import UnauthenticatedError
from strongroom.tokens import StaleTokenError
from tests.support.clocks import ManualClock
from tests.support.foreign_issuers import (
    AUDIENCE,
    ISSUER,
    SigningKey,
    claims,
    jwks,
    signing_key,
    trusted,
)

CLOCK = ManualClock()
NOW_S = CLOCK.wall_ms() // 1000
EC = signing_key("ec", "ES256")
RSA = signing_key("rsa", "RS256")
ED = signing_key("ed", "EdDSA")
RULES = trusted()
JWT = trusted(token_type=TokenType.JWT)
COGNITO = trusted(
    token_type=TokenType.JWT, audience_claim=AudienceClaim.CLIENT_ID, audiences=("app1", "app2")
)


def verify(token: str, said: TrustedIssuer = RULES, *keys: SigningKey) -> Verified:
    """Return what a token says, where the issuer publishes these keys."""
    presented = foreign_tokens.read(token)
    foreign_tokens.check_form(presented, said)
    published = issuer_keys.key_set(jwks(*(keys or (EC, RSA, ED)))).keys
    key = published.get(presented.kid)
    if key is None:
        raise UnauthenticatedError("no such key")
    return foreign_tokens.verified(presented, said, key, CLOCK.wall_ms() / 1000)


def refused(token: str, said: TrustedIssuer = RULES, *keys: SigningKey) -> UnauthenticatedError:
    """Return the error of a token that does not hold."""
    with pytest.raises(UnauthenticatedError) as refusal:
        verify(token, said, *keys)
    return refusal.value


def signed(payload: Any, key: SigningKey = EC) -> str:  # noqa: ANN401 - any JSON
    """Return a token whose payload is as it is, a JSON value or bytes; PyJWT refuses some."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    headers = {"kid": key.kid, "typ": "at+jwt"}
    return jwt.api_jws.encode(raw, key.private_key, key.algorithm, headers=headers)


def encoded(header: Any, payload: Any, signature: bytes = b"") -> str:  # noqa: ANN401 - any JSON
    """Return a token of parts as they are, JSON values or bytes."""
    parts = [
        one if isinstance(one, bytes) else json.dumps(one).encode() for one in (header, payload)
    ]
    return ".".join(
        base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in (*parts, signature)
    )


def test_a_token_of_the_issuer_is_its_word() -> None:
    """Nobody gets in."""
    for key in (EC, RSA, ED, signing_key("ps", "PS256"), signing_key("p5", "ES512")):
        said = trusted(algorithms=(Algorithm(key.algorithm),))
        found = verify(key.sign(claims(CLOCK, groups=["a"])), said, key)
        assert (found.subject, found.claims["groups"]) == ("ada", ["a"])


def test_a_token_that_was_changed_is_refused() -> None:
    """A user edits its own name."""
    token = EC.sign(claims(CLOCK))
    header, payload, signature = token.split(".")
    forged = encoded(b"", claims(CLOCK, sub="bob")).split(".")[1]
    for text in (
        f"{header}.{forged}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.{'A' * len(signature)}",
        f"{header}.{payload}.{signature}=",
        f"{header} .{payload}.{signature}",
        f"{header}.{payload}!.{signature}",
    ):
        assert refused(text).detail == "the token does not verify"


# -- algorithms and keys ---------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 7, ["ES256"], {}])
def test_a_token_without_a_signature_is_refused(alg: Any) -> None:  # noqa: ANN401 - any JSON
    """Anybody writes a token, and says that it needs no signature."""
    header = {"alg": alg, "typ": "at+jwt", "kid": "ec"}
    refused(encoded(header, claims(CLOCK)))
    refused(encoded(header, claims(CLOCK), b"x" * 64))


@pytest.mark.parametrize("key", [EC, RSA, ED], ids=lambda key: key.algorithm)
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_secret(key: SigningKey, alg: str) -> None:
    """Whoever reads an issuer's public key signs tokens with it as an HMAC's secret."""
    public = key.private_key.public_key()
    forms = [
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        json.dumps(key.jwk).encode(),
        b"",
    ]
    digest = f"sha{alg[2:]}"
    for secret in forms:
        unsigned = encoded({"alg": alg, "typ": "at+jwt", "kid": key.kid}, claims(CLOCK))
        covered = unsigned.rpartition(".")[0].encode()
        tag = hmac.new(secret, covered, digest).digest()
        refused(encoded({"alg": alg, "typ": "at+jwt", "kid": key.kid}, claims(CLOCK), tag))


def test_an_algorithm_that_the_record_does_not_name_is_refused() -> None:
    """An administrator who has taken an algorithm out is not heard."""
    token = RSA.sign(claims(CLOCK))
    assert verify(token)
    refused(token, trusted(algorithms=(Algorithm.ES256, Algorithm.RS512)))


def test_a_key_serves_only_for_its_own_algorithm() -> None:
    """A key that is published for one algorithm verifies another's signatures."""
    said = trusted(algorithms=tuple(Algorithm))
    token = jwt.encode(
        claims(CLOCK), RSA.private_key, "PS256", headers={"kid": "rsa", "typ": "at+jwt"}
    )
    assert RSA.jwk["alg"] == "RS256"
    refused(token, said)
    for alg in ("ES384", "EdDSA", "RS256"):
        header = {"alg": alg, "typ": "at+jwt", "kid": "ec"}
        refused(encoded(header, claims(CLOCK), b"x" * 64), said)


@pytest.mark.parametrize(
    "kid",
    [
        None,
        "",
        "other",
        "../../etc/passwd",
        "ec\0",
        "ec' OR 1=1 --",
        "x" * 4_000,
        7,
        ["ec"],
        {"ec": 1},
    ],
    ids=lambda kid: repr(kid)[:16],
)
def test_a_key_is_named_and_published_or_there_is_none(kid: Any) -> None:  # noqa: ANN401 - any JSON
    """A token says which file, row or key it is verified by."""
    header = {"alg": "ES256", "typ": "at+jwt", "kid": kid}
    signature = EC.sign(claims(CLOCK)).rpartition(".")[2]
    refused(encoded(header, claims(CLOCK), base64.urlsafe_b64decode(signature + "==")))


def test_a_key_in_the_token_itself_is_not_looked_at() -> None:
    """Whoever signs a token brings the key that verifies it."""
    mine = signing_key("ec", "ES256")
    embedded = {
        "jwk": mine.jwk,
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/cert",
        "x5c": ["MIIB"],
        "x5t": "AAAA",
    }
    refused(mine.sign(claims(CLOCK), **embedded))
    assert verify(EC.sign(claims(CLOCK), **embedded)).subject == "ada"


def test_a_key_of_another_issuer_verifies_nothing() -> None:
    """One trusted issuer speaks for another."""
    theirs = signing_key("ec", "ES256")
    refused(theirs.sign(claims(CLOCK)), RULES, EC)


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
    ],
)
def test_an_extension_that_nobody_here_knows_is_refused(header: dict[str, Any]) -> None:
    """A token whose meaning another header changes is taken at its face value (RFC 7515)."""
    text = encoded({"alg": "ES256", "typ": "at+jwt", "kid": "ec", **header}, claims(CLOCK))
    with pytest.raises(UnauthenticatedError):
        foreign_tokens.check_form(foreign_tokens.read(text), RULES)


# -- for whom, and from whom -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "iss",
    [ISSUER + "/", ISSUER.upper(), "https://evil.example", "", None, 7, [ISSUER], {ISSUER: 1}],
)
def test_another_issuer_is_another_one_to_the_letter(iss: Any) -> None:  # noqa: ANN401 - any JSON
    """A tenant whose name looks alike speaks for another."""
    refused(signed({**claims(CLOCK), "iss": iss}))


@pytest.mark.parametrize(
    "aud",
    ["other", "", None, [], ["other"], [[AUDIENCE]], {AUDIENCE: 1}, 7, True, AUDIENCE + "/", "*"],
)
def test_a_token_for_somebody_else_is_refused(aud: Any) -> None:  # noqa: ANN401 - any JSON
    """An application that a user has logged in to takes its token, and is the user here."""
    refused(EC.sign(claims(CLOCK, aud=aud)))


def test_one_audience_out_of_several_is_enough() -> None:
    """A token for several services is refused by all."""
    said = trusted(audiences=("one", AUDIENCE))
    assert verify(EC.sign(claims(CLOCK, aud=["two", AUDIENCE])), said)
    assert verify(EC.sign(claims(CLOCK, aud="one")), said)


@pytest.mark.parametrize(
    ("members", "passes"),
    [
        ({"client_id": "app1", "token_use": "access"}, True),
        ({"client_id": "app2"}, True),
        ({"client_id": "app3"}, False),
        ({"client_id": ["app1"]}, False),
        ({"client_id": None}, False),
        ({"client_id": "app1", "aud": AUDIENCE}, False),
        ({"client_id": "app1", "aud": "app1"}, False),
        ({"client_id": "app1", "aud": []}, False),
        ({"client_id": "app1", "token_use": "id"}, False),
        ({"aud": "app1", "token_use": "id"}, False),
    ],
)
def test_a_token_without_an_audience_is_taken_by_its_client(
    members: dict[str, Any],
    passes: bool,  # noqa: FBT001 - the outcome
) -> None:
    """Cognito's access tokens, which have no `aud`, are refused; or those for others are not."""
    token = EC.sign(claims(CLOCK, **{"aud": None, **members}), typ=None)
    if passes:
        assert verify(token, COGNITO).subject == "ada"
    else:
        refused(token, COGNITO)


def test_a_client_stands_for_an_audience_only_where_the_record_says_so() -> None:
    """A token without an audience is for everybody."""
    refused(EC.sign(claims(CLOCK, aud=None, client_id=AUDIENCE)))


# -- what kind of token ----------------------------------------------------------------------------


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_an_access_token_that_is_marked_is_taken(typ: str) -> None:
    """An issuer that follows RFC 9068 is refused for it."""
    assert verify(EC.sign(claims(CLOCK), typ=typ))
    assert verify(EC.sign(claims(CLOCK), typ=typ), JWT)


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt", None])
def test_a_token_that_is_not_marked_is_taken_where_the_record_says_so(typ: str | None) -> None:
    """An ID token is taken where the issuer marks access tokens; or Auth0's are never taken."""
    token = EC.sign(claims(CLOCK), typ=typ)
    assert verify(token, JWT)
    assert "typ" in refused(token).detail


@pytest.mark.parametrize(
    "typ", ["id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "at+jwt ", 7, ["JWT"], {}]
)
def test_a_token_that_is_marked_as_another_kind_is_refused(typ: Any) -> None:  # noqa: ANN401 - any JSON
    """A message that says a user has logged out logs its reader in."""
    token = encoded({"alg": "ES256", "kid": "ec", "typ": typ}, claims(CLOCK))
    for said in (RULES, JWT):
        presented = foreign_tokens.read(token)
        with pytest.raises(UnauthenticatedError, match="typ"):
            foreign_tokens.check_form(presented, said)


@pytest.mark.parametrize(
    "members",
    [
        {"token_use": "id"},
        {"token_use": ["access"]},
        {"token_use": None, "typ": "ID"},
        {"typ": "Refresh"},
        {"typ": "Offline"},
        {"typ": "Logout"},
        {"typ": ["Bearer"]},
        {"at_hash": "x"},
        {"c_hash": "x"},
        {"s_hash": "x"},
        {"cnf": {"jkt": "x"}},
        {"cnf": {"x5t#S256": "x"}},
    ],
)
def test_what_is_no_bearers_access_token_is_refused(members: dict[str, Any]) -> None:
    """An ID token, which every application of a user has seen, opens the user's documents."""
    token = EC.sign(claims(CLOCK, **members), typ="JWT")
    assert "token" in refused(token, JWT).detail


def test_a_token_that_says_it_is_an_access_token_is_taken() -> None:
    """Keycloak's and Cognito's access tokens are refused."""
    for members in ({"typ": "Bearer"}, {"token_use": "access"}):
        assert verify(EC.sign(claims(CLOCK, **members), typ="JWT"), JWT)


# -- when ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "is_good"),
    [
        ({"exp": NOW_S + 1}, True),
        ({"exp": NOW_S}, False),
        ({"exp": NOW_S - 1}, False),
        ({"exp": NOW_S + 0.5}, True),
        ({"nbf": NOW_S + limits.FOREIGN_CLOCK_SKEW_SECONDS}, True),
        ({"nbf": NOW_S + limits.FOREIGN_CLOCK_SKEW_SECONDS + 1}, False),
        ({"iat": NOW_S + limits.FOREIGN_CLOCK_SKEW_SECONDS}, True),
        ({"iat": NOW_S + limits.FOREIGN_CLOCK_SKEW_SECONDS + 1}, False),
        ({"iat": NOW_S + 3600, "nbf": NOW_S - 1, "exp": NOW_S + 7200}, False),
    ],
)
def test_a_token_is_good_in_its_time_only(
    members: dict[str, Any],
    is_good: bool,  # noqa: FBT001 - the outcome
) -> None:
    """A token that has expired works on; or one from a clock that is a little ahead does not."""
    token = EC.sign(claims(CLOCK, **members))
    if is_good:
        assert verify(token)
    else:
        assert isinstance(refused(token), StaleTokenError)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value",
    ["1", "soon", None, True, [1], {}, -1, 2**63, 1e300, 10**400, -(10**400)],
    ids=lambda v: str(v)[:8],
)
def test_a_time_is_a_number(name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    """A token whose end nobody can read never ends."""
    refused(signed({**claims(CLOCK), "nbf": NOW_S, name: value}))


@pytest.mark.parametrize("name", ["exp", "iat", "sub", "iss", "aud"])
def test_what_has_to_be_there_is_asked_for(name: str) -> None:
    """A token without an end, or without a name, is good for ever, and everybody's."""
    refused(EC.sign(claims(CLOCK, **{name: None})))


def test_a_token_that_lives_too_long_is_refused() -> None:
    """Whoever steals a token that is good for ten years has ten years."""
    for lifetime_s in (60, limits.FOREIGN_TOKEN_SECONDS_MAX):
        said = trusted(token_seconds_max=lifetime_s)
        assert verify(EC.sign(claims(CLOCK, exp=NOW_S + lifetime_s)), said)
        assert "seconds" in refused(EC.sign(claims(CLOCK, exp=NOW_S + lifetime_s + 1)), said).detail


# -- who -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sub",
    ["", " \n", "a\0b", "x" * 256, "a\x7f", "\u202eeve", 7, True, ["ada"], {"ada": 1}],
    ids=repr,
)
def test_a_subject_is_a_name(sub: Any) -> None:  # noqa: ANN401 - any JSON
    """A user whose name turns a log's line around, or is no text."""
    refused(signed(claims(CLOCK, sub=sub)))


# -- large, deep, odd ------------------------------------------------------------------------------


def test_a_token_past_the_bounds_is_refused_before_it_is_verified() -> None:
    """One request takes a Main Worker's time, or its stack."""
    fits = EC.sign(claims(CLOCK, pad="x" * 5_000))
    assert len(fits) <= limits.FOREIGN_TOKEN_CHARS_MAX
    assert verify(fits)
    refused(EC.sign(claims(CLOCK, pad="x" * 7_000)))
    deep: list[Any] = []
    for _ in range(limits.FOREIGN_TOKEN_DEPTH_MAX):
        deep = [deep]
    refused(EC.sign(claims(CLOCK, deep=deep)))
    refused("." * 1_000_000)
    refused("a." * 1_000_000)
    for text in (b"[" * 5_000, b'{"a":' * 1_000, b'{"alg":"ES256","x":' + b"[" * 5_000):
        refused(encoded(text, claims(CLOCK)))
        refused(encoded({"alg": "ES256"}, text))


def test_a_member_that_stands_twice_is_refused() -> None:
    """One reader sees the one audience, another one the other."""
    payload = json.dumps(claims(CLOCK))[:-1].encode() + b', "sub": "bob"}'
    refused(signed(payload))
    header = b'{"alg": "none", "alg": "ES256", "typ": "at+jwt", "kid": "ec"}'
    refused(encoded(header, claims(CLOCK)))


@pytest.mark.parametrize(
    "payload", [b"", b"null", b"[]", b"7", b'"x"', b"{", b"\xff\xfe", b"NaN", b'{"a": NaN}']
)
def test_what_is_no_set_of_claims_is_refused(payload: bytes) -> None:
    """A payload that is no JSON object is an error that nobody expects."""
    refused(signed(payload))


@given(st.text(max_size=200) | st.text(alphabet="eyJ.AB-_=", max_size=200))
def test_no_text_is_more_than_a_token_that_does_not_verify(text: str) -> None:
    """Some bytes in a header are an internal error, or a way in."""
    refused(text)


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "sub", "exp", "iat", "nbf", "cnf", "typ", "jti"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=5)
        | st.lists(st.text(max_size=3)),
        max_size=4,
    )
)
def test_no_claim_of_any_shape_is_an_unexpected_error(odd: dict[str, Any]) -> None:
    """An issuer's token with an odd claim fails for a reason that nobody can see."""
    payload = {**claims(CLOCK), **odd}
    token = signed(payload)
    try:
        found = verify(token)
    except UnauthenticatedError:
        return
    assert found.subject == payload["sub"]
    assert payload["iss"] == ISSUER
    assert payload["aud"] == AUDIENCE or AUDIENCE in payload["aud"]
    assert "cnf" not in payload
