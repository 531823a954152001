"""Which names, keys and ids are well formed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import ids
from strongroom.errors import InvalidArgumentError

NAMES = ["a", "0", "A.b_c-d", "chatdb", "x" * 64, "a..b", "9-"]
NOT_NAMES = {
    "empty": "",
    "65 characters": "x" * 65,
    "leading dot": ".a",
    "the directory above": "..",
    "leading dash": "-a",
    "leading underscore": "_a",
    "slash": "a/b",
    "backslash": "a\\b",
    "blank": "a b",
    "trailing line feed": "a\n",
    "NUL": "a\0b",
    "accent": "é",
    "digits of another script": "\u0661",
    "full-width digit": "\uff11",
    "Kelvin sign": "\u212a",
    "percent": "a%2fb",
    "star": "*",
    "lone surrogate": "a\ud800",
}
NAME_CHECKS = [ids.database_name, ids.schema_id, ids.client_id]


@pytest.mark.parametrize("check", NAME_CHECKS)
@pytest.mark.parametrize("text", NAMES)
def test_a_name_of_the_documented_form_is_taken(check: Callable[[str], str], text: str) -> None:
    """A database, schema or client cannot have a name that the documentation allows."""
    assert check(text) == text


@pytest.mark.parametrize("check", NAME_CHECKS)
@pytest.mark.parametrize("text", NOT_NAMES.values(), ids=NOT_NAMES)
def test_no_other_name_gets_near_a_path(check: Callable[[str], str], text: str) -> None:
    """A client's text becomes a path outside the place that it names."""
    with pytest.raises(InvalidArgumentError):
        check(text)


@pytest.mark.parametrize("text", ["a", "worker-1", "0", "x" * 63, "a--b"])
def test_a_dns_label_is_a_worker_id(text: str) -> None:
    """A worker cannot be given an ordinary host name."""
    assert ids.worker_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "x" * 64, "-a", "a-", "a.b", "A", "a_b", "a\n", "é", "a.worker.strongroom.internal"],
)
def test_what_is_no_dns_label_is_no_worker_id(text: str) -> None:
    """A worker's name can be chosen so that a certificate matches another one's."""
    with pytest.raises(InvalidArgumentError):
        ids.worker_id(text)


@pytest.mark.parametrize(
    "key",
    [
        "a",
        " ",
        "Chat id/with: anything?*",
        "../../etc/passwd",
        "x" * 512,
        "é" * 256,
        "😀" * 128,
        "\u2028\u00a0\ufeff\uffff",
        "a\u202eb",
    ],
)
def test_an_entity_key_may_be_any_text(key: str) -> None:
    """A client cannot use its own ids as keys."""
    assert ids.entity_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x" * 513,
        "é" * 256 + "x",
        "😀" * 128 + "x",
        "a\x00",
        "a\n",
        "\t",
        "a\x1f",
        "a\x7f",
        "é\x80",
        "é\x9f",
        "a\ud800b",
        "\udc80",
    ],
    ids=ascii,
)
def test_an_entity_key_is_bounded_and_printable(key: str) -> None:
    """A key is stored that a listing, a log or a header cannot carry."""
    with pytest.raises(InvalidArgumentError):
        ids.entity_key(key)


@given(st.text(alphabet=st.characters(), max_size=600))
def test_any_text_is_a_key_or_an_invalid_argument(key: str) -> None:
    """Some key ends in an internal error."""
    encodable = not any("\ud800" <= character <= "\udfff" for character in key)
    control = any(c < " " or "\x7f" <= c <= "\x9f" for c in key)
    valid = encodable and not control and 1 <= len(key.encode()) <= 512
    try:
        assert ids.entity_key(key) == key
    except InvalidArgumentError:
        assert not valid
    else:
        assert valid


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("a", True),
        ("x" * 128, True),
        ("!#$%&'*+.^_`|~0aZ-", True),
        ("", False),
        ("x" * 129, False),
        ("a b", False),
        ("a\n", False),
        ("a\r\nSet-Cookie: x", False),
        ('"a"', False),
        ("a/b", False),
        ("é", False),
        ("\u0663", False),
    ],
)
def test_only_token_characters_are_taken_over_as_request_id(text: str, *, taken: bool) -> None:
    """A client writes what it likes into an answer's header and into the log."""
    assert ids.is_request_id(text) is taken


@pytest.mark.parametrize("text", ["a", "x" * 128, "a b/c:~!"])
def test_an_idempotency_key_is_printable_ascii(text: str) -> None:
    """A client's UUID or order number is refused as idempotency key."""
    assert ids.idempotency_key(text) == text


@pytest.mark.parametrize("text", ["", "x" * 129, "é", "a\n", "\x7f", "\ud800"], ids=ascii)
def test_no_other_idempotency_key_is_taken(text: str) -> None:
    """An idempotency key of any size is kept beside the entity."""
    with pytest.raises(InvalidArgumentError):
        ids.idempotency_key(text)


def test_new_ids_are_long_and_differ() -> None:
    """Two databases share an incarnation, or somebody guesses a token's id."""
    made = {ids.new_id() for _ in range(1_000)}
    assert len(made) == 1_000
    assert {len(bytes.fromhex(one)) for one in made} == {16}
    assert len(ids.new_id(64)) == 16
