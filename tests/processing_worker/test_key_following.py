"""A worker follows the keyring: forwards only, and until it can confirm."""

import threading
from collections.abc import Callable, Iterator

import pytest

from processing_fn.service.key_following import KeyFollower
from processing_fn.service.ports import NO_REPORT, Renewal, Subscription, Vended, WorkerReport
from strongroom import keyring, limits
from strongroom.errors import UnavailableError
from strongroom.keyring import Keyring, Purpose
from tests.support.deployment import wait_until
from tests.support.engines import AT, Rig

PATIENCE_S = 30


class Stream:
    """An event stream that tells generations as the test says."""

    def __init__(self) -> None:
        """Tell nothing yet."""
        self._told = threading.Condition()
        self._waiting: list[int] = []
        self._is_cancelled = False

    def tell(self, generation: int) -> None:
        """Tell of a change."""
        with self._told:
            self._waiting.append(generation)
            self._told.notify_all()

    def __iter__(self) -> Iterator[int]:
        """Yield what was told."""
        while True:
            with self._told:
                self._told.wait_for(lambda: self._waiting or self._is_cancelled, PATIENCE_S)
                if self._is_cancelled:
                    return
                generation = self._waiting.pop(0)
            yield generation

    def cancel(self) -> None:
        """End it."""
        with self._told:
            self._is_cancelled = True
            self._told.notify_all()


class Main:
    """A `MainWorker` that vends the keys of a keyring; a call may be held up."""

    def __init__(self, keys: Keyring) -> None:
        """Take the keyring."""
        self.keys = keys
        self.stream = Stream()
        self.before_answer: Callable[[], object] = lambda: None
        self.asked = 0

    def fetch_keys(self, token: str) -> Vended:
        """Vend the keys as they were when it was asked."""
        del token
        self.asked += 1
        vended = Vended(self.keys.of(keyring.WORKER_PURPOSES), self.keys.generation)
        self.before_answer()
        return vended

    def watch(self, token: str) -> Stream:
        """Open the stream."""
        del token
        return self.stream

    def subscribe(self) -> Subscription:
        """Follow only."""
        raise NotImplementedError

    def register(self, token: str, address: str, report: WorkerReport = NO_REPORT) -> Renewal:
        """Follow only."""
        raise NotImplementedError

    def renew(
        self,
        token: str,
        key_id: str,
        generation: int,
        written_bytes: int = 0,
        report: WorkerReport = NO_REPORT,
    ) -> Renewal:
        """Follow only."""
        raise NotImplementedError

    def leave(self, token: str) -> None:
        """Follow only."""
        raise NotImplementedError


@pytest.fixture
def main(rig: Rig) -> Main:
    """A Main Worker with the keys of the rig."""
    return Main(rig.keys)


def _rotate(main: Main) -> str:
    made = keyring.new_key(Purpose.DATA, AT)
    main.keys = keyring.with_active(main.keys, made)
    return made.key_id


def test_an_answer_that_was_overtaken_brings_no_key_back(rig: Rig, main: Main) -> None:
    """A worker writes under a former key after it has confirmed that it never will."""
    session = rig.worker().session
    follower = KeyFollower(session, main, lambda: "token", lambda: None, lambda: None)
    held_up = threading.Event()
    main.before_answer = lambda: held_up.wait(PATIENCE_S)
    slow = threading.Thread(target=follower.fetch)
    slow.start()
    assert wait_until(lambda: main.asked == 1, PATIENCE_S)
    new = _rotate(main)
    main.before_answer = lambda: None
    quick = threading.Thread(target=follower.fetch)
    quick.start()
    quick.join(0.2)
    held_up.set()
    for thread in (slow, quick):
        thread.join(PATIENCE_S)
    assert session.data_keys.active()[0] == new


def test_a_write_that_takes_long_is_waited_for(
    rig: Rig, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One slow write, and a worker never confirms a key: no key can ever be destroyed again."""
    monkeypatch.setattr(limits, "LOCK_HELD_SECONDS_MAX", 0.01)
    session = rig.worker().session
    settled = threading.Event()
    follower = KeyFollower(session, main, lambda: "token", settled.set, lambda: None)
    with session.data_keys.writing():
        new = _rotate(main)
        follower.start()
        main.stream.tell(2)
        assert not settled.wait(0.3)
    assert settled.wait(PATIENCE_S)
    assert follower.confirmed == (new, 2)
    follower.stop()


def test_a_key_that_was_overtaken_is_not_confirmed(
    rig: Rig, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The confirmation of a generation names a key that a newer one has replaced."""
    monkeypatch.setattr(limits, "LOCK_HELD_SECONDS_MAX", 0.01)
    session = rig.worker().session
    confirmed: list[tuple[str, int]] = []
    follower = KeyFollower(
        session,
        main,
        lambda: "token",
        lambda: confirmed.append(follower.confirmed),
        lambda: None,
    )
    with session.data_keys.writing():
        _rotate(main)
        follower.start()
        main.stream.tell(2)
        assert wait_until(lambda: main.asked == 1, PATIENCE_S)
        newest = _rotate(main)
        follower.fetch()
        main.stream.tell(3)
        assert wait_until(lambda: main.asked == 3, PATIENCE_S)
    assert wait_until(lambda: bool(confirmed), PATIENCE_S)
    assert confirmed == [(newest, 3)]
    follower.stop()


def test_what_is_confirmed_is_what_was_vended(rig: Rig, main: Main) -> None:
    """A worker that was told by one Main Worker is vended by another one that is behind it.

    It confirms that it has the new key, and goes on writing under the one that is destroyed then.
    """
    session = rig.worker().session
    settled = threading.Event()
    follower = KeyFollower(session, main, lambda: "token", settled.set, lambda: None)
    behind = main.keys
    new = _rotate(main)
    ahead, main.keys = main.keys, behind
    follower.start()
    main.stream.tell(ahead.generation)
    assert wait_until(lambda: main.asked == 1, PATIENCE_S)
    assert not settled.wait(0.2)
    assert follower.confirmed == ("", 0)
    main.keys = ahead
    main.stream.tell(ahead.generation)
    assert settled.wait(PATIENCE_S)
    assert follower.confirmed == (new, ahead.generation)
    follower.stop()


def test_keys_of_an_older_keyring_end_the_subscription(rig: Rig, main: Main) -> None:
    """A worker goes back to a key after it has confirmed that it never writes under it again."""
    session = rig.worker().session
    refused: list[int] = []
    follower = KeyFollower(session, main, lambda: "token", lambda: None, lambda: refused.append(1))
    behind = main.keys
    new = _rotate(main)
    follower.fetch()
    main.keys = behind
    with pytest.raises(UnavailableError, match="older"):
        follower.fetch()
    assert refused == [1]
    assert session.data_keys.active()[0] == new
