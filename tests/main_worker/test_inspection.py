"""Verification and trials as the Main Worker serves them: who sees what, and in which pieces."""

import base64
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.domain.registry import WorkerRecord
from main_api.service.admin.inspection import Inspection, Trial
from main_api.service.workers.ports import (
    Inspected,
    PageRequest,
    Refused,
    RefusedPage,
    WorkerLostError,
    WriteItem,
    WriteKind,
)
from strongroom import limits
from strongroom.configuration import Database
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    InvalidDocumentError,
    SchemaViolationError,
    StrongroomError,
    TooLargeError,
    UnavailableError,
    Violation,
)
from strongroom.finding import Condition, Finding
from tests.support.clocks import ManualClock
from tests.support.main_fakes import MemoryWorkers, a_database, a_worker
from tests.support.mains import EVERYTHING, MainRig, grant

READ, WRITE, ADMIN = Action.READ, Action.WRITE, Action.ADMIN
STRICT = b'{"maxProperties": 0, "minProperties": 3}'


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker with one Processing Worker."""
    made = MainRig()
    made.add_workers("worker-1")
    return made


def fill(rig: MainRig, name: str, keys: list[str], workers: MemoryWorkers | None = None) -> None:
    """Make a database under the template `chat.v1` with some entities, none of them of any use."""
    database = rig.memory.databases.get(name) or a_database(name)
    rig.memory.put_database(database)
    for key in keys:
        item = WriteItem(WriteKind.PUT, key, b"{}")
        (workers or rig.workers).write(a_worker("worker-1"), database, item, 1)


def trials(rig: MainRig, caller: Caller, inspection: Inspection | None = None) -> list[Trial]:
    """Try a template page by page."""
    use = inspection or rig.inspection
    found = [use.try_template(caller, "chat.v1", STRICT, "")]
    while found[-1].cursor:
        found.append(use.try_template(caller, "chat.v1", STRICT, found[-1].cursor))
        assert len(found) < 100, "the cursor does not advance"
    return found


def shown(found: list[Trial]) -> list[tuple[str, str]]:
    """Return database and key of what a trial shows."""
    return [(one.database, one.key) for trial in found for one in trial.refusals]


# -- trials: who sees what -------------------------------------------------------------------------


def test_a_trial_tells_what_would_be_refused_and_why(rig: MainRig) -> None:
    """An administrator does not learn what a new template would break."""
    fill(rig, "chatdb", ["a", "b"])
    (trial,) = trials(rig, rig.caller())
    assert (trial.examined, trial.refused, trial.damaged) == (2, 2, 0)
    assert trial.reasons == {"maxProperties": 2, "minProperties": 2}
    assert shown([trial]) == [("chatdb", "a"), ("chatdb", "b")]
    (first, _) = trial.refusals
    assert [v.keyword for v in first.violations] == ["maxProperties", "minProperties"]
    assert (first.version, first.detail) == (1, "no")


def test_a_trial_shows_only_what_the_caller_may_read(rig: MainRig) -> None:
    """An administrator who may not read learns keys, and members of documents, from refusals."""
    for name in ("chatdb", "private"):
        fill(rig, name, ["mine/1", "theirs/1", "theirs/2"])
    admin = grant("*", ADMIN)
    narrowed = rig.bearer(rig.add_client("narrowed", *EVERYTHING), "admin write")
    every = [(name, key) for name in ("chatdb", "private") for key in ("mine/1", "theirs/1")]
    cases = {
        "admin": ([admin], []),
        "writer": ([admin, grant("*", WRITE)], []),
        "mine": ([admin, grant("chatdb", READ, key_prefix="mine/")], every[:1]),
        "theirs": ([admin, grant("chat*", READ, key_prefix="theirs/1")], every[1:2]),
        "nothing": ([admin, grant("*", READ, key_prefix="x")], []),
        "elsewhere": ([admin, grant("elsewhere", READ)], []),
        "all": ([admin, grant("*", READ)], every),
    }
    callers = [
        (rig.caller(*granted, client_id=name), seen) for name, (granted, seen) in cases.items()
    ]
    callers.append((rig.access.authenticate(narrowed), []))
    for caller, visible in callers:
        (trial,) = trials(rig, caller)
        assert [one for one in shown([trial]) if one[1] != "theirs/2"] == visible
        # How many there are is no secret to who administers them all.
        assert (trial.examined, trial.refused) == (6, 6)
        assert trial.reasons == {"maxProperties": 6, "minProperties": 6}


def test_a_trial_changes_nothing_and_tells_the_version_that_would_be(rig: MainRig) -> None:
    """A dry run puts a template in force."""
    root = rig.caller()
    for version in (1, 2, 3):
        before = rig.memory.template("t")
        assert rig.inspection.try_template(root, "t", b"{}", "").template.schema_version == version
        assert rig.memory.template("t") == before
        rig.provisioning.put_template("t", b'{"title": "in force"}')
    rig.provisioning.delete_template("t")
    assert rig.inspection.try_template(root, "t", b"{}", "").template.schema_version == 4
    assert rig.memory.template("t") is None


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        (b"", InvalidDocumentError),
        (b"{", InvalidDocumentError),
        (b'{"type": 5}', InvalidDocumentError),
        (b'{"$ref": "http://elsewhere"}', InvalidDocumentError),
        (b'{"items": {"x-enrich": "uuid"}}', InvalidDocumentError),
        (b'{"title": "' + b"x" * limits.TEMPLATE_BYTES_MAX + b'"}', TooLargeError),
    ],
    ids=lambda case: case[:30] if isinstance(case, bytes) else case.__name__,
)
def test_a_template_that_is_refused_is_not_tried(
    rig: MainRig, schema: bytes, error: type[StrongroomError]
) -> None:
    """A dry run accepts what the real replacement refuses."""
    with pytest.raises(error):
        rig.inspection.try_template(rig.caller(), "chat.v1", schema, "")
    assert rig.workers.calls == []


# -- trials: in pieces -----------------------------------------------------------------------------


def test_a_trial_goes_through_all_databases_of_the_template(rig: MainRig) -> None:
    """A trial leaves a database out, or looks into one that has another template."""
    fill(rig, "a", [f"k{number:04}" for number in range(700)])
    fill(rig, "b", [])
    fill(rig, "chatdb", [f"k{number:04}" for number in range(700)])
    fill(rig, "d", ["k"])
    fill(rig, "deleted", ["k"])
    fill(rig, "other", ["k"])
    rig.memory.put_template(rig.provisioning.put_template("chat.v1", b"{}"))
    rig.provisioning.delete_database("deleted")
    other = msgspec.structs.replace(rig.memory.databases["other"], schema_id="other.v1")
    rig.memory.put_database(other)
    found = trials(rig, rig.caller())
    expected = [("a", f"k{number:04}") for number in range(700)]
    expected += [("chatdb", f"k{number:04}") for number in range(700)] + [("d", "k")]
    assert shown(found) == expected
    assert [trial.refused for trial in found] == [limits.TRIAL_REFUSALS_MAX, 401]
    assert sum(trial.examined for trial in found) == 1401


@dataclass
class OddWorkers(MemoryWorkers):
    """Workers that take their time, and have much to say about ten entities at once."""

    takes_s: float = 0.0
    says: str = ""

    def try_template(
        self,
        worker: WorkerRecord,
        database: Database,
        schema: bytes,
        request: PageRequest,
        timeout_s: float,
    ) -> RefusedPage:
        """Let time pass, and refuse ten entities at the most."""
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(self.takes_s)
        few = dataclasses.replace(request, limit=min(request.limit, 10))
        page = super().try_template(worker, database, schema, few, timeout_s)
        refusal: StrongroomError = TooLargeError("with its defaults it is too large")
        if self.says:
            violations = [Violation("/a", "type", self.says)]
            refusal = SchemaViolationError("no", violations=violations)
        refused = tuple(Refused(one.key, one.version, refusal) for one in page.refused)
        return dataclasses.replace(page, refused=refused)


def inspection_over(rig: MainRig, workers: MemoryWorkers) -> Inspection:
    """Return an inspection that asks other workers."""
    return Inspection(
        rig.access,
        rig.store,
        rig.provisioning,
        rig.dispatcher,
        workers,
        clock=rig.clock,
        check_keyring=lambda: None,
    )


@pytest.mark.parametrize(
    ("odd", "pieces"),
    [
        ({"takes_s": limits.INSPECTION_SECONDS / 2}, 3),
        ({"takes_s": 2 * limits.INSPECTION_SECONDS}, 5),
        ({"says": "x" * (limits.TRIAL_BYTES_MAX // 15)}, 3),
        ({"says": "x" * limits.TRIAL_BYTES_MAX}, 5),
    ],
    ids=["slow", "very slow", "talkative", "very talkative"],
)
def test_a_trial_that_takes_long_or_tells_much_comes_in_pieces(
    rig: MainRig, odd: dict[str, Any], pieces: int
) -> None:
    """A trial takes longer than a request may, or its answer is larger than one may be."""
    workers = OddWorkers(rig.clock, **odd)
    for name in ("a", "chatdb"):
        fill(rig, name, [f"k{number:02}" for number in range(25)], workers)
    found = trials(rig, rig.caller(), inspection_over(rig, workers))
    assert sorted(shown(found)) == [(n, f"k{k:02}") for n in ("a", "chatdb") for k in range(25)]
    assert len(found) in {pieces, pieces + 1}
    # Who asks is told to the workers: a cursor is bound to it.
    (scope,) = {request.scope for request in workers.pages}
    assert scope.startswith("somebody@")
    assert {request.key_prefixes for request in workers.pages} == {("",)}


def test_what_is_wrong_with_a_whole_document_is_told_too(rig: MainRig) -> None:
    """Of what is too large with its defaults an administrator learns no reason."""
    workers = OddWorkers(rig.clock)
    fill(rig, "chatdb", ["a", "b"], workers)
    (trial,) = trials(rig, rig.caller(), inspection_over(rig, workers))
    assert trial.reasons == {"too-large": 2}
    assert {one.detail for one in trial.refusals} == {"with its defaults it is too large"}


def test_what_the_caller_may_not_read_is_counted_within_bounds(rig: MainRig) -> None:
    """For a caller who may read nothing a trial never answers, because nothing fills its page."""
    fill(rig, "chatdb", [f"k{number:04}" for number in range(limits.TRIAL_REFUSALS_MAX + 1)])
    first, second = trials(rig, rig.caller(grant("*", ADMIN)))
    assert (first.refused, second.refused) == (limits.TRIAL_REFUSALS_MAX, 1)
    assert shown([first, second]) == []


def sealed(*parts: object) -> str:
    """Return a cursor of one's own making."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "====",
        "é",
        "\ud800",
        " ",
        sealed(),
        sealed("chatdb"),
        sealed("chatdb", 5),
        sealed(None, ""),
        sealed("chatdb", "\ud800"),
        base64.urlsafe_b64encode(b'{"database": "chatdb", "cursor": ""}').decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        sealed("chatdb", "x" * 2 * limits.CURSOR_CHARS_MAX),
    ],
    ids=ascii,
)
def test_a_cursor_of_a_trial_that_is_none_is_refused(rig: MainRig, cursor: str) -> None:
    """A made-up cursor ends in a defect."""
    with pytest.raises(InvalidArgumentError):
        rig.inspection.try_template(rig.caller(), "chat.v1", STRICT, cursor)
    assert rig.workers.calls == []


def test_a_cursor_leads_on_past_a_database_that_is_gone(rig: MainRig) -> None:
    """A trial breaks off because a database was deleted meanwhile."""
    for name in ("a", "b", "c"):
        fill(rig, name, ["k"])
    rig.memory.put_template(rig.provisioning.put_template("chat.v1", b"{}"))
    rig.provisioning.delete_database("b")
    root = rig.caller()
    trial = rig.inspection.try_template(root, "chat.v1", STRICT, sealed("b", "k"))
    assert shown([trial]) == [("c", "k")]
    assert rig.inspection.try_template(root, "chat.v1", STRICT, sealed("zoo", "")).examined == 0


# -- verification ----------------------------------------------------------------------------------


def verified(rig: MainRig, *, repair: bool = False) -> list[Inspected]:
    """Verify page by page."""
    root = rig.caller()
    found = [rig.inspection.verify(root, "", repair=repair)]
    while found[-1].cursor:
        found.append(rig.inspection.verify(root, found[-1].cursor, repair=repair))
        assert len(found) < 100, "the cursor does not advance"
    return found


@pytest.mark.parametrize("repair", [False, True])
def test_the_main_workers_own_files_are_told_of_once(rig: MainRig, *, repair: bool) -> None:
    """What is the matter with templates and clients is told with every page, or never."""
    rig.memory.findings = [Finding("templates/t.json", Condition.DAMAGED, "a reason")]
    found = verified(rig, repair=repair)
    paths = [[one.path for one in page.findings] for page in found]
    ending = "-repaired" if repair else ""
    assert paths == [
        ["templates/t.json", f"files/1{ending}"],
        [f"files/2{ending}"],
        [f"files/3{ending}"],
    ]
    assert rig.memory.reads["inspect"] == 1
    assert [(page.examined, page.done, page.total) for page in found] == [
        (10, 1, 3),
        (10, 2, 3),
        (10, 3, 3),
    ]


@pytest.mark.parametrize(
    ("trouble", "condition"),
    [
        (IntegrityError("it is another one"), Condition.DAMAGED),
        (UnavailableError("KMS does not answer"), Condition.UNJUDGED),
    ],
    ids=["changed", "no answer"],
)
def test_trouble_with_the_keyring_is_told_and_hides_nothing(
    rig: MainRig, trouble: StrongroomError, condition: Condition
) -> None:
    """A damaged keyring shows at the next start, too late; or an outage looks like damage."""
    rig.keyring_trouble = trouble
    first, *rest = verified(rig)
    told = Finding("control/keyring.json", condition, trouble.detail)
    assert [one for one in first.findings if one.path.startswith("control")] == [told]
    assert len(rest) == 2
    assert all(not one.path.startswith("control") for page in rest for one in page.findings)


USES: dict[str, Callable[[MainRig, Caller], object]] = {
    "verify": lambda rig, root: rig.inspection.verify(root, "", repair=False),
    "trial": lambda rig, root: rig.inspection.try_template(root, "chat.v1", STRICT, ""),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_another_worker_is_asked_when_one_fails(
    rig: MainRig, use: Callable[[MainRig, Caller], object]
) -> None:
    """One worker that is lost ends an inspection."""
    root = rig.caller()
    rig.add_workers("worker-2")
    use(rig, root)
    (first,) = set(rig.workers.called())
    (second,) = {"worker-1", "worker-2"} - {first}
    rig.workers.fail(first, WorkerLostError(delivered=True))
    use(rig, root)
    assert rig.workers.called()[-2:] == [first, second]
    rig.workers.fail(second, UnavailableError("its lease has ended"))
    with pytest.raises(UnavailableError):
        use(rig, root)
    assert max(call.timeout_s for call in rig.workers.calls) <= limits.WRITE_ATTEMPT_SECONDS


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_what_a_worker_refuses_is_refused(
    rig: MainRig, use: Callable[[MainRig, Caller], object]
) -> None:
    """A bad cursor is asked of one worker after the other, and ends in "unavailable"."""
    root = rig.caller()
    rig.add_workers("worker-2")
    for worker_id in ("worker-1", "worker-2"):
        rig.workers.fail(worker_id, InvalidArgumentError("the cursor is not one of this"))
    with pytest.raises(InvalidArgumentError):
        use(rig, root)
    assert len(rig.workers.calls) == 1


def test_a_cursor_of_a_verification_is_bounded(rig: MainRig) -> None:
    """A worker is sent whatever size of cursor somebody makes up."""
    with pytest.raises(InvalidArgumentError):
        rig.inspection.verify(rig.caller(), "x" * (limits.CURSOR_CHARS_MAX + 1), repair=False)
    assert rig.workers.calls == []


def test_without_a_worker_nothing_is_said(rig: MainRig) -> None:
    """An administrator believes that all is well, where nobody has looked."""
    rig.memory.remove_worker("worker-1")
    rig.clock.advance(1)
    for use in USES.values():
        with pytest.raises(UnavailableError):
            use(rig, rig.caller())
