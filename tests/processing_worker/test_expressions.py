"""JMESPath over hostile documents and with hostile expressions."""

import pytest

from processing_fn.service.expressions import Expression
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
