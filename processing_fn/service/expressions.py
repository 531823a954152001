"""JMESPath over documents: bounded in length and in work, and blind to what it must not show.

Numbers keep their text: one with a fraction or an exponent is a float that remembers how it was
written, so a value that an expression only passes on comes out with every digit. What a function
computes is a double, as JMESPath has it.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from processing_fn.service.paths import path
from strongroom import jsontext, limits
from strongroom.errors import InvalidArgumentError

# jmespath goes by the name of a value's class.
_WrittenFloat: Final = type("float", (float,), {"__slots__": ("text",)})


def _written(text: str) -> float:
    number: float = _WrittenFloat(text)
    number.text = text  # type: ignore[attr-defined]
    return number


def _written_int(text: str) -> int | float:
    return _written(text) if text == "-0" else int(text)


_DECODER: Final = json.JSONDecoder(parse_float=_written, parse_int=_written_int)
_QUICK_DECODER: Final = msgspec.json.Decoder(float_hook=_written)
_MINUS: Final = ord("-")
_NEGATIVE_ZERO: Final = re.compile(rb"-0(?![0-9.eE])")
_SIZED: Final = (list, dict, str)
_CONTAINERS: Final = (list, dict)
_NUMBERS: Final = (int, float)
_TOO_MUCH: Final = "the expression takes too much work"
_PLAIN: Final = TreeInterpreter()
"""For what is only left to be done with values that were visited, and paid for, already."""
_ENCODER: Final = msgspec.json.Encoder(enc_hook=lambda number: msgspec.Raw(number.text.encode()))


class Expression:
    """A compiled expression. Safe under threads."""

    def __init__(self, text: str) -> None:
        """Compile it.

        Raises:
            InvalidArgumentError: It is not JMESPath, or too long, or too deep.
        """
        # One for each thread that evaluates just now: to make one takes longer than to use it.
        self._idle: list[_BoundedInterpreter] = []
        if not 0 < len(text) <= limits.EXPRESSION_CHARS_MAX:
            raise InvalidArgumentError(
                f"an expression has 1 to {limits.EXPRESSION_CHARS_MAX} characters"
            )
        try:
            self._tree = jmespath.compile(text).parsed
            found = path(self._tree)
        except (JMESPathError, ValueError) as error:
            raise InvalidArgumentError("the expression is not JMESPath") from error
        except RecursionError:
            raise InvalidArgumentError("the expression is nested too deep") from None
        # What only looks, at no more than that, need not be counted.
        longest = found.longest_max(limits.EVALUATION_STEPS_MAX) if found is not None else -1
        self._look = found.look if found is not None else None
        self._looked_at_bytes_max = longest if len(text) <= longest else -1

    def evaluate(self, document: bytes) -> Any:  # noqa: ANN401 - any JSON value
        """Return what the expression makes of a document.

        Raises:
            InvalidArgumentError: A function does not take what it gets, or the work is too much.
        """
        try:
            if self._look is not None and len(document) <= self._looked_at_bytes_max:
                return self._look(_decoded(document))
            return self._interpreted(_decoded(document))
        except (JMESPathError, TypeError, ValueError, OverflowError) as error:
            # The library's own text quotes the value.
            raise InvalidArgumentError(
                f"the expression cannot be applied to every entity ({type(error).__name__})"
            ) from error
        except RecursionError:
            raise InvalidArgumentError("the expression is nested too deep") from None

    def _interpreted(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        try:
            interpreter = self._idle.pop()
        except IndexError:
            interpreter = _BoundedInterpreter()
        try:
            return interpreter.bounded(self._tree, value)
        finally:
            self._idle.append(interpreter)

    def holds(self, document: bytes) -> bool:
        """Tell whether the result counts as true; raises as `evaluate`."""
        result = self.evaluate(document)
        # JMESPath has 0 true: only null, false and what is empty are not.
        return result is not False and (bool(result) or isinstance(result, _NUMBERS))

    def apply(self, document: bytes) -> bytes:
        """Return the result as JSON text.

        Raises:
            InvalidArgumentError: As `evaluate`, or the result is too large or not JSON.
        """
        try:
            text = _ENCODER.encode(_checked(self.evaluate(document), [limits.EVALUATION_STEPS_MAX]))
        except (RecursionError, ValueError, TypeError) as error:
            raise InvalidArgumentError("the expression's result is not JSON") from error
        if len(text) > limits.ENTITY_BYTES_MAX:
            raise InvalidArgumentError("the expression's result is too large")
        return text


def _decoded(document: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a document that is stored, or might be.

    msgspec takes a quarter of the time; what it reads otherwise is an integer that is a negative
    zero.
    """
    # A byte that is a number is found in a twentieth of the time.
    if _MINUS in document and _NEGATIVE_ZERO.search(document):
        return _DECODER.decode(document.decode())
    return _QUICK_DECODER.decode(document)


class _BoundedInterpreter(TreeInterpreter):
    """Counts steps and the size of what each makes; a doubling in a chain ends here."""

    def __init__(self) -> None:
        super().__init__()
        self._methods: dict[str, Callable[..., Any]] = {}
        self._left = 0

    def bounded(self, tree: Any, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Evaluate a whole expression."""
        self._left = limits.EVALUATION_STEPS_MAX
        return self.visit(tree, value)

    def visit(self, node: Any, value: Any) -> Any:  # noqa: ANN401 - jmespath's own
        """Do what jmespath's own does, in one call instead of three: a scan is made of these."""
        kind = node["type"]
        try:
            method = self._methods[kind]
        except KeyError:
            method = self._methods[kind] = getattr(self, f"visit_{kind}", self.default_visit)
        result = method(node, value)
        self._left -= 1 + len(result) if isinstance(result, _SIZED) else 1
        if self._left < 0:
            raise InvalidArgumentError(_TOO_MUCH)
        return result

    def visit_comparator(self, node: Any, value: Any) -> Any:  # noqa: ANN401 - as above
        """Compare, at the price of all that may have to be looked at."""
        left, right = (self.visit(child, value) for child in node["children"])
        if isinstance(left, _CONTAINERS) and isinstance(right, _CONTAINERS):
            self._charge(min(jsontext.size(left), jsontext.size(right)))
        visited: Any = {**node, "children": _literals(left, right)}
        return _PLAIN.visit_comparator(visited, value)

    def visit_function_expression(self, node: Any, value: Any) -> Any:  # noqa: ANN401 - as above
        """Call; to look for something in a list compares it with every element."""
        if node["value"] != "contains":
            return super().visit_function_expression(node, value)
        found = [self.visit(child, value) for child in node["children"]]
        self._charge(sum(map(jsontext.size, found)))
        visited: Any = {**node, "children": _literals(*found)}
        return _PLAIN.visit_function_expression(visited, value)

    def _charge(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise InvalidArgumentError(_TOO_MUCH)


def _literals(*values: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return nodes of a tree that stand for values which were visited already."""
    return [{"type": "literal", "value": value, "children": []} for value in values]


def _checked(value: Any, left: list[int]) -> Any:  # noqa: ANN401 - any JSON value
    """Check a result for what JSON cannot say, and its size with shared parts counted in full."""
    left[0] -= 1
    if left[0] < 0:
        raise InvalidArgumentError("the expression's result is too large")
    if isinstance(value, dict):
        for child in value.values():
            _checked(child, left)
    elif isinstance(value, list):
        for child in value:
            _checked(child, left)
    elif isinstance(value, float) and not hasattr(value, "text") and not math.isfinite(value):
        raise ValueError("not finite")
    return value
