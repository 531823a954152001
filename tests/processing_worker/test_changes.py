"""Patch, transform, enrich, validate: what changes, what keeps every digit, what is refused."""

import json
import resource
from collections.abc import Callable
from functools import partial

import pytest

from processing_fn.domain.entity import Outcome
from processing_fn.service.bindings import Binding
from processing_fn.service.engine import Engine
from processing_fn.service.patching import Patch, PatchKind
from processing_fn.service.requests import Delete, PatchRequest, Put, TransformRequest
from strongroom import limits
from strongroom.entity import Condition
from strongroom.errors import (
    ConflictError,
    IdempotencyMismatchError,
    InvalidArgumentError,
    InvalidDocumentError,
    NotFoundError,
    PatchFailedError,
    PreconditionFailedError,
    SchemaViolationError,
    StrongroomError,
    TooLargeError,
)
from tests.support.clocks import ManualClock
from tests.support.engines import Rig

MERGE, JSON = PatchKind.MERGE, PatchKind.JSON

# RFC 7396, appendix A.
MERGES = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


@pytest.mark.parametrize(("before", "patch", "after"), MERGES)
def test_merge_patches_of_the_rfc(before: str, patch: str, after: str) -> None:
    """A merge patch does something else than RFC 7396 says."""
    assert Patch(MERGE, patch.encode()).apply(before.encode()) == after.encode()


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ('{"a":1.50,"b":2}', '[{"op":"remove","path":"/b"}]', '{"a":1.50}'),
        ('{"a":-0}', '[{"op":"add","path":"/b","value":1.00}]', '{"a":-0,"b":1.00}'),
        (
            '{"a":123456789012345678901234567890}',
            '[{"op":"copy","from":"/a","path":"/b"}]',
            '{"a":123456789012345678901234567890,"b":123456789012345678901234567890}',
        ),
        ('{"a":[1,2]}', '[{"op":"add","path":"/a/-","value":3}]', '{"a":[1,2,3]}'),
        ('{"a":1}', '[{"op":"move","from":"/a","path":"/b"}]', '{"b":1}'),
        ('{"a":1}', '[{"op":"test","path":"/a","value":1.0}]', '{"a":1}'),
        ('{"a":1}', '[{"op":"replace","path":"","value":[true]}]', "[true]"),
        ('{"a":1}', "[]", '{"a":1}'),
    ],
)
def test_json_patches_keep_digits(before: str, patch: str, after: str) -> None:
    """A JSON patch changes a number that it does not name."""
    assert Patch(JSON, patch.encode()).apply(before.encode()) == after.encode()


@pytest.mark.parametrize(
    ("patch", "error"),
    [
        ('[{"op":"test","path":"/a","value":2}]', ConflictError),
        ('[{"op":"test","path":"/a","value":true}]', ConflictError),
        ('[{"op":"test","path":"/nowhere","value":1}]', ConflictError),
        ('[{"op":"remove","path":"/nowhere"}]', PatchFailedError),
        ('[{"op":"add","path":"/a/b/c","value":1}]', PatchFailedError),
        ('[{"op":"add","path":"/list/9","value":1}]', PatchFailedError),
        ('[{"op":"replace","path":"/nowhere","value":1}]', PatchFailedError),
        ('[{"op":"move","from":"/nowhere","path":"/x"}]', PatchFailedError),
        ('[{"op":"conquer","path":"/a"}]', InvalidArgumentError),
        ('[{"op":"add","path":"/b"}]', InvalidArgumentError),
        ('[{"op":"add","path":"no slash","value":1}]', InvalidArgumentError),
        ('[{"op":"add","path":5,"value":1}]', InvalidArgumentError),
        ('[{"path":"/a"}]', InvalidArgumentError),
        ("[5]", InvalidArgumentError),
        ('["add"]', InvalidArgumentError),
        ("{}", InvalidArgumentError),
        ("[", InvalidDocumentError),
        ('[{"op":"add","op":"add","path":"/b","value":1}]', InvalidDocumentError),
    ],
)
def test_bad_json_patches(patch: str, error: type[StrongroomError]) -> None:
    """A bad patch ends in a defect, or does half of what it says."""
    with pytest.raises(error) as refused:
        Patch(JSON, patch.encode()).apply(b'{"a": 1, "list": []}')
    assert type(refused.value) is error


def test_too_many_operations() -> None:
    """A patch of a million operations keeps a lock for as long as it likes."""
    operation = {"op": "test", "path": "/a", "value": 1}
    most = json.dumps([operation] * limits.PATCH_OPERATIONS_MAX).encode()
    assert Patch(JSON, most).apply(b'{"a":1}') == b'{"a":1}'
    with pytest.raises(InvalidArgumentError):
        Patch(JSON, json.dumps([operation] * (limits.PATCH_OPERATIONS_MAX + 1)).encode())


@pytest.mark.parametrize("path", ["/a/-", "/a/0"])
def test_a_patch_that_doubles_ends(path: str) -> None:
    """A patch of sixty copies takes all memory."""
    copies = json.dumps([{"op": "copy", "from": "/a", "path": path}] * 60).encode()
    with pytest.raises((TooLargeError, InvalidDocumentError)):
        Patch(JSON, copies).apply(b'{"a": [1]}')


def test_a_patch_is_validated_and_conditional_and_idempotent(rig: Rig) -> None:
    """A patch stores what the template refuses, or is applied twice."""
    worker = rig.worker()
    worker.put("a", b'{"n": 1}')
    with pytest.raises(SchemaViolationError):
        worker.patch("a", MERGE, b'{"n": "text"}')
    with pytest.raises(PreconditionFailedError):
        worker.patch("a", MERGE, b'{"n": 2}', Condition(if_version=7))
    appended = b'[{"op": "add", "path": "/m", "value": 1}, {"op": "remove", "path": "/n"}]'
    assert worker.patch("a", JSON, appended, request_id="r") == 2
    assert worker.patch("a", JSON, appended, request_id="r") == 2
    assert rig.worker("other").get("a") == (2, b'{"m":1}')
    with pytest.raises(NotFoundError):
        worker.patch("nothing", MERGE, b"{}")


def test_a_patch_keeps_the_expiry(rig: Rig) -> None:
    """A patch makes an entity live for ever."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = rig.worker()
    worker.engine.put(rig.binding, Put("a", b"{}", ttl_seconds=60))
    clock.advance(59)
    worker.patch("a", MERGE, b'{"n": 1}')
    clock.advance(1)
    with pytest.raises(NotFoundError):
        worker.get("a")


def test_transform_reads_or_stores(rig: Rig) -> None:
    """A transformation changes what it should only show, or stores what the template refuses."""
    worker = rig.worker()
    worker.put("a", b'{"n": 1.50, "m": [1, 2]}')
    shown = worker.engine.transform(rig.binding, "a", "{n: n, count: length(m)}")
    assert (shown.metadata.version, shown.document) == (1, b'{"n":1.50,"count":2}')
    request = TransformRequest("a", "{n: n}", request_id="r")
    for _ in range(2):
        assert worker.engine.store_transformed(rig.binding, request).metadata.version == 2
    assert worker.get("a") == (2, b'{"n":1.50}')
    with pytest.raises(SchemaViolationError):
        worker.engine.store_transformed(rig.binding, TransformRequest("a", "[n]"))
    with pytest.raises(InvalidArgumentError):
        worker.engine.store_transformed(rig.binding, TransformRequest("a", "abs(@)"))
    assert worker.get("a") == (2, b'{"n":1.50}')


TRIALS: dict[str, Callable[[Engine, Binding, str, Condition, str], Outcome]] = {
    "put": lambda engine, at, key, holds, name: engine.put(
        at, Put(key, b'{"n": 2}', holds, name, validate_only=True)
    ),
    "patch": lambda engine, at, key, holds, name: engine.patch(
        at, PatchRequest(key, MERGE, b'{"n": 2}', holds, name, validate_only=True)
    ),
    "transform": lambda engine, at, key, holds, name: engine.store_transformed(
        at, TransformRequest(key, "{n: `2`}", holds, name, validate_only=True)
    ),
    "delete": lambda engine, at, key, holds, name: engine.delete(
        at, Delete(key, holds, name, validate_only=True)
    ),
}


@pytest.mark.parametrize("trial", TRIALS)
def test_what_is_to_be_tried_only_is_answered_as_it_would_be_and_not_done(
    rig: Rig, trial: str
) -> None:
    """A client that only asks has written; or it is told something else than who does it."""
    worker = rig.worker()
    worker.put("a", b'{"n": 1}')
    files = [path.read_bytes() for path in worker.files("a")]
    attempt = partial(TRIALS[trial], worker.engine, rig.binding)
    for _ in range(2):
        outcome = attempt("a", Condition(if_version=1), "r")
        assert (outcome.metadata.version, outcome.created) == (2, False)
    with pytest.raises(PreconditionFailedError):
        attempt("a", Condition(if_version=7), "")
    if trial != "put":
        with pytest.raises(NotFoundError):
            attempt("nothing", Condition(), "")
    assert [path.read_bytes() for path in worker.files("a")] == files
    assert worker.get("a") == (1, b'{"n": 1}')
    # Under an id that was only tried another request is a new one, not a wrong repetition.
    assert worker.put("a", b'{"n": 3}', request_id="r") == 2
    with pytest.raises(IdempotencyMismatchError):
        attempt("a", Condition(), "r")


def test_what_is_to_be_tried_only_is_refused_as_it_would_be(rig: Rig) -> None:
    """A trial says that all is well with what the template refuses."""
    worker = rig.worker()
    worker.put("a", b'{"n": 1}')
    for key in ("a", "new"):
        with pytest.raises(SchemaViolationError):
            worker.engine.put(rig.binding, Put(key, b'{"n": "text"}', validate_only=True))
    with pytest.raises(SchemaViolationError):
        worker.engine.patch(
            rig.binding, PatchRequest("a", MERGE, b'{"n": "text"}', validate_only=True)
        )
    answers = worker.engine.put_many(
        rig.binding, [Put(key, b"{}", validate_only=True) for key in ("a", "new")]
    )
    assert [a.created for a in answers if isinstance(a, Outcome)] == [False, True]
    with pytest.raises(NotFoundError):
        worker.get("new")


def test_validate_reports_everything_and_writes_nothing(rig: Rig) -> None:
    """A dry run writes, or stops at the first error."""
    puts = [Put("good", b'{"n": 1}'), Put("bad", b'{"n": "x"}'), Put("worse", b"{"), Put("", b"{}")]
    verdicts = rig.worker().engine.validate(rig.binding, puts)
    kinds = [None, SchemaViolationError, InvalidDocumentError, InvalidArgumentError]
    assert [type(verdict) if verdict else None for verdict in verdicts] == kinds
    assert not (rig.root / "files").exists()


ENRICHING = b"""{
  "x-defaults": true,
  "required": ["kind", "id", "made"],
  "properties": {
    "kind": {"default": "note"},
    "tags": {"default": []},
    "price": {"default": 1.50},
    "inner": {"properties": {"level": {"default": 1}, "uid": {"x-enrich": "uuid"}}},
    "list": {"items": {"$ref": "#/$defs/element"}},
    "id": {"x-enrich": "uuid"},
    "key": {"x-enrich": "entity_key"},
    "made": {"x-enrich": "created_at"}
  },
  "$defs": {"element": {"properties": {"done": {"default": false}}}}
}"""


def test_what_is_missing_is_filled_in(rig: Rig) -> None:
    """A template's defaults are not there, or change the digits of what a client sent."""
    rig.put_template(ENRICHING, 2)
    worker = rig.worker()
    worker.put("a", b'{"n": 1.00, "kind": "memo", "inner": {}, "list": [{}, {"done": true}]}')
    _, document = worker.get("a")
    found = json.loads(document)
    assert b'"n":1.00' in document
    assert b'"price":1.50' in document
    assert found["kind"] == "memo"
    assert found["tags"] == []
    assert found["inner"]["level"] == 1
    assert found["list"] == [{"done": False}, {"done": True}]
    assert found["key"] == "a"
    assert len(found["id"]) == len(found["inner"]["uid"]) == 36


def test_a_client_cannot_forge_what_the_server_fills_in(rig: Rig) -> None:
    """A client chooses an id or a date of creation, at creation or later."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    rig.put_template(ENRICHING, 2)
    worker = rig.worker()
    forged = b'{"id": "mine", "key": "yours", "made": "1970-01-01T00:00:00.000Z"}'
    worker.put("a", forged)
    first = json.loads(worker.get("a")[1])
    clock.advance(3600)
    worker.put("a", forged)
    worker.patch("a", MERGE, forged)
    worker.patch("a", MERGE, b'{"id": null, "made": null}')
    worker.engine.store_transformed(rig.binding, TransformRequest("a", "{id: 'x'}"))
    again = json.loads(worker.get("a")[1])
    for name in ("id", "key", "made"):
        assert again[name] == first[name]
    assert first["id"] != "mine"
    assert first["key"] == "a"


def test_a_template_without_the_keywords_leaves_documents_alone(rig: Rig) -> None:
    """A `default` fills itself in unasked."""
    rig.put_template(b'{"properties": {"kind": {"default": "note"}}}', 2)
    worker = rig.worker()
    worker.put("a", b'{ "n" : 1 }')
    assert worker.get("a") == (1, b'{ "n" : 1 }')


def test_many_small_places_with_large_defaults_are_refused_in_time(rig: Rig) -> None:
    """A document of some hundred kilobytes makes a worker fill gigabytes with defaults."""
    large = b'"' + b"x" * 20_000 + b'"'
    rig.put_template(
        b'{"x-defaults": true, "items": {"properties": {"d": {"default": %s}}}}' % large, 2
    )
    worker = rig.worker()
    room = limits.ENTITY_BYTES_MAX // 20_100
    worker.put("fits", b"[" + b",".join([b"{}"] * room) + b"]")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooLargeError):
        worker.put("many", b"[" + b",".join([b"{}"] * 80_000) + b"]")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_a_value_of_before_is_not_taken_for_the_servers(rig: Rig) -> None:
    """A client chooses its id before the template asks for one, and keeps it."""
    worker = rig.worker()
    worker.put("a", b'{"id": "mine"}')
    rig.put_template(ENRICHING, 2)
    worker.put("a", b'{"id": "mine"}')
    first = json.loads(worker.get("a")[1])["id"]
    assert first != "mine"
    worker.put("b", b"{}")
    other = json.loads(worker.get("b")[1])["id"]
    assert other != first
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    clock.advance(1)
    worker.delete("a")
    worker.put("a", b"{}")
    assert json.loads(worker.get("a")[1])["id"] not in {first, other}


def test_a_batch_that_is_repeated_after_the_template_changed_has_its_first_answer(
    rig: Rig,
) -> None:
    """A client repeats what was done and is told that it cannot be."""
    worker = rig.worker()
    puts = [Put(key, b'{"n": 1}', request_id="once") for key in ("a", "b")]
    first = worker.engine.put_many(rig.binding, puts)
    rig.put_template(b'{"properties": {"n": {"type": "string"}}}', 2)
    assert worker.engine.put_many(rig.binding, puts) == first
    fresh = [Put(key, b'{"n": 1}', request_id="other") for key in ("a", "b")]
    with pytest.raises(SchemaViolationError):
        worker.engine.put_many(rig.binding, fresh)
    assert worker.get("a") == worker.get("b") == (1, b'{"n": 1}')
