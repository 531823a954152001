"""How much work it is to say why a template refuses a document.

To decide is cheap whatever the template. To explain is not: the library collects what every branch
of an `anyOf` has against a value before it tells the first word, so a small document and a template
that leads back into itself through a branch would take gigabytes.
"""

import math
from collections.abc import Iterator
from typing import Final

from strongroom.jsontext import JsonValue

_ONE: Final = (
    "additionalItems",
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_MANY: Final = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_NAMED: Final = ("dependencies", "dependentSchemas", "patternProperties", "properties")
_BRANCHING: Final = frozenset(
    {"anyOf", "contains", "if", "not", "oneOf", "unevaluatedItems", "unevaluatedProperties"}
)
_REFERENCES: Final = ("$dynamicRef", "$recursiveRef", "$ref")
_SAME_VALUE: Final = frozenset({"allOf", "dependencies", "dependentSchemas", *_REFERENCES})
_OF_OBJECTS: Final = frozenset({"additionalProperties", "properties"})
_OF_ARRAYS: Final = frozenset({"additionalItems", "items", "prefixItems"})


def branching(schema: JsonValue) -> float:
    """Return how many subschemas one value may be judged by within a branch.

    1 where nothing branches; infinite where a branch leads back into itself, or to where cannot be
    seen from here.
    """
    try:
        return _Schema(schema).widest()
    except RecursionError:
        return math.inf


class _Schema:
    def __init__(self, root: JsonValue) -> None:
        self._root = root
        self._sizes: dict[int, float] = {}
        self._open: set[int] = set()

    def widest(self) -> float:
        """Return the size of the largest branch of all that the root leads to."""
        todo, seen, widest = [self._root], {id(self._root)}, 1.0
        while todo:
            branches, ways_back = 0.0, []
            for keyword, child in self._children(todo.pop()):
                if keyword in _BRANCHING:
                    branches += self._unfolded(child)
                elif self._unfolded(child) == math.inf:
                    ways_back.append(keyword)
                if id(child) not in seen:
                    seen.add(id(child))
                    todo.append(child)
            widest = max(widest, math.inf if _doubles(ways_back) else branches)
        return widest

    def _unfolded(self, schema: JsonValue) -> float:
        """Return the number of subschemas below one, counted anew wherever one is referred to."""
        if not isinstance(schema, dict):
            return 1
        known = self._sizes.get(id(schema))
        if known is not None:
            return known
        if id(schema) in self._open:
            return math.inf
        self._open.add(id(schema))
        size = 1 + sum(self._unfolded(child) for _, child in self._children(schema))
        self._open.discard(id(schema))
        self._sizes[id(schema)] = size
        return size

    def _children(self, schema: JsonValue) -> Iterator[tuple[str, JsonValue]]:
        if not isinstance(schema, dict):
            return
        for keyword in _REFERENCES:
            if keyword in schema:
                yield keyword, self._referred(schema[keyword])
        for keyword in _ONE:
            if isinstance(schema.get(keyword), dict):
                yield keyword, schema[keyword]
        for keyword in _MANY:
            found = schema.get(keyword)
            yield from ((keyword, child) for child in (found if isinstance(found, list) else ()))
        for keyword in _NAMED:
            named = schema.get(keyword)
            children = named.values() if isinstance(named, dict) else ()
            yield from ((keyword, child) for child in children)

    def _referred(self, reference: JsonValue) -> JsonValue:
        """Return what a JSON Pointer (RFC 6901) leads to; what else there is stands for the root.

        The root leads to everything, so nothing is taken for smaller than it is.
        """
        if not isinstance(reference, str) or not (reference == "#" or reference[:2] == "#/"):
            return self._root
        found = self._root
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                return self._root
        return found


def _doubles(ways_back: list[str]) -> bool:
    """Tell whether two ways lead from one value back into the schema: each level doubles the work.

    Properties are values of their own, so any number of them counts as one way.
    """
    in_place = sum(
        keyword in _SAME_VALUE or keyword == "patternProperties" for keyword in ways_back
    )
    objects = any(keyword in _OF_OBJECTS for keyword in ways_back)
    arrays = any(keyword in _OF_ARRAYS for keyword in ways_back)
    return in_place + max(objects, arrays) > 1
