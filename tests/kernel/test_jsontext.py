"""What is JSON here and what is not (RFC 8259, and the bounds of `limits`)."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import jsontext, limits
from strongroom.errors import InvalidDocumentError, StrongroomError, TooLargeError

DEPTH = limits.NESTING_DEPTH_MAX
DIGITS = limits.NUMBER_DIGITS_MAX
EXPONENT = limits.NUMBER_EXPONENT_MAX
MEMBERS = limits.MEMBERS_MAX

ACCEPTED: list[tuple[str, Any]] = [
    ("null", None),
    ("true", True),
    ("false", False),
    ("0", 0),
    ("-0", Decimal("-0")),
    ("-0.0", Decimal("-0.0")),
    ("0e0", Decimal(0)),
    ("1E+2", Decimal("1E+2")),
    ("1.50", Decimal("1.50")),
    ("9007199254740993", 9007199254740993),
    ("18446744073709551616", 18446744073709551616),
    ('""', ""),
    ('"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\/\b\f\n\r\t'),
    ('"\\u00e9"', "é"),
    ('"é"', "é"),
    ('"\\ud83d\\ude00"', "😀"),
    ('"😀"', "😀"),
    ('"\x7f\u2028\uffff"', "\x7f\u2028\uffff"),
    ('"\\u0000"', "\0"),
    ('"\\\\ud800"', "\\ud800"),
    (" \t\r\n[ ] \n", []),
    ('{"": {"": 1}}', {"": {"": 1}}),
    ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    ('{"a": 1, "A": 2, "\\u00e5": 3, "a\\u030a": 4}', {"a": 1, "A": 2, "å": 3, "a\u030a": 4}),
]

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "blank": b" \n",
    "two values": b"1 2",
    "trailing comma in an array": b"[1,]",
    "trailing comma in an object": b'{"a": 1,}',
    "trailing garbage": b"{}x",
    "trailing NUL": b"{}\x00",
    "unclosed array": b"[1",
    "unclosed object": b'{"a": 1',
    "unclosed string": b'"a',
    "wrong bracket": b"[1}",
    "no member name": b"{1: 2}",
    "no colon": b'{"a" 1}',
    "single quotes": b"{'a': 1}",
    "a comment": b"[1] // one",
    "upper-case literal": b"True",
    "cut literal": b"tru",
    "form feed as blank": b"\x0c1",
    "no-break space as blank": "\u00a01".encode(),
    "NaN": b"NaN",
    "Infinity": b"[Infinity]",
    "-Infinity": b'{"a": -Infinity}',
    "leading zero": b"01",
    "negative leading zero": b"-01",
    "plus sign": b"+1",
    "only a minus": b"-",
    "bare fraction": b".5",
    "empty fraction": b"1.",
    "empty exponent": b"1e",
    "hexadecimal": b"0x10",
    "digit groups": b"1_000",
    "digits of another script": "\u0661".encode(),
    "byte order mark": b"\xef\xbb\xbf1",
    "UTF-16": "{}".encode("utf-16"),
    "Latin-1": b'"\xe9"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "UTF-8 cut in a character": b'"\xf0\x9f\x98"',
    "beyond U+10FFFF": b'"\xf4\x90\x80\x80"',
    "raw lone surrogate": b'"\xed\xa0\x80"',
    "raw surrogate pair (CESU-8)": b'"\xed\xa0\xbd\xed\xb8\x80"',
    "escaped high surrogate alone": b'"\\ud83d"',
    "escaped low surrogate alone": b'"\\ude00"',
    "escaped surrogates in the wrong order": b'"\\ude00\\ud83d"',
    "high surrogate before a letter": b'"\\uD83Dx"',
    "lone surrogate in a member name": b'{"\\ud800": 1}',
    "lone surrogate deep down": b'[[{"a": ["\\uDFFF"]}]]',
    "lone surrogate after a real pair": b'"\\ud83d\\ude00\\ud83d"',
    "tab in a string": b'"a\tb"',
    "line feed in a string": b'"a\nb"',
    "NUL in a string": b'"a\x00b"',
    "control character in a member name": b'{"a\x1fb": 1}',
    "unknown escape": b'"\\x41"',
    "short escape": b'"\\u12"',
    "escape that is not hexadecimal": b'"\\u00g0"',
    "signed escape": b'"\\u+123"',
    "repeated member": b'{"a": 1, "a": 1}',
    "repeated member at depth": b'[{"x": [{"a": 1, "b": 2, "a": 3}]}]',
    "repeated member by an escape": b'{"a": 1, "\\u0061": 2}',
    "repeated member by a surrogate pair": '{"😀": 1, "\\ud83d\\ude00": 2}'.encode(),
    "repeated empty member": b'{"": 1, "": 2}',
}


def nested(depth: int, opening: str, closing: str) -> bytes:
    """Return so many levels of one kind; the innermost has no value in it."""
    return f"{opening * depth}{closing * depth}".replace('"a":}', "}").encode()


NESTINGS: dict[str, Callable[[int], bytes]] = {
    "arrays": lambda n: nested(n, "[", "]"),
    "objects": lambda n: nested(n, '{"a":', "}"),
    "arrays in objects": lambda n: (
        nested(n // 2, '{"a":[', "]}")
        if n % 2 == 0
        else (b"[" + nested(n // 2, '{"a":[', "]}") + b"]")
    ),
    "a deep one beside many flat ones": lambda n: (
        b"[" + b"[]," * 100 + nested(n - 1, "[", "]") + b"]"
    ),
}

NUMBERS_AT_THE_BOUND = {
    "integer": "1" * DIGITS,
    "negative integer": "-" + "1" * DIGITS,
    "fraction": "1." + "2" * (DIGITS - 1),
    "negative fraction": "-1." + "2" * (DIGITS - 1),
    "small fraction": "0." + "2" * (DIGITS - 1),
    "with an exponent": "1" * DIGITS + "e1",
    "exponent": f"1e{EXPONENT}",
    "exponent with a sign": f"1E+{EXPONENT}",
    "negative exponent": f"1e-{EXPONENT}",
    "exponent with leading zeros": f"1e000{EXPONENT}",
}

NUMBERS_BEYOND = {
    "integer": "1" * (DIGITS + 1),
    "negative integer": "-" + "1" * (DIGITS + 1),
    "integer past Python's own bound": "1" * 5_000,
    "fraction": "1." + "2" * DIGITS,
    "negative fraction": "-1." + "2" * DIGITS,
    "small fraction": "0." + "2" * DIGITS,
    "with an exponent": "1" * (DIGITS + 1) + "e1",
    "exponent": f"1e{EXPONENT + 1}",
    "exponent with a sign": f"1E+{EXPONENT + 1}",
    "negative exponent": f"1e-{EXPONENT + 1}",
    "huge exponent": "1e999999999",
    "huge negative exponent": "1e-999999999",
    "exponent of many digits": "1e" + "9" * 10_000,
}


@pytest.mark.parametrize(("text", "value"), ACCEPTED, ids=[text for text, _ in ACCEPTED])
def test_json_is_accepted(text: str, value: object) -> None:
    """A client's valid document is refused, or read as another value."""
    found = jsontext.parse(text.encode())
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    """A text is stored that another reader refuses, or understands otherwise."""
    with pytest.raises(InvalidDocumentError):
        jsontext.parse(text)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_not_json_is_refused_as_the_value_of_a_member(text: bytes) -> None:
    """A PUT stores a value whose text is not JSON."""
    if text.strip() != b"1 2":
        with pytest.raises(InvalidDocumentError):
            jsontext.split(b'{"key": ' + text + b"}")


@pytest.mark.parametrize("make", NESTINGS.values(), ids=NESTINGS)
def test_nesting_ends_exactly_at_its_bound(make: Callable[[int], bytes]) -> None:
    """A document within the documented depth is refused, or a deeper one gets in."""
    jsontext.parse(make(DEPTH))
    with pytest.raises(InvalidDocumentError, match=f"deeper than {DEPTH}"):
        jsontext.parse(make(DEPTH + 1))


@pytest.mark.parametrize("make", NESTINGS.values(), ids=NESTINGS)
def test_a_member_of_a_body_may_be_as_deep_as_a_document(make: Callable[[int], bytes]) -> None:
    """A document within the documented depth is refused, because its body adds a level."""
    assert jsontext.split(b'{"k":' + make(DEPTH) + b"}") == {"k": make(DEPTH)}
    with pytest.raises(InvalidDocumentError, match="deeper than"):
        jsontext.split(b'{"k":' + make(DEPTH + 1) + b"}")


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"":' * 99_999]
)
def test_a_hundred_thousand_brackets_are_refused(text: bytes) -> None:
    """A small body takes the process down by its depth."""
    with pytest.raises(InvalidDocumentError):
        jsontext.parse(text)


@pytest.mark.parametrize("bracket", ["[", "{", "]", ","])
def test_brackets_and_commas_within_strings_are_text(bracket: str) -> None:
    """A chat message with many brackets or commas in it is refused."""
    message = bracket * (MEMBERS + 1)
    assert jsontext.parse(json.dumps([message]).encode()) == [message]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b"[" + b",".join([b"0"] * n) + b"]",
        lambda n: b"{" + b",".join(b'"%d":0' % i for i in range(n)) + b"}",
        lambda n: b"[[" + b",".join([b"0"] * (n - 2)) + b"],{}]",
    ],
    ids=["an array", "an object", "nested"],
)
def test_members_end_exactly_at_their_bound(make: Callable[[int], bytes]) -> None:
    """A document within the documented size is refused, or a worker's memory has no bound."""
    jsontext.parse(make(MEMBERS))
    with pytest.raises(TooLargeError):
        jsontext.parse(make(MEMBERS + 1))


@pytest.mark.parametrize("text", NUMBERS_AT_THE_BOUND.values(), ids=NUMBERS_AT_THE_BOUND)
def test_a_number_at_the_bound_is_kept_to_the_last_digit(text: str) -> None:
    """A number of 1,000 digits, as documented, is refused or loses some."""
    expected = int(text) if text.lstrip("-").isdecimal() else Decimal(text)
    assert jsontext.parse(text.encode()) == expected
    assert jsontext.parse(f"[{text}, -0]".encode()) == [expected, 0]
    assert jsontext.split(f'{{"n":{text}}}'.encode()) == {"n": text.encode()}


@pytest.mark.parametrize("text", NUMBERS_BEYOND.values(), ids=NUMBERS_BEYOND)
def test_a_number_past_the_bound_is_refused(text: str) -> None:
    """A number is stored that the query engine or another reader cannot carry."""
    with pytest.raises(InvalidDocumentError):
        jsontext.parse(f'[{{"n": {text}}}]'.encode())


def test_a_long_run_of_digits_in_a_string_is_no_number() -> None:
    """A message with a long number in its text is refused."""
    text = json.dumps({"n": "1" * 9_999, "m": 5}).encode()
    assert jsontext.parse(text) == {"n": "1" * 9_999, "m": 5}


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": "hunter2", "a": "hunter2"}',
        b'{"hunter2": hunter2}',
        b'["hunter2" "hunter2"]',
        b'"hunter2\\ud800"',
        b'"hunter2\xff"',
        b'"hunter2\\q"',
        b'["hunter2", NaN]',
        b'{"hunter2": 1e9999}',
    ],
)
def test_a_refusal_does_not_quote_the_document(text: bytes) -> None:
    """An error message or a log shows a part of a client's document."""
    with pytest.raises(InvalidDocumentError) as refusal:
        jsontext.parse(text)
    assert "hunter2" not in refusal.value.detail


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip
blanks = st.text(alphabet=" \t\r\n", max_size=3)


@given(value=json_values, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 3]))
def test_parsing_agrees_with_the_standard_library(
    value: object,
    ascii_only: bool,  # noqa: FBT001 - drawn by hypothesis
    indent: int | None,
) -> None:
    """A document is validated as another value than the one that is stored."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert jsontext.parse(text.encode()) == json.loads(text, parse_float=Decimal)


@given(
    members=st.dictionaries(st.text(), json_values, max_size=6),
    ascii_only=st.booleans(),
    blank=blanks,
    data=st.data(),
)
def test_split_keeps_the_clients_own_text(
    members: dict[str, object],
    ascii_only: bool,  # noqa: FBT001 - drawn by hypothesis
    blank: str,
    data: st.DataObject,
) -> None:
    """What a client reads back is not, to the byte, what it has put."""
    texts = {
        name: json.dumps(
            value, ensure_ascii=ascii_only, indent=data.draw(st.sampled_from([None, 1]))
        )
        for name, value in members.items()
    }
    body = f"{blank},{blank}".join(
        f"{json.dumps(name, ensure_ascii=ascii_only)}{blank}:{blank}{text}{blank}"
        for name, text in texts.items()
    )
    found = jsontext.split(f"{blank}{{{blank}{body}{blank}}}{blank}".encode())
    assert found == {name: text.encode() for name, text in texts.items()}
    assert list(found) == list(texts)


@pytest.mark.parametrize("text", [b"[]", b"1", b'"{}"', b"null", b"[{}]"])
def test_split_wants_an_object(text: bytes) -> None:
    """A PUT whose body is no mapping ends in an internal error."""
    with pytest.raises(InvalidDocumentError, match="object"):
        jsontext.split(text)


@given(st.binary(max_size=40) | json_values.map(lambda v: json.dumps(v).encode()[:-1]))
def test_any_bytes_are_parsed_or_refused(text: bytes) -> None:
    """Some body ends in an internal error, or is taken for JSON that it is not."""
    try:
        value = jsontext.parse(text)
    except StrongroomError:
        return
    assert value == json.loads(text, parse_float=Decimal)


@given(st.text())
def test_a_string_of_ours_reads_back(text: str) -> None:
    """An entity key with quotes or control characters breaks the answer that names it."""
    assert json.loads(jsontext.string(text)) == text
    assert jsontext.parse(jsontext.dump({text: [text]})) == {text: [text]}


_SCALARS = [
    *("0", "-0", "-1", "1.0", "-0.0", "1e5", "9" * 30, "9" * (DIGITS + 1), "null", "true", "NaN"),
    *('""', '"a:b"', '"-0"', '"\\u0061"', '"\\ud800"', '"\\""', '"2026-01-01"', '":"'),
]
_TEXTS = st.recursive(
    st.sampled_from(_SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: f"[{', '.join(parts)}]"),
        st.lists(
            st.tuples(st.sampled_from(['"a"', '"b"', '"\\u0061"', '":"', '"a" ']), inner),
            max_size=4,
        ).map(lambda members: "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"),
    ),
    max_leaves=12,
)


@given(_TEXTS, st.sampled_from([2, DEPTH]))
def test_a_plain_text_means_what_it_means_beside_an_escape(text: str, depth_max: int) -> None:
    """Texts without escapes are decoded by another library: a value or a refusal would differ."""

    def outcome(raw: bytes, depth: int, inner: Callable[[Any], Any]) -> tuple[str, str]:
        try:
            return "value", repr(inner(jsontext.parse(raw, depth)))
        except StrongroomError as error:
            return error.code, type(error).__name__

    raw = text.encode()
    beside = b'["\\u0061",' + raw + b"]"
    assert outcome(raw, depth_max, lambda value: value) == outcome(
        beside, depth_max + 1, lambda value: value[1]
    )
