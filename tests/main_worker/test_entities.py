"""Get and put: authorized before anything is looked up, bounded, and applied once."""

from collections.abc import Callable
from typing import Any

import pytest

from main_api.domain import placement
from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.service.requests.batches import Deleted, PartlyWrittenError
from main_api.service.workers.ports import WorkerLostError, Written
from strongroom import limits
from strongroom.entity import Condition
from strongroom.errors import (
    BusyError,
    ConflictError,
    ForbiddenError,
    IdempotencyMismatchError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    PreconditionFailedError,
    SchemaViolationError,
    StrongroomError,
    UnavailableError,
)
from tests.support.mains import MainRig, grant

READ, WRITE, DELETE, ADMIN = Action.READ, Action.WRITE, Action.DELETE, Action.ADMIN


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker with two Processing Workers."""
    made = MainRig()
    made.add_workers("worker-1", "worker-2")
    return made


@pytest.fixture
def admin(rig: MainRig) -> Caller:
    """Return a client that may do everything."""
    return rig.caller(client_id="admin")


def test_what_was_put_is_got(rig: MainRig, admin: Caller) -> None:
    """A document reads back as another one."""
    document = b'{ "a" : 1.50 }'
    (written,) = rig.entities.put(admin, "chatdb", {"k": document})
    assert (written.key, written.created, written.metadata.version) == ("k", True, 1)
    found = rig.entities.get(admin, "chatdb", "k")
    assert (found.document, found.metadata, found.not_modified) == (
        document,
        written.metadata,
        False,
    )
    (again,) = rig.entities.put(admin, "chatdb", {"k": b"null"})
    assert (again.created, again.metadata.version) == (False, 2)


def test_a_known_version_is_not_sent_again(rig: MainRig, admin: Caller) -> None:
    """A client that has the current version gets the whole document each time."""
    rig.entities.put(admin, "chatdb", {"k": b"1"})
    assert rig.entities.get(admin, "chatdb", "k", known=1).not_modified
    assert not rig.entities.get(admin, "chatdb", "k", known=2).not_modified


def test_a_missing_entity_and_a_missing_database_are_not_found(rig: MainRig, admin: Caller) -> None:
    """A missing entity is an internal error."""
    with pytest.raises(NotFoundError):
        rig.entities.get(admin, "chatdb", "nothing")
    with pytest.raises(NotFoundError, match="nosuchdb"):
        rig.entities.get(admin, "nosuchdb", "k")
    with pytest.raises(NotFoundError, match="nosuchdb"):
        rig.entities.put(admin, "nosuchdb", {"k": b"1"})


# -- grants ----------------------------------------------------------------------------------------

Use = Callable[[MainRig, Caller, str, str], Any]
GET: Use = lambda rig, caller, database, key: rig.entities.get(caller, database, key)  # noqa: E731
GET_MANY: Use = lambda rig, caller, database, key: (  # noqa: E731
    rig.entities.get_many(caller, database, ["mine/1", key])
)
PUT: Use = lambda rig, caller, database, key: (  # noqa: E731
    rig.entities.put(caller, database, {key: b"1"})
)
PUT_MANY: Use = lambda rig, caller, database, key: (  # noqa: E731
    rig.entities.put(caller, database, {"mine/1": b"1", key: b"2"})
)


DELETE_ONE: Use = lambda rig, caller, database, key: (  # noqa: E731
    rig.entities.delete(caller, database, key)
)
NAMES = ["get", "get_many", "put", "put_many", "delete"]
USES = [GET, GET_MANY, PUT, PUT_MANY, DELETE_ONE]


@pytest.mark.parametrize(
    ("use", "action"),
    list(zip(USES, [READ, READ, WRITE, WRITE, DELETE], strict=True)),
    ids=NAMES,
)
@pytest.mark.parametrize("key", ["theirs/1", "theirs/nothing"])
@pytest.mark.parametrize("database", ["chatdb", "otherdb", "nosuchdb"])
def test_what_is_not_granted_is_refused_before_anything_is_looked_up(
    rig: MainRig, use: Use, action: Action, database: str, key: str
) -> None:
    """A client without a grant reads, writes, or learns what exists."""
    rig.entities.put(rig.caller(), "chatdb", {"theirs/1": b"1", "mine/1": b"1"})
    others = {READ, WRITE, DELETE, ADMIN} - {action}
    callers = [
        rig.caller(grant("chatdb", action, key_prefix="mine/"), client_id="by-prefix"),
        rig.caller(grant("*", *others), client_id="by-action"),
        rig.caller(grant("elsewhere*", action), client_id="by-database"),
    ]
    calls_before, reads_before = len(rig.workers.calls), rig.memory.reads["database"]
    details = set()
    for caller in callers:
        with pytest.raises(ForbiddenError) as refusal:
            use(rig, caller, database, key)
        details.add(refusal.value.detail)
    assert len(details) == 1
    assert len(rig.workers.calls) == calls_before
    assert rig.memory.reads["database"] == reads_before


def test_a_grant_lets_in(rig: MainRig) -> None:
    """A client is refused what it was granted."""
    caller = rig.caller(grant("chatdb", READ, WRITE, key_prefix="mine/"))
    rig.entities.put(caller, "chatdb", {"mine/1": b"1", "mine/2": b"2"})
    assert rig.entities.get(caller, "chatdb", "mine/1").document == b"1"
    found = rig.entities.get_many(caller, "chatdb", ["mine/2", "mine/1"])
    assert [f.document for f in found] == [b"2", b"1"]


@pytest.mark.parametrize("database", ["chatdb", "nosuchdb"])
def test_a_page_is_of_what_is_granted(rig: MainRig, admin: Caller, database: str) -> None:
    """A client lists entities, or learns of databases, that nobody has granted to it."""
    rig.entities.put(admin, "chatdb", dict.fromkeys(("mine/1", "ours/1", "theirs/1"), b"1"))
    mine = rig.caller(
        grant("chatdb", READ, key_prefix="mine/"),
        grant("chatdb", READ, key_prefix="ours/"),
        grant("chatdb", WRITE, key_prefix="theirs/"),
        grant("elsewhere", READ),
    )
    assert [f.key for f in rig.entities.page(mine, "chatdb").entities] == ["mine/1", "ours/1"]
    assert rig.entities.page(mine, "chatdb", prefix="theirs/").entities == ()
    assert rig.workers.pages[-1].scope == mine.unique_id
    calls_before, reads_before = len(rig.workers.calls), rig.memory.reads["database"]
    for caller in (
        rig.caller(grant("*", WRITE, DELETE, ADMIN), client_id="by-action"),
        rig.caller(grant("elsewhere*", READ), client_id="by-database"),
    ):
        with pytest.raises(ForbiddenError):
            rig.entities.page(caller, database)
    assert len(rig.workers.calls) == calls_before
    assert rig.memory.reads["database"] == reads_before


# -- what a request may ask for --------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "x" * 513, "a\nb", "\ud800"], ids=ascii)
@pytest.mark.parametrize("use", USES, ids=NAMES)
def test_a_bad_key_is_refused(rig: MainRig, admin: Caller, use: Use, key: str) -> None:
    """A key is stored that no listing can show, or it ends in an internal error."""
    with pytest.raises(InvalidArgumentError):
        use(rig, admin, "chatdb", key)
    assert rig.workers.calls == []


@pytest.mark.parametrize(
    "database", ["", "..", "a/b", "../control", "x" * 65, "chatdb\n", "\ud800"], ids=ascii
)
@pytest.mark.parametrize("use", USES, ids=NAMES)
def test_a_bad_database_name_is_refused(
    rig: MainRig, admin: Caller, use: Use, database: str
) -> None:
    """A request reads a file outside databases/."""
    with pytest.raises(InvalidArgumentError):
        use(rig, admin, database, "k")
    assert rig.memory.reads["database"] == 0


def test_a_request_names_at_most_a_hundred_entities(rig: MainRig, admin: Caller) -> None:
    """One request keeps a worker busy for as long as its sender likes."""
    keys = [f"k{n}" for n in range(limits.ENTITIES_PER_REQUEST_MAX)]
    assert len(rig.entities.put(admin, "chatdb", dict.fromkeys(keys, b"1"))) == 100
    assert len(rig.entities.get_many(admin, "chatdb", keys)) == 100
    with pytest.raises(InvalidArgumentError):
        rig.entities.put(admin, "chatdb", dict.fromkeys([*keys, "one-more"], b"1"))
    with pytest.raises(InvalidArgumentError):
        rig.entities.get_many(admin, "chatdb", [*keys, "one-more"])
    with pytest.raises(InvalidArgumentError):
        rig.entities.put(admin, "chatdb", {})
    with pytest.raises(InvalidArgumentError):
        rig.entities.get_many(admin, "chatdb", [])


@pytest.mark.parametrize(
    ("ttl_seconds", "taken"),
    [
        (1, True),
        (limits.TTL_SECONDS_MAX, True),
        (0, False),
        (-1, False),
        (limits.TTL_SECONDS_MAX + 1, False),
    ],
)
def test_a_lifetime_is_bounded(
    rig: MainRig, admin: Caller, ttl_seconds: int, *, taken: bool
) -> None:
    """An entity is gone at once, or gets an expiry that no time stamp can express."""
    if taken:
        (written,) = rig.entities.put(admin, "chatdb", {"k": b"1"}, ttl_seconds=ttl_seconds)
        assert written.metadata.expires_at is not None
    else:
        with pytest.raises(InvalidArgumentError):
            rig.entities.put(admin, "chatdb", {"k": b"1"}, ttl_seconds=ttl_seconds)


@pytest.mark.parametrize(
    "wanted",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": limits.PAGE_SIZE_MAX + 1},
        {"cursor": "x" * (limits.CURSOR_CHARS_MAX + 1)},
        {"prefix": "x" * 513},
        {"prefix": "a\nb"},
        {"filter_": "x" * (limits.EXPRESSION_CHARS_MAX + 1)},
        {"select": "x" * (limits.EXPRESSION_CHARS_MAX + 1)},
    ],
    ids=str,
)
def test_a_page_is_bounded(rig: MainRig, admin: Caller, wanted: dict[str, Any]) -> None:
    """One request reads a whole database into memory."""
    with pytest.raises(InvalidArgumentError):
        rig.entities.page(admin, "chatdb", **wanted)
    assert rig.workers.calls == []


def test_a_condition_is_for_a_single_entity(rig: MainRig, admin: Caller) -> None:
    """A condition on one of several entities is taken for one on all of them."""
    absent = Condition(if_absent=True)
    rig.entities.put(admin, "chatdb", {"k": b"1"}, condition=absent)
    with pytest.raises(PreconditionFailedError) as refusal:
        rig.entities.put(admin, "chatdb", {"k": b"2"}, condition=absent)
    assert refusal.value.current_version == 1
    with pytest.raises(InvalidArgumentError):
        rig.entities.put(admin, "chatdb", {"l": b"1", "m": b"1"}, condition=absent)
    with pytest.raises(NotFoundError):
        rig.entities.get(admin, "chatdb", "l")


# -- several at once -------------------------------------------------------------------------------


def test_entities_that_are_not_there_are_left_out(rig: MainRig, admin: Caller) -> None:
    """One missing key fails the whole request."""
    rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2"})
    found = rig.entities.get_many(admin, "chatdb", ["b", "nothing", "a", "b"])
    assert [(f.key, f.document) for f in found] == [("b", b"2"), ("a", b"1")]
    assert rig.entities.get_many(admin, "chatdb", ["nothing", "nobody"]) == []


@pytest.mark.parametrize("error", [IntegrityError("bad"), UnavailableError("down")])
def test_one_that_cannot_be_read_is_not_left_out(
    rig: MainRig, admin: Caller, error: StrongroomError
) -> None:
    """A damaged entity looks as if it had been deleted."""
    rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2"})
    rig.workers.fail_item("b", error)
    with pytest.raises(type(error)):
        rig.entities.get_many(admin, "chatdb", ["a", "b"])


def test_a_write_that_failed_midway_says_what_became_of_each(rig: MainRig, admin: Caller) -> None:
    """After a write of several a client does not know which of them it has to repeat."""
    rig.workers.fail_item("b", ConflictError("busy"))
    with pytest.raises(PartlyWrittenError) as failure:
        rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2", "c": b"3"})
    outcomes = failure.value.outcomes
    assert list(outcomes) == ["a", "b", "c"]
    assert isinstance(outcomes["b"], ConflictError)
    assert isinstance(outcomes["a"], Written)
    assert outcomes["a"].metadata.version == 1
    assert isinstance(failure.value, OutcomeUnknownError)


def test_several_that_are_deleted_have_an_outcome_each(rig: MainRig, admin: Caller) -> None:
    """One that is not there hides what became of the others."""
    rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2"})
    wanted = ["b", "x", "a"]
    first = rig.entities.delete_many(admin, "chatdb", wanted, idempotency_key="i")
    assert first == [Deleted("b", 2), Deleted("x", 0), Deleted("a", 2)]
    again = rig.entities.delete_many(admin, "chatdb", wanted, idempotency_key="i")
    assert again == first, "a repetition is answered as the first time"
    assert rig.entities.delete_many(admin, "chatdb", ["a"]) == [Deleted("a", 0)]


def test_a_deletion_goes_to_one_worker_and_to_the_next(rig: MainRig, admin: Caller) -> None:
    """A worker is lost midway, and what it had deleted already is told as not there."""
    rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2"})
    rig.workers.calls.clear()
    first = placement.rank(rig.store.workers(), "chatdb", "a")[0].worker_id
    rig.workers.fail(first, WorkerLostError(delivered=True), applies_first=True)
    deleted = rig.entities.delete_many(admin, "chatdb", ["a", "b"])
    assert deleted == [Deleted("a", 2), Deleted("b", 2)]
    assert [call.method for call in rig.workers.calls] == ["delete_many"] * 2


def test_deleting_takes_the_right_for_every_key(rig: MainRig) -> None:
    """A client deletes, among its own entities, one of somebody else."""
    caller = rig.caller(grant("chatdb", Action.DELETE, Action.WRITE, key_prefix="mine/"))
    rig.entities.put(caller, "chatdb", {"mine/a": b"1"})
    with pytest.raises(ForbiddenError):
        rig.entities.delete_many(caller, "chatdb", ["mine/a", "theirs/b"])
    only_write = rig.caller(grant("chatdb", Action.WRITE), client_id="writer")
    with pytest.raises(ForbiddenError):
        rig.entities.delete_many(only_write, "chatdb", ["mine/a"])
    assert rig.entities.delete_many(caller, "chatdb", ["mine/a"]) == [Deleted("mine/a", 2)]


@pytest.mark.parametrize("further", [None, Action.READ, Action.WRITE])
def test_who_may_only_delete_does_not_try_what_is_there(
    rig: MainRig, admin: Caller, further: Action | None
) -> None:
    """A retention job, which may only delete, learns which keys there are, and every version."""
    rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2"})
    actions = [Action.DELETE] if further is None else [Action.DELETE, further]
    caller = rig.caller(grant("chatdb", *actions))
    if further is not None:
        assert rig.entities.delete(caller, "chatdb", "a", validate_only=True).metadata.version == 2
        told = rig.entities.delete_many(caller, "chatdb", ["a", "x"], validate_only=True)
        assert told == [Deleted("a", 2), Deleted("x", 0)]
        return
    for key in ("a", "x"):
        with pytest.raises(ForbiddenError):
            rig.entities.delete(caller, "chatdb", key, validate_only=True)
        with pytest.raises(ForbiddenError):
            rig.entities.delete_many(caller, "chatdb", [key, "b"], validate_only=True)
    assert rig.entities.delete_many(caller, "chatdb", ["a", "b"])[0].was_there


def test_a_deletion_that_nobody_could_do_was_not_done(rig: MainRig, admin: Caller) -> None:
    """A client hears that some may be deleted, though no worker has deleted any."""
    rig.entities.put(admin, "chatdb", {"a": b"1"})
    for key in ("a", "b"):
        rig.workers.fail_item(key, UnavailableError("down", retry_after_s=1))
    with pytest.raises(UnavailableError) as failure:
        rig.entities.delete_many(admin, "chatdb", ["x", "a", "b"])
    assert not isinstance(failure.value, PartlyWrittenError)


def test_of_what_is_tried_only_nothing_is_unknown(rig: MainRig, admin: Caller) -> None:
    """A client that has tried a write is told to find out whether it has taken place."""
    rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2"})
    rig.workers.fail_item("b", UnavailableError("down", retry_after_s=1))
    trials: dict[str, Callable[[], object]] = {
        "put": lambda: rig.entities.put(
            admin, "chatdb", {"a": b"2", "b": b"2"}, validate_only=True
        ),
        "delete": lambda: rig.entities.delete_many(
            admin, "chatdb", ["a", "b", "x"], validate_only=True
        ),
        "one": lambda: rig.entities.delete(admin, "chatdb", "b", validate_only=True),
    }
    for trial in trials.values():
        with pytest.raises(UnavailableError):
            trial()
    for worker in ("worker-1", "worker-2"):
        rig.workers.fail(worker, WorkerLostError(delivered=True))
    for trial in trials.values():
        with pytest.raises(UnavailableError):
            trial()


def test_a_refusal_of_all_is_no_partial_write(rig: MainRig, admin: Caller) -> None:
    """A client is told that some of its documents may have been written, though none was."""
    for worker in ("worker-1", "worker-2"):
        rig.workers.fail(worker, SchemaViolationError("refused", entity_key="b"))
    with pytest.raises(SchemaViolationError) as refusal:
        rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2"})
    assert refusal.value.entity_key == "b"


@pytest.mark.parametrize("first", [UnavailableError("gone"), BusyError("locked")])
def test_an_unknown_outcome_among_refusals_stays_unknown(
    rig: MainRig, admin: Caller, first: StrongroomError
) -> None:
    """A client hears "nothing was done" of a batch of which one write may have been made."""
    rig.workers.fail_item("a", first)
    rig.workers.fail_item("b", OutcomeUnknownError("may be"))
    with pytest.raises(PartlyWrittenError) as failure:
        rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2"})
    assert isinstance(failure.value.outcomes["b"], OutcomeUnknownError)
    assert len(rig.workers.calls) == 1


def test_where_none_was_written_there_is_one_answer(rig: MainRig, admin: Caller) -> None:
    """A write of several that found every entity busy has an unknown outcome."""
    for key in ("a", "b"):
        rig.workers.fail_item(key, ConflictError("taken", entity_key=key))
    with pytest.raises(ConflictError):
        rig.entities.put(admin, "chatdb", {"a": b"1", "b": b"2"})


# -- once ------------------------------------------------------------------------------------------


def first_in_rank(rig: MainRig, admin: Caller) -> str:
    """Return the worker that is asked first for `k`."""
    rig.entities.put(admin, "chatdb", {"k": b"0"})
    return rig.workers.called()[-1]


def test_a_deleted_entity_is_gone_and_counts_on(rig: MainRig, admin: Caller) -> None:
    """A deleted entity can still be read, or a version is used twice."""
    rig.entities.put(admin, "chatdb", {"k": b"1"})
    assert rig.entities.delete(admin, "chatdb", "k").metadata.version == 2
    for use in (GET, DELETE_ONE):
        with pytest.raises(NotFoundError):
            use(rig, admin, "chatdb", "k")
    (again,) = rig.entities.put(admin, "chatdb", {"k": b"1"})
    assert (again.created, again.metadata.version) == (True, 3)


def test_a_delete_is_applied_once_though_its_first_worker_died_after_the_commit(
    rig: MainRig, admin: Caller
) -> None:
    """After a failover a client is told that what it has deleted was not there."""
    first = first_in_rank(rig, admin)
    rig.workers.fail(first, WorkerLostError(delivered=True), applies_first=True)
    assert rig.entities.delete(admin, "chatdb", "k").metadata.version == 2


@pytest.mark.parametrize("idempotency_key", ["", "order-17"], ids=["without a key", "with a key"])
def test_a_write_is_applied_once_though_its_first_worker_died_after_the_commit(
    rig: MainRig, admin: Caller, idempotency_key: str
) -> None:
    """A failover applies a write twice."""
    first = first_in_rank(rig, admin)
    rig.workers.fail(first, WorkerLostError(delivered=True), applies_first=True)
    (written,) = rig.entities.put(admin, "chatdb", {"k": b"1"}, idempotency_key=idempotency_key)
    assert rig.workers.called()[-2] == first != rig.workers.called()[-1]
    assert written.metadata.version == 2
    assert rig.entities.get(admin, "chatdb", "k").metadata.version == 2


def test_several_writes_are_applied_once_though_their_first_worker_died(
    rig: MainRig, admin: Caller
) -> None:
    """A failover applies a write of several twice."""
    first = first_in_rank(rig, admin)
    rig.workers.fail(first, WorkerLostError(delivered=True), applies_first=True)
    written = rig.entities.put(admin, "chatdb", {"k": b"1", "l": b"1"})
    assert [w.metadata.version for w in written] == [2, 1]


def test_the_same_request_gets_the_first_answer(rig: MainRig, admin: Caller) -> None:
    """A client that repeats a write after a lost answer has written twice."""
    (first,) = rig.entities.put(admin, "chatdb", {"k": b"1"}, idempotency_key="order-17")
    rig.entities.put(admin, "chatdb", {"k": b"2"})
    (again,) = rig.entities.put(admin, "chatdb", {"k": b"1"}, idempotency_key="order-17")
    assert again == first
    with pytest.raises(IdempotencyMismatchError):
        rig.entities.put(admin, "chatdb", {"k": b"3"}, idempotency_key="order-17")


def test_two_writes_without_a_key_are_two_writes(rig: MainRig, admin: Caller) -> None:
    """The second of two equal writes gets lost."""
    for version in (1, 2, 3):
        (written,) = rig.entities.put(admin, "chatdb", {"k": b"1"})
        assert written.metadata.version == version


def test_the_idempotency_keys_of_two_clients_do_not_meet(rig: MainRig, admin: Caller) -> None:
    """A client's write is answered with another client's answer, and is not applied."""
    ada, bob = rig.caller(client_id="ada"), rig.caller(client_id="bob")
    rig.entities.put(ada, "chatdb", {"k": b"1"}, idempotency_key="1")
    (bobs,) = rig.entities.put(bob, "chatdb", {"k": b"1"}, idempotency_key="1")
    assert bobs.metadata.version == 2
    ours = rig.entities.put(admin, "chatdb", {"k": b"1"})
    assert ours[0].metadata.version == 3


@pytest.mark.parametrize("idempotency_key", ["x" * 129, "é", "a\nb", "\x7f"], ids=ascii)
def test_a_bad_idempotency_key_is_refused(
    rig: MainRig, admin: Caller, idempotency_key: str
) -> None:
    """A client believes a write to be safe to repeat that is not."""
    with pytest.raises(InvalidArgumentError):
        rig.entities.put(admin, "chatdb", {"k": b"1"}, idempotency_key=idempotency_key)
    assert rig.workers.calls == []


def test_without_workers_nothing_is_written() -> None:
    """While no worker is up a write has an unknown outcome."""
    rig = MainRig()
    caller = rig.caller()
    with pytest.raises(UnavailableError) as failure:
        rig.entities.put(caller, "chatdb", {"k": b"1"})
    assert failure.value.retry_after_s is not None
