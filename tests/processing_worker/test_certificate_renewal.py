"""When a worker has its certificate renewed, and what it does where that fails."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from processing_fn.service.certificate_renewal import CertificateRenewal, retried_after_s
from strongroom import certificates, limits
from strongroom.certificates import BACKDATED_MS, Authority, Certificate
from strongroom.errors import StrongroomError, UnavailableError
from strongroom.identity import Identity, LiveIdentity
from tests.support.clocks import ManualClock

NAME = "worker-1.worker.strongroom.internal"
DAY_S = 24 * 3600
DAY_MS = DAY_S * 1000


@dataclass
class Rig:
    """A worker whose certificate lives for 90 days, and who issues the next one."""

    directory: Path
    clock: ManualClock = field(default_factory=ManualClock)
    error: StrongroomError | None = None
    asked: int = 0

    def __post_init__(self) -> None:
        """Issue the first one."""
        self.authority = Authority.make(self.clock.wall_ms(), 3650 * DAY_MS)
        self.files = Identity(
            self.directory / "ca.pem", self.directory / "own.pem", self.directory / "own.key"
        )
        key = certificates.new_key()
        self.files.ca_file.write_bytes(self.authority.certificate_pem())
        self.files.key_file.write_bytes(certificates.private_pem(key))
        self.files.certificate_file.write_bytes(
            self.issued(certificates.signing_request(key), NAME)
        )
        self.identity = LiveIdentity(self.files, self.clock, NAME)
        self.renewal = CertificateRenewal(self.identity, self, lambda: "token", self.clock)

    def issued(self, request: bytes, name: str) -> bytes:
        """Issue a certificate."""
        key, lifetime_ms = certificates.requested_key(request), 90 * DAY_MS + BACKDATED_MS
        return self.authority.issue(key, "x", [name], self.clock.wall_ms(), lifetime_ms)

    def renew_certificate(self, token: str, request: bytes) -> bytes:
        """Stand for the Main Worker."""
        assert token == "token"
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.issued(request, NAME)

    def steps_for(self, seconds: float) -> None:
        """Let the worker run for a while."""
        until_s = self.clock.boot_s() + seconds
        while self.clock.boot_s() < until_s:
            self.clock.advance(max(self.renewal.step(), DAY_S / 24))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return a worker."""
    return Rig(tmp_path)


def test_it_is_renewed_when_a_third_of_its_life_is_left_and_again(rig: Rig) -> None:
    """A certificate is renewed too late, or with every breath."""
    first = rig.identity.current()
    rig.steps_for(59 * DAY_S)
    assert (rig.asked, rig.identity.current()) == (0, first)
    rig.steps_for(2 * DAY_S)
    second = rig.identity.current()
    assert rig.asked == 1
    assert second.certificate.lifetime_ms == first.certificate.lifetime_ms
    rig.steps_for(365 * DAY_S)
    assert rig.asked == 1 + 365 // 60
    assert not rig.identity.current().certificate.has_ended(rig.clock.wall_ms())


def test_an_outage_of_weeks_is_outlasted(rig: Rig) -> None:
    """A Main Worker that was away on the day of the renewal costs the worker its certificate."""
    rig.error = UnavailableError("nobody there")
    with structlog.testing.capture_logs() as told:
        rig.steps_for(80 * DAY_S)
    assert {one["event"] for one in told} == {"certificate-not-renewed"}
    assert told[0]["until"] == rig.identity.current().certificate.until
    # Once an hour, at that distance.
    assert 400 < len(told) < 500
    rig.error = None
    rig.steps_for(DAY_S)
    assert rig.identity.current().certificate.ends_ms > rig.clock.wall_ms() + 80 * DAY_MS


def test_what_an_operator_has_replaced_is_not_renewed_again(rig: Rig) -> None:
    """A certificate that somebody has just brought is thrown away."""
    rig.clock.advance(70 * DAY_S)
    rig.error = UnavailableError("nobody there")
    rig.renewal.step()
    key = certificates.new_key()
    made = rig.issued(certificates.signing_request(key), NAME)
    rig.files.key_file.write_bytes(certificates.private_pem(key))
    rig.files.certificate_file.write_bytes(made)
    rig.clock.advance(limits.CERTIFICATE_REREAD_SECONDS)
    rig.renewal.step()
    assert (rig.asked, rig.identity.current().certificate_pem) == (1, made)


def test_an_answer_that_is_of_no_use_is_not_taken(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Main Worker's mistake takes a worker its certificate."""
    before = rig.identity.current()
    rig.clock.advance(70 * DAY_S)
    other = certificates.signing_request(certificates.new_key())
    for answer in (b"", b"garbage", rig.issued(other, NAME)):
        monkeypatch.setattr(rig, "renew_certificate", lambda *_, given=answer: given)
        with structlog.testing.capture_logs() as told:
            rig.renewal.step()
        assert [one["event"] for one in told] == ["certificate-not-renewed"]
        assert rig.identity.current() == before


@pytest.mark.parametrize(
    ("left_s", "pause_s"),
    [
        (30 * DAY_S, limits.CERTIFICATE_RETRIED_SECONDS_MAX),
        (DAY_S, DAY_S / 100),
        (100.0, 1.0),
        (1.0, 1.0),
        (0.0, limits.CERTIFICATE_CHECKED_EVERY_SECONDS),
        (-DAY_S, limits.CERTIFICATE_CHECKED_EVERY_SECONDS),
    ],
)
def test_the_nearer_the_end_the_more_often(left_s: float, pause_s: float) -> None:
    """A worker tries too seldom before the end, or floods the log for weeks."""
    now_ms = 1_800_000_000_000
    present = Certificate((NAME,), now_ms - DAY_MS, now_ms + round(left_s * 1000))
    assert retried_after_s(present, now_ms) == pause_s
