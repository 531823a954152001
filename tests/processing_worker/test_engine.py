"""Get and put over a real directory: values, versions, conditions, repetitions, refusals."""

import dataclasses

import msgspec
import pytest

from processing_fn.domain.entity import Outcome
from processing_fn.service.bindings import Binding
from processing_fn.service.requests import Delete, Put
from strongroom import limits
from strongroom.entity import Condition
from strongroom.errors import (
    IdempotencyMismatchError,
    InvalidArgumentError,
    InvalidDocumentError,
    NotFoundError,
    PreconditionFailedError,
    SchemaViolationError,
    StaleBindingError,
    StrongroomError,
    TooLargeError,
    UnavailableError,
)
from tests.support.clocks import ManualClock
from tests.support.engines import Rig


def test_what_was_put_is_got_byte_for_byte(rig: Rig) -> None:
    """A client gets another text back than it has stored."""
    worker = rig.worker()
    document = b'{"n": 1.50, "big": 123456789012345678901234567890, "s": "\\u00e9\xf0\x9f\x94\x92"}'
    assert worker.put("a", document) == 1
    assert worker.get("a") == (1, document)
    assert rig.worker("worker-2").get("a") == (1, document)


def test_versions_count_every_write(rig: Rig) -> None:
    """An ETag is seen twice with different content."""
    one, two = rig.worker("worker-1"), rig.worker("worker-2")
    versions = [worker.put("a", b'{"n": %d}' % n) for n, worker in enumerate([one, two, one, two])]
    assert versions == [1, 2, 3, 4]


def test_created_is_told_from_replaced(rig: Rig) -> None:
    """A client cannot tell 201 from 200."""
    engine = rig.worker().engine
    answers = [engine.put(rig.binding, Put("a", b"{}")) for _ in range(2)]
    assert [answer.created for answer in answers] == [True, False]
    assert answers[0].metadata.created_at == answers[1].metadata.created_at


def test_an_entity_that_is_not_there(rig: Rig) -> None:
    """A missing entity is answered with something else than not-found."""
    with pytest.raises(NotFoundError):
        rig.worker().get("nothing")


@pytest.mark.parametrize(
    ("condition", "holds_when_absent", "holds_at_version_1"),
    [
        (Condition(), True, True),
        (Condition(if_absent=True), True, False),
        (Condition(if_present=True), False, True),
        (Condition(if_version=1), False, True),
        (Condition(if_version=2), False, False),
    ],
)
def test_conditions(
    rig: Rig, condition: Condition, *, holds_when_absent: bool, holds_at_version_1: bool
) -> None:
    """Two clients that write with If-Match overwrite each other."""
    worker = rig.worker()
    worker.put("there", b'{"n": 0}')
    for key, holds, version in [("absent", holds_when_absent, 0), ("there", holds_at_version_1, 1)]:
        if holds:
            assert worker.put(key, b'{"n": 1}', condition) == version + 1
        else:
            with pytest.raises(PreconditionFailedError) as refused:
                worker.put(key, b'{"n": 1}', condition)
            assert refused.value.current_version == version


def test_a_refused_condition_writes_nothing(rig: Rig) -> None:
    """A failed If-Match leaves traces."""
    worker = rig.worker()
    worker.put("a", b'{"n": 0}')
    with pytest.raises(PreconditionFailedError):
        worker.put("a", b'{"n": 1}', Condition(if_version=7))
    assert rig.worker("worker-2").get("a") == (1, b'{"n": 0}')


def test_a_repeated_request_is_applied_once(rig: Rig) -> None:
    """A retry after a lost answer writes a second time, maybe over somebody else's write."""
    one, two = rig.worker("worker-1"), rig.worker("worker-2")
    first = one.engine.put(rig.binding, Put("a", b'{"n": 1}', request_id="r"))
    one.put("a", b'{"n": 2}')
    again = two.engine.put(rig.binding, Put("a", b'{"n": 1}', request_id="r"))
    assert (again.metadata.version, again.created) == (1, True)
    assert (first.metadata.version, first.created) == (1, True)
    assert two.get("a") == (2, b'{"n": 2}')


def test_a_request_id_with_another_body_is_refused(rig: Rig) -> None:
    """A client that reuses an idempotency key by mistake believes its write was made."""
    worker = rig.worker()
    worker.put("a", b'{"n": 1}', request_id="r")
    with pytest.raises(IdempotencyMismatchError):
        worker.put("a", b'{"n": 2}', request_id="r")
    assert worker.get("a") == (1, b'{"n": 1}')


def test_request_ids_are_kept_for_a_day_and_sixteen_writes(rig: Rig) -> None:
    """The documented bounds of idempotency do not hold."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = rig.worker()
    for number in range(limits.REQUEST_IDS_KEPT):
        worker.put("a", b"{}", request_id=str(number))
    assert worker.put("a", b"{}", request_id="0") == 1
    worker.put("a", b"{}", request_id="one more")
    assert worker.put("a", b"{}", request_id="0") == limits.REQUEST_IDS_KEPT + 2
    clock.advance(limits.REQUEST_IDS_KEPT_SECONDS)
    assert worker.put("a", b"{}", request_id="15") == limits.REQUEST_IDS_KEPT + 3


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (b"", InvalidDocumentError),
        (b"{", InvalidDocumentError),
        (b'{"n": NaN}', InvalidDocumentError),
        (b'{"n": 1, "n": 2}', InvalidDocumentError),
        (b'{"n": "\xff"}', InvalidDocumentError),
        (b"[" * 65 + b"]" * 65, InvalidDocumentError),
        (b'{"n": "text"}', SchemaViolationError),
        (b"[]", SchemaViolationError),
        (b'"' + b"x" * limits.ENTITY_BYTES_MAX + b'"', TooLargeError),
    ],
)
def test_a_refused_document_leaves_nothing(
    rig: Rig, document: bytes, error: type[StrongroomError]
) -> None:
    """What the template or RFC 8259 refuses reaches the disk."""
    worker = rig.worker()
    with pytest.raises(error):
        worker.put("a", document)
    assert not (rig.root / "files").exists()


@pytest.mark.parametrize("key", ["", "k" * 513, "é" * 257, "a\x00b", "a\nb", "\x7f", "\ud800"])
def test_a_key_that_is_none_is_refused(rig: Rig, key: str) -> None:
    """A key past its bounds is stored, or ends in a defect."""
    worker = rig.worker()
    with pytest.raises(InvalidArgumentError):
        worker.put(key, b"{}")
    with pytest.raises(InvalidArgumentError):
        worker.get(key)


@pytest.mark.parametrize("key", ["../../etc/passwd", "/", "..", "a" * 512, "é" * 256, " ", "🔒"])
def test_a_key_is_never_a_path(rig: Rig, key: str) -> None:
    """A key leaves the database's directory, or shows on the disk."""
    worker = rig.worker()
    worker.put(key, b"{}")
    assert worker.get(key) == (1, b"{}")
    written = [path for path in rig.root.rglob("*") if path.is_file()]
    inside = rig.root / "files" / "people"
    assert {p.parent.parent for p in written if "files" in p.parts} == {inside}
    for path in written:
        assert key.encode() not in path.read_bytes() or len(key) == 1 or key == ".."


def test_a_violation_names_place_and_keyword_but_no_value(rig: Rig) -> None:
    """A secret of the document is in an error, and so in somebody's log."""
    rig.put_template(
        b'{"properties": {"a/b": {"items": {"enum": ["x"], "maxLength": 3, "pattern": "^x"}}}}', 2
    )
    with pytest.raises(SchemaViolationError) as refused:
        rig.worker().put("a", b'{"a/b": ["x", "hush-hush"]}')
    found = {(v.pointer, v.keyword) for v in refused.value.violations}
    assert found == {("/a~1b/1", k) for k in ("enum", "maxLength", "pattern")}
    assert "hush" not in repr([dataclasses.astuple(v) for v in refused.value.violations])


def test_a_replaced_template_is_in_force_at_once(rig: Rig) -> None:
    """A write that begins after the answer is judged by the old template."""
    worker = rig.worker()
    worker.put("a", b'{"n": 1}')
    rig.put_template(b"false", 2)
    with pytest.raises(SchemaViolationError):
        worker.put("a", b'{"n": 2}')
    assert worker.get("a") == (1, b'{"n": 1}')


def test_many_are_validated_before_one_is_written(rig: Rig) -> None:
    """Half of a refused request is stored."""
    engine = rig.worker().engine
    puts = [Put("a", b'{"n": 1}'), Put("b", b'{"n": "no"}')]
    with pytest.raises(SchemaViolationError) as refused:
        engine.put_many(rig.binding, puts)
    assert refused.value.entity_key == "b"
    assert not (rig.root / "files").exists()


def test_what_was_written_before_the_template_changed_is_told(rig: Rig) -> None:
    """A batch whose worker died midway is repeated, and refused as if nothing had been written."""
    worker = rig.worker()
    puts = [Put(key, b'{"n": 1}', request_id="r") for key in ("a", "b", "c")]
    (first,) = worker.engine.put_many(rig.binding, puts[:1])
    rig.put_template(b'{"required": ["m"]}', 2)
    answers = worker.engine.put_many(rig.binding, puts)
    assert answers[0] == first
    assert [type(answer) for answer in answers[1:]] == [SchemaViolationError] * 2
    assert worker.get("a") == (1, b'{"n": 1}')
    for refused in (puts[1:], [dataclasses.replace(put, request_id="other") for put in puts]):
        with pytest.raises(SchemaViolationError):
            worker.engine.put_many(rig.binding, refused)


def test_many_are_answered_in_order(rig: Rig) -> None:
    """The answers of a multi-key request are mixed up."""
    engine = rig.worker().engine
    engine.put_many(rig.binding, [Put("a", b'{"n": 1}'), Put("b", b'{"n": 2}')])
    answers = engine.get_many(rig.binding, ["b", "nothing", "a"])
    documents = [None if isinstance(a, StrongroomError) else a.document for a in answers]
    assert documents == [b'{"n": 2}', None, b'{"n": 1}']
    assert isinstance(answers[1], NotFoundError)


def test_many_are_deleted_with_an_answer_each(rig: Rig) -> None:
    """One that is not there stops a request to delete several, or hides what became of others."""
    worker = rig.worker()
    for key in ("a", "b"):
        worker.put(key, b'{"n": 1}')
    deletes = [Delete(key, request_id="r") for key in ("b", "nothing", "a")]
    answers = worker.engine.delete_many(rig.binding, deletes)
    kinds = [a.metadata.version if isinstance(a, Outcome) else type(a) for a in answers]
    assert kinds == [2, NotFoundError, 2]
    again = rig.worker("worker-2").engine.delete_many(rig.binding, deletes)
    assert [a for a in again if isinstance(a, Outcome)] == [answers[0], answers[2]]


def test_many_are_checked_before_one_is_deleted(rig: Rig) -> None:
    """A request that is refused has deleted half of what it names."""
    worker = rig.worker()
    worker.put("a", b'{"n": 1}')
    with pytest.raises(InvalidArgumentError):
        worker.engine.delete_many(rig.binding, [Delete("a"), Delete("\n")])
    assert worker.get("a") == (1, b'{"n": 1}')
    gone = msgspec.structs.replace(rig.binding, database="nowhere")
    with pytest.raises(NotFoundError):
        worker.engine.delete_many(gone, [Delete("a")])


def test_many_that_are_too_large_together_are_refused(rig: Rig) -> None:
    """A multi-key read ends in a failure of the transport, or in ever more memory."""
    worker = rig.worker(cache_bytes=64 * 1024 * 1024)
    document = b'"' + b"x" * (limits.MESSAGE_BYTES_MAX // 4) + b'"'
    rig.put_template(b"true", 2)
    for key in "abcd":
        worker.put(key, document)
    assert len(worker.engine.get_many(rig.binding, ["a", "b", "c"])) == 3
    with pytest.raises(TooLargeError):
        worker.engine.get_many(rig.binding, ["a", "b", "c", "d"])


def test_another_binding_than_the_disk_has_is_refused(rig: Rig) -> None:
    """A Main Worker with an old view writes under the wrong template or incarnation."""
    worker = rig.worker()
    worker.put("a", b"{}")
    for wrong in (
        msgspec.structs.replace(rig.binding, schema_id="other.v1"),
        msgspec.structs.replace(rig.binding, incarnation="11" * 16),
    ):
        with pytest.raises(StaleBindingError):
            worker.engine.put(wrong, Put("a", b"{}"))
        with pytest.raises(StaleBindingError):
            worker.engine.get(wrong, "a")
    with pytest.raises(NotFoundError):
        worker.engine.get(Binding("nowhere", "00" * 16, "person.v1"), "a")


def test_a_new_incarnation_of_a_database_is_empty(rig: Rig) -> None:
    """Entities of a deleted database come back under its name."""
    worker = rig.worker()
    worker.put("a", b'{"n": 1}')
    rig.binding = rig.put_database("people", "11" * 16)
    with pytest.raises(NotFoundError):
        worker.get("a")
    assert worker.put("a", b'{"n": 2}') == 1


def test_versions_stay_above_the_floor_of_the_database(rig: Rig) -> None:
    """After a restore a version is used a second time."""
    rig.put_database("people", "00" * 16, floor=41)
    assert rig.worker().put("a", b"{}") == 42


def test_without_a_lease_nothing_is_served(rig: Rig) -> None:
    """A worker whose lease has ended goes on with keys that it should have forgotten."""
    worker = rig.worker()
    worker.put("a", b"{}")
    worker.lease.end()
    with pytest.raises(UnavailableError):
        worker.get("a")
    with pytest.raises(UnavailableError):
        worker.put("a", b"{}")
    assert rig.worker("worker-2").get("a") == (1, b"{}")


def test_an_expired_entity_is_not_there(rig: Rig) -> None:
    """A document is served after its time."""
    clock = rig.clock
    assert isinstance(clock, ManualClock)
    worker = rig.worker()
    worker.engine.put(rig.binding, Put("a", b"{}", ttl_seconds=60))
    clock.advance(59.999)
    assert worker.get("a") == (1, b"{}")
    clock.advance(0.001)
    for reader in (worker, rig.worker("worker-2")):
        with pytest.raises(NotFoundError):
            reader.get("a")
    created = worker.engine.put(rig.binding, Put("a", b"{}", Condition(if_absent=True)))
    assert (created.metadata.version, created.created) == (2, True)


def test_a_deleted_entity_is_gone_and_its_version_goes_on(rig: Rig) -> None:
    """A deleted entity is still served, or a version is used again after a delete."""
    one, two = rig.worker("one"), rig.worker("two")
    one.put("a", b'{"n": 1}')
    two.get("a")
    assert two.delete("a") == 2
    for worker in (one, two, rig.worker("cold")):
        with pytest.raises(NotFoundError):
            worker.get("a")
        with pytest.raises(NotFoundError):
            worker.delete("a")
    created = one.engine.put(rig.binding, Put("a", b'{"n": 3}', Condition(if_absent=True)))
    assert (created.metadata.version, created.created) == (3, True)
    assert b'"n": 1' not in two.files("a")[0].read_bytes()


def test_a_delete_is_conditional_and_idempotent(rig: Rig) -> None:
    """A delete removes a version that the client has not seen, or fails when it is repeated."""
    worker = rig.worker()
    worker.put("a", b"{}")
    with pytest.raises(PreconditionFailedError):
        worker.delete("a", Condition(if_version=7))
    assert worker.delete("a", Condition(if_version=1), request_id="r") == 2
    assert worker.delete("a", Condition(if_version=1), request_id="r") == 2
    with pytest.raises(IdempotencyMismatchError):
        worker.put("a", b"{}", request_id="r")
