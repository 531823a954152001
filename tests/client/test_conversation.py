"""The course of a call, decided without input or output: what is sent, when, what is raised."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom_client import errors
from strongroom_client.calls import Call, GetEntity, PutEntities, PutEntity, ReadPage, Token
from strongroom_client.core.paging import following
from strongroom_client.core.retrying import Budget, Retries
from strongroom_client.core.steps import Broken
from strongroom_client.credentials import ClientCredentials, StaticToken
from strongroom_client.errors import Facts
from strongroom_client.values import Page
from strongroom_client.written import Written
from tests.support.client_worlds import TOKEN_S, World

READ = GetEntity(database="d", key="k")
WRITE = PutEntity(database="d", key="k", document=b"1", idempotency_key="mine")
BATCH = PutEntities(database="d", documents={"a": b"1", "b": b"2"}, idempotency_key="mine")
CUT = Broken("the connection broke", may_have_acted=True)
REFUSED_CONNECTION = Broken("nobody listens", may_have_acted=False)
BUSY = errors.UnavailableError("no worker", facts=Facts(retry_after_s=2.0))


@dataclass(frozen=True, kw_only=True)
class UnrepeatableWrite(Call[str]):
    """A write that no key makes harmless to repeat."""

    writes = True


ONCE = UnrepeatableWrite()


@pytest.mark.parametrize("call", [READ, WRITE])
@pytest.mark.parametrize(
    "failure",
    [
        CUT,
        REFUSED_CONNECTION,
        BUSY,
        errors.RateLimitedError("slower"),
    ],
)
def test_what_may_pass_is_tried_again(call: Call[Any], failure: object) -> None:
    """A blink of the network ends in an error of the application."""
    world = World([failure, failure, "done"])
    assert world.run(world.conversation().perform(call, 60)) == "done"
    assert len(world.sent) == 3
    assert len({one.request_id for one in world.sent}) == 1, "the logs show one request"
    assert {one.call for one in world.sent} == {call}, "with one idempotency key"


@pytest.mark.parametrize("failure", [CUT, errors.OutcomeUnknownError("perhaps")])
def test_a_write_that_may_have_happened_is_not_repeated_without_a_key(failure: object) -> None:
    """An order is placed twice."""
    world = World([failure, "done"])
    with pytest.raises(errors.OutcomeUnknownError):
        world.run(world.conversation().perform(ONCE, 60))
    assert len(world.sent) == 1


@pytest.mark.parametrize("failure", [REFUSED_CONNECTION, BUSY, errors.RateLimitedError("slower")])
def test_a_write_that_cannot_have_happened_is_repeated(failure: object) -> None:
    """A server that is started anew costs every administrator an error."""
    world = World([failure, "done"])
    assert world.run(world.conversation().perform(ONCE, 60)) == "done"


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidError("no"),
        errors.NotFoundError("no"),
        errors.ForbiddenError("no"),
        errors.ConflictError("no"),
        errors.PreconditionFailedError("no"),
        errors.DamagedError("no"),
        errors.GoneError("no"),
        errors.ServerError("no"),
    ],
)
def test_a_refusal_is_final(error: errors.StrongroomClientError) -> None:
    """A client asks again and again for what is refused."""
    world = World([error])
    with pytest.raises(type(error)):
        world.run(world.conversation().perform(READ, 60))
    assert len(world.sent) == 1


def test_the_servers_advice_is_heeded() -> None:
    """A server that asks for two seconds of peace gets a tenth of one."""
    world = World([BUSY, "done"], drawn=0.5)
    world.run(world.conversation().perform(READ, 60))
    assert world.pauses == [2.0 + 0.5 * 0.1]


def test_advice_beyond_the_deadline_is_handed_on() -> None:
    """A program sits out a time at whose end nothing is left to do."""
    late = errors.RateLimitedError("slower", facts=Facts(retry_after_s=3600.0))
    world = World([late])
    with pytest.raises(errors.RateLimitedError) as refused:
        world.run(world.conversation().perform(WRITE, 60))
    assert refused.value.retry_after_s == 3600.0
    assert world.pauses == []


@given(
    attempts=st.integers(1, 20),
    first=st.floats(0.001, 1.0),
    longest=st.floats(1.0, 60.0),
    drawn=st.floats(0, 1),
    advice=st.none() | st.floats(-1e6, 1e6),
)
def test_a_pause_is_within_its_bounds(
    attempts: int, first: float, longest: float, drawn: float, advice: float | None
) -> None:
    """Clients come back all at once, or never."""
    retries = Retries(first_pause_s=first, longest_pause_s=longest)
    pause = retries.pause_s(attempts, advice, drawn)
    floor = max(0.0, advice or 0.0)
    assert floor <= pause <= floor + min(longest, first * 2 ** (attempts - 1)) * (1 + 1e-9)


_ANSWERS = st.sampled_from([CUT, REFUSED_CONNECTION, BUSY, errors.RateLimitedError("x"), "done"])


@given(
    script=st.lists(_ANSWERS, min_size=1, max_size=30),
    takes_s=st.floats(0, 20),
    timeout_s=st.floats(0.001, 100),
    drawn=st.floats(0, 1),
    call=st.sampled_from([READ, WRITE, ONCE]),
)
def test_a_call_ends_in_time(
    script: list[Any], takes_s: float, timeout_s: float, drawn: float, call: Call[Any]
) -> None:
    """A program waits for longer than it said it would."""
    world = World(script, takes_s=takes_s, drawn=drawn)
    began = world.now
    with suppress(errors.StrongroomClientError):
        world.run(world.conversation().perform(call, timeout_s))
    assert world.now <= began + timeout_s + 1e-6
    assert len(world.sent) <= Retries().attempts


def test_an_attempt_is_shorter_than_the_call() -> None:
    """A server that never answers uses up the time in which another one would."""
    world = World([CUT], takes_s=1e9)
    conversation = world.conversation(StaticToken("given"), attempt_s=10.0)
    with pytest.raises(errors.UnavailableError):
        world.run(conversation.perform(READ, 25))
    assert [round(one.timeout_s) for one in world.sent[:2]] == [10, 10]
    assert len(world.sent) == 3


def test_a_deployment_that_is_down_is_left_alone() -> None:
    """Whoever waits for a deployment keeps it from coming up: five requests for each of theirs."""
    world = World([REFUSED_CONNECTION])
    conversation = world.conversation()
    for _ in range(200):
        with pytest.raises(errors.UnavailableError):
            world.run(conversation.perform(READ, 60))
    assert len(world.sent) == 200 + 10


def test_the_budget_comes_back_with_success() -> None:
    """After an outage a client tries nothing again, for ever."""
    budget = Budget()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(11):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_an_earlier_attempt_is_not_forgotten() -> None:
    """It is said that nothing was written, where the first of two attempts may have done so."""
    for later in (BUSY, REFUSED_CONNECTION, errors.ForbiddenError("no longer")):
        world = World([CUT, later])
        with pytest.raises(errors.OutcomeUnknownError) as unknown:
            world.run(world.conversation().perform(WRITE, 5))
        assert unknown.value.__cause__ is not None


@pytest.mark.parametrize(
    "error", [errors.PreconditionFailedError("no"), errors.NotFoundError("no")]
)
def test_a_refusal_after_the_key_was_looked_up_settles_it(
    error: errors.StrongroomClientError,
) -> None:
    """A condition that does not hold is told as an unknown outcome."""
    world = World([CUT, error])
    with pytest.raises(type(error)):
        world.run(world.conversation().perform(WRITE, 60))


def test_a_batch_that_was_partly_written_is_completed() -> None:
    """Of a batch one entity is missing, because a worker had no room for a moment."""
    half: dict[str, Written | bool | errors.StrongroomClientError] = {
        "a": Written("a", 1, created=True),
        "b": errors.UnavailableError("busy", "busy"),
    }
    partly = errors.PartlyWrittenError("some", half)
    world = World([partly, "done"])
    assert world.run(world.conversation().perform(BATCH, 60)) == "done"
    half["b"] = errors.DamagedError("no")
    world = World([errors.PartlyWrittenError("some", half), "done"])
    with pytest.raises(errors.PartlyWrittenError) as failed:
        world.run(world.conversation().perform(BATCH, 60))
    assert failed.value.outcomes == half
    assert len(world.sent) == 1


def test_one_token_serves_many_calls() -> None:
    """Each call costs a second one, for a token."""
    world = World()
    conversation = world.conversation()
    for _ in range(5):
        world.run(conversation.perform(READ, 60))
    assert [one.token for one in world.sent] == ["token-1"] * 5


def test_a_token_is_renewed_before_it_ends() -> None:
    """Every ten minutes a call is refused."""
    world = World()
    conversation = world.conversation()
    world.run(conversation.perform(READ, 60))
    world.now += TOKEN_S * 0.79
    world.run(conversation.perform(READ, 60))
    world.now += TOKEN_S * 0.02
    world.run(conversation.perform(READ, 60))
    assert [one.token for one in world.sent] == ["token-1", "token-1", "token-2"]


@pytest.mark.parametrize("failure", [CUT, BUSY, errors.RateLimitedError("slower")])
def test_the_old_token_serves_while_no_other_can_be_had(failure: object) -> None:
    """A token server that is down for a minute takes everything down with it."""
    world = World(tokens=[Token("old", TOKEN_S), failure])
    conversation = world.conversation(retries=Retries(attempts=1))
    world.run(conversation.perform(READ, 60))
    world.now += TOKEN_S * 0.9
    for _ in range(3):
        world.run(conversation.perform(READ, 60))
    assert [one.token for one in world.sent] == ["old"] * 4
    assert len(world.token_requests) == 2, "it is not asked for at every call"
    world.now += TOKEN_S
    with pytest.raises((errors.UnavailableError, errors.RateLimitedError)):
        world.run(conversation.perform(READ, 60))


def test_a_token_that_is_refused_is_fetched_anew_once() -> None:
    """A signing key that was replaced, or a revoked token, ends a program's work."""
    refused = errors.UnauthenticatedError("no")
    world = World([refused, "done"])
    assert world.run(world.conversation().perform(WRITE, 60)) == "done"
    assert [one.token for one in world.sent] == ["token-1", "token-2"]
    assert world.pauses == []
    world = World([refused])
    with pytest.raises(errors.UnauthenticatedError):
        world.run(world.conversation().perform(WRITE, 60))
    assert len(world.sent) == 2


def test_a_wrong_secret_is_asked_for_once() -> None:
    """A client with a wrong secret has its address locked out."""
    world = World(tokens=[errors.UnauthenticatedError("wrong")])
    with pytest.raises(errors.UnauthenticatedError):
        world.run(world.conversation().perform(READ, 60))
    assert len(world.token_requests) == 1
    assert world.sent == []


def test_a_given_token_is_not_renewed() -> None:
    """A refused token is sent again."""
    world = World([errors.UnauthenticatedError("no")])
    with pytest.raises(errors.UnauthenticatedError):
        world.run(world.conversation(StaticToken("given")).perform(READ, 60))
    assert [one.token for one in world.sent] == ["given"]


def test_a_source_is_asked_each_time() -> None:
    """A token that the application has renewed is not used."""
    tokens = iter(["first", "second", "third"])
    world = World(["done", errors.UnauthenticatedError("no"), "done"], source=lambda: next(tokens))
    conversation = world.conversation(None)
    world.run(conversation.perform(READ, 60))
    world.run(conversation.perform(READ, 60))
    assert [one.token for one in world.sent] == ["first", "second", "third"]


@pytest.mark.parametrize("text", ["", "two\r\nlines", "schlüssel", "a b"])
def test_a_source_cannot_write_header_fields(text: str) -> None:
    """What stands in a token adds a header field to a request."""
    world = World(source=lambda: text)
    with pytest.raises(errors.ConfigurationError) as refused:
        world.run(world.conversation(None).perform(READ, 60))
    assert text not in str(refused.value) or not text
    assert world.sent == []


def test_tokens_and_attempts_share_one_deadline() -> None:
    """A slow token server doubles the time that a call takes."""
    world = World(takes_s=8.0)
    with pytest.raises(errors.UnavailableError):
        world.run(world.conversation().perform(READ, 8.0))
    assert world.now == 1_008.0
    assert world.sent == []


def test_secrets_do_not_show() -> None:
    """A secret or a token gets into a log through a repr."""
    credentials = ClientCredentials("me", "hunter2")
    world = World()
    conversation = world.conversation(credentials)
    world.run(conversation.perform(WRITE, 60))
    kept = {name: value for name, value in vars(conversation).items() if name != "_world"}
    assert "_tokens" in kept
    shown = repr([credentials, StaticToken("hunter2"), Token("hunter2", 1), WRITE, kept])
    assert "hunter2" not in shown
    assert "token-1" not in shown
    assert "b'1'" not in shown


def test_pages_end() -> None:
    """A server that repeats a cursor is asked for ever."""
    asked = ReadPage(database="d", cursor="c")
    assert following(asked, Page(())) is None
    assert following(asked, Page((), "next")) == ReadPage(database="d", cursor="next")
    with pytest.raises(errors.ServerError):
        following(asked, Page((), "c"))
