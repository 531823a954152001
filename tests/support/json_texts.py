"""JSON texts as clients write them, and what they mean to the last digit.

The same value can be written in many ways; the strategies below draw the text, not the value:
numbers with their zeros and exponents, strings with and without escapes, blanks between tokens.
"""

import json
from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st

from strongroom import limits

Exact = Any
"""What `exact` returns: dict, list, str, bool, None, and a DecimalTuple for a number."""


def exact(text: bytes) -> Exact:
    """Return the value of a JSON text; 1.50 is not 1.5 there, -0 not 0, and true not 1."""
    return json.loads(text, parse_int=_digits, parse_float=_digits)


def _digits(text: str) -> Exact:
    return Decimal(text).as_tuple()


def text_of(value: Exact) -> str:
    """Return a JSON text of what `exact` has returned."""
    if isinstance(value, tuple):
        return str(Decimal(value))
    if isinstance(value, list):
        return f"[{','.join(map(text_of, value))}]"
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{text_of(child)}" for name, child in value.items())
        return f"{{{','.join(members)}}}"
    return json.dumps(value)


def size(value: Exact) -> int:
    """Return how many values there are in a value, itself included."""
    children = value.values() if isinstance(value, dict) else value
    return 1 + (sum(map(size, children)) if isinstance(value, dict | list) else 0)


_EXPONENT_MAX: Final = limits.NUMBER_EXPONENT_MAX
ODD_NUMBERS: Final = [
    *("0", "-0", "0.0", "-0.00", "0e0", "-0E-0", "1.0", "1.50", "1E5", "1e-7", "0.0000001"),
    *("9007199254740993", "-9223372036854775809", "18446744073709551616", "1E400", "-1e-400"),
    *("1.7976931348623157e308", "4.9e-324", "0.1", "0.10", "100e-2", "12345678901234567890123"),
]


def _fits(number: str) -> bool:
    """Tell whether a number is within its bounds as Python writes it too: a patch does so."""
    mantissa, _, exponent = str(Decimal(number)).partition("E")
    digits = len(mantissa.lstrip("-").replace(".", ""))
    return digits <= limits.NUMBER_DIGITS_MAX and abs(int(exponent or 0)) <= _EXPONENT_MAX


_digit_runs = st.builds(
    lambda seed, length: (seed * length)[:length],
    st.from_regex("[1-9][0-9]{0,6}", fullmatch=True),
    st.integers(1, limits.NUMBER_DIGITS_MAX - 1),
)
_short_numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)
_long_numbers = st.one_of(
    _digit_runs,
    _digit_runs.map(lambda run: f"-{run}"),
    _digit_runs.map(lambda run: f"-0.{run}"),
    st.builds(
        lambda run, at, exponent: f"{run[:at] or '0'}.{run[at:] or '0'}{exponent}",
        _digit_runs,
        st.integers(1, 999),
        st.sampled_from(["", "e7", "E-7"]),
    ),
    st.builds(
        lambda digit, exponent: f"{digit}E{exponent}",
        st.integers(1, 9),
        st.integers(-_EXPONENT_MAX, _EXPONENT_MAX),
    ),
)
numbers = st.one_of(st.sampled_from(ODD_NUMBERS), _short_numbers.filter(_fits))
"""Texts of numbers, most of which no double can hold."""

large_numbers = _long_numbers.filter(_fits)
"""Texts of numbers up to the bounds in digits and exponent."""


def _escaped(code_point: int) -> str:
    units = chr(code_point).encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


_raw = st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters='"\\')
_pieces = st.one_of(
    _raw,
    st.sampled_from(["\\" + escape for escape in '"\\/bfnrt']),
    st.sampled_from(
        ["\\u0000", "\\uD83D\\uDE00", "\\ud83d\\ude00", "😀", "\\\\ud800", "\x7f\u2028"]
    ),
    st.characters(codec="utf-8").map(ord).map(_escaped),
)
strings = st.lists(_pieces, max_size=6).map(lambda pieces: f'"{"".join(pieces)}"')
"""Texts of strings, the same character raw or as one of its escapes, astral ones among them."""

_blanks = st.text(alphabet=" \t\r\n", max_size=2)
_scalars = st.one_of(st.sampled_from(["null", "true", "false"]), numbers, strings)


def _array(elements: list[str], blank: str) -> str:
    return f"[{blank}{f'{blank},'.join(elements)}{blank}]"


def _object(members: list[tuple[str, str]], blank: str) -> str:
    texts = [f"{blank}{name}{blank}:{blank}{value}" for name, value in members]
    return f"{{{blank}{','.join(texts)}{blank}}}"


def nested(scalars: st.SearchStrategy[str], leaves_max: int = 12) -> st.SearchStrategy[str]:
    """Return texts of values of all kinds with these scalars in them."""
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.builds(_array, st.lists(inner, max_size=4), _blanks),
            st.builds(
                _object,
                st.lists(
                    st.tuples(strings, inner),
                    max_size=4,
                    unique_by=lambda member: str(json.loads(member[0])),
                ),
                _blanks,
            ),
        ),
        max_leaves=leaves_max,
    )


values = nested(_scalars)
"""Texts of any JSON value."""

large_values = nested(_scalars | large_numbers)
"""The same, with numbers up to their bounds among them."""
