"""A template on trial tells exactly what it would refuse in force, and changes nothing."""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing_fn.rpc import translation
from processing_fn.service.requests import Put
from processing_fn.service.scanning import Item, Page, Query
from strongroom import limits
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    StaleBindingError,
    StrongroomError,
    Violation,
)
from tests.support.clocks import ManualClock
from tests.support.engines import Rig, Worker
from tests.support.filesystems import ObservedFilesystem, UnsyncedFilesystem
from tests.support.inspections import lying

NAMES = [f"k{number:02d}" for number in range(30)]
UP_TO_14 = b'{"properties": {"n": {"maximum": 14}}}'


def a_rig(root: Path) -> Rig:
    """Return a shared directory that nobody waits for, under a template that admits everything."""
    rig = Rig(root, filesystem=UnsyncedFilesystem())
    rig.put_template(b"true", 2)
    return rig


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """A worker over thirty numbered entities."""
    worker = a_rig(tmp_path).worker()
    for number, name in enumerate(NAMES):
        worker.put(name, b'{"n": %d}' % number)
    return worker


def pages(worker: Worker, schema: bytes, query: Query | None = None) -> list[Page]:
    """Try a template on everything."""
    query = query or Query()
    found = [worker.engine.try_template(worker.rig.binding, schema, query)]
    while found[-1].cursor:
        query = dataclasses.replace(query, cursor=found[-1].cursor)
        found.append(worker.engine.try_template(worker.rig.binding, schema, query))
        assert len(found) < 100, "the cursor does not advance"
    return found


def items(found: list[Page]) -> list[Item]:
    """Return what is refused, in the order of the keys."""
    return sorted((item for page in found for item in page.items), key=lambda i: i.entity_key)


def keys(found: list[Page]) -> list[str]:
    """Return the keys of what is refused, in order."""
    return [item.entity_key for item in items(found)]


# -- the same as when it is in force ---------------------------------------------------------------

SCHEMAS: dict[str, Any] = {
    "everything": True,
    "nothing": False,
    "types": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}},
    "required": {"required": ["a", "id"], "additionalProperties": False, "properties": {"a": {}}},
    "defaults": {
        "x-defaults": True,
        "required": ["a", "b"],
        "properties": {"a": {"default": 1, "maximum": 3}, "b": {"default": "x"}},
    },
    "defaults that it refuses": {
        "x-defaults": True,
        "properties": {"a": {"default": "no number", "type": "number"}},
    },
    "defaults within": {
        "x-defaults": True,
        "properties": {
            "list": {"items": {"properties": {"c": {"default": 0}}, "required": ["c"]}},
            "b": {"$ref": "#/$defs/b"},
        },
        "$defs": {"b": {"default": [], "type": "array"}},
        "required": ["b"],
    },
    "values of the server": {
        "required": ["id", "at", "key"],
        "properties": {
            "id": {"x-enrich": "uuid", "format": "uuid", "type": "string"},
            "at": {"x-enrich": "created_at", "format": "date-time", "type": "string"},
            "key": {"x-enrich": "entity_key", "pattern": "^k[0-9]$"},
        },
    },
    "values of the server that it refuses": {
        "properties": {"a": {"properties": {"key": {"x-enrich": "entity_key", "maxLength": 1}}}}
    },
    "both": {
        "x-defaults": True,
        "required": ["id", "list"],
        "properties": {
            "id": {"x-enrich": "uuid", "format": "uuid"},
            "list": {"default": [], "maxItems": 1},
        },
        "maxProperties": 3,
    },
}
scalars = st.sampled_from(
    [None, True, 0, 1, 4, -1.5, "", "x", "k1", "2026-01-01T00:00:00Z", "f" * 8]
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "c", "key"]), inner, max_size=3)
    ),
    max_leaves=4,
)
members = st.sampled_from(["a", "b", "id", "at", "key", "list", "é/~"])
documents = st.dictionaries(members, values, max_size=5) | values


def refused_when_put(worker: Worker, key: str) -> tuple[str, str, tuple[Violation, ...]] | None:
    """Put an entity again as it is; return its refusal."""
    try:
        worker.put(key, worker.get(key)[1])
    except StrongroomError as error:
        return error.code, error.detail, tuple(error.violations)[: limits.TRIAL_VIOLATIONS_MAX]
    return None


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@settings(max_examples=15, deadline=None)
@given(stored=st.lists(documents, min_size=1, max_size=6))
def test_exactly_what_a_put_would_be_refused_is_told(stored: list[Any], schema: Any) -> None:  # noqa: ANN401 - JSON
    """Whoever replaces a template after a trial is surprised by what it refuses, or by nothing."""
    with tempfile.TemporaryDirectory() as root:
        rig = a_rig(Path(root))
        worker = rig.worker()
        for number, document in enumerate(stored):
            worker.put(f"k{number}", json.dumps(document).encode())
        raw = json.dumps(schema).encode()
        foretold: dict[str, object] = {}
        for item in items(pages(worker, raw)):
            assert item.refusal is not None
            said = item.refusal
            foretold[item.entity_key] = (said.code, said.detail, tuple(said.violations))
        rig.put_template(raw, 3)
        named = [f"k{number}" for number in range(len(stored))]
        verdicts = {key: refused_when_put(worker, key) for key in named}
        assert foretold == {key: verdict for key, verdict in verdicts.items() if verdict}


def test_a_document_that_defaults_make_too_large_is_told(worker: Worker) -> None:
    """What is refused for its size alone is passed over by a trial."""
    large = b'{"a": "' + b"x" * (limits.ENTITY_BYTES_MAX - 100) + b'"}'
    worker.put("large", large)
    schema = b'{"x-defaults": true, "properties": {"b": {"default": "%s"}}}' % (b"y" * 200)
    (item,) = items(pages(worker, schema))
    assert item.refusal is not None
    worker.rig.put_template(schema, 3)
    assert (item.entity_key, item.refusal.code) == ("large", "too-large")
    assert refused_when_put(worker, "large") == ("too-large", item.refusal.detail, ())


# -- what is looked at -----------------------------------------------------------------------------


def test_nothing_is_changed(worker: Worker) -> None:
    """A trial puts the template in force, or touches what it looks at."""
    before = lying(worker.rig.root)
    assert keys(pages(worker, UP_TO_14)) == NAMES[15:]
    assert lying(worker.rig.root) == before
    worker.put("k29", b'{"n": 30}')


def test_what_is_gone_is_not_counted(worker: Worker) -> None:
    """An administrator repairs entities that nobody sees any more, and never comes to an end."""
    rig, clock = worker.rig, worker.rig.clock
    assert isinstance(clock, ManualClock)
    worker.delete("k20")
    worker.engine.put(rig.binding, Put("k21", b'{"n": 21}', ttl_seconds=10))
    worker.files("k22")[0].write_bytes(b"damaged")
    clock.advance(10)
    found = pages(rig.worker("other"), UP_TO_14)
    assert keys(found) == [name for name in NAMES[15:] if name not in {"k20", "k21", "k22"}]
    assert sum(page.examined for page in found) == len(NAMES) - 3
    assert sum(page.damaged for page in found) == 1


def test_a_deleted_past_is_not_counted(worker: Worker) -> None:
    """What was deleted with its database is tried too."""
    rig = worker.rig
    rig.binding = rig.put_database("people", "11" * 16, retired=("00" * 16,))
    worker.put("k99", b'{"n": 99}')
    found = pages(worker, UP_TO_14)
    assert keys(found) == ["k99"]
    assert (found[-1].examined, found[-1].damaged) == (1, 0)
    rig.put_database("people", "11" * 16, deleted=True)
    with pytest.raises(NotFoundError):
        pages(rig.worker("fresh"), UP_TO_14)
    stale = msgspec.structs.replace(rig.put_database("people", "22" * 16), incarnation="33" * 16)
    with pytest.raises(StaleBindingError):
        worker.engine.try_template(stale, UP_TO_14, Query())


def test_a_template_that_cannot_be_compiled_is_refused(worker: Worker) -> None:
    """A worker that knows less than the Main Worker ends in a defect."""
    for schema in (b'{"type": 5}', b'{"$ref": "#/nowhere"}', b'{"items": {"x-enrich": "uuid"}}'):
        with pytest.raises(IntegrityError):
            pages(worker, schema)


# -- pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 4, 15, limits.PAGE_SIZE_MAX])
def test_pages_tell_of_everything_once(worker: Worker, limit: int) -> None:
    """A trial in pages leaves entities out, or tells of them twice."""
    found = pages(worker, UP_TO_14, Query(limit=limit))
    assert keys(found) == NAMES[15:]
    assert all(len(page.items) <= limit for page in found)
    assert sum(page.examined for page in found) == len(NAMES)


def test_a_slow_trial_ends_and_its_cursor_advances(worker: Worker) -> None:
    """A trial of a large database never answers."""
    clock = worker.rig.clock
    assert isinstance(clock, ManualClock)

    def slowly(name: str, _: tuple[object, ...]) -> None:
        if name == "open_directory":
            clock.advance(limits.SCAN_SECONDS / 3)

    slow = worker.rig.worker("slow", filesystem=ObservedFilesystem(slowly))
    found = pages(slow, UP_TO_14)
    assert keys(found) == NAMES[15:]
    assert len(found) > 3


def test_a_cursor_is_of_no_use_for_anything_else(worker: Worker) -> None:
    """A caller goes on in another one's trial, or with half of another template."""
    binding, engine = worker.rig.binding, worker.engine
    ours = engine.try_template(binding, UP_TO_14, Query(limit=2, scope="ada")).cursor
    listing = engine.page(binding, Query(limit=2, scope="ada")).cursor
    assert ours
    for schema, query in (
        (b"false", Query(cursor=ours, scope="ada")),
        (UP_TO_14 + b" ", Query(cursor=ours, scope="ada")),
        (UP_TO_14, Query(cursor=ours, scope="mallory")),
        (UP_TO_14, Query(cursor=ours, scope="ada", key_prefixes=("k",))),
        (UP_TO_14, Query(cursor=listing, scope="ada")),
        (UP_TO_14, Query(cursor="nonsense", scope="ada")),
        (UP_TO_14, Query(cursor=ours[:-4], scope="ada")),
    ):
        with pytest.raises(InvalidArgumentError):
            engine.try_template(binding, schema, query)
    with pytest.raises(InvalidArgumentError):
        engine.page(binding, Query(cursor=ours, scope="ada"))
    assert engine.try_template(binding, UP_TO_14, Query(cursor=ours, scope="ada")).items


def test_long_names_of_members_are_clipped(worker: Worker) -> None:
    """One document with a long name in it makes an answer that no message holds."""
    name = "é" * (limits.ENTITY_BYTES_MAX // 4)
    worker.put("long", json.dumps({name: {"n": "x"}}, ensure_ascii=False).encode())
    for schema in (
        b'{"additionalProperties": {"additionalProperties": {"type": "number"}}}',
        b'{"additionalProperties": false, "properties": {"n": {}}}',
        b'{"propertyNames": {"maxLength": 5}}',
    ):
        (page,) = pages(worker, schema)
        (item,) = [one for one in page.items if one.entity_key == "long"]
        assert item.refusal is not None
        for violation in item.refusal.violations:
            assert len(violation.pointer) <= limits.VIOLATION_CHARS_MAX
            assert len(violation.detail) <= limits.VIOLATION_CHARS_MAX
        assert translation.page(page).ByteSize() < limits.TRIAL_BYTES_MAX


def test_many_long_refusals_are_more_than_one_page(worker: Worker) -> None:
    """A page of refusals is larger than a message, and the trial can go no further."""
    wrong = {f"{'m' * 2_000}{number}": "x" for number in range(20)}
    document = json.dumps(wrong).encode()
    for number in range(120):
        worker.put(f"long{number}", document)
    found = pages(worker, b'{"additionalProperties": {"type": "number"}}')
    assert len(keys(found)) == 120
    assert len(found) > 1
    for page in found:
        assert translation.page(page).ByteSize() <= limits.TRIAL_BYTES_MAX
        for item in page.items:
            assert item.refusal is not None
            assert len(item.refusal.violations) == limits.TRIAL_VIOLATIONS_MAX
            assert item.document == b""
