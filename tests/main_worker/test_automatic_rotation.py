"""A key that has served for long enough, or for enough, is replaced without anybody asking."""

import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import structlog

from main_api.domain import rotation
from main_api.domain.rotation import NEVER, ActiveKeyUse, Reason, RotationPolicy
from main_api.rest import routes
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.keys.rotation import Rotation
from strongroom import keyring, limits
from strongroom.clock import rfc3339
from strongroom.crypto import seal
from strongroom.errors import InvalidArgumentError, UnavailableError
from strongroom.keyring import Key, Purpose
from tests.support.clocks import ManualClock
from tests.support.main_fakes import MemoryKeyringStore
from tests.support.mains import Built, MainRig
from tests.support.wsgi import WsgiClient

APART_S = limits.ROTATIONS_APART_SECONDS
BOTH = RotationPolicy(after_s=100.0, after_bytes=1_000)
AGE, AMOUNT = RotationPolicy(after_s=100.0), RotationPolicy(after_bytes=1_000)
ADDRESS = "127.0.0.1:1"


# -- the decision ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "age_s", "written_bytes", "expected"),
    [
        (NEVER, 1e12, 2**60, None),
        (AGE, 99.9, 2**60, None),
        (AGE, 100.0, 0, Reason.AGE),
        (AMOUNT, 1e12, 999, None),
        (AMOUNT, APART_S, 1_000, Reason.AMOUNT),
        (AMOUNT, APART_S - 0.1, 2**60, None),
        (RotationPolicy(after_s=0.0), 0.0, 0, None),
        (RotationPolicy(after_s=0.0), APART_S, 0, Reason.AGE),
        (BOTH, 100.0, 1_000, Reason.AGE),
        (BOTH, 99.0, 1_000, Reason.AMOUNT),
        (BOTH, 99.0, 999, None),
        # The clock was set back.
        (AGE, -1e9, 0, None),
        (AMOUNT, -1e9, 1_000, Reason.AMOUNT),
    ],
    ids=str,
)
def test_the_decision(
    policy: RotationPolicy, age_s: float, written_bytes: int, expected: Reason | None
) -> None:
    """A key serves for longer than was set, or keys are made without end."""
    assert rotation.due(policy, ActiveKeyUse(age_s, written_bytes)) == expected


# -- its execution ---------------------------------------------------------------------------------


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker whose active key is made now."""
    clock = ManualClock()
    return MainRig(clock=clock, keys=keyring.new("test-deployment", rfc3339(clock.wall_ms())))


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Return what is logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def _main(rig: MainRig) -> Rotation:
    """Return the rotation of one more Main Worker over the same directory."""
    return Rotation(LiveKeyring(rig.keyring_store, rig.key_provider), rig.store, rig.clock)


def _data_keys(rig: MainRig) -> tuple[Key, ...]:
    rig.live.follow()
    return rig.live.of(frozenset({Purpose.DATA}))


def test_a_key_is_replaced_when_its_time_is_over(rig: MainRig) -> None:
    """A key serves for ever although a setting says ninety days."""
    policy, main = RotationPolicy(after_s=90.0 * 86_400), _main(rig)
    first = rig.live.active(Purpose.DATA)
    rig.clock.advance(90 * 86_400 - 1)
    assert main.step(policy) is None
    rig.clock.advance(1)
    assert main.step(policy) == Reason.AGE
    assert main.step(policy) is None
    keys = _data_keys(rig)
    assert [key.key_id for key in keys].index(first.key_id) == 0
    assert len(keys) == 2
    assert rig.live.active(Purpose.DATA).created_at == rfc3339(rig.clock.wall_ms())


def test_switched_off_nothing_is_read(rig: MainRig) -> None:
    """A deployment without the setting pays for it, or has its keys replaced."""
    main = _main(rig)
    rig.clock.advance(1e9)
    rig.keyring_store.write(b"garbage")
    assert main.step(NEVER) is None


def test_many_main_workers_rotate_once(rig: MainRig) -> None:
    """Each Main Worker makes a key of its own: ten of them for one that was due."""
    mains = [_main(rig) for _ in range(4)]
    rig.clock.advance(100)
    reasons: list[Reason | None] = []
    threads = [
        threading.Thread(target=lambda main=main: reasons.append(main.step(AGE))) for main in mains
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reasons, key=str) == [None, None, None, Reason.AGE]
    assert len(_data_keys(rig)) == 2


class _Overtaken(MemoryKeyringStore):
    """Another Main Worker has the lock first: it acts before ours is granted."""

    before: Callable[[], object] | None = None

    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the lock."""

        @contextmanager
        def held() -> Iterator[object]:
            before, self.before = self.before, None
            if before is not None:
                before()
            with super(_Overtaken, self).exclusive() as lock:
                yield lock

        return held()


@pytest.mark.parametrize("policy", [AGE, AMOUNT], ids=["age", "amount"])
def test_who_comes_second_decides_again(policy: RotationPolicy) -> None:
    """Of two Main Workers that both found a key due, both replace it."""
    clock, store = ManualClock(), _Overtaken()
    keys = keyring.new("test-deployment", rfc3339(clock.wall_ms()))
    rig = MainRig(clock=clock, keys=keys, keyring_store=store)
    _write(rig, "worker-1", 1_000)
    ours, theirs = _main(rig), _main(rig)
    clock.advance(100)
    told: list[Reason | None] = []
    store.before = lambda: told.append(theirs.step(policy))
    assert ours.step(policy) is None
    assert told == [(policy is AGE and Reason.AGE) or Reason.AMOUNT]
    assert len(_data_keys(rig)) == 2


def test_what_stands_in_the_way_is_logged_once_and_tried_again(
    rig: MainRig, logged: list[MutableMapping[str, Any]]
) -> None:
    """One damaged read ends the rotations for good, or fills the log."""
    main, raw = _main(rig), rig.keyring_store.raw
    assert raw is not None
    rig.clock.advance(100)
    rig.keyring_store.write(b"garbage")
    assert [main.step(AGE) for _ in range(3)] == [None] * 3
    assert [entry["event"] for entry in logged] == ["rotation-failed"]
    assert rig.keyring_store.raw == b"garbage"
    rig.keyring_store.write(raw)
    assert main.step(AGE) == Reason.AGE


def test_a_keyring_that_is_full_gets_no_key_by_itself(
    rig: MainRig, logged: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that is far too low makes a keyring that no worker can be given."""
    monkeypatch.setattr(limits, "ROTATED_KEYS_MAX", 3)
    main = _main(rig)
    reasons = []
    for _ in range(5):
        rig.clock.advance(100)
        reasons.append(main.step(AGE))
    assert reasons == [Reason.AGE, Reason.AGE, None, None, None]
    (refusal,) = (entry for entry in logged if entry["event"] == "rotation-failed")
    assert "3 data keys" in refusal["reason"]


# -- what was written ------------------------------------------------------------------------------


def _write(rig: MainRig, worker_id: str, *amounts: int, key_id: str = "") -> str:
    """Have a worker come into service and tell how much it writes; return its newest token."""
    public_key = seal.public_bytes(seal.new_private_key())
    token = rig.subscriptions.subscribe(worker_id, worker_id, public_key).token
    token = rig.subscriptions.register(worker_id, worker_id, token, ADDRESS).token
    confirmed = key_id or rig.live.active(Purpose.DATA).key_id
    for amount in amounts:
        lease = rig.subscriptions.renew(
            worker_id, worker_id, token, confirmed, written_bytes=amount
        )
        token = lease.token
    return token


def _written(rig: MainRig) -> int:
    return rig.main().rotation.written_bytes(rig.live.active(Purpose.DATA).key_id)


def test_amounts_of_all_workers_add_up_to_a_rotation(rig: MainRig) -> None:
    """A key serves for more than was set, because each worker alone has written less."""
    _write(rig, "worker-1", 400, 0, 300)
    _write(rig, "worker-2", 299)
    main = _main(rig)
    rig.clock.advance(APART_S)
    assert (_written(rig), main.step(AMOUNT)) == (999, None)
    _write(rig, "worker-2", 1)
    assert (_written(rig), main.step(AMOUNT)) == (1_000, Reason.AMOUNT)
    rig.live.follow()
    assert _written(rig) == 0


def test_a_worker_that_comes_back_goes_on_counting(rig: MainRig) -> None:
    """Each restart of a worker begins the count anew, and the key never comes to its amount."""
    for _ in range(3):
        _write(rig, "worker-1", 100)
        rig.clock.advance(1)
    assert _written(rig) == 300


@pytest.mark.parametrize("waits_s", [1, limits.REGISTRY_KEPT_SECONDS + limits.LEASE_SECONDS + 1])
def test_workers_that_are_gone_are_not_forgotten(rig: MainRig, waits_s: float) -> None:
    """Where workers come and go by the hour, what they have written is forgotten with them."""
    for number in range(5):
        _write(rig, f"worker-{number}", 100)
        rig.clock.advance(waits_s)
    _write(rig, "worker-0", 100)
    assert _written(rig) == 600
    assert len(rig.store.workers()) == (5 if waits_s == 1 else 1)


def test_what_lies_under_an_older_key_is_not_counted(rig: MainRig) -> None:
    """After a rotation the next one comes at once."""
    token = _write(rig, "worker-1", 100)
    old = rig.live.active(Purpose.DATA).key_id
    rig.live.change(
        lambda now: keyring.with_active(now, keyring.new_key(Purpose.DATA, now.keys[0].created_at))
    )
    token = rig.subscriptions.renew("worker-1", "worker-1", token, old, written_bytes=50).token
    assert _written(rig) == 0
    new = rig.live.active(Purpose.DATA).key_id
    rig.subscriptions.renew("worker-1", "worker-1", token, new, written_bytes=7)
    assert _written(rig) == 7
    rig.clock.advance(1)
    token = _write(rig, "worker-1", 1)
    assert _written(rig) == 8
    # It subscribed before the rotation and was listed after it.
    rig.subscriptions.renew("worker-1", "worker-1", token, old, written_bytes=50)
    assert _written(rig) == 8


@pytest.mark.parametrize("amount", [-1, limits.WRITTEN_BYTES_TOLD_MAX + 1])
def test_an_amount_that_is_none_is_refused(rig: MainRig, amount: int) -> None:
    """One broken worker makes the sum senseless, or the record unreadable."""
    with pytest.raises(InvalidArgumentError):
        _write(rig, "worker-1", amount)
    assert _written(rig) == 0


def test_an_amount_without_a_key_counts_for_none(rig: MainRig) -> None:
    """What was written before anything was confirmed counts for the wrong key."""
    token = _write(rig, "worker-1")
    rig.subscriptions.renew("worker-1", "worker-1", token, "", written_bytes=5)
    assert _written(rig) == 0


def test_the_list_of_keys_shows_what_the_active_one_has_served_for(rig: MainRig) -> None:
    """An operator cannot see how far the next rotation is."""
    _write(rig, "worker-1", 123)
    bearer = rig.bearer(rig.add_client("admin"))
    http = WsgiClient(routes.build(Built(rig.main())), authorization=bearer)
    (shown,) = http("GET", "/keys").json()["keys"]
    assert shown["written_bytes"] == 123
    assert shown["created_at"] == rfc3339(rig.clock.wall_ms())
    assert http("POST", "/keys/rotate").status == 201
    older, active = http("GET", "/keys").json()["keys"]
    assert "written_bytes" not in older
    assert active["written_bytes"] == 0


def test_a_disk_that_refuses_is_no_reason_to_rotate(
    rig: MainRig, logged: list[MutableMapping[str, Any]]
) -> None:
    """While amounts cannot be read a key is made each time that somebody looks."""

    class Refusing(Rotation):
        def written_bytes(self, key_id: str) -> int:
            raise UnavailableError(f"the disk refuses {key_id}")

    main = Refusing(LiveKeyring(rig.keyring_store, rig.key_provider), rig.store, rig.clock)
    rig.clock.advance(1_000)
    assert main.step(AMOUNT) is None
    assert len(_data_keys(rig)) == 1
    assert len(logged) == 1
