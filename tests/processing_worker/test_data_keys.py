"""The keys of a worker change while it works, and it knows when it has done with the old one."""

import threading
import time

import pytest

from processing_fn.service.data_keys import DataKeys
from strongroom import keyring, limits
from strongroom.crypto import secret
from strongroom.errors import IntegrityError, UnavailableError
from strongroom.keyring import Key, Purpose
from tests.support.engines import AT

FIRST = keyring.new("deployment", AT)
SECOND = keyring.with_active(FIRST, keyring.new_key(Purpose.DATA, AT))
DATA = frozenset({Purpose.DATA})
READERS = 20
OLD, NEW = FIRST.active(Purpose.DATA).key_id, SECOND.active(Purpose.DATA).key_id


def _keys() -> DataKeys:
    return DataKeys(FIRST.of(DATA))


def test_new_writes_take_the_new_key_and_old_files_open() -> None:
    """After a rotation a worker goes on under the old key, or cannot read what lies under it."""
    keys = _keys()
    assert keys.replace(SECOND.of(DATA)) == NEW
    with keys.writing() as key_id:
        assert key_id == NEW
    assert keys.active()[0] == NEW
    assert keys.material(OLD) == FIRST.active(Purpose.DATA).material


def test_a_worker_has_not_done_with_a_key_while_a_write_under_it_goes_on() -> None:
    """A key is destroyed, and then a write under it is acknowledged that nobody can read."""
    keys = _keys()
    with keys.writing(), keys.writing() as key_id:
        assert key_id == OLD
        keys.replace(SECOND.of(DATA))
        with keys.writing() as later:
            assert later == NEW
            assert not keys.settle(NEW, 0.01)
    assert keys.settle(NEW, 0)
    assert not keys.settle(OLD, 0)


def test_whoever_waits_is_told_at_once() -> None:
    """A rotation takes as long as the longest patience."""
    keys = _keys()
    told: list[bool] = []
    waiting = threading.Thread(target=lambda: told.append(keys.settle(NEW, 600)))
    with keys.writing():
        keys.replace(SECOND.of(DATA))
        waiting.start()
        time.sleep(0.05)
        assert told == []
    waiting.join(30)
    assert told == [True]


def test_a_write_that_fails_gives_its_key_back() -> None:
    """One failed write keeps a key in use for ever."""
    keys = _keys()
    with pytest.raises(ZeroDivisionError), keys.writing():
        _ = 1 // 0
    keys.replace(SECOND.of(DATA))
    assert keys.settle(NEW, 0)


def test_an_unknown_key_is_asked_for_once_by_all_who_wait() -> None:
    """A file under a newer key is damage to a worker that has not heard yet; or all ask at once."""
    keys, asked, answers = _keys(), [], []

    def ask() -> None:
        asked.append(1)
        time.sleep(0.05)
        keys.replace(SECOND.of(DATA))

    keys.asks(ask)
    threads = [
        threading.Thread(target=lambda: answers.append(keys.material(NEW))) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [SECOND.active(Purpose.DATA).material] * 50
    assert len(asked) == 1


def test_a_key_that_never_was_is_asked_for_once() -> None:
    """Every look at a damaged file costs a call to the Main Worker."""
    asked: list[int] = []
    keys = _keys()
    keys.asks(lambda: asked.append(1))
    for _ in range(3):
        with pytest.raises(IntegrityError):
            keys.material("never")
    assert asked == [1]


def test_while_nobody_answers_a_key_is_not_taken_for_damage() -> None:
    """An outage of the Main Worker makes an entity look damaged, for ever after."""
    keys = _keys()
    answers: list[tuple[Key, ...]] = []

    def ask() -> None:
        if not answers:
            raise UnavailableError("nobody answers")
        keys.replace(answers[0])

    keys.asks(ask)
    with pytest.raises(UnavailableError):
        keys.material(NEW)
    answers.append(SECOND.of(DATA))
    assert keys.material(NEW) == SECOND.active(Purpose.DATA).material


def test_who_waits_for_an_answer_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers of one new key ask a dead Main Worker one after the other, on every thread."""
    monkeypatch.setattr(limits, "READ_ATTEMPT_SECONDS", 0.2)
    keys = _keys()
    asked: list[int] = []
    failed: list[UnavailableError] = []

    def ask() -> None:
        asked.append(1)
        while len(failed) < READERS - 1:
            time.sleep(0.01)
        raise UnavailableError("nobody answers")

    def read() -> None:
        with pytest.raises(UnavailableError) as caught:
            keys.material(NEW)
        failed.append(caught.value)

    keys.asks(ask)
    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(asked), len(failed)) == (1, READERS)


def test_a_key_that_is_fetched_again_stays_in_use() -> None:
    """A rotation overwrites the key of a request that is under way, and the request fails."""
    keys = _keys()
    held = keys.material(OLD)
    for fetched in (FIRST, SECOND, FIRST, SECOND):
        keys.replace(fetched.of(DATA))
        assert keys.material(OLD) is held
    assert held == FIRST.active(Purpose.DATA).material


@pytest.mark.parametrize("how", ["destroyed", "left out"])
def test_a_key_that_the_deployment_has_no_longer_is_overwritten(how: str) -> None:
    """A destroyed key goes on lying in the memory of every worker."""
    keys = _keys()
    keys.replace(SECOND.of(DATA))
    old, new = keys.material(OLD), keys.material(NEW)
    without = keyring.without(SECOND, OLD).of(DATA)
    keys.replace(without if how == "destroyed" else (SECOND.active(Purpose.DATA),))
    with pytest.raises(UnavailableError):
        secret.use(old, bytes)
    assert new == SECOND.active(Purpose.DATA).material


def test_a_worker_that_has_forgotten_is_given_nothing_back() -> None:
    """Keys that were being fetched when the lease ended come into memory, and stay there."""
    keys = _keys()
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        keys.replace(SECOND.of(DATA))

    keys.asks(ask)
    old = keys.material(OLD)
    keys.forget()
    keys.forget()
    for use in (
        lambda: secret.use(old, bytes),
        lambda: secret.use(keys.material(OLD), bytes),
        lambda: secret.use(keys.active()[1], bytes),
        lambda: keys.material(NEW),
        lambda: keys.replace(SECOND.of(DATA)),
    ):
        with pytest.raises(UnavailableError, match="forgotten"):
            use()
    assert asked == [1]
