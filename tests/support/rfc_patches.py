"""RFC 7396 and RFC 6902 in their plainest form, over the values of `json_texts.exact`.

What they are slow at and leave out does not matter here: this is what the product is held against.
"""

import copy
from decimal import Decimal
from typing import Any

from tests.support.json_texts import Exact

Operation = dict[str, Any]


class NowhereError(Exception):
    """A path leads nowhere."""


class TestFailsError(Exception):
    """A `test` operation fails."""

    __test__ = False


def merged(target: Exact, patch: Exact) -> Exact:
    """Return what a merge patch makes of a value (RFC 7396 section 2)."""
    if not isinstance(patch, dict):
        return patch
    members = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            members.pop(name, None)
        else:
            members[name] = merged(members.get(name), value)
    return members


def patched(target: Exact, operations: list[Operation]) -> Exact:
    """Return what a JSON patch makes of a value (RFC 6902 section 4).

    Raises:
        NowhereError: A path leads nowhere.
        TestFailsError: A `test` operation fails.
    """
    value = copy.deepcopy(target)
    for operation in operations:
        value = _applied(value, operation)
    return value


def equal(one: Exact, other: Exact) -> bool:
    """Compare as `test` does: numbers by their value, objects without regard to order."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return Decimal(one) == Decimal(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    return type(one) is type(other) and bool(one == other)


def at(value: Exact, pointer: str) -> Exact:
    """Return what a JSON pointer leads to (RFC 6901). Raises NowhereError."""
    return _at(value, _parts(pointer))


def _applied(value: Exact, operation: Operation) -> Exact:
    path = _parts(operation["path"])
    match operation["op"]:
        case "test":
            _test(value, path, operation["value"])
            return value
        case "add":
            return _added(value, path, operation["value"])
        case "replace":
            _at(value, path)
            return _added(_removed(value, path), path, operation["value"])
        case "remove":
            return _removed(value, path)
    origin = _parts(operation["from"])
    moved = copy.deepcopy(_at(value, origin))
    if operation["op"] == "move":
        if origin != path and path[: len(origin)] == origin:
            raise NowhereError
        value = _removed(value, origin)
    return _added(value, path, moved)


def _test(value: Exact, path: list[str], wanted: Exact) -> None:
    try:
        found = _at(value, path)
    except NowhereError:
        raise TestFailsError from None
    if not equal(found, wanted):
        raise TestFailsError


def _parts(pointer: str) -> list[str]:
    parts = pointer.split("/")[1:]
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def _at(value: Exact, path: list[str]) -> Exact:
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and _index(part) < len(value):
            value = value[_index(part)]
        else:
            raise NowhereError
    return value


def _index(part: str) -> int:
    if not part.isdecimal() or (part != "0" and part.startswith("0")):
        raise NowhereError
    return int(part)


def _added(value: Exact, path: list[str], new: Exact) -> Exact:
    if not path:
        return copy.deepcopy(new)
    parent, last = _at(value, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = copy.deepcopy(new)
    elif isinstance(parent, list) and last == "-":
        parent.append(copy.deepcopy(new))
    elif isinstance(parent, list) and _index(last) <= len(parent):
        parent.insert(_index(last), copy.deepcopy(new))
    else:
        raise NowhereError
    return value


def _removed(value: Exact, path: list[str]) -> Exact:
    if not path:
        return None
    _at(value, path)
    parent, last = _at(value, path[:-1]), path[-1]
    del parent[last if isinstance(parent, dict) else _index(last)]
    return value
