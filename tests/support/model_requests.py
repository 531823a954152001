"""What clients ask for, drawn by hypothesis: documents, patches, queries, conditions."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st

from processing_fn.service.requests import Put
from tests.support import rfc_patches
from tests.support.entity_model import NOT_JSON
from tests.support.json_texts import Exact, numbers, text_of, values

KEYS: Final = ["a", "a/b", "é🔒"]
PREFIXES: Final = ["", "a", "a/", "é", "z"]

keys = st.sampled_from(KEYS)
request_ids = st.sampled_from(["", "r1", "r2", "r3", "r4"])
lifetimes = st.sampled_from([*[None] * 5, 1, 60, 3600])
conditions = st.sampled_from([*["none"] * 8, "right", "right", "present", "absent", "wrong"])

_small = st.integers(0, 9).map(str)
_texts = st.one_of(_small, numbers, values)
_tags = st.lists(_texts, max_size=3).map(lambda found: f"[{', '.join(found)}]")
_inner = st.sampled_from(["{}", '{"level": 2.0}', '{"level": [], "deep": {}}', "null"])
_kinds = st.sampled_from(['"note"', '"memo"', '"m\\u0065mo"', "7"])
_members = st.fixed_dictionaries(
    {"n": st.one_of(_small, numbers)}, optional={"kind": _kinds, "tags": _tags, "inner": _inner}
)
_odd_members = st.fixed_dictionaries(
    {},
    optional={
        "n": values,
        "id": st.sampled_from(['"mine"', "7", "null"]),
        "key": st.just('"yours"'),
        "made": st.just('"1970-01-01T00:00:00.000Z"'),
        "tags": _texts,
    },
)


def _object(members: dict[str, str]) -> str:
    return f"{{{', '.join(f'{json.dumps(name)}: {value}' for name, value in members.items())}}}"


_objects = _members.map(_object)
plain_documents = _objects.map(str.encode)
"""Documents that most templates take."""

documents = st.one_of(
    _objects, _objects.map(lambda text: f" {text}\n"), _odd_members.map(_object), values
).map(str.encode)
"""Documents that are JSON; a template may refuse them all the same."""

before = st.none() | st.builds(
    Put, entity_key=st.just(""), document=plain_documents, ttl_seconds=lifetimes
)
"""What an entity is made to be before a request about it, so that it is not always refused."""

any_documents = st.one_of(documents, st.sampled_from(sorted(NOT_JSON)))
"""The same, with some that are not."""

_nulled = st.fixed_dictionaries(
    {
        "tags": st.just("null") | _tags,
        "inner": st.sampled_from(["null", "{}", '{"level": null}', '{"level": 3.0, "x": {}}']),
    },
    optional={"n": st.one_of(_small, numbers), "kind": st.sampled_from(["null", '"note"'])},
).map(_object)
merge_patches = st.one_of(_nulled, _objects, _texts).map(str.encode)
"""Merge patches, with nulls where there may be something."""

_PATHS: Final = ["/n", "/kind", "/tags", "/tags/0", "/tags/1", "/inner", "/inner/level"]
_ODD_PATHS: Final = ["", "/tags/01", "/tags/9", "/nowhere/deep", "/kind/0", "/a~1b", "/m~0n", "/"]
_paths = st.sampled_from([*_PATHS, *_PATHS, *_ODD_PATHS])
_targets = st.sampled_from([*_PATHS, *_ODD_PATHS, "/tags/-", "/tags/-", "/inner/copied", "/new"])
_origins = st.sampled_from(["/n", "/n", "/kind", "/tags/0", "/inner", "/inner/level", "/nowhere"])


def _operation(op: str, path: str, **members: str) -> str:
    texts = {"op": json.dumps(op), "path": json.dumps(path), **members}
    return _object({name.rstrip("_"): text for name, text in texts.items()})


operations = st.lists(
    st.one_of(
        st.builds(lambda path, value: _operation("add", path, value=value), _targets, _texts),
        st.builds(lambda path, value: _operation("replace", path, value=value), _paths, _texts),
        st.builds(lambda path: _operation("remove", path), _paths.filter(bool)),
        st.builds(lambda path, value: _operation("test", path, value=value), _paths, _texts),
        st.builds(
            lambda op, origin, path: _operation(op, path, from_=json.dumps(origin)),
            st.sampled_from(["move", "copy"]),
            _origins,
            _targets,
        ),
        _paths,
    ),
    min_size=1,
    max_size=2,
)
"""Operations of a JSON patch as texts; a path alone stands for a test that holds now."""


def json_patch(drawn: list[str], value: Exact) -> bytes:
    """Return the patch of drawn operations, for an entity that has this value now."""
    texts = [one if one.startswith("{") else _holding(one, value) for one in drawn]
    return f"[{', '.join(texts)}]".encode()


def _holding(path: str, value: Exact) -> str:
    try:
        found: Any = rfc_patches.at(value, path)
    except rfc_patches.NowhereError:
        return _operation("test", "", value=text_of(value))
    return _operation("test", path, value=text_of(found))


def _is_above_five(value: Exact) -> bool:
    number = value.get("n") if isinstance(value, dict) else None
    # JMESPath compares doubles; an integer stays one.
    return isinstance(number, tuple) and (
        Decimal(number) > 5
        if Decimal(number).as_tuple().exponent == 0
        else float(Decimal(number)) > 5
    )


def _has_n(value: Exact) -> bool:
    found = value.get("n") if isinstance(value, dict) else None
    # To JMESPath 0 is true; what is empty is not.
    return isinstance(found, tuple) or bool(found)


FILTERS: Final[dict[str, Callable[[Exact], bool]]] = {
    "": lambda _: True,
    # An ordering of anything but numbers is refused; what is asked here holds for every entity.
    "type(n) == 'number' && n > `5`": _is_above_five,
    "kind == 'memo'": lambda value: isinstance(value, dict) and value.get("kind") == "memo",
    "n": _has_n,
}
"""Filters of a query, and what each of them means in plain Python."""
