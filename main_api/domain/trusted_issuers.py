"""Foreign issuers whose tokens are taken, as an administrator has them trusted.

Everything that decides about a foreign token stands in this record, which lies sealed under the
keyring: whoever can write the disk can neither add an issuer nor change what one may vouch for.
"""

from collections.abc import Sequence
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from main_api.domain.claim_rules import Rule
from strongroom import limits

_LOCALHOST: Final = "localhost"
_HTTPS, _HTTP = "https", "http"
_PORTS: Final = {_HTTPS: 443, _HTTP: 80}

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.CLAIM_TEXT_CHARS_MAX)]


class Algorithm(StrEnum):
    """What a foreign token may be signed with (RFC 7518, RFC 8037): asymmetric ones only."""

    EDDSA = "EdDSA"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"


class AudienceClaim(StrEnum):
    """Which claim says whom a token is for."""

    AUD = "aud"
    CLIENT_ID = "client_id"


class TokenType(StrEnum):
    """How an issuer marks its access tokens, in the header's `typ`."""

    ACCESS_TOKEN = "at+jwt"  # noqa: S105 - a media type: RFC 9068 section 2.1
    JWT = "JWT"


class TrustedIssuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an administrator says of an issuer.

    Attributes:
        issuer: The `iss` of its tokens, to the letter. The keys are found through it (OpenID
            Connect Discovery 1.0, section 4), unless `jwks_uri` is given.
        audiences: A token is for one of these.
        rules: What its tokens are granted.
        algorithms: What its tokens may be signed with.
        audience_claim: `client_id` for an issuer whose access tokens have no `aud` (Cognito). One
            that has an `aud` all the same is then refused: it is for somebody else.
        token_type: `at+jwt` where the issuer marks its access tokens (RFC 9068); `JWT` where their
            `typ` is that, or missing. (One that is marked is taken in either case.)
        token_seconds_max: How long a token may be good for, from `iat` to `exp`.
        jwks_uri: Where its keys are, without asking it.
        ca_certificates: PEM; the authorities that its server's certificate is verified by, in the
            place of those that this machine trusts.
    """

    issuer: _Text
    audiences: Annotated[
        tuple[_Text, ...], msgspec.Meta(min_length=1, max_length=limits.ISSUER_AUDIENCES_MAX)
    ]
    rules: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=limits.ISSUER_RULES_MAX)]
    algorithms: Annotated[tuple[Algorithm, ...], msgspec.Meta(min_length=1)] = (
        Algorithm.RS256,
        Algorithm.ES256,
        Algorithm.EDDSA,
    )
    audience_claim: AudienceClaim = AudienceClaim.AUD
    token_type: TokenType = TokenType.ACCESS_TOKEN
    token_seconds_max: Annotated[
        int, msgspec.Meta(ge=1, le=limits.FOREIGN_TOKEN_SECONDS_SETTABLE_MAX)
    ] = limits.FOREIGN_TOKEN_SECONDS_MAX
    jwks_uri: Annotated[str, msgspec.Meta(max_length=limits.CLAIM_TEXT_CHARS_MAX)] = ""
    ca_certificates: Annotated[str, msgspec.Meta(max_length=limits.ISSUER_CA_CHARS_MAX)] = ""

    def __post_init__(self) -> None:
        """Refuse addresses that are none, and more grants than a caller may have.

        Raises:
            ValueError: It has some.
        """
        if _address(self.issuer).query or self.issuer.endswith("?"):
            raise ValueError("issuer is a URL without a query")
        if self.jwks_uri:
            _address(self.jwks_uri)
        if sum(len(rule.grants) for rule in self.rules) > limits.GRANTS_MAX:
            raise ValueError(f"the rules of an issuer have at most {limits.GRANTS_MAX} grants")

    @property
    def discovery_uri(self) -> str:
        """Where the issuer describes itself."""
        return self.issuer.removesuffix("/") + "/.well-known/openid-configuration"

    def unencrypted(self) -> Sequence[str]:
        """Return those of its addresses that are not HTTPS."""
        addresses = [self.issuer, self.jwks_uri] if self.jwks_uri else [self.issuer]
        return [address for address in addresses if urlsplit(address).scheme != _HTTPS]


class IssuerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A trusted issuer under the name that it was given here.

    Attributes:
        name: Its name.
        incarnation: Random; new whenever the name is given to another `iss`: what belongs to a
            subject of the one does not belong to one of the other.
        created_at: RFC 3339.
        updated_at: RFC 3339.
        trusted: What is trusted.
    """

    name: str
    incarnation: str
    created_at: str
    updated_at: str
    trusted: TrustedIssuer


def is_loopback(host: str) -> bool:
    """Tell whether a URL's host is this machine."""
    if host == _LOCALHOST:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def origin(address: str) -> tuple[str, str, int]:
    """Return (scheme, host, port) of an address that was checked (RFC 6454 section 4)."""
    parts = urlsplit(address)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]


def check_address(text: str) -> None:
    """Check an address that keys are read from.

    Raises:
        ValueError: Not an https URL, nor an http URL of this machine.
    """
    _address(text)


def _address(text: str) -> SplitResult:
    parts = urlsplit(text)
    is_clean = text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}#')
    if not is_clean or not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError("an address is https://host[:port]/path, with nothing odd in it")
    if parts.scheme != _HTTPS and not (parts.scheme == _HTTP and is_loopback(parts.hostname)):
        raise ValueError("an address begins with https://; http:// is for this machine only")
    return parts
