"""Whether the key provider still opens the keyring: asked in the background, told to everybody."""

import threading
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from main_api.bootstrap import Current
from main_api.rest import routes
from main_api.service.keys.health import KeyHealth
from main_api.service.keys.ports import KeyProviderUnavailableError
from strongroom import limits
from strongroom.clock import rfc3339
from strongroom.errors import IntegrityError, StrongroomError, UnavailableError
from tests.support.clocks import ManualClock
from tests.support.mains import Built, MainRig
from tests.support.wsgi import WsgiClient

ARN = "arn:aws:kms:eu-central-1:123456789012:key/k"
SECONDS = 30.0


class Probe:
    """Raises what a test has set; counts its calls."""

    def __init__(self) -> None:
        """Succeed."""
        self.error: StrongroomError | None = None
        self.calls = 0

    def __call__(self) -> None:
        """Answer."""
        self.calls += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def probe() -> Probe:
    """Return a probe that succeeds."""
    return Probe()


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock."""
    return ManualClock()


@pytest.fixture
def health(probe: Probe, clock: ManualClock) -> KeyHealth:
    """Return a health of which nothing runs in the background."""
    return KeyHealth(probe, clock)


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Return what is logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def _events(logged: list[MutableMapping[str, Any]]) -> list[str]:
    events = [entry["event"] for entry in logged]
    logged.clear()
    return events


def test_an_outage_is_told_with_its_beginning_and_logged_once(
    health: KeyHealth, probe: Probe, clock: ManualClock, logged: list[MutableMapping[str, Any]]
) -> None:
    """Nobody learns of an outage before the next start fails; or its log fills the disk."""
    began = rfc3339(clock.wall_ms())
    assert (health.state().is_up, health.state().since) == (True, began)
    probe.error = KeyProviderUnavailableError(f"{ARN} is disabled", "DisabledException")
    clock.advance(5)
    for _ in range(3):
        health.check()
        clock.advance(1)
    down = health.state()
    assert (down.is_up, down.reason, down.failures) == (False, "DisabledException", 3)
    assert down.since == rfc3339(clock.wall_ms() - 3000)
    assert _events(logged) == ["key-provider-unavailable"]
    probe.error = None
    health.check()
    health.check()
    assert (health.state().is_up, health.state().reason, health.state().failures) == (True, "", 3)
    assert health.state().since == rfc3339(clock.wall_ms())
    assert _events(logged) == ["key-provider-available-again"]


def test_another_reason_is_logged_and_the_outage_goes_on(
    health: KeyHealth, probe: Probe, clock: ManualClock, logged: list[MutableMapping[str, Any]]
) -> None:
    """An operator who has mended one thing does not see that another one is in the way."""
    probe.error = KeyProviderUnavailableError("", "ConnectTimeoutError")
    health.check()
    since = health.state().since
    clock.advance(60)
    probe.error = KeyProviderUnavailableError("", "AccessDeniedException")
    health.check()
    assert health.state().since == since
    assert health.state().reason == "AccessDeniedException"
    assert _events(logged) == ["key-provider-unavailable"] * 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyProviderUnavailableError(ARN, "AccessDeniedException"), "AccessDeniedException"),
        (KeyProviderUnavailableError(ARN, f"no {ARN}"), "unavailable"),
        (KeyProviderUnavailableError(ARN, "x" * 65), "unavailable"),
        (KeyProviderUnavailableError(ARN, ""), "unavailable"),
        (UnavailableError(ARN), "unavailable"),
        (IntegrityError(ARN), "integrity-error"),
    ],
    ids=repr,
)
def test_a_stranger_learns_neither_key_nor_account(error: StrongroomError, reason: str) -> None:
    """Who can reach /readyz reads the account's number, or what some endpoint has sent."""
    rig = MainRig()
    rig.add_workers("worker-1")
    probe = Probe()
    probe.error = error
    rig.key_health = KeyHealth(probe, rig.clock)
    rig.key_health.check()
    answer = WsgiClient(routes.build(Built(rig.main())))("GET", "/readyz")
    assert answer.status == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["key_provider"] == {
        "status": "unavailable",
        "since": rfc3339(rig.clock.wall_ms()),
        "reason": reason,
    }
    assert b"123456789012" not in answer.body


def test_the_real_keyring_is_opened_and_compared(logged: list[MutableMapping[str, Any]]) -> None:
    """The check says that all is well while the next start would fail."""
    rig = MainRig()
    rig.key_provider.calls.clear()
    rig.key_health.check()
    assert rig.key_health.state().is_up
    assert rig.key_provider.calls == ["unwrap"]
    rig.key_provider.down = True
    rig.key_health.check()
    assert not rig.key_health.state().is_up
    assert _events(logged) == ["key-provider-unavailable"]


def test_requests_make_no_call_while_something_checks_in_the_background(
    probe: Probe, clock: ManualClock
) -> None:
    """A stranger who asks for /readyz again and again has us hammer KMS."""
    health = KeyHealth(probe, clock, every_s=SECONDS)
    health.start()
    clock.advance(3600)
    for _ in range(10):
        health.state()
    health.stop()
    assert probe.calls == 0


def test_where_nothing_runs_in_the_background_a_request_checks_now_and_then(
    health: KeyHealth, probe: Probe, clock: ManualClock
) -> None:
    """On Lambda nobody learns of an outage, or every request calls KMS."""
    for _ in range(3):
        for _ in range(10):
            health.state()
        clock.advance(limits.KEY_PROVIDER_CHECK_SECONDS)
    assert probe.calls == 2
    probe.error = UnavailableError("down")
    assert not health.state().is_up
    assert [health.state().failures for _ in range(10)] == [1] * 10


def test_nobody_waits_for_a_check_that_another_one_makes(clock: ManualClock) -> None:
    """While KMS is slow, every request on a Lambda is, and each makes a call of its own."""
    asked, answered, calls = threading.Event(), threading.Event(), []

    def slow() -> None:
        calls.append(1)
        asked.set()
        answered.wait(SECONDS)
        raise UnavailableError("slow")

    health = KeyHealth(slow, clock)
    clock.advance(limits.KEY_PROVIDER_CHECK_SECONDS)
    first = threading.Thread(target=health.state)
    first.start()
    assert asked.wait(SECONDS)
    assert health.state().is_up
    answered.set()
    first.join(SECONDS)
    assert not health.state().is_up
    assert len(calls) == 1


def test_the_background_goes_on_after_whatever_a_check_does(clock: ManualClock) -> None:
    """One odd failure ends the checks for good, and the last answer stands for ever."""
    twice, calls = threading.Event(), []

    def odd() -> None:
        calls.append(1)
        if len(calls) > 1:
            twice.set()
        raise ValueError("odd")

    health = KeyHealth(odd, clock, every_s=0.001)
    health.start()
    assert twice.wait(SECONDS)
    health.stop()


def test_a_process_that_cannot_start_asks_seldom_and_shows_no_name(
    monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    """During an outage each request to a Lambda calls KMS, and reads the key's ARN."""
    monkeypatch.delenv("STRONGROOM_SHARED_DIR", raising=False)
    current = Current()
    for _ in range(5):
        with pytest.raises(UnavailableError) as failure:
            current.get()
        assert "STRONGROOM" not in failure.value.detail
        assert failure.value.retry_after_s == limits.START_RETRIED_SECONDS
    assert _events(logged) == ["start-failed"]
