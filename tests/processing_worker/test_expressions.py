"""JMESPath over hostile documents and with hostile expressions."""

import json

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing_fn.service.expressions import Expression
from processing_fn.service.paths import path
from strongroom import limits
from strongroom.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("expression", "document", "expected"),
    [
        ("a", b'{"a": 1.50}', b"1.50"),
        ("a", b'{"a": 1e400}', b"1e400"),
        ("a", b'{"a": -0}', b"-0"),
        ("a", b'{"a": 123456789012345678901234567890}', b"123456789012345678901234567890"),
        ("a", b'{"a": 0.1000000000000000000000000001}', b"0.1000000000000000000000000001"),
        ("[b, a]", b'{"a": "\\u00e9", "b": null}', '[null,"é"]'.encode()),
        ("sum([a, b])", b'{"a": 1.5, "b": 2.5}', b"4.0"),
        ("sort([a, b])", b'{"a": 2.50, "b": 1.0}', b"[1.0,2.50]"),
        ("missing", b"{}", b"null"),
        ("@", b"true", b"true"),
    ],
)
def test_what_is_passed_on_keeps_its_digits(
    expression: str, document: bytes, expected: bytes
) -> None:
    """A projection changes the numbers that it shows."""
    assert Expression(expression).apply(document) == expected


@pytest.mark.parametrize(
    ("document", "holds"),
    [
        (b"0", True),
        (b"0.0", True),
        (b"-0", True),
        (b"1", True),
        (b'"x"', True),
        (b"[0]", True),
        (b"true", True),
        (b"null", False),
        (b"false", False),
        (b'""', False),
        (b"[]", False),
        (b"{}", False),
    ],
)
def test_what_counts_as_true(document: bytes, *, holds: bool) -> None:
    """A filter lets through what JMESPath calls false, or the reverse."""
    assert Expression("@").holds(document) is holds


@pytest.mark.parametrize(
    "expression",
    ["", " ", "a[", "foo(", "unknown(@)", "a" * (limits.EXPRESSION_CHARS_MAX + 1), "(" * 4_000],
)
def test_an_expression_that_is_none(expression: str) -> None:
    """A broken expression ends in a defect."""
    with pytest.raises(InvalidArgumentError):
        Expression(expression).apply(b"{}")


@pytest.mark.parametrize(
    "expression",
    [
        " | ".join(["[@,@]"] * 100),
        " | ".join(["[@,@][]"] * 100),
        " | ".join(["join('',[@,@])"] * 100),
        " | ".join(["{a:@,b:@}"] * 100),
        "!" * 4_000 + "a",
        "a" + ".a" * 2_000,
    ],
)
def test_an_expensive_expression_ends(expression: str) -> None:
    """One expression takes all memory, or all time, or kills the worker."""
    try:
        assert len(Expression(expression).apply(b'"x"')) < 100
    except InvalidArgumentError as refused:
        assert refused.detail  # noqa: PT017 - either end is fine, as long as there is one


def test_an_error_shows_no_value() -> None:
    """A document's value is in an error that names a function's argument."""
    with pytest.raises(InvalidArgumentError) as refused:
        Expression("abs(@)").apply(b'"hush-hush"')
    assert "hush" not in refused.value.detail


def test_what_json_cannot_say_is_refused() -> None:
    """A result is answered that no JSON parser takes."""
    for expression in ("sum([@, @])", "to_number('1e999')", "avg([@, @])"):
        with pytest.raises(InvalidArgumentError):
            Expression(expression).apply(b"1e308" if "to_" in expression else b"1.7e308")


@pytest.mark.parametrize("compared", ["a == b", "contains(list, a)"])
def test_a_comparison_costs_what_it_looks_at(compared: str) -> None:
    """Eight hundred comparisons of a large entity with itself hold a worker for seconds."""
    large = "[" + ",".join(["[1]"] * 20_000) + "]"
    document = f'{{"a": {large}, "b": {large}, "list": [{large}]}}'.encode()
    assert Expression(compared).apply(document) == b"true"
    with pytest.raises(InvalidArgumentError, match="too much work"):
        Expression(" && ".join([f"({compared})"] * 100)).apply(document)
    small = b'{"a": {"x": [1, 2.50]}, "b": {"x": [1, 2.5]}, "list": [3, {"x": [1, 2.5]}]}'
    assert Expression(" && ".join([f"({compared})"] * 100)).apply(small) == b"true"


_LEAVES = st.sampled_from(
    ["a", "b", '"c d"', "@", "'x'", "''", *(f"`{v}`" for v in ("0", "1", "1.5", "true", "false"))]
    + [f"`{value}`" for value in ("null", "[]", "{}", '"x"', '["x"]', '{"a": 1}')]
)
_EXPRESSIONS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds("({}).{}".format, inner, st.sampled_from(["a", "b"])),
        st.builds("({})[{}]".format, inner, st.integers(-2, 2)),
        st.builds("!({})".format, inner),
        st.builds(
            "({}) {} ({})".format,
            inner,
            st.sampled_from(["==", "!=", "<", ">", "<=", ">=", "&&", "||", "|"]),
            inner,
        ),
    ),
    max_leaves=6,
)
_VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, -1, 0.0, 1.5, "", "x", "x\u00e9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)


@settings(max_examples=1_000, deadline=None)
@given(expression=_EXPRESSIONS, value=_VALUES)
def test_a_look_finds_what_jmespath_finds(expression: str, value: object) -> None:
    """A filter of comparisons, which is no tree to interpret, lets other entities through."""
    assert path(jmespath.compile(expression).parsed) is not None
    document = json.dumps(value).encode()
    try:
        expected = jmespath.search(expression, value)
    except TypeError:
        with pytest.raises(InvalidArgumentError):
            Expression(expression).apply(document)
    else:
        found = json.loads(Expression(expression).apply(document))
        assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize(
    "expression", ["a[*].b", "length(a)", "[a, b]", "{a: a}", "a[]", "a[0:1]", "a.*", "!length(a)"]
)
def test_what_makes_something_is_counted(expression: str) -> None:
    """What can grow is evaluated without a bound."""
    assert path(jmespath.compile(expression).parsed) is None


def test_a_look_at_a_large_entity_is_counted_too() -> None:
    """Four thousand looks at a large list hold a worker, where a small one is free."""
    document = b"[" + b"1," * 30_000 + b"1]"
    looks = " && ".join(["@"] * 100)
    with pytest.raises(InvalidArgumentError, match="too much work"):
        Expression(looks).holds(document)
    assert Expression(looks).holds(b"[1]")


@pytest.mark.parametrize(
    "document",
    [b'{"a": -0, "b": 1.0}', b'{"a": "2026-01-02", "b": 1.0}', b'{"a": [-0 ], "b": 1.0}'],
)
def test_numbers_keep_their_text_beside_dates(document: bytes) -> None:
    """A negative zero is shown as a positive one."""
    assert json.loads(Expression("[a, b]").apply(document)) == list(json.loads(document).values())
    assert b"-0" in Expression("@").apply(document)
    assert Expression("b").apply(document) == b"1.0"
