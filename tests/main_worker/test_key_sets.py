"""When an issuer's keys are read: strangers neither hammer the issuer nor make anybody wait."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import pytest
from structlog.testing import capture_logs

from main_api.domain.trusted_issuers import IssuerRecord, TrustedIssuer
from main_api.service.federation.key_sets import KeySets
from strongroom import limits
from strongroom.errors import UnauthenticatedError, UnavailableError
from tests.support.clocks import ManualClock
from tests.support.deployment import wait_until
from tests.support.foreign_issuers import (
    ISSUER,
    MemoryIssuers,
    SigningKey,
    jwks,
    settle,
    signing_key,
    trusted,
)
from tests.support.mains import AT

SECONDS = 30.0
OLD, NEW = signing_key("old"), signing_key("new")


def a_record(name: str = "login", said: TrustedIssuer | None = None) -> IssuerRecord:
    """Return the record of an issuer."""
    return IssuerRecord(
        name=name, incarnation=name, created_at=AT, updated_at=AT, trusted=said or trusted()
    )


@dataclass
class Rig:
    """Key sets over an issuer that a test has in its hands."""

    clock: ManualClock = field(default_factory=ManualClock)
    issuers: MemoryIssuers = field(default_factory=MemoryIssuers)
    record: IssuerRecord = field(default_factory=a_record)

    def __post_init__(self) -> None:
        """Publish one key."""
        self.key_sets = KeySets(self.issuers, self.clock)
        self.publish(OLD)

    def publish(self, *keys: SigningKey) -> None:
        """Let the issuer publish these keys and no others."""
        self.issuers.published[ISSUER] = jwks(*keys)

    def fail(self) -> None:
        """Let the issuer not answer."""
        self.issuers.published.clear()

    def find(self, kid: str = "old") -> str:
        """Return the id of a key that is found."""
        return self.key_sets.find(self.record, kid).kid

    @property
    def asked(self) -> int:
        """How often the issuer was asked."""
        return self.issuers.asked[ISSUER]

    def settle(self, asked: int) -> None:
        """Wait until the issuer was asked so often, and its last answer has been taken."""
        state = self.key_sets.states([self.record])["login"]
        assert wait_until(lambda: self.asked == asked, SECONDS), (self.asked, state)
        settle()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let the issuer not answer while the context lasts."""
        goes_on = threading.Event()
        self.issuers.before = lambda: goes_on.wait(SECONDS)
        try:
            yield
        finally:
            self.issuers.before = lambda: None
            goes_on.set()
            settle()


@pytest.fixture
def rig() -> Rig:
    """Return key sets that know no key yet."""
    return Rig()


def unknown(find: Callable[..., object], *about: object) -> None:
    """See that a key is refused as one that there is not."""
    with pytest.raises(UnauthenticatedError, match="does not verify"):
        find(*about)


def unavailable(find: Callable[..., object], *about: object) -> None:
    """See that a key is refused because nobody can tell."""
    with pytest.raises(UnavailableError) as refusal:
        find(*about)
    assert refusal.value.retry_after_s


def test_keys_are_read_at_the_first_token_and_kept(rig: Rig) -> None:
    """Each request asks the issuer."""
    assert rig.asked == 0
    for _ in range(10):
        assert rig.find() == "old"
        rig.clock.advance(limits.JWKS_FRESH_SECONDS / 11)
    assert rig.asked == 1


def test_keys_are_renewed_without_a_wait(rig: Rig) -> None:
    """A request now and then waits for the issuer; or a key that was withdrawn is good for ever."""
    rig.find()
    rig.clock.advance(limits.JWKS_FRESH_SECONDS)
    rig.publish(NEW)
    with rig.hanging():
        assert [rig.find() for _ in range(20)] == ["old"] * 20
        assert wait_until(lambda: rig.asked == 2, SECONDS)
    assert rig.find("new") == "new"
    unknown(rig.find)


def test_a_new_key_is_found_at_its_first_token(rig: Rig) -> None:
    """After a rotation nobody gets in until the old keys have aged."""
    rig.find()
    rig.publish(OLD, NEW)
    assert rig.find("new") == "new"
    assert rig.find() == "old"
    assert rig.asked == 2


def test_strangers_do_not_have_the_issuer_hammered(rig: Rig) -> None:
    """Whoever sends tokens that name made-up keys makes us ask the issuer for each of them."""
    rig.find()
    for number in range(200):
        unknown(rig.find, f"made-up-{number}")
    assert rig.asked == 2
    for _ in range(5):
        rig.clock.advance(limits.JWKS_ASKED_APART_SECONDS)
        for number in range(10):
            unknown(rig.find, f"made-up-{number}")
    assert rig.asked == 7


def test_a_new_key_is_found_though_strangers_name_made_up_ones(rig: Rig) -> None:
    """With one request every ten seconds a stranger keeps a rotation from being noticed."""
    rig.find()
    unknown(rig.find, "made-up")
    rig.publish(OLD, NEW)
    rig.clock.advance(limits.JWKS_ASKED_APART_SECONDS)
    unknown(rig.find, "made-up")
    assert rig.find("new") == "new"


def test_an_issuer_that_does_not_answer_is_not_asked_at_each_request(rig: Rig) -> None:
    """An issuer that has come down under its load is kept there."""
    rig.fail()
    for _ in range(50):
        unavailable(rig.find)
    assert rig.asked == 1
    rig.clock.advance(limits.JWKS_ASKED_APART_SECONDS)
    rig.publish(OLD)
    assert rig.find() == "old"


def test_an_issuer_that_is_down_is_not_asked_at_each_request_that_the_last_keys_serve(
    rig: Rig,
) -> None:
    """Users who do not notice an outage keep the issuer down."""
    rig.find()
    rig.fail()
    rig.clock.advance(limits.JWKS_FRESH_SECONDS)
    for asked in (2, 3):
        for _ in range(20):
            assert rig.find() == "old"
            settle()
        assert rig.asked == asked
        rig.clock.advance(limits.JWKS_ASKED_APART_SECONDS)


def test_the_last_keys_serve_while_the_issuer_is_down_for_a_bounded_time(rig: Rig) -> None:
    """An outage of the issuer is one of ours; or a key that was withdrawn serves without end."""
    rig.find()
    rig.fail()
    asked = 1
    while rig.clock.boot_s() + 600 < 1_000 + limits.JWKS_KEPT_SECONDS:
        rig.clock.advance(600)
        assert rig.find() == "old"
        asked += 1
        rig.settle(asked)
    # What is new cannot be told from what is made up.
    unavailable(rig.find, "new")
    rig.clock.advance(600)
    unavailable(rig.find)
    state = rig.key_sets.states([rig.record])["login"]
    assert state.reason == "unreachable"
    assert state.failures > 5
    assert state.age_s >= limits.JWKS_KEPT_SECONDS
    rig.clock.advance(limits.JWKS_ASKED_APART_SECONDS)
    rig.publish(OLD)
    assert rig.find() == "old"
    assert rig.key_sets.states([rig.record])["login"].reason == ""


@pytest.mark.parametrize("garbage", [b"", b"<html>down</html>", b'{"keys": 1}', b"[" * 10_000])
def test_garbage_is_no_new_set_of_keys(rig: Rig, garbage: bytes) -> None:
    """A page that says "down for maintenance" logs everybody out."""
    rig.find()
    rig.issuers.published[ISSUER] = garbage
    rig.clock.advance(limits.JWKS_FRESH_SECONDS)
    assert rig.find() == "old"
    rig.settle(2)
    assert rig.find() == "old"
    assert rig.key_sets.states([rig.record])["login"].reason == "unusable-answer"


def test_an_issuer_without_keys_has_none(rig: Rig) -> None:
    """An issuer that has withdrawn all its keys after a theft is not heard."""
    rig.find()
    rig.publish()
    rig.clock.advance(limits.JWKS_FRESH_SECONDS)
    rig.find()
    rig.settle(2)
    unknown(rig.find)


def test_who_waits_for_an_issuer_that_hangs_is_few_and_soon_gone(rig: Rig) -> None:
    """An issuer that hangs, and strangers who name made-up keys, take every thread."""
    with rig.hanging(), ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(rig.find, f"made-up-{number}") for number in range(64)]
        for one in waiting:
            unavailable(one.result, SECONDS)
        assert rig.asked == 1
    assert rig.find() == "old"
    assert 4 * limits.JWKS_WAITERS_MAX <= limits.MAIN_THREADS


def test_who_waits_together_shares_one_answer(rig: Rig) -> None:
    """At a start every request asks the issuer."""
    looked = threading.Semaphore(0)
    rig.issuers.before = lambda: looked.acquire(timeout=SECONDS)
    with ThreadPoolExecutor(limits.JWKS_WAITERS_MAX) as pool:
        found = [pool.submit(rig.find) for _ in range(limits.JWKS_WAITERS_MAX)]
        assert wait_until(lambda: rig.asked == 1, SECONDS)
        looked.release()
        assert {one.result(SECONDS) for one in found} == {"old"}
    assert rig.asked == 1


def test_one_issuer_that_hangs_stops_no_other(rig: Rig) -> None:
    """An outage of one issuer logs the users of all of them out."""
    other = a_record("other", trusted(issuer="https://other.example"))
    rig.issuers.published["https://other.example"] = jwks(NEW)
    assert rig.key_sets.find(other, "new").kid == "new"
    with rig.hanging(), ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(rig.find) for _ in range(16)]
        assert wait_until(lambda: rig.asked == 1, SECONDS)
        assert rig.key_sets.find(other, "new").kid == "new"
        for one in waiting:
            unavailable(one.result, SECONDS)


def test_keys_of_one_issuer_are_none_of_another_one(rig: Rig) -> None:
    """A key of one issuer verifies what says it is another's."""
    other = a_record("other", trusted(issuer="https://other.example"))
    rig.issuers.published["https://other.example"] = jwks(NEW)
    assert rig.find() == "old"
    unknown(rig.key_sets.find, other, "old")
    unknown(rig.find, "new")


def test_a_record_that_is_another_one_now_has_other_keys(rig: Rig) -> None:
    """After an administrator has named another place for the keys the old ones serve on."""
    rig.find()
    rig.publish(NEW)
    for changed in (
        msgspec.structs.replace(rig.record, incarnation="another"),
        a_record("login", trusted(jwks_uri="https://keys.example/")),
        a_record("login", trusted(ca_certificates="another")),
    ):
        unknown(rig.key_sets.find, changed, "old")
    rules_only = a_record("login", trusted(audiences=("x",)))
    assert rig.key_sets.find(rules_only, "old").kid == "old"


def test_what_is_removed_is_forgotten(rig: Rig) -> None:
    """Issuers that come and go fill the memory."""
    rig.find()
    rig.key_sets.retain([])
    assert rig.key_sets.states([rig.record])["login"].kids == ()
    assert rig.find() == "old"
    assert rig.asked == 2


def test_an_outage_is_told_once_and_so_is_its_end(rig: Rig) -> None:
    """Nobody notices that the keys are old until they are too old; or the log is full of it."""
    rig.find()
    with capture_logs() as logs:
        rig.fail()
        for asked in range(2, 7):
            rig.clock.advance(limits.JWKS_FRESH_SECONDS)
            rig.find()
            rig.settle(asked)
        rig.publish(OLD)
        rig.clock.advance(limits.JWKS_FRESH_SECONDS)
        rig.find()
        rig.settle(7)
    told = [(line["event"], line["issuer"]) for line in logs]
    assert told == [("issuer-keys-unavailable", "login"), ("issuer-keys-available-again", "login")]
    assert logs[0]["reason"] == "unreachable"


def test_an_exposed_private_key_is_told(rig: Rig) -> None:
    """An issuer publishes what its tokens are signed with, and nobody hears of it."""
    rig.issuers.published[ISSUER] = jwks(OLD, NEW.private_jwk)
    with capture_logs() as logs:
        assert rig.find() == "old"
        unknown(rig.find, "new")
    assert [line["event"] for line in logs] == ["issuer-publishes-private-keys"]


def test_an_error_that_nobody_foresaw_leaves_nobody_waiting(rig: Rig) -> None:
    """A defect in reading keys stops an issuer's users until the process is restarted."""

    def fail() -> None:
        raise ZeroDivisionError

    rig.issuers.before = fail
    with capture_logs() as logs:
        unavailable(rig.find)
    assert "issuer-keys-failed" in [line["event"] for line in logs]
    rig.issuers.before = lambda: None
    rig.clock.advance(limits.JWKS_ASKED_APART_SECONDS)
    assert rig.find() == "old"
