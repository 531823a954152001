"""JMESPath expressions that only look at what is there, as functions.

Most filters are comparisons of members. A tree that has nothing but fields, indices, literals,
comparisons and logic visits each of its nodes once and makes nothing: as a chain of functions it
takes a fifth of what an interpreter takes, and its work has a bound that is known before it begins.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from jmespath.visitor import TreeInterpreter

Look = Callable[[Any], Any]
_NUMBERS_AND_TEXT: Final = (int, float, str)


class Path(msgspec.Struct, frozen=True):
    """A tree as a function of a JSON value.

    Attributes:
        look: Returns what jmespath's interpreter would, raises what it would.
        nodes: How many the tree has.
    """

    look: Look
    nodes: int

    def longest_max(self, steps: int) -> int:
        """Return how long a string, list or object may be, of the value and of the expression.

        With none that is longer, evaluating ends within so many steps.
        """
        # Each node is one and the length of what it returns; a comparison looks at both sides.
        return (steps // self.nodes - 1) // 2


def path(tree: Mapping[str, Any]) -> Path | None:
    """Return a parsed expression as a function, None where it is more than a look.

    Raises:
        RecursionError: It is nested too deep.
    """
    make = _MAKERS.get(tree["type"])
    if make is None:
        return None
    parts: list[Path] = []
    for child in tree["children"]:
        part = path(child)
        if part is None:
            return None
        parts.append(part)
    return Path(make(tree, *(part.look for part in parts)), 1 + sum(part.nodes for part in parts))


def _field(tree: Mapping[str, Any]) -> Look:
    name = tree["value"]
    return lambda value: value.get(name) if type(value) is dict else None


def _index(tree: Mapping[str, Any]) -> Look:
    at = tree["value"]

    def look(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        if type(value) is not list:
            return None
        try:
            return value[at]
        except IndexError:
            return None

    return look


def _literal(tree: Mapping[str, Any]) -> Look:
    literal = tree["value"]
    return lambda _: literal


def _itself(_: Mapping[str, Any]) -> Look:
    return lambda value: value


def _chain(tree: Mapping[str, Any], first: Look, *more: Look) -> Look:
    if not more:
        return first
    second, *rest = more
    return _chain(tree, lambda value: second(first(value)), *rest)


def _comparison(tree: Mapping[str, Any], left: Look, right: Look) -> Look:
    compare = TreeInterpreter.COMPARATOR_FUNC[tree["value"]]
    other = tree["children"][1]
    if tree["value"] == "eq" and other["type"] == "literal" and type(other["value"]) is str:
        # Only numbers and truth values compare otherwise than Python has it.
        text = other["value"]
        return lambda value: left(value) == text
    if tree["value"] in {"eq", "ne"}:
        return lambda value: compare(left(value), right(value))

    def look(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        one, another = left(value), right(value)
        return compare(one, another) if _has_order(one) and _has_order(another) else None

    return look


def _or(_: Mapping[str, Any], left: Look, right: Look) -> Look:
    def look(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        found = left(value)
        return right(value) if _is_false(found) else found

    return look


def _and(_: Mapping[str, Any], left: Look, right: Look) -> Look:
    def look(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        found = left(value)
        return found if _is_false(found) else right(value)

    return look


def _not(_: Mapping[str, Any], of: Look) -> Look:
    return lambda value: _is_false(of(value))


def _has_order(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, _NUMBERS_AND_TEXT) and not isinstance(value, bool)


def _is_false(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    # Zero is true: a number is never false.
    return value is False or value is None or (isinstance(value, _EMPTY) and not value)


_EMPTY: Final = (str, list, dict)
_MAKERS: Final[dict[str, Callable[..., Look]]] = {
    "field": _field,
    "index": _index,
    "literal": _literal,
    "current": _itself,
    "identity": _itself,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "comparator": _comparison,
    "or_expression": _or,
    "and_expression": _and,
    "not_expression": _not,
}
