"""Bounds at n and at n + 1, at the engine itself, whichever operation comes upon them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from processing_fn.service.patching import PatchKind
from processing_fn.service.requests import Put, TransformRequest
from processing_fn.service.scanning import Query
from strongroom import limits
from strongroom.errors import (
    InternalError,
    InvalidArgumentError,
    InvalidDocumentError,
    NotFoundError,
    SchemaViolationError,
    StrongroomError,
    TooLargeError,
)
from tests.support.clocks import ManualClock
from tests.support.engines import Rig, Worker
from tests.support.filesystems import UnsyncedFilesystem
from tests.support.json_texts import exact
from tests.support.memory_filesystem import MemoryFilesystem

MERGE, JSON = PatchKind.MERGE, PatchKind.JSON
DEPTH, DIGITS = limits.NESTING_DEPTH_MAX, limits.NUMBER_DIGITS_MAX
EXPONENT, MEMBERS = limits.NUMBER_EXPONENT_MAX, limits.MEMBERS_MAX
STEPS, BYTES = limits.EVALUATION_STEPS_MAX, limits.ENTITY_BYTES_MAX


@pytest.fixture
def worker(rig: Rig) -> Worker:
    """Return a worker under a template that takes everything."""
    rig.filesystem = UnsyncedFilesystem()
    rig.put_template(b"true", 2)
    return rig.worker(cache_bytes=16 * 1024 * 1024)


def _zeros(count: int) -> bytes:
    return b"[%s]" % b",".join([b"0"] * count)


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def _text(size_bytes: int) -> bytes:
    return b'"%s"' % (b"x" * (size_bytes - 2))


def _texts(size_bytes: int) -> bytes:
    # Several, because the length of a string counts as so many steps of an expression.
    first = b",".join([_text(STEPS // 2)] * (size_bytes // STEPS))
    return b"[%s,%s]" % (first, _text(size_bytes - len(first) - 3))


# -- documents, however they come to be ------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One of the ways to make {"v": <a value>} of the entity "a": what is put before, and how."""

    before: Callable[[bytes], bytes]
    make: Callable[[Worker, bytes], object]


def _patch(value: bytes) -> bytes:
    return b'[{"op":"add","path":"/v","value":%s}]' % value


WAYS: Final = {
    "put": Way(lambda _: b"{}", lambda worker, value: worker.put("a", b'{"v":%s}' % value)),
    "merge": Way(
        lambda _: b"{}", lambda worker, value: worker.patch("a", MERGE, b'{"v":%s}' % value)
    ),
    "patch": Way(lambda _: b"{}", lambda worker, value: worker.patch("a", JSON, _patch(value))),
    "transform": Way(
        # The value itself is within the bounds; what is made of it may not be.
        lambda value: value,
        lambda worker, _: worker.engine.store_transformed(
            worker.rig.binding, TransformRequest("a", "{v: @}")
        ),
    ),
}
SENT: Final = ["put", "merge", "patch"]
DOCUMENTS: Final[dict[str, tuple[bytes, bytes, list[str]]]] = {
    "depth": (_nested(DEPTH - 1), _nested(DEPTH), ["put", "merge", "transform"]),
    "members": (_zeros(MEMBERS - 1), _zeros(MEMBERS), ["put", "merge"]),
    "bytes": (_texts(BYTES - 6), _texts(BYTES - 5), list(WAYS)),
    "digits": (b"9" * DIGITS, b"9" * (DIGITS + 1), SENT),
    "digits and a sign": (b"-" + b"9" * DIGITS, b"-" + b"9" * (DIGITS + 1), SENT),
    "decimals": (b"0." + b"9" * (DIGITS - 1), b"0." + b"9" * DIGITS, SENT),
    "exponent": (b"1e%d" % EXPONENT, b"1e%d" % (EXPONENT + 1), SENT),
    "negative exponent": (b"1e-%d" % EXPONENT, b"1e-%d" % (EXPONENT + 1), SENT),
}
"""What a document just may have as its member, what it may not, and the ways to make it so."""


@pytest.mark.parametrize(
    ("bound", "way"), [(bound, way) for bound, (_, _, ways) in DOCUMENTS.items() for way in ways]
)
def test_a_document_ends_exactly_at_its_bounds(worker: Worker, bound: str, way: str) -> None:
    """A document within the documented bounds is refused, or one past them is stored."""
    most, too_much, _ = DOCUMENTS[bound]
    cold = worker.rig.worker("cold")
    worker.put("a", WAYS[way].before(most))
    WAYS[way].make(worker, most)
    # Not compared within the assertion, which would take minutes to show the difference.
    same = exact(cold.get("a")[1]) == {"v": exact(most)}
    assert same
    worker.put("a", WAYS[way].before(too_much))
    with pytest.raises((InvalidDocumentError, TooLargeError, InvalidArgumentError)):
        WAYS[way].make(worker, too_much)
    version, document = cold.get("a")
    unchanged = document == WAYS[way].before(too_much)
    assert (version, unchanged) == (3, True)


@pytest.mark.parametrize(
    ("kind", "patch"), [(JSON, b'[{"op":"add","path":"/v/-","value":0}]'), (MERGE, b'{"w":0}')]
)
def test_a_patch_does_not_lead_past_the_bound_in_members(
    worker: Worker, kind: PatchKind, patch: bytes
) -> None:
    """A document grows past its bound in members by small patches."""
    worker.put("a", b'{"v":%s}' % _zeros(MEMBERS - 2))
    assert worker.patch("a", kind, patch) == 2
    worker.put("a", b'{"v":%s}' % _zeros(MEMBERS - 1))
    with pytest.raises(TooLargeError):
        worker.patch("a", kind, patch)
    assert worker.get("a")[0] == 3


def test_a_default_does_not_lead_past_the_bound_in_bytes(worker: Worker) -> None:
    """What a template adds makes a document that nobody could have put."""
    worker.rig.put_template(b'{"x-defaults":true,"properties":{"w":{"default":1}}}', 3)
    longest = b'{"v":%s}' % _text(BYTES - len(b'{"v":,"w":1}'))
    worker.put("a", longest)
    assert len(worker.get("a")[1]) == BYTES
    with pytest.raises(TooLargeError):
        worker.put("a", longest.replace(b"x", b"xx", 1))
    assert len(worker.get("a")[1]) == BYTES


def test_a_default_does_not_lead_past_the_bound_in_depth(worker: Worker) -> None:
    """What a template adds deep inside makes a document that nobody can read."""
    schema = {
        "x-defaults": True,
        "$ref": "#/$defs/node",
        "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}, "w": {"default": []}}}},
    }
    worker.rig.put_template(json.dumps(schema).encode(), 3)
    deepest = b'{"next":' * (DEPTH - 2) + b"{}" + b"}" * (DEPTH - 2)
    worker.put("a", deepest)
    assert worker.get("a")[1].count(b'"w":[]') == DEPTH - 1
    with pytest.raises(InvalidDocumentError):
        worker.put("a", b'{"next":%s}' % deepest)
    assert worker.get("a")[0] == 1


# -- names and parameters --------------------------------------------------------------------------

USES: Final[list[Callable[[Worker, str], object]]] = [
    lambda worker, key: worker.put(key, b"{}"),
    lambda worker, key: worker.get(key),
    lambda worker, key: worker.patch(key, MERGE, b"{}"),
    lambda worker, key: worker.patch(key, JSON, b"[]"),
    lambda worker, key: worker.engine.transform(worker.rig.binding, key, "@"),
    lambda worker, key: worker.engine.store_transformed(
        worker.rig.binding, TransformRequest(key, "@")
    ),
    lambda worker, key: _only(worker.engine.get_many(worker.rig.binding, [key])),
    lambda worker, key: _only(worker.engine.validate(worker.rig.binding, [Put(key, b"{}")])),
    lambda worker, key: _only(worker.engine.put_many(worker.rig.binding, [Put(key, b"{}")])),
    lambda worker, key: worker.delete(key),
]


def _only(answers: Sequence[object]) -> None:
    (answer,) = answers
    if isinstance(answer, StrongroomError):
        raise answer


@pytest.mark.parametrize("character", ["k", "é", "🔒"])
def test_every_operation_takes_keys_up_to_the_same_length(worker: Worker, character: str) -> None:
    """An entity can be made that one of the operations cannot reach."""
    longest = character * (limits.ENTITY_KEY_BYTES_MAX // len(character.encode()))
    assert len(longest.encode()) == limits.ENTITY_KEY_BYTES_MAX
    for use in USES:
        use(worker, longest)
    for use in USES:
        with pytest.raises(InvalidArgumentError):
            use(worker, longest + "x")


def test_a_listing_shows_the_longest_key(worker: Worker) -> None:
    """An entity with a long key is in no listing, or breaks it."""
    longest = "é" * (limits.ENTITY_KEY_BYTES_MAX // 2)
    worker.put(longest, b"{}")
    (item,) = worker.engine.page(worker.rig.binding, Query(prefix=longest)).items
    assert item.entity_key == longest


EVALUATIONS: Final[list[Callable[[Worker, str], object]]] = [
    lambda worker, text: worker.engine.transform(worker.rig.binding, "a", text),
    lambda worker, text: worker.engine.store_transformed(
        worker.rig.binding, TransformRequest("a", text)
    ),
    lambda worker, text: worker.engine.page(worker.rig.binding, Query(filter=text)),
    lambda worker, text: worker.engine.page(worker.rig.binding, Query(select=text)),
]


@pytest.mark.parametrize("evaluate", EVALUATIONS)
def test_an_expression_ends_exactly_at_its_length(
    worker: Worker, evaluate: Callable[[Worker, str], object]
) -> None:
    """An expression of the documented length is refused, or a longer one is compiled."""
    worker.put("a", b"{}")
    longest = "@" + " " * (limits.EXPRESSION_CHARS_MAX - 1)
    evaluate(worker, longest)
    with pytest.raises(InvalidArgumentError):
        evaluate(worker, longest + " ")


@pytest.mark.parametrize("evaluate", EVALUATIONS)
def test_an_evaluation_ends_exactly_at_its_steps(
    worker: Worker, evaluate: Callable[[Worker, str], object]
) -> None:
    """An expression works for longer than it may, or less than it may."""
    # To look at a list is one step, and one for each of its elements.
    worker.put("a", _zeros(STEPS - 1))
    evaluate(worker, "@")
    worker.put("a", _zeros(STEPS))
    with pytest.raises(InvalidArgumentError):
        evaluate(worker, "@")


def test_a_patch_ends_exactly_at_its_operations(worker: Worker) -> None:
    """A patch of the documented length is refused, or a longer one is applied in part."""
    worker.put("a", b'{"n":[]}')
    operation = {"op": "add", "path": "/n/-", "value": 0}
    most = [operation] * limits.PATCH_OPERATIONS_MAX
    assert worker.patch("a", JSON, json.dumps(most).encode()) == 2
    with pytest.raises(InvalidArgumentError):
        worker.patch("a", JSON, json.dumps([*most, operation]).encode())
    assert worker.get("a") == (2, b'{"n":%s}' % _zeros(limits.PATCH_OPERATIONS_MAX))


# -- pages and answers -----------------------------------------------------------------------------


def test_a_page_ends_exactly_at_its_size(tmp_path: Path) -> None:
    """A page has more entities than were asked for, or an entity falls between two pages."""
    worker = Rig(tmp_path, filesystem=MemoryFilesystem()).worker()
    for number in range(limits.PAGE_SIZE_MAX + 1):
        worker.put(f"k{number}", b"{}")
    query = Query(limit=limits.PAGE_SIZE_MAX)
    first = worker.engine.page(worker.rig.binding, query)
    rest = worker.engine.page(worker.rig.binding, Query(limit=query.limit, cursor=first.cursor))
    assert (len(first.items), len(rest.items), rest.cursor) == (limits.PAGE_SIZE_MAX, 1, "")
    with pytest.raises(InvalidArgumentError):
        worker.engine.page(worker.rig.binding, Query(limit=limits.PAGE_SIZE_MAX + 1))


def test_a_page_looks_at_so_many_files_and_no_more(worker: Worker) -> None:
    """A query that finds nothing holds its thread for as long as there are files."""
    # Whatever lies there is looked at: files that do not verify are made in no time.
    for number in range(limits.SCAN_ENTITIES_MAX + 1):
        path = worker.files(f"k{number}")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    first = worker.engine.page(worker.rig.binding, Query())
    assert first.damaged == limits.SCAN_ENTITIES_MAX
    rest = worker.engine.page(worker.rig.binding, Query(cursor=first.cursor))
    assert (rest.damaged, rest.cursor) == (1, "")


def test_a_cursor_is_shorter_than_its_bound_however_long_its_query(worker: Worker) -> None:
    """The Main Worker refuses the cursor that it has given out itself."""
    for key in ("a", "b"):
        worker.put(key, b"{}")
    long = "k" * limits.ENTITY_KEY_BYTES_MAX
    query = Query(
        key_prefixes=("", *[f"{n}{long}" for n in range(limits.GRANTS_MAX)]),
        filter="`1`" + " " * (limits.EXPRESSION_CHARS_MAX - 3),
        select="@" + " " * (limits.EXPRESSION_CHARS_MAX - 1),
        limit=1,
        scope=long,
    )
    cursor = worker.engine.page(worker.rig.binding, query).cursor
    assert 0 < len(cursor) <= limits.CURSOR_CHARS_MAX


@pytest.mark.parametrize("length", [limits.CURSOR_CHARS_MAX, limits.CURSOR_CHARS_MAX + 1])
def test_a_cursor_of_any_length_is_one_of_ours_or_refused(worker: Worker, length: int) -> None:
    """A made-up cursor ends in a defect."""
    with pytest.raises(InvalidArgumentError):
        worker.engine.page(worker.rig.binding, Query(cursor="A" * length))


def test_an_answer_of_many_ends_exactly_at_its_size(worker: Worker) -> None:
    """A multi-key read that a message could hold is refused, or one that it cannot is sent."""
    worker.put("a", b'"%s"' % (b"x" * (BYTES - 2)))
    left = limits.MESSAGE_BYTES_MAX - BYTES
    worker.put("b", b'"%s"' % (b"x" * (left - 2)))
    assert len(worker.engine.get_many(worker.rig.binding, ["a", "b"])) == 2
    worker.put("b", b'"%s"' % (b"x" * (left - 1)))
    with pytest.raises(TooLargeError):
        worker.engine.get_many(worker.rig.binding, ["a", "b"])


def test_so_many_violations_are_reported_and_no_more(rig: Rig, worker: Worker) -> None:
    """A document with a million errors is answered with a million lines."""
    rig.put_template(b'{"items": {"type": "string"}}', 3)
    for count in (limits.VIOLATIONS_REPORTED_MAX, limits.VIOLATIONS_REPORTED_MAX + 1):
        with pytest.raises(SchemaViolationError) as refused:
            worker.put("a", _zeros(count))
        assert len(refused.value.violations) == limits.VIOLATIONS_REPORTED_MAX


# -- lifetimes and versions ------------------------------------------------------------------------


@pytest.mark.parametrize("ttl_seconds", [1, limits.TTL_SECONDS_MAX])
def test_an_entity_lives_exactly_as_long_as_it_may(worker: Worker, ttl_seconds: int) -> None:
    """A lifetime at its bound ends at once, or at a moment that no time stamp can express."""
    clock = worker.rig.clock
    assert isinstance(clock, ManualClock)
    worker.engine.put(worker.rig.binding, Put("a", b"{}", ttl_seconds=ttl_seconds))
    clock.advance(ttl_seconds - 0.001)
    for reader in (worker, worker.rig.worker("cold")):
        reader.lease.extend(clock.boot_s() + 1)
        assert reader.get("a") == (1, b"{}")
    clock.advance(0.001)
    with pytest.raises(NotFoundError):
        worker.get("a")


def test_the_last_version_is_the_last(rig: Rig, worker: Worker) -> None:
    """A version that no record can hold ends in a defect, or begins anew."""
    rig.put_database("people", "00" * 16, floor=limits.VERSION_MAX - 1)
    assert worker.put("a", b"{}", request_id="r") == limits.VERSION_MAX
    changes: list[Callable[[], int]] = [
        lambda: worker.put("a", b'{"n": 1}'),
        lambda: worker.patch("a", MERGE, b'{"n": 1}'),
        lambda: worker.delete("a"),
    ]
    for change in changes:
        with pytest.raises(InternalError):
            change()
    assert worker.put("a", b"{}", request_id="r") == limits.VERSION_MAX
    assert rig.worker("cold").get("a") == (limits.VERSION_MAX, b"{}")
