"""What may be said of a foreign issuer: nothing that leads elsewhere, or lets too much in."""

from typing import Any

import msgspec
import pytest

from main_api.domain import trusted_issuers
from main_api.domain.trusted_issuers import Algorithm, TrustedIssuer
from strongroom import limits

READ: dict[str, Any] = {"database": "chatdb", "actions": ["read"]}
LEAST: dict[str, Any] = {"issuer": "https://a.example", "audiences": ["x"], "rules": []}


def decoded(**members: Any) -> TrustedIssuer:  # noqa: ANN401 - any JSON
    """Return what a request body says."""
    text = msgspec.json.encode({**LEAST, **members})
    return msgspec.json.decode(text, type=TrustedIssuer)


@pytest.mark.parametrize(
    ("issuer", "asked"),
    [
        ("https://a.example", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example:8443/realms/x", "https://a.example:8443/realms/x/.well-known/"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x/.well-known/"),
        ("http://localhost:8080/realms/x", "http://localhost:8080/realms/x/.well-known/"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/.well-known/"),
        ("http://[::1]:1", "http://[::1]:1/.well-known/"),
    ],
)
def test_an_issuer_is_asked_below_its_own_address(issuer: str, asked: str) -> None:
    """The keys of a real issuer are looked for where they are not."""
    assert decoded(issuer=issuer).discovery_uri.startswith(asked)


@pytest.mark.parametrize("member", ["issuer", "jwks_uri"])
@pytest.mark.parametrize(
    "address",
    [
        "a.example",
        "//a.example/",
        "ftp://a.example/",
        "file:///etc/passwd",
        "http://a.example/",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost.evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://0.0.0.0/",
        "https://",
        "https:///x",
        "https://user@a.example/",
        "https://a.example@evil.example/",
        "https://a.example:0/",
        "https://a.example:99999/",
        "https://a.example:x/",
        "https://[::1/",
        "https://a.example/#x",
        "https://a.example/ x",
        "https://a.example/\r\nHost: evil.example",
        "https://a.example\\@evil.example/",
        "https://\u0430.example/",
        "https://a.example/" + "x" * 512,
    ],
)
def test_an_address_that_could_lead_elsewhere_is_refused(member: str, address: str) -> None:
    """A Main Worker asks any machine in its network, or takes keys that anybody could change."""
    with pytest.raises(msgspec.ValidationError):
        decoded(**{member: address})


def test_an_issuer_has_no_query_and_its_keys_may() -> None:
    """Azure's key sets, which are told apart by a query, cannot be named."""
    assert decoded(jwks_uri="https://a.example/keys?p=policy").jwks_uri
    for odd in ("https://a.example/?x=1", "https://a.example/?"):
        with pytest.raises(msgspec.ValidationError):
            decoded(issuer=odd)


@pytest.mark.parametrize(
    "algorithm",
    ["none", "None", "HS256", "HS384", "HS512", "", "rs256", "ES256K", "RSA-OAEP", "dir"],
)
def test_only_asymmetric_algorithms_can_be_named(algorithm: str) -> None:
    """Whoever reads an issuer's public key signs tokens with it."""
    with pytest.raises(msgspec.ValidationError):
        decoded(algorithms=[algorithm])
    assert not any(one.startswith(("HS", "none")) for one in Algorithm)


@pytest.mark.parametrize(
    "members",
    [
        {"audiences": []},
        {"audiences": [""]},
        {"audiences": ["x"] * (limits.ISSUER_AUDIENCES_MAX + 1)},
        {"algorithms": []},
        {"audience_claim": "azp"},
        {"token_type": "id_token"},
        {"token_seconds_max": 0},
        {"token_seconds_max": limits.FOREIGN_TOKEN_SECONDS_SETTABLE_MAX + 1},
        {"audience": "x"},
        {"rules": [{"claims": {}, "grants": [READ]}] * (limits.ISSUER_RULES_MAX + 1)},
        {"rules": [{"claims": {}, "grants": [READ] * 60}] * 2},
        {"ca_certificates": "x" * (limits.ISSUER_CA_CHARS_MAX + 1)},
    ],
)
def test_what_is_no_configuration_of_an_issuer_is_refused(members: dict[str, Any]) -> None:
    """A slip, in the name of a member too, is kept, and every token is refused; or none."""
    with pytest.raises(msgspec.ValidationError):
        decoded(**members)


def test_nothing_but_the_least_has_to_be_said_and_that_is_strict() -> None:
    """What an administrator has not thought of is let in."""
    said = decoded()
    assert (said.token_type, said.audience_claim) == ("at+jwt", "aud")
    assert said.token_seconds_max == limits.FOREIGN_TOKEN_SECONDS_MAX
    assert said.rules == ()


def test_addresses_without_tls_are_told() -> None:
    """A setting that forbids plain HTTP lets some of it pass."""
    assert not decoded(jwks_uri="https://b.example/").unencrypted()
    assert decoded(issuer="http://127.0.0.1/", jwks_uri="https://b.example/").unencrypted()
    assert decoded(jwks_uri="http://[::1]/keys").unencrypted() == ["http://[::1]/keys"]


def test_an_origin_is_scheme_host_and_port() -> None:
    """Another port or scheme of a host is taken for the same, or the same for another."""
    of = trusted_issuers.origin
    assert of("https://a.example/x") == of("https://A.example:443/y?z")
    assert len({of("https://a.example"), of("https://a.example:8443"), of("http://localhost")}) == 3
