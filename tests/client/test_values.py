"""Values as JSON text, addresses, and what a client is made with."""

import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import jsontext
from strongroom_client import (
    Client,
    ClientCredentials,
    ConfigurationError,
    Entity,
    InvalidError,
    JsonText,
    Options,
    Retries,
    StaticToken,
)
from strongroom_client.address import parse
from strongroom_client.values import encode

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | TEXTS
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)
ME = ClientCredentials("me", "hunter2")


@given(VALUES)
def test_a_value_comes_back(value: object) -> None:
    """What a program puts is not what it gets."""
    text = encode(value)
    assert Entity("k", 1, text).value == value
    jsontext.parse(text)


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_keeps_its_digits(number: Decimal | int) -> None:
    """An amount of money is rounded."""
    assert Entity("k", 1, encode({"n": [number]})).exact() == {"n": [number]}


@dataclass
class _Point:
    x: float


class _Struct(msgspec.Struct):
    point: _Point


def test_typed_documents() -> None:
    """A program has to take its own types apart by hand."""
    text = encode(_Struct(_Point(1.5)))
    assert text == b'{"point":{"x":1.5}}'
    assert Entity("k", 1, text).to(_Struct).point == _Point(1.5)
    with pytest.raises(InvalidError, match="_Point"):
        Entity("k", 1, text).to(_Point)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        Decimal("NaN"),
        {"a": Decimal("Infinity")},
        _Point(math.nan),
        [_Struct(_Point(math.inf))],
        "\ud800",
        object(),
        {1, 2},
    ],
)
def test_what_json_cannot_say(value: object) -> None:
    """A number that is none is written as null, without a word."""
    if isinstance(value, set):
        assert encode(value) == b"[1,2]", "msgspec has lists for sets"
        return
    with pytest.raises(InvalidError) as refused:
        encode(value)
    assert refused.value.code == "invalid-json"


def test_a_circle_is_refused() -> None:
    """A value that contains itself ends a program."""
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(InvalidError):
        encode(circle)


def test_a_text_is_passed_on() -> None:
    """A document is written in another way than it was given."""
    assert encode(JsonText(b'{ "a" : 1e0 }')) == b'{ "a" : 1e0 }'


def test_a_number_that_no_float_holds() -> None:
    """A large number becomes infinity."""
    entity = Entity("k", 1, b"1e400")
    with pytest.raises(InvalidError):
        _ = entity.value
    assert entity.exact() == Decimal("1e400")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://db.example", "https://db.example:443"),
        ("https://db.example/prod/", "https://db.example:443/prod"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost", "http://localhost:80"),
        ("grpc://db.example", "grpc://db.example:50051"),
    ],
)
def test_addresses(url: str, shown: str) -> None:
    """A deployment cannot be named."""
    assert str(parse(url, allow_plaintext=False)) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "db.example",
        "ftp://db.example",
        "https://",
        "https://me:hunter2@db.example",
        "https://db.example?hunter2",
        "https://db.example#hunter2",
        "https://db.example:hunter2",
        "grpc://db.example/hunter2",
        "https://db.example\r\nhunter2",
        "http://db.example",
        "http://10.0.0.1",
    ],
)
def test_what_is_no_address(url: str) -> None:
    """A secret goes over a network in plaintext, or shows in an error."""
    with pytest.raises(ConfigurationError) as refused:
        Client(url, ME)
    assert "hunter2" not in str(refused.value)


def test_plaintext_is_asked_for() -> None:
    """A deployment behind a service mesh cannot be reached."""
    with Client("http://db.internal", ME, Options(allow_plaintext=True)) as client:
        assert repr(client) == "Client('http://db.internal:80')"


def test_what_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    """A wrong setting shows only when something fails."""
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for make in (
        lambda: ClientCredentials("", "hunter2"),
        lambda: ClientCredentials("me", ""),
        lambda: StaticToken("two\r\nlines"),
        lambda: Retries(attempts=0),
        lambda: Retries(first_pause_s=2.0, longest_pause_s=1.0),
        lambda: Client("https://db.example", ME, Options(ca_file=empty)),
        lambda: Client("https://db.example", ME, Options(ca_file=tmp_path / "absent")),
        lambda: Client("https://db.example", ME, Options(timeout_s=0)),
        lambda: Client("https://db.example", ME, Options(attempt_s=math.nan)),
    ):
        with pytest.raises(ConfigurationError):
            make()


def test_the_environment_names_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is configured as the command line is cannot find its deployment."""
    for name in ("STRONGROOM_URL", "STRONGROOM_CLIENT_ID", "STRONGROOM_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="STRONGROOM_CLIENT_ID"):
        Client.from_environment()
    monkeypatch.setenv("STRONGROOM_URL", "https://db.example")
    monkeypatch.setenv("STRONGROOM_CLIENT_ID", "me")
    monkeypatch.setenv("STRONGROOM_CLIENT_SECRET", "hunter2")
    with Client.from_environment() as client:
        assert repr(client) == "Client('https://db.example:443')"
