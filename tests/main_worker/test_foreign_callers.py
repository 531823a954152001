"""Who comes with a foreign issuer's token: what its rules give, for as long as they do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from main_api.domain.addresses import Origin
from main_api.domain.buckets import Policy
from main_api.domain.caller import Caller
from main_api.domain.claim_rules import Rule
from main_api.domain.grants import ALL_ACTIONS, Action, Grant
from main_api.domain.rate_limits import QuotaPolicies, ThrottlePolicies
from main_api.domain.trusted_issuers import Algorithm, IssuerRecord, TokenType, TrustedIssuer
from main_api.service.buckets import QuotaExceededError
from strongroom import limits, tokens
from strongroom.errors import (
    ForbiddenError,
    IntegrityError,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.keyring import Purpose
from tests.support.clocks import ManualClock
from tests.support.foreign_issuers import (
    ISSUER,
    Json,
    MemoryIssuers,
    SigningKey,
    claims,
    jwks,
    settle,
    signing_key,
    trusted,
)
from tests.support.main_fakes import MemoryRecords
from tests.support.mains import MainRig, grant

READ, WRITE, ADMIN = Action.READ, Action.WRITE, Action.ADMIN
MINE = grant("chatdb", READ, WRITE, key_prefix="users/{sub}/")
CHAT = Rule(claims={"groups": ("chat",)}, grants=(MINE,))
OPS = Rule(claims={"groups": ("ops",)}, grants=(Grant(database="*", actions=ALL_ACTIONS),))


class CountedRecords(MemoryRecords[IssuerRecord]):
    """Records that tell how often they were listed; those named in `damaged` do not verify."""

    listed = 0
    damaged: frozenset[str] = frozenset()
    is_down = False

    def names(self) -> list[str]:
        """Return the names."""
        self.listed += 1
        if self.is_down:
            raise UnavailableError("the storage does not answer", retry_after_s=1)
        return super().names()

    def get(self, name: str) -> IssuerRecord | None:
        """Return a record."""
        if name in self.damaged:
            raise IntegrityError("does not verify")
        # Anew, as one that comes from a disk.
        found = super().get(name)
        return found and msgspec.json.decode(msgspec.json.encode(found), type=IssuerRecord)


@dataclass
class Rig(MainRig):
    """A Main Worker that trusts an issuer, `login`, whose keys a test has."""

    key: SigningKey = field(default_factory=signing_key)
    source: MemoryIssuers = field(default_factory=MemoryIssuers)

    def __post_init__(self) -> None:
        """Trust the issuer."""
        self.issuers = self.source
        self.records = self.memory.issuers = CountedRecords()
        super().__post_init__()
        self.administrator = self.caller(client_id="administrator")
        self.publish(self.key)
        self.trust(trusted(CHAT, OPS))
        self.throttle = self.main().throttle

    def publish(self, *keys: SigningKey, issuer: str = ISSUER) -> None:
        """Let an issuer publish these keys and no others."""
        self.source.published[issuer] = jwks(*keys)

    def trust(self, said: TrustedIssuer, name: str = "login") -> None:
        """Trust an issuer; it is in force at once."""
        self.main().issuers.put(self.administrator, name, said)
        self.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)

    def token(self, key: SigningKey | None = None, **members: Json) -> str:
        """Return the header of a user, who is in the group `chat` unless something else is said."""
        said = claims(self.clock, **{"groups": ["chat"], **members})
        return "Bearer " + (key or self.key).sign(said)

    def user(self, **members: Json) -> Caller:
        """Return the caller of a user's token."""
        return self.access.authenticate(self.token(**members))


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker that trusts an issuer."""
    return Rig()


def refused(rig: Rig, authorization: str) -> StrongroomError:
    """Return the error of a token that does not hold."""
    with pytest.raises(UnauthenticatedError) as refusal:
        rig.access.authenticate(authorization)
    return refusal.value


def test_a_user_of_the_issuer_has_what_the_rules_give(rig: Rig) -> None:
    """Nobody gets in with a token of the issuer; or everybody has everything."""
    ada = rig.user()
    assert ada.grants == (grant("chatdb", READ, WRITE, key_prefix="users/ada/"),)
    assert ada.scope == {"read", "write"}
    rig.access.authorize(ada, "chatdb", ["users/ada/1"], READ)
    for database, key, action in (
        ("chatdb", "users/bob/1", READ),
        ("chatdb", "users/ada/1", Action.DELETE),
        ("other", "users/ada/1", READ),
        ("chatdb", "", ADMIN),
    ):
        with pytest.raises(ForbiddenError):
            rig.access.authorize(ada, database, [key], action)


@pytest.mark.parametrize("groups", [None, [], "none", ["CHAT"], {"chat": 1}, 7])
def test_who_meets_no_rule_is_known_and_may_nothing(rig: Rig, groups: Json) -> None:
    """Every user of an issuer gets in, whatever groups an administrator has named."""
    nobody = rig.user(groups=groups)
    assert (nobody.grants, nobody.scope) == ((), frozenset())
    with pytest.raises(ForbiddenError):
        rig.access.authorize(nobody, "chatdb", ["users/ada/1"], READ)


def test_an_administrator_is_who_a_rule_names(rig: Rig) -> None:
    """A user becomes an administrator by what it says of itself."""
    rig.access.require_everywhere(rig.user(groups=["ops"]))
    for odd in (
        {"scope": "admin read write delete"},
        {"groups": ["chat", "admin"]},
        {"grants": [{"database": "*", "actions": ["admin"]}]},
        {"client_id": "administrator", "strongroom_incarnation": rig.administrator.incarnation},
        {"sub": "administrator"},
    ):
        with pytest.raises(ForbiddenError):
            rig.access.require_everywhere(rig.user(**odd))


def test_a_foreign_user_is_no_client_of_the_same_name(rig: Rig) -> None:
    """A user calls itself as a client does, and has the client's cursors, writes and quota."""
    rig.trust(trusted(CHAT, issuer="https://other.example"), "ada")
    rig.publish(rig.key, issuer="https://other.example")
    client = rig.caller(client_id="ada")
    users = [rig.user(), rig.user(iss="https://other.example"), rig.user(client_id="ada")]
    for user in users:
        assert user.unique_id != client.unique_id
        assert user.account != client.account
        assert ":" in user.client_id
        assert rig.store.client(user.client_id) is None
    assert len({user.unique_id for user in users}) == 2


def test_users_are_told_apart_by_issuer_and_subject(rig: Rig) -> None:
    """Two users share cursors, the answers to their writes, or a quota."""
    rig.trust(trusted(CHAT, issuer="https://other.example"), "other")
    rig.publish(rig.key, issuer="https://other.example")
    users = [
        rig.user(sub=sub, iss=iss)
        for sub in ("ada", "bob", "ada@login", "other#ada", "Ada")
        for iss in (ISSUER, "https://other.example")
    ]
    assert len({user.unique_id for user in users}) == len(users)
    assert len({user.account for user in users}) == len(users)


def test_a_name_that_is_given_to_another_issuer_brings_nothing_along(rig: Rig) -> None:
    """The users of a new issuer have the cursors and writes of those of the old one."""
    before = rig.user()
    rig.trust(trusted(CHAT, OPS, audiences=("https://strongroom.example", "x")))
    assert rig.user().unique_id == before.unique_id
    rig.publish(rig.key, issuer="https://new.example")
    rig.trust(trusted(CHAT, issuer="https://new.example"))
    assert rig.user(iss="https://new.example").unique_id != before.unique_id
    rig.main().issuers.remove(rig.administrator, "login")
    rig.trust(trusted(CHAT))
    assert rig.user().unique_id != before.unique_id


# -- whose token -----------------------------------------------------------------------------------


def test_one_issuer_does_not_speak_for_another(rig: Rig) -> None:
    """A small issuer that is trusted for little signs tokens of a great one."""
    theirs = signing_key("k1")
    rig.publish(theirs, issuer="https://small.example")
    rig.trust(trusted(Rule(claims={}, grants=(MINE,)), issuer="https://small.example"), "small")
    assert rig.user(key=theirs, iss="https://small.example", groups=["ops"]).scope == {
        "read",
        "write",
    }
    refused(rig, rig.token(theirs))
    refused(rig, rig.token(theirs, groups=["ops"]))
    refused(rig, rig.token(iss="https://small.example"))


def test_an_issuer_that_nobody_trusts_is_not_asked(rig: Rig) -> None:
    """Whoever sends a token has the Main Worker call an address of its choice."""
    for iss in ("https://evil.example", ISSUER + "/", "http://169.254.169.254/", "strongroom:x"):
        assert refused(rig, rig.token(iss=iss)).detail == "the token does not verify"
    assert not rig.source.asked


def test_a_token_that_could_never_verify_makes_nobody_ask_the_issuer(rig: Rig) -> None:
    """The cheapest of forgeries costs a request to the issuer."""
    for header in ({"kid": None}, {"typ": "JWT"}, {"zip": "DEF"}, {"enc": "A256GCM"}):
        refused(rig, "Bearer " + rig.key.sign(claims(rig.clock), **header))
    rig.trust(trusted(CHAT, algorithms=(Algorithm.EDDSA,)))
    refused(rig, rig.token())
    assert not rig.source.asked


def test_a_foreign_token_is_no_token_of_ours_and_the_reverse(rig: Rig) -> None:
    """An issuer signs tokens of this deployment; or makes it fail to know its own."""
    ours = tokens.issuer("test-deployment")
    refused(rig, rig.token(iss=ours, aud=tokens.CLIENT_AUDIENCE))
    kid = rig.keys.active(Purpose.TOKEN_SIGNING).key_id
    forged = rig.key.sign(claims(rig.clock, iss=ours, aud=tokens.CLIENT_AUDIENCE), kid=kid)
    refused(rig, f"Bearer {forged}")
    ada = rig.add_client("ada")
    assert rig.access.authenticate(rig.bearer(ada)).client_id == "ada"


def test_tokens_of_our_own_read_no_record_of_issuers(rig: Rig) -> None:
    """Whoever uses no foreign issuer pays for them, and has their outages."""
    rig.records.is_down = True
    listed = rig.records.listed
    rig.clock.advance(60)
    ada = rig.add_client("ada")
    rig.access.authenticate(rig.bearer(ada))
    refused(rig, "Bearer x.y.z")
    assert rig.records.listed == listed


# -- for how long ----------------------------------------------------------------------------------


def removed(rig: Rig) -> None:
    """Trust the issuer no more."""
    rig.main().issuers.remove(rig.administrator, "login")


CHANGES: dict[str, Callable[[Rig], None]] = {
    "removed": removed,
    "another audience": lambda rig: rig.trust(trusted(CHAT, audiences=("other",))),
    "another algorithm": lambda rig: rig.trust(trusted(CHAT, algorithms=(Algorithm.RS256,))),
    "a shorter life": lambda rig: rig.trust(trusted(CHAT, token_seconds_max=60)),
    "another iss": lambda rig: rig.trust(trusted(CHAT, issuer="https://new.example")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_trusted_no_more_is_refused_within_the_cache_time(
    rig: Rig, change: Callable[[Rig], None]
) -> None:
    """Tokens of an issuer that was removed work on until they expire."""
    token = rig.token()
    assert rig.access.authenticate(token)
    change(rig)
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    refused(rig, token)
    assert 2 * limits.CLIENT_RECORD_CACHE_SECONDS < limits.REVOCATION_SECONDS_MAX == 5


def test_a_rule_that_is_taken_away_is_out_of_force_within_the_cache_time(rig: Rig) -> None:
    """Who is an administrator no more goes on as one until the token expires."""
    token = rig.token(groups=["ops", "chat"])
    rig.access.require_everywhere(rig.access.authenticate(token))
    rig.trust(trusted(CHAT))
    now = rig.access.authenticate(token)
    assert now.scope == {"read", "write"}
    with pytest.raises(ForbiddenError):
        rig.access.require_everywhere(now)
    rig.trust(trusted(CHAT, OPS))
    rig.access.require_everywhere(rig.access.authenticate(token))


def test_a_token_that_was_verified_still_ends_in_its_time(rig: Rig) -> None:
    """A token that was used once works for as long as it stays in the cache."""
    token = rig.token()
    rig.access.authenticate(token)
    rig.clock.advance(299)
    rig.access.authenticate(token)
    rig.clock.advance(1)
    assert isinstance(refused(rig, token), tokens.StaleTokenError)


def test_a_key_that_the_issuer_withdraws_verifies_nothing_more(rig: Rig) -> None:
    """After a key was stolen and withdrawn, what was verified by it works on."""
    token = rig.token(exp=rig.clock.wall_ms() // 1000 + 7_200)
    rig.access.authenticate(token)
    rig.publish(signing_key("k2"))
    rig.clock.advance(limits.JWKS_FRESH_SECONDS)
    rig.access.authenticate(token)  # has the keys read anew
    settle()
    rig.clock.advance(limits.JWKS_ASKED_APART_SECONDS)
    refused(rig, token)


def test_another_key_under_the_same_id_is_another_key(rig: Rig) -> None:
    """An issuer that replaces a stolen key, and keeps its name, is not heard."""
    token = rig.token(exp=rig.clock.wall_ms() // 1000 + 7_200)
    rig.access.authenticate(token)
    rig.publish(signing_key("k1"))
    rig.clock.advance(limits.JWKS_FRESH_SECONDS)
    rig.access.authenticate(token)
    settle()
    rig.clock.advance(limits.JWKS_ASKED_APART_SECONDS)
    refused(rig, token)


def test_keys_that_nobody_can_confirm_any_more_verify_nothing(rig: Rig) -> None:
    """Whoever keeps an issuer from answering keeps a withdrawn key in force."""
    token = rig.token(exp=rig.clock.wall_ms() // 1000 + 7_200)
    rig.access.authenticate(token)
    rig.source.published.clear()
    rig.clock.advance(limits.JWKS_KEPT_SECONDS - 1)
    rig.access.authenticate(token)
    settle()
    rig.clock.advance(1)
    with pytest.raises(UnavailableError):
        rig.access.authenticate(token)


def test_a_token_is_verified_once(rig: Rig) -> None:
    """Each request costs a signature, which is a hundred times the rest."""
    token = rig.token()
    first = rig.access.authenticate(token)
    rig.clock.advance(3 * limits.CLIENT_RECORD_CACHE_SECONDS)
    assert rig.access.authenticate(token) is first
    assert rig.source.asked[ISSUER] == 1


def test_what_is_kept_of_tokens_is_bounded(rig: Rig) -> None:
    """An issuer's many users, each with many grants, fill the memory of a Main Worker."""
    wide = grant("chatdb", READ, key_prefix="{sub}/" + "x" * 500)
    rules = Rule(
        claims={}, grants=tuple(msgspec.structs.replace(wide, database=f"d{n}") for n in range(100))
    )
    rig.trust(trusted(rules))
    each_bytes = 100 * 500
    users = [rig.token(sub=str(n)) for n in range(limits.FOREIGN_CALLERS_BYTES_MAX // each_bytes)]
    for token in users:
        rig.access.authenticate(token)
    assert rig.access.has_verified(users[-1])
    assert not rig.access.has_verified(users[0])
    assert rig.access.authenticate(users[0])


# -- failures --------------------------------------------------------------------------------------


def test_records_are_read_once_in_the_cache_time(rig: Rig) -> None:
    """Strangers' tokens have the disk read and records decrypted, one by one."""
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    listed = rig.records.listed
    for number in range(50):
        refused(rig, rig.token(iss=f"https://evil{number}.example"))
    assert rig.records.listed == listed + 1


def test_a_damaged_record_stops_its_issuer_alone_and_is_told_once(rig: Rig) -> None:
    """A record that somebody has changed logs everybody out; or counts all the same."""
    rig.publish(rig.key, issuer="https://other.example")
    rig.trust(trusted(CHAT, issuer="https://other.example"), "other")
    rig.records.damaged = frozenset({"login"})
    with capture_logs() as logs:
        for _ in range(3):
            rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
            refused(rig, rig.token())
            assert rig.user(iss="https://other.example")
    told = [line["issuer"] for line in logs if line["event"] == "issuer-record-unusable"]
    assert told == ["login"]


def test_of_two_records_of_one_issuer_neither_counts(rig: Rig) -> None:
    """A record that was put back beside a newer one decides, as chance will have it."""
    again = msgspec.structs.replace(rig.records.records["login"], name="again")
    rig.records.put("again", again)
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    with capture_logs() as logs:
        refused(rig, rig.token())
    assert {line["issuer"] for line in logs} == {"again", "login"}


def test_without_the_disk_nobody_foreign_gets_in(rig: Rig) -> None:
    """When records cannot be read, an issuer that was removed may be trusted on."""
    token = rig.token()
    rig.access.authenticate(token)
    rig.records.is_down = True
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    with pytest.raises(UnavailableError):
        rig.access.authenticate(token)


# -- counting --------------------------------------------------------------------------------------

HERE = Origin("192.0.2.1")


def strict(rig: Rig) -> None:
    """Allow three failures from an address."""
    rig.throttling = ThrottlePolicies.per_minute(per_client=1, per_address=3)
    rig.throttle = rig.main().throttle


def test_forged_tokens_are_failures_of_their_address(rig: Rig) -> None:
    """Whoever forges tokens of an issuer may try without end."""
    strict(rig)
    known = rig.token()
    rig.throttle.prove(known, HERE)
    forger = signing_key("k1")
    for number in range(3):
        with pytest.raises(UnauthenticatedError):
            rig.throttle.prove(rig.token(forger, sub=str(number)), HERE)
    with pytest.raises(QuotaExceededError):
        rig.throttle.prove(rig.token(sub="new"), HERE)
    # Who was there before goes on, and so does everybody elsewhere.
    assert rig.throttle.prove(known, HERE)
    assert rig.throttle.prove(rig.token(sub="new"), Origin("192.0.2.2"))


def test_what_every_honest_user_does_is_no_failure(rig: Rig) -> None:
    """A busy address is shut out when its users' tokens expire, or when their issuer is down."""
    strict(rig)
    now_s = rig.clock.wall_ms() // 1000
    for number in range(5):
        with pytest.raises(tokens.StaleTokenError):
            rig.throttle.prove(rig.token(sub=str(number), exp=now_s, iat=now_s - 60), HERE)
    rig.source.published.clear()
    rig.clock.advance(limits.JWKS_KEPT_SECONDS)
    for number in range(5):
        with pytest.raises(UnavailableError):
            rig.throttle.prove(rig.token(sub=str(number)), HERE)
    rig.publish(rig.key)
    rig.clock.advance(limits.JWKS_ASKED_APART_SECONDS)
    assert rig.throttle.prove(rig.token(), HERE)


def test_each_user_has_a_quota_of_its_own(rig: Rig) -> None:
    """One user of an issuer uses up what all of them have."""
    rig.quotas = QuotaPolicies(requests=Policy("requests", 1.0, 2, "requests"))
    quotas = rig.main().quotas
    ada, bob = rig.user(), rig.user(sub="bob")
    for _ in range(2):
        quotas.admit(ada.account)
    # Another token of the same user is the same user's.
    with pytest.raises(QuotaExceededError):
        quotas.admit(rig.user(jti="another").account)
    quotas.admit(bob.account)


def test_a_client_answers_for_its_users() -> None:
    """A client multiplies its quota by naming users."""
    of_client = Caller("front", "1", "ada", {}, (), frozenset(), is_user=True)
    assert of_client.account == "front"


def test_nothing_of_a_token_is_logged(rig: Rig) -> None:
    """A log shows a token, or who was here."""
    with capture_logs() as logs:
        for _ in range(2):
            rig.user(sub="somebody-in-particular")
        refused(rig, rig.token(signing_key("k1"), sub="somebody-in-particular"))
    assert "somebody-in-particular" not in str(logs)


def test_what_kind_of_token_is_decided_by_the_record(rig: Rig) -> None:
    """An ID token of an issuer is taken in the place of an access token."""
    plain: dict[str, Any] = claims(rig.clock, groups=["chat"])
    id_token = "Bearer " + rig.key.sign({**plain, "at_hash": "x"}, typ="JWT")
    refused(rig, id_token)
    rig.trust(trusted(CHAT, token_type=TokenType.JWT))
    refused(rig, id_token)
    assert rig.access.authenticate("Bearer " + rig.key.sign(plain, typ="JWT"))


def test_a_clock_that_jumps_back_gives_no_longer_life() -> None:
    """A record's age is measured by a clock that somebody can set."""
    clock = ManualClock()
    rig = Rig(clock=clock)
    token = rig.token()
    rig.access.authenticate(token)
    removed(rig)
    clock.now_wall_ms -= 100_000
    clock.now_boot_s += limits.CLIENT_RECORD_CACHE_SECONDS
    refused(rig, token)
