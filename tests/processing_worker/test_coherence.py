"""What a worker answers of what others have committed: never old, or no older than a bound."""

import pytest

from processing_fn.domain import coherence
from processing_fn.service.coherence import Commit, Unsent
from strongroom import limits
from strongroom.errors import InvalidArgumentError
from tests.support.clocks import ManualClock
from tests.support.engines import Rig

BOUND_S = 0.5


@pytest.mark.parametrize(
    ("setting", "seconds"),
    [("", 0.0), ("strict", 0.0), ("bounded:1", 0.001), ("bounded:60000", 60)],
)
def test_a_setting_names_a_bound(setting: str, seconds: float) -> None:
    """Who sets a bound gets another one."""
    assert coherence.bound_s(setting) == seconds


@pytest.mark.parametrize(
    "setting",
    ["bounded", "bounded:", "bounded:0", "bounded:-1", "bounded:60001", "bounded:1.5", "x"],
)
def test_what_is_no_bound_is_refused(setting: str) -> None:
    """A setting that was mistyped is taken for another one."""
    with pytest.raises(InvalidArgumentError, match="STRONGROOM_COHERENCE"):
        coherence.bound_s(setting)


def test_strict_reads_see_every_commit_of_others(rig: Rig) -> None:
    """A read shows what another worker has replaced before it began."""
    one, other = rig.worker(), rig.worker("worker-2")
    for version in range(1, 6):
        one.put("k", b'{"name":"%d"}' % version)
        assert other.get("k")[0] == version


def test_a_bounded_read_is_no_older_than_its_bound(rig: Rig) -> None:
    """A copy that nobody was told is old is served for longer than was set."""
    one, other = rig.worker(), rig.worker("worker-2", bound_s=BOUND_S)
    one.put("k", b'{"name":"1"}')
    assert other.get("k")[0] == 1
    one.put("k", b'{"name":"2"}')
    _advance(rig, BOUND_S - 0.001)
    assert other.get("k")[0] == 1
    _advance(rig, 0.002)
    assert other.get("k")[0] == 2


def test_asking_again_does_not_stretch_the_bound(rig: Rig) -> None:
    """Readers that come often keep an old copy alive for ever."""
    one, other = rig.worker(), rig.worker("worker-2", bound_s=BOUND_S)
    one.put("k", b'{"name":"1"}')
    other.get("k")
    one.put("k", b'{"name":"2"}')
    for _ in range(9):
        _advance(rig, BOUND_S / 10)
        assert other.get("k")[0] == 1
    _advance(rig, BOUND_S / 10 + 0.001)
    assert other.get("k")[0] == 2


def test_within_the_bound_the_disk_is_not_asked(rig: Rig) -> None:
    """A bound costs freshness, and saves nothing."""
    worker = rig.worker(bound_s=BOUND_S)
    worker.put("k", b'{"name":"1"}')
    for _ in range(10):
        worker.get("k")
    statistics = worker.cache.statistics()
    assert statistics["cache_unasked"] == 10
    assert statistics["cache_stale"] == 0


def test_a_worker_sees_its_own_writes(rig: Rig) -> None:
    """With a bound a worker answers what it has itself replaced."""
    worker = rig.worker(bound_s=BOUND_S)
    for version in range(1, 6):
        worker.put("k", b'{"name":"%d"}' % version)
        assert worker.get("k")[0] == version


def test_a_write_never_rests_on_a_copy(rig: Rig) -> None:
    """With a bound an update of another worker is lost."""
    one, other = rig.worker(), rig.worker("worker-2", bound_s=BOUND_S)
    one.put("k", b'{"name":"1"}')
    other.get("k")
    one.put("k", b'{"name":"2"}')
    assert other.put("k", b'{"name":"3"}') == 3


def test_a_commit_that_is_told_lets_the_copy_go(rig: Rig) -> None:
    """Others' messages make nothing fresher."""
    one, other = rig.worker(), rig.worker("worker-2", bound_s=BOUND_S)
    one.put("k", b'{"name":"1"}')
    other.get("k")
    one.put("k", b'{"name":"2"}')
    for commit in one.unsent.take(0):
        other.cache.invalidate(commit.file_id, commit.version)
    assert other.get("k")[0] == 2
    assert other.cache.statistics()["cache_invalidated"] == 1


def test_a_message_that_comes_late_harms_nothing(rig: Rig) -> None:
    """A message about a version that is known already throws a good copy away."""
    one, other = rig.worker(), rig.worker("worker-2", bound_s=BOUND_S)
    one.put("k", b'{"name":"1"}')
    told = one.unsent.take(0)
    other.get("k")
    for commit in told:
        other.cache.invalidate(commit.file_id, commit.version)
    assert other.cache.statistics()["cache_entries"] == 1


def test_every_kind_of_commit_is_told(rig: Rig) -> None:
    """Others keep what was deleted."""
    worker = rig.worker()
    worker.put("k", b'{"name":"1"}')
    worker.delete("k")
    assert [commit.version for commit in worker.unsent.take(0)] == [1, 2]


def test_what_nobody_takes_is_bounded() -> None:
    """Without a Main Worker a worker's memory fills with what it has to tell."""
    unsent = Unsent()
    for version in range(limits.COMMITS_UNSENT_MAX + 5):
        unsent.note(Commit(b"f" * 32, version))
    first = unsent.take(0)
    assert first[0].version == 5
    assert len(first) == limits.COMMITS_PER_MESSAGE_MAX


def _advance(rig: Rig, seconds: float) -> None:
    assert isinstance(rig.clock, ManualClock)
    rig.clock.advance(seconds)


def test_what_a_broken_stream_has_taken_is_told_by_another() -> None:
    """A commit that a stream takes in the instant of its end is told to nobody."""
    unsent, commits = Unsent(), [Commit(b"f" * 32, version) for version in (1, 2, 3)]
    for commit in commits:
        unsent.note(commit)
    taken = unsent.take(0.0)
    unsent.note(Commit(b"f" * 32, 4))
    unsent.give_back(taken)
    assert [one.version for one in unsent.take(0.0)] == [1, 2, 3, 4]
    for version in range(limits.COMMITS_UNSENT_MAX - 1):
        unsent.note(Commit(b"f" * 32, 10 + version))
    unsent.give_back(taken)
    assert [one.version for one in unsent.take(0.0)][:2] == [3, 10], "the oldest are lost first"
