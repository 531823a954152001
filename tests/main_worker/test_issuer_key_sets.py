"""Asking a real issuer, a process of its own: in time, in bounds, and nobody else."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.emulation.pki import CertificateAuthority
from main_api.adapters.issuer_key_sets import IssuersOverHttps
from main_api.domain.trusted_issuers import TrustedIssuer
from main_api.service.federation.ports import IssuerUnreachableError, KeySetSource
from strongroom import limits
from strongroom.clock import SystemClock
from strongroom.errors import InvalidArgumentError
from tests.support.foreign_issuers import ISSUER, MemoryIssuers, jwks, signing_key, trusted
from tests.support.issuer_processes import IssuerProcess

WITHIN_S = 1.0
SOURCE = IssuersOverHttps(SystemClock(), allows_http_loopback=True, within_s=WITHIN_S)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Return who has issued the issuer's certificate."""
    return CertificateAuthority(tmp_path_factory.mktemp("pki"), SystemClock())


@pytest.fixture(scope="module")
def _plain() -> Iterator[IssuerProcess]:
    process = IssuerProcess()
    yield process
    process.stop()


@pytest.fixture
def plain(_plain: IssuerProcess) -> IssuerProcess:
    """Return an issuer over HTTP that answers rightly."""
    for what in ("keys", "discovery"):
        _plain.answer(what, "rightly")
    return _plain


@pytest.fixture(scope="module")
def secure(authority: CertificateAuthority) -> Iterator[IssuerProcess]:
    """Return an issuer over HTTPS."""
    issued = authority.issue("issuer", ["127.0.0.1"])
    process = IssuerProcess(issued.certificate_file, issued.key_file)
    yield process
    process.stop()


def said(process: IssuerProcess, **members: Any) -> TrustedIssuer:  # noqa: ANN401 - of a record
    """Return what an administrator says of an issuer that runs."""
    return trusted(issuer=process.issuer, **members)


def failed(issuer: TrustedIssuer, source: KeySetSource = SOURCE) -> str:
    """Return why an issuer's keys cannot be read."""
    began_s = time.monotonic()
    with pytest.raises(IssuerUnreachableError) as refusal:
        source.read(issuer)
    assert time.monotonic() - began_s < WITHIN_S + 2
    return refusal.value.reason


# -- the contract, of the fake too -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fake", "process"])
def test_keys_are_read_as_they_are_published_now(kind: str, plain: IssuerProcess) -> None:
    """A rotation is not seen; or the fake that other tests trust does something else."""
    source: KeySetSource = SOURCE
    issuer = said(plain)
    if kind == "fake":
        source = MemoryIssuers({ISSUER: jwks(signing_key("first"))})
        issuer = trusted()
    assert "first" in source.read(issuer).keys
    if isinstance(source, MemoryIssuers):
        source.published[ISSUER] = jwks(signing_key("second"))
    else:
        plain.add_key("second", "EdDSA")
    assert "second" in source.read(issuer).keys
    source.check(issuer)


@pytest.mark.parametrize("kind", ["fake", "process"])
def test_an_answer_that_is_none_is_told_as_that(kind: str, plain: IssuerProcess) -> None:
    """Garbage is taken for an empty set of keys."""
    plain.answer("keys", "text", text="<html>")
    if kind == "fake":
        assert failed(trusted(), MemoryIssuers({ISSUER: b"<html>"})) == "unusable-answer"
        assert failed(trusted(), MemoryIssuers()) == "unreachable"
    else:
        assert failed(said(plain)) == "unusable-answer"
        assert failed(trusted(issuer="http://127.0.0.1:9/")) == "unreachable"


# -- where and how ---------------------------------------------------------------------------------


def test_over_https_the_certificate_has_to_be_the_hosts(
    secure: IssuerProcess, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """Whoever stands in between hands out keys of its own."""
    ours = authority.certificate_file.read_text()
    other = CertificateAuthority(tmp_path, SystemClock()).certificate_file.read_text()
    assert "first" in SOURCE.read(said(secure, ca_certificates=ours)).keys
    assert failed(said(secure, ca_certificates=other)) == "tls"
    assert failed(said(secure)) == "tls"
    renamed = secure.issuer.replace("127.0.0.1", "localhost")
    assert failed(trusted(issuer=renamed, ca_certificates=ours)) == "tls"


def test_the_keys_may_lie_at_an_address_of_their_own(plain: IssuerProcess) -> None:
    """An issuer without a discovery document, or with its keys elsewhere, cannot be trusted."""
    keys = plain.issuer.replace("/tenant", "/tenant/keys")
    plain.answer("discovery", "status", status=404)
    assert "first" in SOURCE.read(said(plain, jwks_uri=keys)).keys
    assert failed(said(plain)) == "status-404"


def test_plain_http_takes_the_setting() -> None:
    """Keys come over a way that anybody can change, and nobody has said so."""
    strict = IssuersOverHttps(SystemClock(), allows_http_loopback=False)
    for members in ({"issuer": "http://127.0.0.1:9/"}, {"jwks_uri": "http://localhost:9/"}):
        with pytest.raises(InvalidArgumentError, match="STRONGROOM_ISSUERS_OVER_HTTP_LOOPBACK"):
            strict.check(trusted(**members))
        assert failed(trusted(**members), strict) == "not-allowed"
        SOURCE.check(trusted(**members))


@pytest.mark.parametrize(
    "pem",
    ["x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\0", " ", "\u00e9"],
)
def test_what_is_no_certificate_is_refused_at_once(pem: str) -> None:
    """A slip in a certificate shows when the first user cannot get in."""
    with pytest.raises(InvalidArgumentError, match="PEM"):
        SOURCE.check(trusted(ca_certificates=pem))


def test_a_redirection_is_not_followed(plain: IssuerProcess) -> None:
    """An issuer sends the Main Worker to any address in its network."""
    other = IssuerProcess()
    try:
        for what in ("keys", "discovery"):
            plain.answer("keys", "rightly")
            plain.answer(what, "redirect", to=other.issuer.replace("/tenant", "/tenant/keys"))
            assert failed(said(plain)) == "status-302"
        assert other.asked() == 0
    finally:
        other.stop()


def test_a_discovery_document_sends_nobody_elsewhere(plain: IssuerProcess) -> None:
    """Whoever writes an issuer's document chooses whom the Main Worker asks."""
    other = IssuerProcess()
    try:
        keys = other.issuer.replace("/tenant", "/tenant/keys")
        for document in (
            {"issuer": plain.issuer, "jwks_uri": keys},
            {"issuer": plain.issuer, "jwks_uri": "file:///etc/passwd"},
            {"issuer": other.issuer, "jwks_uri": plain.issuer + "/keys"},
        ):
            plain.answer("discovery", "text", text=json.dumps(document))
            assert failed(said(plain)) == "unusable-answer"
        assert other.asked() == 0
    finally:
        other.stop()


# -- in time, in bounds ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "members", "reason"),
    [
        ("status", {"status": 500}, "status-500"),
        ("status", {"status": 204}, "status-204"),
        ("status", {"status": 401}, "status-401"),
        ("compressed", {}, "unusable-answer"),
        ("cut", {}, "unusable-answer"),
        ("endless", {}, "unusable-answer"),
        ("hang-up", {}, "unreachable"),
        ("text", {"text": '{"keys": [' + ",".join(["{}"] * 101) + "]}"}, "unusable-answer"),
        ("text", {"text": '{"keys": []}' + " " * limits.JWKS_BYTES_MAX}, "unusable-answer"),
        ("text", {"text": "[" * 100_000}, "unusable-answer"),
    ],
)
def test_an_answer_out_of_bounds_is_refused(
    how: str, members: dict[str, Any], reason: str, plain: IssuerProcess
) -> None:
    """An issuer that is broken, or not itself, fills the memory or empties the set of keys."""
    plain.answer("keys", how, **members)
    assert failed(said(plain)) == reason


@pytest.mark.parametrize(
    ("what", "how", "members"),
    [
        ("discovery", "hang", {}),
        ("keys", "drip", {"part": "head"}),
        ("keys", "drip", {"part": "body"}),
    ],
)
def test_an_issuer_that_is_slow_is_given_up(
    what: str, how: str, members: dict[str, Any], plain: IssuerProcess
) -> None:
    """An issuer that sends a byte now and then holds a thread for hours."""
    plain.answer(what, how, **members)
    assert failed(said(plain)) == "timed-out"


def test_a_server_that_says_nothing_is_given_up_in_the_handshake() -> None:
    """A machine that takes connections and no more holds a thread for hours."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        assert failed(trusted(issuer=f"https://127.0.0.1:{port}")) == "timed-out"


def test_an_issuer_that_is_not_there_is_told() -> None:
    """An outage is an error that nobody expects."""
    assert failed(trusted(issuer="https://127.0.0.1:9")) == "unreachable"
    assert failed(trusted(issuer="https://no-such-name.invalid")) in {"name-unknown", "timed-out"}
