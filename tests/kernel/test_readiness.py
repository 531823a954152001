"""Checks of what a process needs: named, bounded in time, and silent about everything else."""

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from strongroom import durable, limits, readiness
from strongroom.clock import rfc3339
from strongroom.errors import IntegrityError, UnavailableError
from strongroom.layout import Layout
from strongroom.readiness import Check, Checkup, Finding, Name, Reason, Status, Verdict
from tests.support.clocks import ManualClock
from tests.support.deployment import wait_until
from tests.support.filesystems import FailingFilesystem
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.threads import none_to_be_had

WAIT_S = 0.2
SECONDS = 10.0


class Looked:
    """Something to look at, whose state the test sets."""

    def __init__(self) -> None:
        """Be well."""
        self.error: Exception | None = None
        self.reason: Reason | None = None
        self.looks = 0
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self) -> Verdict:
        """Look."""
        self.looks += 1
        self.answers.wait(SECONDS)
        if self.error is not None:
            raise self.error
        return Verdict(self.reason, {"count": 1})


@pytest.fixture
def clock() -> ManualClock:
    """A clock."""
    return ManualClock()


@pytest.fixture
def looked() -> Iterator[Looked]:
    """Something to look at, which does not hang after the test."""
    made = Looked()
    yield made
    made.answers.set()


def one(looked: Looked, clock: ManualClock, *, is_needed: bool = True) -> Checkup:
    """Return a checkup of one thing."""
    check = Check(Name.KEYRING, looked, is_needed=is_needed, blocks=True)
    return Checkup([check], clock, WAIT_S)


def test_what_does_not_answer_is_told_within_the_bound(looked: Looked, clock: ManualClock) -> None:
    """With a mount that is dead, readiness hangs too, and each request for it leaves a thread."""
    checkup = one(looked, clock)
    looked.answers.clear()
    before = threading.active_count()
    for _ in range(5):
        (found,) = checkup.findings()
        assert (found.status, found.reason) == (Status.FAILED, Reason.NO_ANSWER)
        clock.advance(limits.READINESS_KEPT_SECONDS)
    assert looked.looks == 1
    assert threading.active_count() == before + 1
    looked.answers.set()
    assert wait_until(lambda: threading.active_count() == before, SECONDS)
    clock.advance(limits.READINESS_KEPT_SECONDS)
    (found,) = checkup.findings()
    assert (found.status, found.reason) == (Status.OK, None)


def test_a_moment_without_threads_passes(looked: Looked, clock: ManualClock) -> None:
    """Once a machine had no thread to give a process is not ready any more, for ever."""
    checkup = one(looked, clock)
    with none_to_be_had():
        (found,) = checkup.findings()
    assert (found.reason, looked.looks) == (Reason.NO_ANSWER, 0)
    clock.advance(limits.READINESS_KEPT_SECONDS)
    (found,) = checkup.findings()
    assert (found.reason, looked.looks) == (None, 1)


def test_whoever_asks_often_has_nothing_looked_at_more_often(
    looked: Looked, clock: ManualClock
) -> None:
    """A stranger has the disk read as often as he likes."""
    checkup = one(looked, clock)
    for _ in range(10):
        checkup.findings()
    assert looked.looks == 1
    clock.advance(limits.READINESS_KEPT_SECONDS)
    checkup.findings()
    assert looked.looks == 2


def test_what_somebody_else_has_just_begun_to_look_at_is_as_it_was(
    looked: Looked, clock: ManualClock
) -> None:
    """Two balancers ask at about the same time, and one of them takes a sound process out."""
    other = Looked()
    checks = [
        Check(Name.KEYRING, other, blocks=True),
        Check(Name.REGISTRY, looked, blocks=True, every_s=0.0),
    ]
    checkup = Checkup(checks, clock, SECONDS)
    checkup.findings()
    answers: list[tuple[Finding, ...]] = []
    asking = [
        threading.Thread(target=lambda: answers.append(checkup.findings()), daemon=True)
        for _ in range(2)
    ]
    looked.answers.clear()
    asking[0].start()
    assert wait_until(lambda: looked.looks == 2, SECONDS)
    other.answers.clear()
    clock.advance(limits.READINESS_KEPT_SECONDS)
    asking[1].start()
    assert wait_until(lambda: other.looks == 2, SECONDS)
    looked.answers.set()
    asking[0].join(SECONDS)
    assert [found.reason for found in answers[0]] == [None, None]
    other.answers.set()
    asking[1].join(SECONDS)
    assert [found.reason for found in answers[1]] == [None, None]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnavailableError("/srv/secret is gone"), Reason.UNREADABLE),
        (IntegrityError("/srv/secret was changed"), Reason.DAMAGED),
        (ValueError("hunter2"), Reason.DEFECT),
    ],
    ids=repr,
)
def test_only_words_of_the_closed_lists_are_told(
    looked: Looked, clock: ManualClock, error: Exception, reason: Reason
) -> None:
    """An error's own text, with a path or a secret in it, is shown to anybody."""
    looked.error = error
    (found,) = one(looked, clock).findings()
    assert (found.reason, dict(found.facts)) == (reason, {})
    assert set(readiness.ADVICE) == set(Reason)


def test_since_when_and_the_log_follow_the_changes(looked: Looked, clock: ManualClock) -> None:
    """Nobody knows since when something is wrong, or the log is full of one outage."""
    checkup = one(looked, clock, is_needed=False)
    with structlog.testing.capture_logs() as logged:
        (well,) = checkup.findings()
        for _ in range(3):
            clock.advance(60)
            looked.reason = Reason.UNWRITABLE
            (bad,) = checkup.findings()
        clock.advance(60)
        looked.reason = None
        (again,) = checkup.findings()
    began = clock.wall_ms() - 4 * 60_000
    assert well.since == rfc3339(began)
    assert (bad.status, bad.since) == (Status.WARNING, rfc3339(began + 60_000))
    assert (again.status, again.since) == (Status.OK, rfc3339(clock.wall_ms()))
    assert [(line["event"], line["code"]) for line in logged] == [
        ("check-failed", "keyring"),
        ("check-passes-again", "keyring"),
    ]


def test_ready_is_who_lacks_nothing_that_requests_need(looked: Looked, clock: ManualClock) -> None:
    """A process is taken out of service for what it can do without, or left in it."""
    looked.reason = Reason.UNREADABLE
    assert one(looked, clock, is_needed=False).is_ready()
    assert not one(looked, clock).is_ready()
    looked.reason = Reason.ENDED
    assert not one(looked, clock, is_needed=False).is_ready()


def test_a_directory_that_can_be_read_and_not_written(clock: ManualClock) -> None:
    """On a full or read-only mount every write fails, and all looks well; or the look stays."""
    memory, layout = MemoryFilesystem(), Layout(Path("/shared"))
    control = str(layout.keyring().parent)
    memory.close(durable.open_or_make_directory(memory, control))
    failing = FailingFilesystem(memory, spared=frozenset({"list_directory", "close", "unlink"}))
    checkup = Checkup(readiness.storage_checks(failing, layout), clock, SECONDS)
    assert [found.status for found in checkup.findings()] == [Status.OK, Status.OK]
    for error, nth in ((errno.EROFS, 1), (errno.ENOSPC, 2)):
        clock.advance(limits.READINESS_WRITTEN_EVERY_SECONDS)
        failing.arm(nth, OSError(error, "no"), lasting=True)
        read, written = checkup.findings()
        assert (read.status, written.status) == (Status.OK, Status.WARNING)
        assert written.reason is Reason.UNWRITABLE
        failing.disarm()
    assert memory.list_directory(control) == []
    assert memory.descriptors() == 0
